"""Our programs where PYTHON* and the working directory are somebody else's."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hushkey.system import isolated
from hushkey_install.common import agentcontrol
from kit.oauth import BIN, Machine, grant
from servers.agent import Agent

TOKEN = "at-c4nary"
ASKED = b"protocol=https\nhost=git.test\n\n"
PROGRAMS = {
    "git-credential-hushkey": (["get"], ASKED),
    "docker-credential-hushkey": (["get"], b"git.test"),
    "hushkey-keyring": (["get", "https://git.test/", "u"], b""),
    "hushkey-answer": (["token", "git.test"], b""),
    "hushkey": (["token", "git.test"], b""),
}
#: what a repository would like to be taken for: of Python's, of ours, of others'
NAMES = (
    *("sitecustomize", "usercustomize", "json", "os", "_socket", "runpy", "site"),
    *("hushkey", "hushkey_helpers", "hushkey_install", "click", "cryptography", "evil"),
)


@pytest.fixture
def machine(machine: Machine) -> Machine:
    machine.settle()
    machine.has(grant(TOKEN))
    return machine


class Repository:
    """A folder that is full of modules; those that are run leave their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        self._log = folder / "log"
        code = f"open({str(self._log)!r}, 'a').write(__name__ + ' ')\n"
        site = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
        for place in (folder, folder / site):
            place.mkdir(parents=True, exist_ok=True)
            for name in NAMES:
                (place / f"{name}.py").write_text(code)
            (place / "evil.pth").write_text("import evil\n")

    def variables(self, form: str) -> dict[str, str]:
        """The environment of somebody for whom *form* names this folder."""
        return {
            "none": {},
            "empty": {"PYTHONPATH": ""},
            "empty element": {"PYTHONPATH": f":{os.sep}opt"},
            "relative": {"PYTHONPATH": f"{os.curdir}:{os.sep}opt"},
            "absolute": {"PYTHONPATH": str(self.folder)},
            "home": {"PYTHONHOME": str(self.folder)},
            "user base": {"PYTHONUSERBASE": str(self.folder)},
            "all others": {
                "PYTHONBREAKPOINT": "evil.x",
                "PYTHONDUMPREFS": "1",
                "PYTHONINSPECT": "1",
                "PYTHONIOENCODING": "utf-16",
                "PYTHONPLATLIBDIR": str(self.folder),
                "PYTHONPROFILEIMPORTTIME": "1",
                "PYTHONSTARTUP": str(self.folder / "evil.py"),
                "PYTHONVERBOSE": "1",
                "PYTHONWARNINGS": "error::evil.x",
            },
        }[form]

    def ran(self) -> str:
        return self._log.read_text() if self._log.exists() else ""


FORMS = [
    *("none", "empty", "empty element", "relative", "absolute"),
    *("home", "user base", "all others"),
]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "cloned")


