"""Who imports whom, which rooms there are, and what a quick answer may load."""

import ast
import functools
import graphlib
import importlib.metadata
import io
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushkey.providers.registry import SPECS
from hushkey_helpers import ANSWER, PROGRAMS
from kit.oauth import BIN, Machine, grant, imported, timed_imports

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "hushkey": ROOT / "shared",
    "hushkey_helpers": ROOT / "helpers",
    "hushkey_install": ROOT / "install",
}
MAY_IMPORT = {
    "hushkey": {"hushkey"},
    "hushkey_helpers": {"hushkey", "hushkey_helpers"},
    "hushkey_install": {"hushkey", "hushkey_helpers", "hushkey_install"},
}
#: every third party, and the files that may name it (demo/ is an extra of its own)
OWNERS = {
    "authlib": {
        "hushkey.net.oauth",
        "hushkey.providers.josetoken",
        "hushkey.providers.oidc",
    },
    "cryptography": {
        "hushkey.providers.usualtoken",
        "hushkey.store.cipher",
        "hushkey.store.openitem",
    },
    "filelock": {"hushkey.system.locks"},
    "idna": {"hushkey.origins"},
    "jeepney": {
        "hushkey.store.secretservice",
        "hushkey_helpers.agent.keyring_signals",
    },
    "joserfc": {"hushkey.providers.josetoken"},
    "keyring": {"hushkey.store.keystores", "hushkey_helpers.backend"},
    "msal": {"hushkey.providers.entra", "hushkey.providers.workload.entra"},
    "platformdirs": {"hushkey.system.paths"},
    "psutil": {
        "hushkey_helpers.agent.start",
        "hushkey.system.callers",
        "hushkey.system.python_callers",
    },
    "requests": {
        "hushkey.net.http",
        "hushkey.net.oauth",
        "hushkey.providers.exchange.acr",
        "hushkey.providers.exchange.aws",
        "hushkey.providers.exchange.base",
        "hushkey.providers.exchange.gar",
    },
    "secretstorage": {
        "hushkey.store.secretservice",
        "hushkey_install.importers.libsecret",
    },
    "tomlkit": {"hushkey_install.config.document", "hushkey_install.register.uv"},
    "truststore": {"hushkey.net.trust"},
    "urllib3": {"hushkey.net.http"},
}
DEMO = "hushkey_install.demo"
FOR_PEOPLE = {"click", "rich"}
#: room -> floor. A module beside the rooms is one of its own, and so is what stands
#: above others in a room. An arrow leads to the same floor or down; no arrows make a
#: circle.
FLOORS = {
    "hushkey": 1,
    "hushkey.errors": 1,
    "hushkey.model": 1,
    "hushkey.scopes": 1,
    "hushkey.claims": 1,
    "hushkey.origins": 2,
    "hushkey.tokenrequest": 2,
    "hushkey.runtime": 3,
    "hushkey.trace": 3,
    "hushkey.system": 4,
    "hushkey.net": 5,
    "hushkey.store": 5,
    "hushkey.providers": 6,
    "hushkey.providers.exchange": 6,
    "hushkey.providers.workload": 6,
    "hushkey.providers.specs": 6,
    "hushkey.providers.registry": 6,
    "hushkey.providers.realms": 6,
    "hushkey.config": 7,
    "hushkey.signin": 7,
    "hushkey.acquire": 8,
    "hushkey_helpers": 9,
    "hushkey_helpers.answer": 9,
    "hushkey_helpers.channel": 9,
    "hushkey_helpers.process": 9,
    "hushkey_helpers.tool": 9,
    "hushkey_helpers.git": 10,
    "hushkey_helpers.docker": 10,
    "hushkey_helpers.keyring": 10,
    "hushkey_helpers.tools": 10,
    "hushkey_helpers.table": 11,
    "hushkey_helpers.backend": 11,
    "hushkey_helpers.agent": 11,
    "hushkey_helpers.forward": 12,
    "hushkey_helpers._client": 12,
    "hushkey_install": 12,
    "hushkey_install.common": 12,
    "hushkey_install.demo": 12,
    "hushkey_install.tools": 13,
    "hushkey_install.register": 14,
    "hushkey_install.config": 14,
    "hushkey_install.importers": 14,
    "hushkey_install.running": 14,
    "hushkey_install.forward": 14,
    "hushkey_install.inspect": 14,
    "hushkey_install.doctor": 15,
    "hushkey_install.setup": 15,
    "hushkey_install.commands": 16,
    "hushkey_install.cli": 17,
    "hushkey_install.__main__": 18,
}


