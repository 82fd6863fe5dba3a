"""Real pip, uv, twine, poetry and pdm against a real index that checks our tokens.

What was asked is read in the issuer's and Apache's own logs.
"""

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from conftest import do_without, running
from contracts.test_sign_in import at_terminal, visit
from kit.desk import BIN, Desk, Done
from kit.oauth import Call, Reply, Scripted
from servers.agent import Agent
from servers.authority import Authority
from servers.browser import Browser
from servers.issuer import Issuer
from servers.packages import SCOPE, PackageIndex, client, wheel
from servers.process import Missing
from servers.secretservice import SecretService

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

    def ready(self, host: str = "", more: str = "") -> None:
        rule = f'[host."{host or self.apache.host}"]\nidentity = "corp"\n'
        self.configure(hosts=f'{rule}scopes = ["{SCOPE}"]\n{more}\n')
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


OUTDATED = """#!/bin/sh
for word; do case $word in --mode*)
    echo "keyring: error: unrecognized arguments: --mode=creds" >&2; exit 2 ;;
esac; done
exit 1
"""


def test_pip_with_an_outdated_keyring_behind_the_executable(
    desk: PackageDesk, authority: Authority
) -> None:
    """The first index is not ours: pip asks for it, and must go on asking."""
    behind = desk.folder / "behind" / "keyring"
    behind.parent.mkdir()
    behind.write_text(OUTDATED)
    behind.chmod(0o755)
    path = f"{desk.environ['PATH']}{os.pathsep}{behind.parent}"
    with Scripted(authority.server_context()) as other:
        other.on("/simple/pear/", Reply(b"", 401, WWW_Authenticate="Basic realm=x"))
        other.on("/simple/apple/", Reply(b"", 404))
        done = desk.install(
            "plain",
            *("--no-input", "--extra-index-url", desk.apache.simple, "pear"),
            url=f"{other.url}/simple/",
            PATH=path,
        )

    assert b"outdated" not in done.stderr
    assert_one_sign_in(desk, done)


def test_old_pip_with_the_executable_and_a_user_name(desk: PackageDesk) -> None:
    done = desk.install("old-pip", "pear", url=desk.user_url("me"))

    assert_one_sign_in(desk, done)
    assert {a.presented_user for a in desk.apache.log() if a.status == 200} == {"me"}


def test_pip_importing_the_backend(desk: PackageDesk) -> None:
    first = desk.install("plugin", "pear", PIP_KEYRING_PROVIDER="import", PATH="")
    second = desk.install("plugin", "plum", PIP_KEYRING_PROVIDER="import", PATH="")

    assert_one_sign_in(desk, first, second)


def test_pip_beside_hushkey_asks_the_launcher_of_install(desk: PackageDesk) -> None:
    """pip looks past the `keyring` of its own environment."""
    launchers = desk.folder / "launchers"
    (launchers / "keyring").unlink()
    own = str(Path(program_of("plugin", "keyring")).parent)
    path = os.pathsep.join((own, desk.environ["PATH"]))

    done = desk.hushkey("install", "pip", "--launcher", str(launchers), PATH=path)
    assert done.returncode == 0, done.stderr
    first = desk.install("plugin", "--no-input", "pear", PATH=path)

    assert_one_sign_in(desk, first)


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


def basket(desk: PackageDesk, url: str = "") -> Path:
    """Make a poetry project that needs `pear`; return its folder."""
    project = desk.folder / "basket"
    project.mkdir(exist_ok=True)
    (project / "basket.py").touch()
    text = POETRY.replace("URL", url or desk.apache.simple)
    (project / "pyproject.toml").write_text(text)
    return project


def poetry(desk: PackageDesk, *words: str, url: str = "", **extra: str) -> Done:
    environ = {
        "POETRY_VIRTUALENVS_IN_PROJECT": "true",
        "POETRY_REPOSITORIES_UP_URL": f"{desk.apache.url}/",
    }
    place = ("-n", "-C", str(basket(desk, url)))
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