def run(
    program: str, repository: Repository, environ: Mapping[str, str]
) -> "subprocess.CompletedProcess[bytes]":
    words, stdin = PROGRAMS[program]
    return subprocess.run(
        [str(BIN / program), *words],
        input=stdin,
        capture_output=True,
        cwd=repository.folder,
        env=dict(environ),
        timeout=60,
        check=False,
        start_new_session=True,
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_program_runs_nothing_of_a_repository(
    machine: Machine, repository: Repository, program: str, form: str
) -> None:
    environ = machine.environ | repository.variables(form)

    done = run(program, repository, environ)

    assert (done.stderr, done.returncode) == (b"", 0)
    assert TOKEN.encode() in done.stdout
    assert repository.ran() == ""


OPENSSL_CONF = """
openssl_conf = init
[init]
providers = some
[some]
default = builtin
evil = evil
[builtin]
activate = 1
[evil]
module = /proc/self/cwd/evil.so
activate = 1
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shared library that leaves a file `loaded` where it is loaded."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a library with")
    folder = tmp_path_factory.mktemp("library")
    (folder / "evil.c").write_text(
        "#include <stdio.h>\n"
        "__attribute__((constructor)) static void run(void)"
        '{ FILE *f = fopen("loaded", "w"); if (f) fclose(f); }\n'
    )
    made = folder / "evil.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", made, folder / "evil.c"], check=True
    )
    return made


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(
    "variables",
    [
        {"OPENSSL_CONF": "openssl.cnf"},
        {"OPENSSL_CONF": "./openssl.cnf", "OPENSSL_MODULES": "."},
        {"OPENSSL_CONF": "../cloned/openssl.cnf", "OPENSSL_ENGINES": "/opt:."},
        {"OPENSSL_CONF_INCLUDE": "", "OPENSSL_CONF": "openssl.cnf"},
    ],
)
@pytest.mark.parametrize("program", PROGRAMS)
def test_program_gives_openssl_nothing_of_a_repository(
    machine: Machine,
    repository: Repository,
    library: Path,
    program: str,
    variables: dict[str, str],
    cached: bool,
) -> None:
    (repository.folder / "openssl.cnf").write_text(OPENSSL_CONF)
    shutil.copy(library, repository.folder / "evil.so")
    if not cached:
        machine.has(grant(TOKEN, expires_in=1))

    run(program, repository, machine.environ | variables)

    assert not (repository.folder / "loaded").exists()


def test_library_would_be_loaded(library: Path, repository: Repository) -> None:
    """What the test above relies on: OpenSSL here obeys such a config."""
    (repository.folder / "openssl.cnf").write_text(OPENSSL_CONF)
    shutil.copy(library, repository.folder / "evil.so")

    subprocess.run(
        [sys.executable, "-I", "-c", "import ssl; ssl.create_default_context()"],
        cwd=repository.folder,
        env={"OPENSSL_CONF": "openssl.cnf"},
        check=False,
        capture_output=True,
    )

    assert (repository.folder / "loaded").exists()


def test_absolute_openssl_variables_stay(machine: Machine, tmp_path: Path) -> None:
    conf = str(tmp_path / "openssl.cnf")
    script = tmp_path / "bin" / "hushkey-python"
    script.parent.mkdir()
    link = tmp_path / "link"
    shutil.copy(BIN / "hushkey-python", script)
    target = tmp_path / "shows"
    target.write_text('#!/bin/sh\necho "$OPENSSL_CONF $OPENSSL_MODULES."\n')
    target.chmod(0o755)
    link.symlink_to(target)

    done = subprocess.run(
        [sys.executable, "-I", "-S", script, "hushkey", link],
        env={"OPENSSL_CONF": conf, "OPENSSL_MODULES": "lib"},
        capture_output=True,
        check=True,
    )

    assert done.stdout.decode() == f"{conf} .\n"


def test_programs_start_all_in_the_same_way() -> None:
    heads = set()
    for program in PROGRAMS:
        text = (BIN / program).read_text()
        code = [line for line in text.splitlines() if not line.startswith("#")]
        lines = "\n".join(code)
        for words in (
            f"link to {program} will",
            f'hushkey-python" {program} "$0" "$@"',
        ):
            assert words in lines
            lines = lines.replace(words, "")
        heads.add(lines)

    assert len(heads) == 1


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("links", [["one"], ["one", "two"], ["sub/relative"]])
def test_link_to_a_program_will_do(
    machine: Machine, tmp_path: Path, program: str, links: list[str]
) -> None:
    target = BIN / program
    for link in (tmp_path / name for name in links):
        link.parent.mkdir(exist_ok=True)
        near = os.path.relpath(target, link.parent)
        link.symlink_to(near if "relative" in link.name else target)
        target = link
    words, stdin = PROGRAMS[program]

    # Where PATH leads nowhere, what resolves a link is still the system's.
    environ = machine.environ | {"PATH": f"{tmp_path}:.:"}
    (tmp_path / "readlink").write_text("#!/bin/sh\necho evil >&2\n")
    (tmp_path / "readlink").chmod(0o755)
    done = subprocess.run(
        [str(target), *words],
        input=stdin,
        capture_output=True,
        cwd=tmp_path,
        env=environ,
        timeout=60,
        check=False,
    )

    assert (done.stderr, done.returncode) == (b"", 0)
    assert TOKEN.encode() in done.stdout


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_program_can_be_given_to_a_shell_by_its_name(
    machine: Machine, shell: str
) -> None:
    words = [f"/bin/{shell}", "git-credential-hushkey", "get"]

    done = subprocess.run(
        words,
        input=ASKED,
        capture_output=True,
        cwd=BIN,
        env=machine.environ,
        timeout=60,
    )

    assert TOKEN.encode() in done.stdout, done.stderr


def test_variables_of_the_script_reach_nobody(machine: Machine, tmp_path: Path) -> None:
    """Even if the caller has variables of those names, which sh would pass on."""
    (tmp_path / "keyring").write_text("#!/bin/sh\nenv\n")
    (tmp_path / "keyring").chmod(0o755)
    machine.environ |= {"PATH": f"{tmp_path}:/usr/bin", "python": "p", "line": "l"}

    done = machine.run("hushkey-keyring", "get", "other", "me")

    said = done.stdout.decode().splitlines()
    assert {"python=p", "line=l"} <= set(said)
    assert [line for line in said if line.startswith("hushkey_")] == []


def test_copy_of_a_program_says_that_it_cannot(
    machine: Machine, tmp_path: Path
) -> None:
    copy = tmp_path / "git-credential-hushkey"
    copy.write_bytes((BIN / copy.name).read_bytes())
    copy.chmod(0o755)

    done = machine.run(str(copy), "get", stdin=ASKED, hushkey_python="/bin/echo")

    assert done.stdout == b""
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert b"install hushkey again" in done.stderr


# -- what we start -----------------------------------------------------------------


@pytest.fixture
def agent() -> Iterator[Agent]:
    with Agent() as made:
        yield made


@pytest.mark.parametrize("form", FORMS)
def test_agent_runs_nothing_of_a_repository(
    machine: Machine, repository: Repository, agent: Agent, form: str
) -> None:
    """By `hushkey`, which has looked around in that folder before."""
    environ = machine.environ | agent.environ | repository.variables(form)

    done = subprocess.run(
        [str(BIN / "hushkey"), "agent", "start"],
        capture_output=True,
        cwd=repository.folder,
        env=environ,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    folder = f"/proc/{agent.wait()}"
    command = Path(f"{folder}/cmdline").read_bytes().split(b"\0")
    assert command[1] == b"-I"
    assert os.fsencode(repository.folder) not in command
    for _ in range(2):
        run("git-credential-hushkey", repository, environ)
    assert agent.answered() >= 1
    assert repository.ran() == ""


@pytest.mark.parametrize(
    "words",
    [
        ["-P", "-c", "from hushkey_helpers.agent import main; main()"],
        ["-m", "hushkey_helpers.agent"],
    ],
    ids=["unit of 0.1.0", "module"],
)
def test_agent_that_was_started_otherwise_starts_itself_isolated(
    machine: Machine, agent: Agent, tmp_path: Path, words: list[str]
) -> None:
    process = subprocess.Popen(
        [sys.executable, *words],
        env=machine.environ | agent.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
    )
    try:
        assert agent.wait() == process.pid
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        assert command[1] == b"-I"
        assert os.fsencode(tmp_path) not in command
        done = machine.run("git-credential-hushkey", "get", stdin=ASKED)
        assert TOKEN.encode() in done.stdout
    finally:
        process.terminate()
        process.wait(10)


def test_other_programs_get_the_user_s_own_environment(
    machine: Machine, tmp_path: Path
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "keyring").write_text('#!/bin/sh\necho "$PYTHONPATH|$PYTHONHOME"\n')
    (folder / "keyring").chmod(0o755)
    variables = {"PYTHONPATH": ":x", "PYTHONHOME": "/y", "PATH": str(folder)}

    machine.environ |= variables
    done = machine.run("hushkey-keyring", "get", "other", "me")

    assert done.stdout == b":x|/y\n"


def test_program_for_a_browser_can_be_written_into_its_variable() -> None:
    words = isolated.words(agentcontrol.MODULE, "x")

    assert words[:3] == [sys.executable, "-I", "-c"]
    assert not [word for word in words if os.pathsep in word or "%" in word]


def test_command_where_no_sh_starts_it(machine: Machine, tmp_path: Path) -> None:
    words = [sys.executable, "-I", "-m", "hushkey_install", "token", "git.test"]

    done = subprocess.run(words, capture_output=True, env=machine.environ, timeout=60)

    assert done.stdout == f"{TOKEN}\n".encode()


# -- site --------------------------------------------------------------------------

DEFER = (
    "import sys; sys.path.append(sys.argv[1]); from hushkey.system import isolated; "
    "isolated.defer_site(sys.argv[2], sys.argv[1:2]); before = list(sys.path); "
    "import string; assert 'site' not in sys.modules; assert sys.path == before; "
    "import hushkey.errors; assert 'site' not in sys.modules; "
)


def deferred(code: str, packages: Path) -> list[str]:
    """Run *code* in an isolated Python that knows of *packages*, without `site`."""
    shared = str(Path(isolated.__file__).parents[2])
    words = [sys.executable, "-I", "-S", "-c", DEFER + code, shared, str(packages)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return done.stdout.split()


def test_site_runs_for_the_first_import_of_another_s(tmp_path: Path) -> None:
    code = "import click, site; print(sys.prefix, click.__file__)"

    prefix, _ = deferred(code, tmp_path.resolve())

    assert prefix == sys.prefix


def test_what_nobody_has_is_no_module(tmp_path: Path) -> None:
    code = "import importlib.util as u; print(u.find_spec('no_such'))"

    assert deferred(code, tmp_path) == ["None"]


def test_installation_for_one_user_comes_before_the_system_s(tmp_path: Path) -> None:
    """With its .pth files, as `rule` itself would have it without -I."""
    packages = tmp_path.resolve() / "site-packages"
    (tmp_path / "further").mkdir()
    packages.mkdir()
    (packages / "x.pth").write_text(f"{tmp_path.resolve()}/further\n")
    (packages / "click.py").write_text("")
    code = "import click; print(click.__file__, *sys.path)"

    found, *path = deferred(code, packages)

    assert found == str(packages / "click.py")
    (theirs,) = [entry for entry in path if entry == sysconfig.get_path("purelib")]
    assert f"{tmp_path.resolve()}/further" in path[: path.index(theirs)]


def test_threads_wait_until_site_is_through(tmp_path: Path) -> None:
    code = (
        "import threading; found = []; names = 'click', 'idna', 'psutil'\n"
        "def get(name): found.append(__import__(name).__name__)\n"
        "threads = [threading.Thread(target=get, args=(n,)) for n in names]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]; print(*found)"
    )

    assert len(deferred(code, tmp_path)) == 3