def _modules() -> dict[str, Path]:
    found = {}
    for folder in FOLDERS.values():
        for path in sorted(folder.glob("hushkey*/**/*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = _modules()
every_module = pytest.mark.parametrize("name", MODULES)


def _imports(nodes: list[ast.stmt], name: str, *, deep: bool) -> Iterator[str]:
    """Yield what *nodes* import; *deep*: in functions and for types alone, too."""
    for node in nodes:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from _imports(node.orelse, name, deep=deep)
            if deep:
                yield from _imports(node.body, name, deep=deep)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative imports hide where they lead"
            module = node.module or ""
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                yield whole if whole in MODULES else module
        elif deep or not isinstance(node, ast.FunctionDef | ast.ClassDef):
            inner = [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)]
            handlers = getattr(node, "handlers", [])
            inner += [statement for handler in handlers for statement in handler.body]
            yield from _imports(inner, name, deep=deep)


def imports(name: str, *, deep: bool) -> set[str]:
    body = ast.parse(MODULES[name].read_text()).body
    return set(_imports(body, name, deep=deep))


def top(name: str) -> str:
    return name.partition(".")[0]


# -- who imports whom ------------------------------------------------------------


@every_module
def test_imports_run_one_way(name: str) -> None:
    ours = {top(found) for found in imports(name, deep=True)} & FOLDERS.keys()

    assert ours <= MAY_IMPORT[top(name)]


@functools.cache
def arrows() -> dict[str, set[str]]:
    """Return every import among our modules, deferred and type-only ones included."""
    return {
        name: {m for m in imports(name, deep=True) if m in MODULES and m != name}
        for name in MODULES
    }


def room(name: str) -> str:
    parts = name.split(".")
    inner = ".".join(parts[:3])
    return inner if inner in FLOORS else ".".join(parts[:2])


def test_no_circle_of_modules() -> None:
    assert list(graphlib.TopologicalSorter(arrows()).static_order())


def test_no_circle_of_rooms() -> None:
    graph: dict[str, set[str]] = {}
    for name, found in arrows().items():
        here = graph.setdefault(room(name), set())
        here |= {room(m) for m in found} - {room(name)}

    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_every_room_has_its_floor() -> None:
    assert {room(name) for name in MODULES} == FLOORS.keys()


@every_module
def test_arrows_lead_down(name: str) -> None:
    floor = FLOORS[room(name)]

    assert {m for m in arrows()[name] if FLOORS[room(m)] > floor} == set()


def rooms(package: str) -> set[str]:
    made = (FOLDERS[package] / package).glob("*/__init__.py")
    return {path.parent.name for path in made}


def test_map_in_the_core_names_its_rooms_and_no_other() -> None:
    text = ast.get_docstring(ast.parse(MODULES["hushkey"].read_text())) or ""

    assert set(re.findall(r"^(\w+)/ ", text, re.M)) == rooms("hushkey")


def test_guide_names_every_room_and_no_other() -> None:
    working = (ROOT / "install/guide/contributing.md").read_text("utf-8")
    found: dict[str, set[str]] = {}
    for line in working.split("```")[1].strip().splitlines():
        if not line.startswith(" "):
            here = found.setdefault(line.split()[0].split("/")[1], set())
        here |= set(re.findall(r"(\w+)/(?= |$)", line)) if line[0] == " " else set()

    assert found == {package: rooms(package) for package in FOLDERS}


#: a name of ours in a string, from the package on
_NAMED = re.compile(r"\b(?:hushkey|hushkey_helpers|hushkey_install)(?:\.\w+)+")


def strings(name: str) -> list[str]:
    tree = ast.parse(MODULES[name].read_text())
    found = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant))
    return [text for text in found if isinstance(text, str)]


def _exists(dotted: str) -> bool:
    """Tell whether *dotted* is a module, or names something that one has."""
    module = dotted
    while module and module not in MODULES:
        module = module.rpartition(".")[0]
    words = dotted[len(module) + 1 :].split(".")
    text = MODULES[module].read_text()
    return dotted in MODULES or (
        "." in module and re.search(rf"\b{words[0]}\b", text) is not None
    )


@every_module
def test_names_in_strings_are_of_modules_that_exist(name: str) -> None:
    files = (".cjs", ".fish", ".toml", ".log", ".svg", ".json", ".test")
    named = {m[0] for text in strings(name) for m in _NAMED.finditer(text)}

    assert {n for n in named if not n.endswith(files) and not _exists(n)} == set()