def pdm(desk: PackageDesk, url: str = "", **extra: str) -> Done:
    project = desk.folder / "basket"
    project.mkdir()
    text = PDM.replace("URL", url or desk.apache.simple)
    (project / "pyproject.toml").write_text(text)
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

CHALLENGE = Reply(b"", 401, WWW_Authenticate='Basic realm="x"')
WHEEL = "pear-1.0-py3-none-any.whl"
DOORS = [("plain", "subprocess"), ("plugin", "import")]


def signed_in(desk: PackageDesk, host: str, more: str = "") -> list[str]:
    """Configure *host*, which is https, and sign in; return the token."""
    desk.ready(host, more)
    done = desk.start(str(BIN / "hushkey-keyring"), "get", f"https://{host}/", "me")
    assert done.returncode == 0, done.stderr
    return desk.tokens()


def sent(tokens: list[str], calls: Sequence[Call]) -> list[str]:
    """Return those of *tokens* that *calls* brought, of which there were some."""
    assert tokens
    assert calls
    words = [call.headers.get("Authorization", "").partition(" ")[2] for call in calls]
    brought = b"".join(map(base64.b64decode, words)).decode()
    return [token for token in tokens if token in brought]


def written(desk: PackageDesk, name: str, text: str, encoding: str = "utf-8") -> str:
    path = desk.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return str(path)


def local_wheel(desk: PackageDesk, need: str) -> str:
    path = desk.folder / "fig-1.0-py3-none-any.whl"
    path.write_bytes(wheel("fig", [need]))
    return str(path)


def local_project(desk: PackageDesk, need: str) -> str:
    text = f'[build-system]\nrequires = ["{need}"]\nbuild-backend = "maker"\n'
    return str(Path(written(desk, "project/pyproject.toml", text)).parent)


Words = tuple[str, ...]
#: ways in which a pip comes to a plain http URL: its words, without an index
WAYS: dict[str, Callable[[PackageDesk, str], Words]] = {
    "a file": lambda desk, url: (f"{url}/{WHEEL}",),
    "a file, and a trusted host": lambda desk, url: (
        *("--trusted-host", url.removeprefix("http://")),
        f"{url}/{WHEEL}",
    ),
    "requirements": lambda desk, url: (
        *("-r", written(desk, "r.txt", f"pear @ {url}/{WHEEL}\n")),
    ),
    "a line that goes on": lambda desk, url: (
        *("-r", written(desk, "r.txt", f"pear @ ht\\\ntp{url[4:]}/{WHEEL}\n")),
    ),
    "another encoding": lambda desk, url: (
        *("-r", written(desk, "r.txt", f"pear @ {url}/{WHEEL}\n", "utf-16")),
    ),
    "options together": lambda desk, url: (
        *("-qr", written(desk, "r.txt", f"pear @ {url}/{WHEEL}\n")),
    ),
    "a constraint": lambda desk, url: (
        *("pear", "-c", written(desk, "c.txt", f"pear @ {url}/{WHEEL}\n")),
    ),
    "a page in a requirements file": lambda desk, url: (
        *("pear", "-r", written(desk, "r.txt", f"--find-links {url}/links/\n")),
    ),
    "a local wheel": lambda desk, url: (local_wheel(desk, f"pear @ {url}/{WHEEL}"),),
    "what a project is built with": lambda desk, url: (
        local_project(desk, f"pear @ {url}/{WHEEL}"),
    ),
}


