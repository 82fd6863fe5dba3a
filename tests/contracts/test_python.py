"""Real pip, uv, twine, poetry and pdm against a real index that checks our tokens.

What was asked is read in the issuer's and Apache's own logs.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import do_without, running
from contracts.desk import BIN, Desk, Done
from contracts.test_sign_in import at_terminal, visit
from servers.authority import Authority
from servers.browser import Browser
from servers.issuer import Issuer
from servers.packages import SCOPE, PackageIndex, client, wheel
from servers.process import Missing
from servers.secretservice import SecretService
from shared.oauth_fakes import Reply, Scripted

pytestmark = pytest.mark.contract


@pytest.fixture(scope="session")
def index_process(
    authority: Authority, issuer_process: Issuer
) -> Iterator[PackageIndex]:
    yield from running(PackageIndex(authority, issuer_process))


def program_of(environment: str, program: str) -> str:
    """Return the path of a client, or do without."""
    try:
        return client(environment, program)
    except Missing as reason:
        do_without(reason)
        raise


class PackageDesk(Desk):
    """A desk whose host is a package index, and whose PATH has a `keyring` of ours."""

    apache: PackageIndex

    @property
    def environ(self) -> dict[str, str]:
        launchers = self.folder / "launchers"
        return (
            super().environ
            | {
                # Not our own environment, whose `keyring` is the real one.
                "PATH": f"{launchers}{os.pathsep}/usr/bin{os.pathsep}/bin",
                "PIP_CERT": str(self.ca_file),
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                "PIP_NO_CACHE_DIR": "1",
                "REQUESTS_CA_BUNDLE": str(self.ca_file),
                "SSL_CERT_FILE": str(self.ca_file),
                "UV_NO_CACHE": "1",
                "UV_NO_PROGRESS": "1",
            }
            | self.extra
        )

    def ready(self, host: str = "") -> None:
        rule = f'[host."{host or self.apache.host}"]\nidentity = "corp"\n'
        self.configure(hosts=f'{rule}scopes = ["{SCOPE}"]\n')
        launcher = self.folder / "launchers" / "keyring"
        launcher.parent.mkdir(exist_ok=True)
        if not launcher.is_symlink():
            launcher.symlink_to(BIN / "hushkey-keyring")

    def user_url(self, name: str, path: str = "simple/") -> str:
        return f"https://{name}@{self.apache.host}/{path}"

    def run(self, environment: str, program: str, *words: str, **extra: str) -> Done:
        return self.start(program_of(environment, program), *words, stdin=b"", **extra)

    def install(
        self, environment: str, *words: str, url: str = "", **extra: str
    ) -> Done:
        """Install with pip, its `keyring-provider` as `hushkey install pip` sets it."""
        target = str(self.folder / f"target-{len(list(self.folder.iterdir()))}")
        environ = {"PIP_KEYRING_PROVIDER": "subprocess", **extra}
        if not environ["PIP_KEYRING_PROVIDER"]:
            del environ["PIP_KEYRING_PROVIDER"]
        return self.run(
            environment,
            "pip",
            *("install", "-q", "--target", target),
            *("--index-url", url or self.apache.simple, *words),
            **environ,
        )


@pytest.fixture
def desk(
    tmp_path: Path,
    issuer: Issuer,
    index_process: PackageIndex,
    visitor: Browser,
    authority: Authority,
) -> Iterator[PackageDesk]:
    """A configured user; nobody has signed in, and no secret gets about."""
    folder = tmp_path / "desk"
    folder.mkdir()
    index_process.reset()
    made = PackageDesk(folder, issuer, index_process, visitor, authority.ca_file)
    made.ready()
    yield made
    assert made.leaks() == []


def assert_one_sign_in(desk: PackageDesk, *done: Done) -> None:
    assert [d.returncode for d in done] == [0] * len(done), done[0].stderr.decode()
    assert desk.visitor.troubles() == ""
    assert len(desk.visitor.visits()) == 1
    assert desk.issuer.sign_ins() == 1
    assert len(desk.issuer.token_requests()) == 1


def test_pip_with_the_executable(desk: PackageDesk) -> None:
    first = desk.install("plain", "pear")
    second = desk.install("plain", "plum")

    assert_one_sign_in(desk, first, second)
    assert {a.status for a in desk.apache.log()} == {200, 401}


def test_old_pip_with_the_executable_and_a_user_name(desk: PackageDesk) -> None:
    done = desk.install("old-pip", "pear", url=desk.user_url("me"))

    assert_one_sign_in(desk, done)
    assert {a.presented_user for a in desk.apache.log() if a.status == 200} == {"me"}


def test_pip_importing_the_backend(desk: PackageDesk) -> None:
    first = desk.install("plugin", "pear", PIP_KEYRING_PROVIDER="import", PATH="")
    second = desk.install("plugin", "plum", PIP_KEYRING_PROVIDER="import", PATH="")

    assert_one_sign_in(desk, first, second)


def test_install_reaches_build_isolation_and_uninstall_takes_it_back(
    desk: PackageDesk,
) -> None:
    launchers = desk.folder / "launchers"
    (launchers / "keyring").unlink()

    def register(verb: str, *words: str) -> None:
        for tool in ("pip", "uv"):
            done = desk.hushkey(verb, tool, *words)
            assert done.returncode == 0, done.stderr

    def use() -> list[Done]:
        pip = desk.install("plain", "--no-input", "quince", PIP_KEYRING_PROVIDER="")
        return [pip, _uv(desk, url=desk.user_url("me"))]

    register("install", "--launcher", str(launchers))
    assert_one_sign_in(desk, *use())
    register("uninstall")
    assert all(done.returncode for done in use())
    assert list(launchers.iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "provider", "user"),
    [
        ("plain", "subprocess", ""),
        ("old-pip", "subprocess", "me@"),
        ("plugin", "import", ""),
    ],
)
def test_build_isolation_asks_once_even_without_input(
    desk: PackageDesk, environment: str, provider: str, user: str
) -> None:
    url = desk.apache.simple.replace("//", f"//{user}", 1)
    done = desk.install(
        environment, "--no-input", "quince", url=url, PIP_KEYRING_PROVIDER=provider
    )

    assert_one_sign_in(desk, done)


def test_four_pips_at_once_ask_once_and_refresh_once(desk: PackageDesk) -> None:
    def crowd(number: int) -> list[Done]:
        def one(at: int) -> Done:
            target = f"crowd-{number}-{at}"
            return desk.install("plain", "plum", "--target", str(desk.folder / target))

        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(one, range(4)))

    assert_one_sign_in(desk, *crowd(1))
    desk.age(3001)  # 599 s are left: too little to begin an install with

    done = crowd(2)

    assert [d.returncode for d in done] == [0] * 4, done[0].stderr
    assert desk.issuer.refreshes() == 1
    assert len(desk.visitor.visits()) == 1


def test_uv_in_both_forms(desk: PackageDesk) -> None:
    def uv(name: str, *index: str, **extra: str) -> Done:
        words = ("pip", "install", "-q", "--python", sys.executable, "--target")
        environ = {"UV_KEYRING_PROVIDER": "subprocess", **extra}
        return desk.run(
            "plain", "uv", *words, str(desk.folder / name), *index, "pear", **environ
        )

    (desk.folder / "uv.toml").write_text(
        f'[[index]]\nurl = "{desk.apache.simple}"\ndefault = true\n'
        'authenticate = "always"\n'
    )
    named = uv("named", "--index-url", desk.user_url("me"))
    always = uv("always", "--config-file", str(desk.folder / "uv.toml"))

    assert_one_sign_in(desk, named, always)
    users = [a.presented_user for a in desk.apache.log() if a.status == 200]
    assert set(users) == {"me", "oauth2"}


def test_uv_publish(desk: PackageDesk) -> None:
    (desk.folder / "fig-1.0-py3-none-any.whl").write_bytes(wheel("fig"))
    done = desk.run(
        *("plain", "uv", "publish", "--publish-url", f"{desk.apache.url}/"),
        *("--username", "me", "--keyring-provider", "subprocess"),
        str(desk.folder / "fig-1.0-py3-none-any.whl"),
    )

    assert_one_sign_in(desk, done)
    assert "fig-1.0-py3-none-any.whl" in desk.apache.shelf()


def test_twine_uploads_several_files(desk: PackageDesk) -> None:
    files = [desk.folder / f"{name}-1.0-py3-none-any.whl" for name in ("fig", "kiwi")]
    for path in files:
        path.write_bytes(wheel(path.name.partition("-")[0]))
    done = desk.run(
        *("plugin", "twine", "upload", "--non-interactive"),
        *("--repository-url", f"{desk.apache.url}/", *map(str, files)),
    )

    assert_one_sign_in(desk, done)
    assert {path.name for path in files} <= desk.apache.shelf()


POETRY = """
[project]
name = "basket"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["pear"]
[tool.poetry]
packages = [{ include = "basket.py" }]
[[tool.poetry.source]]
name = "priv"
url = "URL"
"""


def basket(desk: PackageDesk) -> Path:
    """Make a poetry project that needs `pear`; return its folder."""
    project = desk.folder / "basket"
    project.mkdir(exist_ok=True)
    (project / "basket.py").touch()
    (project / "pyproject.toml").write_text(POETRY.replace("URL", desk.apache.simple))
    return project


def poetry(desk: PackageDesk, *words: str, **extra: str) -> Done:
    environ = {
        "POETRY_VIRTUALENVS_IN_PROJECT": "true",
        "POETRY_REPOSITORIES_UP_URL": f"{desk.apache.url}/",
    }
    place = ("-n", "-C", str(basket(desk)))
    return desk.run("poetry", "poetry", *words, *place, **environ, **extra)


def test_poetry_installs_and_publishes(desk: PackageDesk) -> None:
    done = [
        poetry(desk, "lock"),
        poetry(desk, "install", "--no-root"),
        poetry(desk, "publish", "--build", "-r", "up"),
    ]

    assert_one_sign_in(desk, *done)
    assert any(name.startswith("basket-1.0") for name in desk.apache.shelf())


PDM = """
[project]
name = "basket"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["pear"]
[tool.pdm]
distribution = false
[[tool.pdm.source]]
name = "pypi"
url = "URL"
"""


def pdm(desk: PackageDesk, **extra: str) -> Done:
    project = desk.folder / "basket"
    project.mkdir()
    (project / "pyproject.toml").write_text(PDM.replace("URL", desk.apache.simple))
    return desk.run("pdm", "pdm", "install", "-q", "-p", str(project), **extra)


def test_pdm_installs(desk: PackageDesk) -> None:
    done = pdm(desk)

    assert_one_sign_in(desk, done)


# -- nobody to ask ---------------------------------------------------------------


def _twine(desk: PackageDesk, **extra: str) -> Done:
    file = desk.folder / "fig-1.0-py3-none-any.whl"
    file.write_bytes(wheel("fig"))
    words = ("upload", "--non-interactive", "--repository-url", f"{desk.apache.url}/")
    return desk.run("plugin", "twine", *words, str(file), **extra)


def _uv(desk: PackageDesk, *, url: str, **extra: str) -> Done:
    target = ("--reinstall", "--target", "t")
    words = ("pip", "install", "--python", sys.executable, *target, "pear")
    return desk.run("plain", "uv", *words, "--index-url", url, **extra)


CLIENTS_IN_CI: dict[str, Callable[..., Done]] = {
    "pip, stderr dropped": lambda d, **e: d.install("plain", "pear", **e),
    "pip, stderr inherited": lambda d, **e: d.install(
        "old-pip", "pear", url=d.user_url("me"), **e
    ),
    "pip, importing": lambda d, **e: d.install(
        "plugin", "pear", **{"PIP_KEYRING_PROVIDER": "import", **e}
    ),
    "twine": _twine,
    "uv": lambda d, **e: _uv(
        d, url=d.user_url("me"), UV_KEYRING_PROVIDER="subprocess", **e
    ),
    "poetry": lambda d, **e: poetry(d, "lock", **e),
    "pdm, stderr dropped": pdm,
}


@pytest.mark.parametrize("name", CLIENTS_IN_CI)
def test_ci_fails_at_once_and_shows_what_to_run(desk: PackageDesk, name: str) -> None:
    done = CLIENTS_IN_CI[name](desk, CI="true", PIP_NO_INPUT="1")
    shown = done.stdout + done.stderr
    words = b" ".join(shown.replace(b"\xe2\x94\x82", b" ").split())

    assert done.returncode != 0
    assert b"this is a CI job (CI is set)" in words, shown.decode()
    assert f"run: hushkey login {desk.apache.host}".encode() in words
    assert desk.visitor.visits() == []
    assert desk.issuer.log() == []


@pytest.mark.parametrize("name", CLIENTS_IN_CI)
def test_index_that_is_not_ours_gets_nothing(desk: PackageDesk, name: str) -> None:
    desk.ready(host="packages.example.com")

    done = CLIENTS_IN_CI[name](desk, PIP_NO_INPUT="1")

    assert done.returncode != 0
    assert b"hushkey" not in done.stderr.replace(b"/hushkey", b"")
    assert {a.secret for a in desk.apache.log()} <= {"", "-"}
    assert desk.visitor.visits() == []
    assert desk.issuer.log() == []


def test_token_of_the_ci_job_goes_to_the_client_itself(desk: PackageDesk) -> None:
    """As the README has it: before any keyring, and nobody is signed in here."""
    desk.start(str(BIN / "hushkey-keyring"), "get", desk.apache.simple, "me")
    (token,) = desk.tokens()
    assert desk.hushkey("logout", "corp", "--local").returncode == 0
    before = desk.issuer.log()
    named = desk.apache.simple.replace("//", f"//ci:{token}@", 1)
    (desk.folder / "uv.toml").write_text(
        f'[[index]]\nname = "feed"\nurl = "{desk.apache.simple}"\ndefault = true\n'
    )
    (desk.folder / "fig-1.0-py3-none-any.whl").write_bytes(wheel("fig"))
    environ = {
        "CI": "true",
        "PIP_INDEX_URL": named,
        "UV_INDEX_FEED_USERNAME": "ci",
        "UV_INDEX_FEED_PASSWORD": token,
        "TWINE_USERNAME": "ci",
        "TWINE_PASSWORD": token,
        "POETRY_HTTP_BASIC_PRIV_USERNAME": "ci",
        "POETRY_HTTP_BASIC_PRIV_PASSWORD": token,
    }
    uv = ("pip", "install", "--config-file", "uv.toml", "--target", "u", "pear")

    upload = ("upload", "--repository-url", f"{desk.apache.url}/")
    # The ear would find the token in an environment, where we put it.
    quiet = {k: v for k, v in desk.environ.items() if k not in desk.ear.environ}

    done = [
        subprocess.run(
            [program_of(environment, program), *words],
            env=quiet | environ,
            cwd=desk.folder,
            capture_output=True,
            timeout=120,
            check=False,
        )
        for environment, program, words in (
            ("plain", "pip", ("install", "--target", "t", "pear")),
            ("plain", "uv", uv),
            ("plugin", "twine", (*upload, "fig-1.0-py3-none-any.whl")),
            ("poetry", "poetry", ("lock", "-n", "-C", str(basket(desk)))),
        )
    ]

    assert [d.returncode for d in done] == [0] * 4, done[-1].stderr
    assert desk.issuer.log() == before


# -- a person at a terminal, without a display -------------------------------------


@pytest.mark.parametrize("tool", ["pip", "uv", "twine"])
def test_terminal_is_asked_whatever_the_client_does_with_streams(
    desk: PackageDesk, tool: str
) -> None:
    (desk.folder / "fig-1.0-py3-none-any.whl").write_bytes(wheel("fig"))
    (desk.folder / "uv.toml").write_text(
        f'[[index]]\nurl = "{desk.apache.simple}"\ndefault = true\n'
        'authenticate = "always"\n'
    )
    where = ("--target", str(desk.folder / "t"))
    environment, words = {
        "pip": ("plain", ("install", *where, "-i", desk.apache.simple, "pear")),
        "uv": ("plain", ("pip", "install", *where, "--config-file", "uv.toml", "pear")),
        "twine": (
            "plugin",
            (
                "upload",
                "--repository-url",
                f"{desk.apache.url}/",
                "fig-1.0-py3-none-any.whl",
            ),
        ),
    }[tool]
    extra = {
        "GIT_TERMINAL_PROMPT": "1",
        "PIP_KEYRING_PROVIDER": "subprocess",
        "UV_KEYRING_PROVIDER": "subprocess",
    }

    with at_terminal(
        desk, *words, program=program_of(environment, tool), **extra
    ) as person:
        address = person.read_until(r"(https://[^\s\x1b]+/auth\?[^\s\x1b]+)")[1]
        visit(desk, address)
        person.read_until("signed in to")
        assert person.leave() == 0, person.seen
    assert desk.issuer.sign_ins() == 1
    assert f"hushkey: {tool} " in person.seen


def test_no_input_keeps_us_off_the_terminal(desk: PackageDesk) -> None:
    words = ("install", "--no-input", "-i", desk.apache.simple, "pear")
    program = program_of("plain", "pip")

    with at_terminal(
        desk, *words, program=program, PIP_KEYRING_PROVIDER="subprocess"
    ) as person:
        person.read_until(f"run: hushkey login {desk.apache.host}")
        assert person.leave() == 1
    assert "pip --no-input forbids the terminal" in person.seen


# -- plain http ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["index", "file", "requirements"])
@pytest.mark.parametrize(
    ("environment", "provider"), [("plain", "subprocess"), ("plugin", "import")]
)
def test_token_of_an_https_host_is_not_sent_over_http(
    desk: PackageDesk, kind: str, environment: str, provider: str
) -> None:
    """pip asks for the bare host then, which does not say how it is reached."""
    challenge = Reply(b"", 401, WWW_Authenticate='Basic realm="x"')
    with Scripted() as server:
        host = server.url.removeprefix("http://")
        desk.ready(host=host)
        signed_in = desk.start(str(BIN / "hushkey-keyring"), "get", host, "me")
        server.on("/simple/pear/", challenge)
        server.on("/pear-1.0-py3-none-any.whl", challenge)
        words, index = ["pear"], f"{server.url}/simple/"
        if kind == "file":
            words = ["--no-index", f"{server.url}/pear-1.0-py3-none-any.whl"]
        elif kind == "requirements":
            path = desk.folder / "requirements.txt"
            path.write_text(f"pear @ {server.url}/pear-1.0-py3-none-any.whl\n")
            words, index = ["--no-index", "-r", str(path)], "https://127.0.0.1:9/"
        done = desk.install(
            environment,
            *("--no-input", *words),
            url=index,
            PIP_KEYRING_PROVIDER=provider,
        )
        calls = server.calls

    assert (signed_in.returncode, done.returncode) == (0, 1), done.stderr
    assert calls
    assert all("Authorization" not in call.headers for call in calls)


# -- the user's own entries ------------------------------------------------------


@pytest.mark.parametrize("program", ["keyring", "hushkey-keyring"])
def test_entries_in_the_real_keyring_stay_the_user_s(
    desk: PackageDesk, secret_service: SecretService, program: str
) -> None:
    """Backend in a chain with the Secret Service; executable in front of both."""
    desk.extra = {**secret_service.environ, "PATH": f"{BIN}{os.pathsep}/usr/bin"}

    def ask(*words: str, stdin: bytes = b"") -> tuple[int, bytes]:
        done = desk.start(str(BIN / program), *words, stdin=stdin)
        return done.returncode, done.stdout

    ours = ask("--mode=creds", "get", desk.apache.simple, "me")
    assert ours == (0, f"me\n{desk.tokens()[0]}\n".encode())
    assert ask("set", "mail.example.com", "me", stdin=b"mine\n") == (0, b"")
    assert ask("get", "mail.example.com", "me") == (0, b"mine\n")
    assert ask("del", "mail.example.com", "me") == (0, b"")
    assert ask("get", "mail.example.com", "me")[0] == 1
    assert ask("set", desk.apache.simple, "me", stdin=b"mine\n")[0] == 1
    assert len(desk.visitor.visits()) == 1