@every_module
def test_shared_names_nobody_above_it(name: str) -> None:
    if top(name) != "hushkey" or name == "hushkey.system.isolated":
        return  # `isolated` tells packages of ours from installed ones by their names
    above = FOLDERS.keys() - {"hushkey"}

    assert [s for s in strings(name) if any(a in s for a in above)] == []


@every_module
def test_third_parties_stay_with_their_owners(name: str) -> None:
    foreign = {
        top(found)
        for found in imports(name, deep=True)
        if top(found) not in sys.stdlib_module_names and top(found) not in FOLDERS
    }
    if name.startswith(DEMO):
        return
    if top(name) == "hushkey_install":
        foreign -= FOR_PEOPLE

    assert {lib for lib in foreign if name not in OWNERS.get(lib, ())} == set()


@every_module
def test_only_the_screen_writes_to_a_person(name: str) -> None:
    """There, names lose what would act on a terminal."""
    if name == "hushkey_install.common.output" or not name.startswith(
        "hushkey_install."
    ):
        return
    writing = {"click.echo", "click.secho", "click.prompt", "click.confirm"}
    writing |= {"print", "input", "sys.stdout.write", "sys.stderr.write"}
    tree = ast.parse(MODULES[name].read_text())
    called = {ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    if name.startswith(DEMO):  # whose server talks to its starter over a pipe
        writing.remove("sys.stdout.write")

    assert called & writing == set()


@every_module
def test_nothing_of_the_tests_is_in_production(name: str) -> None:
    text = MODULES[name].read_text()
    names = {
        token.string.lower()
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.NAME
    }
    words = ("pytest", "unittest", "mock", "fake", "hypothesis", "for_test")

    assert [n for n in names if any(w in n for w in words)] == []


SPECS_PACKAGE = "hushkey.providers.specs"


@every_module
def test_only_a_provider_s_own_file_asks_for_it_by_name(name: str) -> None:
    """What differs between providers is an attribute of ProviderSpec."""
    if name.startswith((f"{SPECS_PACKAGE}.", DEMO)):
        return
    tree = ast.parse(MODULES[name].read_text())

    assert [ast.unparse(n) for n in ast.walk(tree) if _asks_for_provider(n)] == []


def _asks_for_provider(node: ast.AST) -> bool:
    """Tell whether *node* decides by a provider's name: ==, in, match, a table."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
    elif isinstance(node, ast.MatchValue):
        sides = [node.value]
    elif isinstance(node, ast.Subscript):  # SPECS["entra"] is such a question, too
        sides = [node.slice] if "SPECS" in ast.unparse(node.value) else []
    elif isinstance(node, ast.Dict):
        # A table of tools may hold one that has a provider's name.
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        return bool(keys) and all(key in SPECS for key in keys)
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):  # of which one is KEEPS_OLD
        sides = [node]
    else:
        return False
    inner = [e for s in sides for e in (*getattr(s, "elts", ()), s)]
    return any(isinstance(e, ast.Constant) and e.value in SPECS for e in inner)


@pytest.mark.parametrize(
    ("code", "asks"),
    [
        ('identity.provider == "entra"', True),
        ('"oidc" != rule.identity.provider', True),
        ('identity.provider in ("github", "gitlab")', True),
        ('identity.provider not in {"static"}', True),
        ('KEEPS_OLD = ("entra", "oidc")', True),
        ('DEFAULT_USER = "oauth2"', False),
        ('{"oidc": 1}[identity.provider]', True),
        ('{"npm": 1, "google": 2}[tool]', False),
        ('SPECS["entra"].tenants', True),
        ('match provider:\n case "gitea": pass', True),
        ("identity.tenants", False),
        ('scheme == "basic"', False),
        ("SPECS[provider].required", False),
    ],
)
def test_every_form_of_asking_for_a_provider_is_seen(code: str, asks: bool) -> None:
    nodes = ast.walk(ast.parse(code))

    assert any(map(_asks_for_provider, nodes)) == asks


def test_every_file_of_a_provider_is_in_the_registry() -> None:
    files = {n.rpartition(".")[2] for n in MODULES if n.startswith(f"{SPECS_PACKAGE}.")}

    assert files == {name.replace("-", "_") for name in SPECS}


#: what is written in one place only, so that it is right everywhere: the words that
#: betray a copy, and the modules that may hold them
ONE_HOME = {
    "XDG_": {
        "hushkey.system.paths",
        "hushkey_helpers.agent.protocol",  # no module that costs: a test compares them
        "hushkey_install.commands.report",  # names of variables to show
    },
    "os.replace": {
        "hushkey.system.ownership",
        "hushkey.store.sealedfile",  # its room is claimed before a person is asked
        "hushkey_install.commands.reset",  # moves what is there
    },
    "tempfile.mkstemp": set(),
}


@pytest.mark.parametrize("word", ONE_HOME)
def test_rule_has_one_home(word: str) -> None:
    holders = {
        name
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Constant) and str(node.value).startswith(word))
        or (isinstance(node, ast.Attribute) and ast.unparse(node) == word)
    }

    assert holders == ONE_HOME[word]


# -- shape -----------------------------------------------------------------------


@every_module
def test_module_says_what_it_is(name: str) -> None:
    assert ast.get_docstring(ast.parse(MODULES[name].read_text()))


# -- the package -----------------------------------------------------------------


def test_entry_points_load() -> None:
    found = importlib.metadata.distribution("hushkey").entry_points

    assert {(point.group, point.name) for point in found} == {
        ("keyring.backends", "hushkey"),
    }
    backend = found.select(group="keyring.backends")["hushkey"].load()
    assert backend.Keyring.priority == 9.95


@pytest.mark.parametrize("program", ["hushkey", ANSWER, *PROGRAMS])
def test_program_is_installed_and_starts(program: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / program, "--help"],
        capture_output=True,
        timeout=30,
        check=False,
        env={**os.environ, "PATH": str(tmp_path)},  # where no other `keyring` is
    )

    assert done.returncode == 0
    assert b"hushkey" in done.stdout + done.stderr


def test_core_is_typed_and_brings_its_presets() -> None:
    core = FOLDERS["hushkey"] / "hushkey"

    assert (core / "py.typed").is_file()
    assert (core / "config" / "presets.toml").is_file()


# -- what a quick answer loads ---------------------------------------------------

OTHER = b"protocol=https\nhost=other.test\n\n"
OURS = b"protocol=https\nhost=git.test\n\n"
#: too heavy for any answer that needs no network
HEAVY = {
    "argparse",
    "asyncio",
    "authlib",
    "click",
    "concurrent",
    "dataclasses",
    "difflib",
    "email",
    "filelock",
    "http",
    "importlib.metadata",
    "importlib.resources",
    "inspect",
    "joserfc",
    "keyring",
    "logging",
    "msal",
    "pathlib",
    "platformdirs",
    "psutil",
    "requests",
    "rich",
    "socket",
    "ssl",
    "tempfile",
    "tomllib",
    "truststore",
    "typing",
    "urllib.request",
    "urllib3",
    "hushkey.acquire.unlock",
    "hushkey.config.compile",
    "hushkey.net.http",
    "hushkey.acquire.interactive",
    "hushkey.system.tracefile",
    "hushkey.providers.oidc",
    "hushkey.providers.registry",
    "hushkey.store.secretservice",
}
#: what the cached path needs and a host that is not ours does not
CACHED_ONLY = {
    "cryptography",
    "json",
    "re",
    "subprocess",
    "urllib",
    "hashlib",
    "contextlib",
    "hushkey.acquire.acquirer",
    "hushkey.acquire.session",
    "hushkey.store.cipher",
    "hushkey.store.sealedfile",
    "hushkey.store.typed",
    "hushkey.store.tokenfile",
    "hushkey.store.datakey",
    "hushkey.store.keystores",
}


#: what a token that is still good does not need, and others may
RENEWING = {
    "base64",
    "cryptography.exceptions",
    "cryptography.hazmat.primitives",
    "hashlib",
    "hushkey.acquire.attempts",
    "hushkey.acquire.minted",
    "hushkey.acquire.silent",
    "signal",
    "threading",
}


def loaded(machine: Machine, request: bytes) -> set[str]:
    """Return the modules that the real program loads beyond a bare interpreter."""
    program = timed_imports("git-credential-hushkey", "get")
    done = subprocess.run(
        program,
        input=request,
        capture_output=True,
        env=machine.environ,
        timeout=30,
        check=True,
    )
    return set(imported(done.stderr)) - bare()


def bare() -> set[str]:
    """Return what Python itself loads, `rule` included."""
    words = [sys.executable, "-I", "-X", "importtime", "-c", ""]
    done = subprocess.run(words, capture_output=True, timeout=30, check=True)
    return set(imported(done.stderr))


def among(modules: set[str], names: set[str]) -> set[str]:
    """Return those of *modules* that are one of *names* or inside one."""
    return {m for m in modules if any(f"{m}.".startswith(f"{n}.") for n in names)}


@pytest.fixture
def machine(machine: Machine) -> Machine:
    """A machine whose config has settled and was compiled by an earlier call."""
    machine.settle()
    machine.has(grant("at-kept"))
    done = machine.run("git-credential-hushkey", "get", stdin=OTHER)
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)
    return machine


def test_not_ours_loads_next_to_nothing(machine: Machine) -> None:
    found = loaded(machine, OTHER)

    assert among(found, HEAVY | CACHED_ONLY) == set()
    assert "hushkey_helpers.git.helper" in found


@pytest.mark.parametrize("request_", [OTHER, OURS], ids=["not ours", "cached"])
def test_site_is_loaded_only_for_what_is_neither_python_s_nor_ours(
    machine: Machine, request_: bytes
) -> None:
    done = subprocess.run(
        timed_imports("git-credential-hushkey", "get"),
        input=request_,
        capture_output=True,
        env=machine.environ,
        timeout=30,
        check=True,
    )

    found = imported(done.stderr)
    assert ("site" in found) == ("cryptography" in found) == (request_ == OURS)


def loaded_by_docker(machine: Machine, server: str) -> set[str]:
    """Return what docker's helper loads for a get, whatever it answers."""
    done = subprocess.run(
        timed_imports("docker-credential-hushkey", "get"),
        input=server.encode(),
        capture_output=True,
        env=machine.environ,
        timeout=30,
        check=False,
    )
    return set(imported(done.stderr)) - bare()


def test_registry_that_is_not_ours_loads_next_to_nothing(machine: Machine) -> None:
    found = loaded_by_docker(machine, "other.test")

    assert among(found, HEAVY | CACHED_ONLY) == set()
    assert "hushkey_helpers.docker.helper" in found


def test_url_that_go_asks_about_and_is_not_ours_loads_next_to_nothing(
    machine: Machine,
) -> None:
    """Go asks for every 4xx of every host."""
    done = subprocess.run(
        timed_imports("hushkey-answer", "go", "https://other.test/m/@v/list"),
        input=b"HTTP/1.1 404 Not Found\n\n",
        capture_output=True,
        env=machine.environ,
        timeout=30,
        check=True,
    )
    found = set(imported(done.stderr)) - bare()

    assert done.stdout == b""
    assert among(found, HEAVY | CACHED_ONLY) == set()
    assert "hushkey_helpers.tools.go" in found


def test_cached_registry_token_loads_no_network_and_no_psutil(
    machine: Machine,
) -> None:
    found = loaded_by_docker(machine, "git.test")

    assert among(found, HEAVY - {"typing"}) == set()
    assert "hushkey.acquire.exchanged" in found
    assert "hushkey.providers.exchange" not in found


def test_not_ours_without_a_config_loads_next_to_nothing(home: Path) -> None:
    machine = Machine(home)
    machine.run("git-credential-hushkey", "get", stdin=OTHER)

    assert among(loaded(machine, OTHER), HEAVY | CACHED_ONLY) == set()


def test_cached_answer_loads_no_network_and_no_toml(machine: Machine) -> None:
    found = loaded(machine, OURS)

    assert among(found, HEAVY | RENEWING) == set()
    assert "hushkey.acquire.acquirer" in found


@pytest.mark.parametrize("request_", [OTHER, OURS], ids=["not ours", "cached"])
def test_journal_is_loaded_only_if_asked_for(machine: Machine, request_: bytes) -> None:
    assert "hushkey.system.tracefile" not in loaded(machine, request_)

    machine.environ["HUSHKEY_LOG"] = str(machine.home / "log")

    found = loaded(machine, request_)
    assert "hushkey.system.tracefile" in found
    assert among(found, HEAVY - {"typing", "hushkey.system.tracefile"}) == set()


@pytest.mark.parametrize(
    ("service", "names"),
    [
        ("https://other.test/simple/", HEAVY | CACHED_ONLY),
        ("https://git.test/simple/", HEAVY - {"typing"}),
    ],
)
def test_keyring_program_loads_as_little(
    machine: Machine, service: str, names: set[str]
) -> None:
    machine.environ |= {"PATH": "/nowhere", "HUSHKEY_INTERACTIVE": "never"}
    done = subprocess.run(
        timed_imports("hushkey-keyring", "get", service, "me"),
        capture_output=True,
        env=machine.environ,
        timeout=30,
        check=False,
    )
    found = set(imported(done.stderr)) - bare()

    assert among(found, names) == set()
    assert "hushkey_helpers.keyring.command" in found
    assert done.stdout == (b"at-kept\n" if "git.test" in service else b"")


def test_compiled_config_lies_beside_the_tokens(machine: Machine) -> None:
    (side,) = machine.data.glob("config-*.compiled")

    assert side.stat().st_mode & 0o777 == 0o600
    assert machine.data.stat().st_mode & 0o777 == 0o700