@pytest.mark.parametrize(
    "way", [*WAYS, "an index", "one more index", "the environment", "a redirect"]
)
@pytest.mark.parametrize(("environment", "provider"), DOORS)
def test_token_of_an_https_host_is_not_sent_over_http(
    desk: PackageDesk,
    authority: Authority,
    way: str,
    environment: str,
    provider: str,
) -> None:
    """pip asks for the bare host then, which does not say how it is reached."""
    with Scripted() as server, Scripted(authority.server_context()) as other:
        tokens = signed_in(desk, server.url.removeprefix("http://"))
        for path in (f"/{WHEEL}", "/links/", "/simple/pear/"):
            server.on(path, CHALLENGE)
            moved = f"{server.url}{path}"
            other.on(path, Reply(b"", 302, Location=moved))
        index = f"{other.url}/nothing/"
        extra: dict[str, str] = {"PIP_KEYRING_PROVIDER": provider}
        if way in WAYS:
            words = WAYS[way](desk, server.url)
        elif way == "an index":
            words, index = ("pear",), f"{server.url}/simple/"
        elif way == "one more index":
            words = ("pear", "--extra-index-url", f"{server.url}/simple/")
        elif way == "the environment":
            words = ()
            text = f"pear @ {server.url}/{WHEEL}\n"
            extra["PIP_REQUIREMENT"] = written(desk, "r.txt", text)
        else:
            words = (f"{other.url}/{WHEEL}",)
        done = desk.install(environment, "--no-input", *words, url=index, **extra)
        calls = server.calls

    assert done.returncode == 1, done.stderr
    assert not sent(tokens, calls)


@pytest.mark.parametrize(("environment", "provider"), DOORS)
def test_token_is_not_sent_through_a_proxy_for_http(
    desk: PackageDesk, environment: str, provider: str
) -> None:
    with Scripted() as proxy:
        tokens = signed_in(desk, "packages.example.com")
        url = f"http://packages.example.com/{WHEEL}"
        proxy.routes[url] = [CHALLENGE]
        done = desk.install(
            environment,
            *("--no-input", "--no-index", url),
            PIP_KEYRING_PROVIDER=provider,
            HTTP_PROXY=proxy.url,
            http_proxy=proxy.url,
        )
        calls = proxy.calls_to(url)

    assert done.returncode == 1, done.stderr
    assert not sent(tokens, calls)


def test_old_pip_with_a_user_name_gets_nothing_for_http(desk: PackageDesk) -> None:
    with Scripted() as server:
        server.on("/simple/pear/", CHALLENGE)
        tokens = signed_in(desk, server.url.removeprefix("http://"))
        url = server.url.replace("//", "//me@", 1)
        done = desk.install("old-pip", "--no-input", "pear", url=f"{url}/simple/")
        calls = server.calls

    assert done.returncode == 1
    assert b"gave no token for a host's name alone" in done.stderr
    assert not sent(tokens, calls)


CLIENTS_OVER_HTTP: dict[str, Callable[[PackageDesk, str], Done]] = {
    "uv": lambda desk, url: _uv(
        desk,
        url=url.replace("//", "//me@", 1),
        UV_KEYRING_PROVIDER="subprocess",
    ),
    "pdm": lambda desk, url: pdm(desk, url),
    "poetry": lambda desk, url: poetry(desk, "lock", url=url),
}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        *((name, "") for name in CLIENTS_OVER_HTTP),
        # pdm asks as pip does, by the bare host alone
        *((name, "bare = true") for name in ("uv", "poetry")),
    ],
)
def test_client_that_asks_by_url_first_gets_nothing_for_http(
    desk: PackageDesk, name: str, more: str
) -> None:
    with Scripted() as server:
        server.on("/simple/pear/", CHALLENGE)
        tokens = signed_in(desk, server.url.removeprefix("http://"), more)
        done = CLIENTS_OVER_HTTP[name](desk, f"{server.url}/simple/")
        calls = server.calls

    assert done.returncode != 0
    assert not sent(tokens, calls)


def test_poetry_s_name_for_a_source_of_the_project_gets_nothing(
    desk: PackageDesk,
) -> None:
    """The project says where `priv` is; the config is told to leave that to it."""
    with Scripted() as server:
        server.on("/simple/pear/", CHALLENGE)
        tokens = signed_in(desk, "packages.example.com")
        config = desk.folder / "config.toml"
        config.write_text(f'{config.read_text()}aliases = ["poetry-repository-priv"]\n')
        done = poetry(desk, "lock", url=f"{server.url}/simple/")
        calls = server.calls

    assert done.returncode != 0
    assert not sent(tokens, calls)
    shown = b" ".join((done.stdout + done.stderr).split())
    assert b"'poetry-repository-priv' is a name that any project can give" in shown


