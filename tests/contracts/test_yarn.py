"""Yarn with the plug-in that `hushkey install yarn` places, as a person has both."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import do_without
from kit.oauth import BIN, Machine, OidcServer, grant
from servers.authority import Authority
from servers.process import Missing, find_program
from servers.toolclients import installed
from servers.toolserver import ToolServer, npm_package

pytestmark = pytest.mark.contract
TOKEN = "at-c4nary"
THEIRS = "at-theirs"
#: counts how often it is started
COUNTER = """\
#!/bin/sh
echo "$*" >>"$0.seen"
exec "{program}" "$@"
"""
RULE = """
[host."{host}"]
identity = "corp"
scopes = ["git"]
"""


class Desk(Machine):
    """A home with Yarn, hushkey-answer on PATH, and one project."""

    def __init__(self, home: Path, issuer: str, authority: Authority) -> None:
        super().__init__(home, issuer)
        self.answer = home / "bin" / "hushkey-answer"
        self.answer.parent.mkdir()
        self.answer.write_text(COUNTER.format(program=BIN / "hushkey-answer"))
        self.answer.chmod(0o755)
        self.environ["PATH"] = f"{self.answer.parent}{os.pathsep}{os.environ['PATH']}"
        self.environ["YARN_IGNORE_PATH"] = "1"
        self.settings = home / ".yarnrc.yml"
        self.settings.write_text(
            f"# mine\nhttpsCaFilePath: {authority.ca_file}\n"
            "enableGlobalCache: false\nenableTelemetry: false\nhttpRetry: 0\n"
            "nodeLinker: node-modules\nnpmMinimalAgeGate: 0\n"
        )
        self.starter: tuple[str, ...] = ()  # what starts Yarn
        self.project = home / "project"
        self.project.mkdir()

    def hushkey(self, *words: str) -> None:
        done = self.run("hushkey", *words)
        assert done.returncode == 0, done.stderr

    def yarn(
        self,
        packages: list[str],
        settings: str,
        **environ: str,
    ) -> subprocess.CompletedProcess[str]:
        """Let Yarn install *packages* in a project with these *settings*."""
        needs = dict.fromkeys(packages, "1.0.0")
        about = {"name": "app", "dependencies": needs}
        (self.project / "package.json").write_text(json.dumps(about))
        (self.project / "yarn.lock").touch()
        (self.project / ".yarnrc.yml").write_text(settings)
        try:
            node = find_program("node", package="nodejs")
            yarn = installed("node/node_modules/@yarnpkg/cli-dist/bin/yarn.js")
        except Missing as reason:
            do_without(reason)
            raise
        return subprocess.run(
            [*self.starter, node, str(yarn), "install"],
            env={**self.environ, **environ},
            cwd=self.project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
            start_new_session=True,
        )

    def seen(self) -> list[str]:
        path = Path(f"{self.answer}.seen")
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def server(authority: Authority) -> Iterator[ToolServer]:
    good = (TOKEN, THEIRS)
    with ToolServer(authority.server_context(), lambda token: token in good) as made:
        yield made


@pytest.fixture
def issuer() -> Iterator[OidcServer]:
    with OidcServer() as made:
        yield made


@pytest.fixture
def desk(
    home: Path, issuer: OidcServer, server: ToolServer, authority: Authority
) -> Desk:
    made = Desk(home, issuer.issuer, authority)
    made.configure(RULE.format(host=server.host))
    return made


def registry(server: ToolServer) -> str:
    return f'npmRegistryServer: "{server.url}/npm"\n'


def tokens(server: ToolServer) -> set[str]:
    return {seen.authorization for seen in server.log}


def test_many_packages_start_one_program_and_renew_one_token(
    desk: Desk, server: ToolServer, issuer: OidcServer
) -> None:
    issuer.grants(access_token=TOKEN)
    desk.has(grant("at-old", expires_in=1), age=3600)
    names = [f"hello-{number}" for number in range(40)]
    for name in names:
        server.pages |= npm_package(name, server.url)
    before = desk.settings.read_text()
    desk.hushkey("install", "yarn", f"{server.host}/npm")

    done = desk.yarn(names, registry(server))

    assert done.returncode == 0, done.stdout
    assert (len(server.served), tokens(server)) == (80, {f"Bearer {TOKEN}"})
    assert desk.seen() == [f"yarn {server.url}/npm"]
    assert len(issuer.calls_to("/token")) == 1
    assert TOKEN not in done.stdout + done.stderr
    assert "hushkey" not in done.stdout + done.stderr
    desk.hushkey("uninstall", "yarn")
    assert desk.settings.read_text() == before
    assert not list(desk.home.rglob("yarn-plugin-*"))
    assert desk.yarn(names, registry(server)).returncode == 0  # from its cache


@pytest.mark.parametrize("how", ["signed out", "hangs"])
def test_failure_is_said_once_and_ends_the_command(
    desk: Desk, server: ToolServer, issuer: OidcServer, how: str
) -> None:
    names = [f"hello-{number}" for number in range(10)]
    if how == "hangs":
        text = desk.config_file.read_text()
        limit = "[settings]\nsilent_timeout = 2\n"
        desk.configure(text=text.replace("[settings]\n", limit))
        desk.has(grant("at-old", expires_in=1), age=3600)
        issuer.on("/token", issuer.hang)
    desk.hushkey("install", "yarn", f"{server.host}/npm")

    done = desk.yarn(names, registry(server), HUSHKEY_INTERACTIVE="never")

    assert done.returncode != 0
    assert done.stderr.count("hushkey: ") == 1
    assert ("hushkey login" if how == "signed out" else "try again") in done.stderr
    assert len(desk.seen()) == 1
    assert len(issuer.calls_to("/token")) == (how == "hangs")
    assert not server.served


def test_scope_needs_no_entry_of_its_registry(desk: Desk, server: ToolServer) -> None:
    desk.has(grant(TOKEN))
    server.pages |= npm_package("@mine/hello", server.url)
    desk.hushkey("install", "yarn")
    scope = f'npmScopes:\n  mine:\n    npmRegistryServer: "{server.url}/npm"\n'

    done = desk.yarn(["@mine/hello"], scope)

    assert done.returncode == 0, done.stdout
    assert tokens(server) == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("place", "signed_in"),
    [("variable", True), ("registry", True), ("registry", False)],
)
def test_token_that_is_set_counts_where_hushkey_has_none(
    desk: Desk, server: ToolServer, place: str, signed_in: bool
) -> None:
    if signed_in:
        desk.has(grant(TOKEN))
    desk.hushkey("install", "yarn", f"{server.host}/npm")
    settings, variables = registry(server), dict[str, str]()
    if place == "variable":
        variables["YARN_NPM_AUTH_TOKEN"] = THEIRS
    else:
        entry = f'  "{server.url}/npm":\n    npmAuthToken: {THEIRS}\n'
        settings += f"npmRegistries:\n{entry}"

    done = desk.yarn(["hello"], settings, HUSHKEY_INTERACTIVE="never", **variables)

    assert done.returncode == 0, done.stdout
    assert tokens(server) == {f"Bearer {TOKEN if signed_in else THEIRS}"}
    assert ("hushkey login" in done.stderr) != signed_in


def test_archive_elsewhere_is_fetched_without_the_token(
    desk: Desk, server: ToolServer, authority: Authority
) -> None:
    """The registry says where it is, then the lockfile does; Yarn would send it."""
    desk.has(grant(TOKEN))
    desk.hushkey("install", "yarn", f"{server.host}/npm")
    with ToolServer(authority.server_context(), lambda _: True) as other:
        pages = npm_package("hello", server.url, other.url)
        server.pages |= pages
        (path,) = [path for path in pages if path.endswith(".tgz")]
        other.pages[path] = pages[path]._replace(open=True)

        for _ in range(2):
            done = desk.yarn(["hello"], registry(server))

            assert done.returncode == 0, done.stdout
            assert "__archiveUrl" in (desk.project / "yarn.lock").read_text()
            for cached in desk.home.rglob("*.zip"):
                cached.unlink()

    assert [seen.path for seen in other.log] == [path, path]
    assert tokens(other) == {""}
    assert tokens(server) == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("what", ["registry", "scope", "archive"])
def test_token_that_run_gives_stays_with_its_host(
    desk: Desk, server: ToolServer, authority: Authority, what: str
) -> None:
    """Yarn sends YARN_NPM_AUTH_TOKEN to whatever host a project or lockfile names."""
    desk.has(grant(TOKEN))
    name = "@mine/hello" if what == "scope" else "hello"
    with ToolServer(authority.server_context(), lambda _: True) as other:
        pages = npm_package(name, server.url, other.url)
        server.pages |= pages
        other.pages |= {path: page._replace(open=True) for path, page in pages.items()}
        settings = registry(server if what == "archive" else other)
        if what == "scope":
            settings = registry(server) + (
                f'npmScopes:\n  mine:\n    npmRegistryServer: "{other.url}/npm"\n'
            )
        words = ("run", "yarn", "--host", f"{server.host}/npm", "--")
        desk.starter = (str(BIN / "hushkey"), *words)

        done = desk.yarn([name], settings)

    assert done.returncode == 0, done.stdout + done.stderr
    assert other.log
    assert tokens(other) == {""}
    assert tokens(server) == ({f"Bearer {TOKEN}"} if what == "archive" else set())


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("npmAlwaysAuth: false", "npmAlwaysAuth of {url}/npm overrides hushkey"),
        ("npmAuthToken: x", "{url}/npm lacks npmAlwaysAuth: true for Yarn 3"),
    ],
)
def test_doctor_names_what_a_project_says_against_it(
    desk: Desk, server: ToolServer, entry: str, said: str
) -> None:
    desk.has(grant(TOKEN))
    desk.hushkey("install", "yarn", f"{server.host}/npm")
    against = f'npmRegistries:\n  "{server.url}/npm":\n    {entry}\n'
    desk.yarn(["hello"], registry(server) + against)
    asked = said.startswith("{url}")
    assert tokens(server) == {f"Bearer {TOKEN}" if asked else ""}

    done = subprocess.run(
        [str(BIN / "hushkey"), "doctor"],
        env=desk.environ,
        cwd=desk.project,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    assert said.format(url=server.url) in done.stdout
    assert str(desk.project / ".yarnrc.yml") in done.stdout