# -- a file on another host --------------------------------------------------------


def elsewhere(desk: PackageDesk, index: Scripted) -> None:
    """Let a public *index* lead to a file on the host that wants a token."""
    file = f"{desk.apache.url}/packages/plum-1.0-py3-none-any.whl"
    index.on("/simple/plum/", Reply(f'<a href="{file}">plum</a>'.encode()))


@pytest.mark.parametrize(
    ("environment", "provider", "more"),
    [
        ("plugin", "import", ""),
        ("plugin", "import", "bare = true"),
        ("plain", "subprocess", "bare = true"),
    ],
)
def test_file_on_another_https_host_is_had_silently(
    desk: PackageDesk,
    authority: Authority,
    environment: str,
    provider: str,
    more: str,
) -> None:
    desk.ready(more=more)
    with Scripted(authority.server_context()) as index:
        elsewhere(desk, index)
        done = desk.install(
            environment,
            *("--no-input", "plum"),
            url=f"{index.url}/simple/",
            PIP_KEYRING_PROVIDER=provider,
        )

    assert_one_sign_in(desk, done)


def test_port_that_the_program_cannot_tell_from_http_wants_the_config_s_word(
    desk: PackageDesk, authority: Authority
) -> None:
    desk.ready()
    with Scripted(authority.server_context()) as index:
        elsewhere(desk, index)
        words = ("--no-input", "plum")
        done = desk.install("plain", *words, url=f"{index.url}/simple/")

    assert done.returncode == 1
    assert b"gave no token for a host's name alone" in done.stderr
    assert desk.visitor.visits() == []


class Localhost(NamedTuple):
    """The servers of localhost on the ports that URLs do not name."""

    https: Scripted
    http: Scripted


@pytest.fixture
def localhost(authority: Authority) -> Iterator[Localhost]:
    with ExitStack() as stack:
        try:
            https = Scripted(authority.server_context(), 443)
            http = Scripted(port=80)
        except OSError as reason:
            pytest.skip(f"ports 443 and 80 cannot be had ({reason})")
        yield Localhost(stack.enter_context(https), stack.enter_context(http))


def wants_a_token(handler: Any) -> None:
    known = "Authorization" in handler.headers
    (Reply(wheel("pear")) if known else CHALLENGE)(handler)


def assert_answered_over_https_alone(
    desk: PackageDesk, localhost: Localhost, environment: str, provider: str
) -> None:
    """The same host by the same name: its file, and the same by way of http."""
    moved = Reply(b"", 302, Location=f"http://localhost/{WHEEL}")
    localhost.https.on(f"/{WHEEL}", wants_a_token)
    localhost.https.on(f"/moved/{WHEEL}", moved)
    localhost.http.on(f"/{WHEEL}", wants_a_token)
    tokens = desk.tokens()

    def install(url: str) -> int:
        words = ("--no-input", "--no-index", url)
        done = desk.install(environment, *words, PIP_KEYRING_PROVIDER=provider)
        return done.returncode

    assert install(f"https://localhost/{WHEEL}") == 0
    assert sent(tokens, localhost.https.calls) == tokens
    assert install(f"https://localhost/moved/{WHEEL}") == 1
    assert install(f"http://localhost/{WHEEL}") == 1
    assert not sent(tokens, localhost.http.calls)


@pytest.mark.parametrize(("environment", "provider"), DOORS)
def test_bare_host_is_answered_over_https_alone(
    desk: PackageDesk, localhost: Localhost, environment: str, provider: str
) -> None:
    signed_in(desk, "localhost")

    assert_answered_over_https_alone(desk, localhost, environment, provider)


def test_agent_answers_a_bare_host_over_https_alone(
    desk: PackageDesk, localhost: Localhost
) -> None:
    with Agent() as agent:
        desk.extra = agent.environ
        signed_in(desk, "localhost")
        agent.wait()
        assert_answered_over_https_alone(desk, localhost, "plain", "subprocess")
        assert agent.answered() == 1


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
