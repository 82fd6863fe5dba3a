"""Fixtures: real servers, and a home that is nobody's."""

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

import lengths
from kit.oauth import Machine
from servers import children
from servers.apache import Apache
from servers.authority import Authority
from servers.browser import Browser, chromium
from servers.doorkeeper import Doorkeeper
from servers.gits import Git, newer_git, system_git
from servers.issuer import Issuer
from servers.process import STARTED, Missing, Server, leaks
from servers.secretservice import STATES, SecretService, State

# Asked before the tests hide it: whatever is missing is a failure in CI.
IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")


# Files that tests write are not to be writable by others: such a config is refused.
os.umask(0o022)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests marked `long`")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in lengths.report():
        terminalreporter.write_line(line)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    if config.getoption("--long") or "long" in config.getoption("-m"):
        return
    late = [item for item in items if item.get_closest_marker("long")]
    if late:
        items[:] = [item for item in items if item not in late]
        config.hook.pytest_deselected(items=late)


children.start_as_from_a_shell()
children.adopt_orphans()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, None, None]:
    """Fail the last test of a module that leaves a process behind."""
    yield
    if nextitem is None or nextitem.path != item.path:
        # A server may outlast a module, and ends with the last one.
        lasting = {program.pid for program in STARTED} if nextitem else set()
        if found := children.left(lasting):
            pytest.fail(f"{item.path.name} left behind: {found}", pytrace=False)


def do_without(reason: object) -> None:
    """Skip this test, or fail it in CI, where everything must be there."""
    if IN_CI:
        pytest.fail(f"CI has everything, but: {reason}", pytrace=False)
    pytest.skip(str(reason))


def running(server: Server) -> Iterator[Any]:
    """Yield a started server; skip where the machine lacks it."""
    try:
        server.start()
    except Missing as reason:
        do_without(reason)
    try:
        yield server
    finally:
        server.stop()


# ---------------------------------------------------------------- isolation


@pytest.fixture(autouse=True)
def home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A new home for each test; nothing of the machine's environment leaks in."""
    for name in list(os.environ):
        if leaks(name):
            monkeypatch.delenv(name)
    path = tmp_path_factory.mktemp("home")
    folders = {
        "XDG_CACHE_HOME": path / ".cache",
        "XDG_CONFIG_HOME": path / ".config",
        "XDG_DATA_HOME": path / ".local" / "share",
        "XDG_STATE_HOME": path / ".local" / "state",
        "XDG_RUNTIME_DIR": path / "run",
    }
    folders["XDG_RUNTIME_DIR"].mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(path))
    for name, folder in folders.items():
        monkeypatch.setenv(name, str(folder))
    # The keyring of whoever runs the tests is out of reach.
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={path}/no-bus")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("HUSHKEY_SYSTEM_CONFIG", "off")
    monkeypatch.setenv("HUSHKEY_AGENT", "off")  # no process is left behind
    return path


@pytest.fixture
def machine(home: Path) -> Machine:
    """A home with the usual config; nobody has signed in."""
    made = Machine(home)
    made.configure()
    return made


# ---------------------------------------------------------------- servers


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A throwaway CA with a leaf for loopback."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def issuer_process(authority: Authority) -> Iterator[Issuer]:
    yield from running(Issuer(authority=authority, path="/oidc"))


@pytest.fixture
def issuer(issuer_process: Issuer) -> Issuer:
    """An https issuer below a path, as new: nobody has signed in, empty log."""
    issuer_process.reset()
    return issuer_process


@pytest.fixture(scope="session")
def plain_issuer_process() -> Iterator[Issuer]:
    yield from running(Issuer())


@pytest.fixture
def plain_issuer(plain_issuer_process: Issuer) -> Issuer:
    """An http issuer without a path, as new."""
    plain_issuer_process.reset()
    return plain_issuer_process


@pytest.fixture
def make_issuer() -> Iterator[Callable[..., Issuer]]:
    """Start more issuers: make_issuer(authority=..., path=..., **settings)."""
    started: list[Issuer] = []

    def make(**options: Any) -> Issuer:
        server = Issuer(**options)
        started.append(server)
        try:
            server.start()
        except Missing as reason:
            do_without(reason)
        return server

    yield make
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def apache_process(authority: Authority, issuer_process: Issuer) -> Iterator[Apache]:
    for server in running(Apache(authority, issuer_process)):
        server.make_repository("contoso/app")
        server.make_repository("fabrikam/app")
        yield server


@pytest.fixture
def apache(apache_process: Apache, issuer: Issuer) -> Apache:
    """A git server for `issuer`'s tokens: /contoso/app.git, /fabrikam/app.git."""
    apache_process.reset()
    return apache_process


@pytest.fixture
def make_apache(authority: Authority) -> Iterator[Callable[..., Apache]]:
    """Start more Apaches: make_apache(issuer, audience=..., challenges=...)."""
    started: list[Apache] = []

    def make(issuer: Issuer, **options: Any) -> Apache:
        server = Apache(authority, issuer, **options)
        started.append(server)
        try:
            server.start()
        except Missing as reason:
            do_without(reason)
        return server

    yield make
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def forge_process(authority: Authority) -> Iterator[Doorkeeper]:
    yield from running(Doorkeeper(authority))


@pytest.fixture
def forge(forge_process: Doorkeeper) -> Doorkeeper:
    """A GitLab-like forge, as new: nobody has signed in, empty log."""
    forge_process.reset()
    return forge_process


# ---------------------------------------------------------------- the person


@pytest.fixture
def visitor(tmp_path: Path, authority: Authority) -> Iterator[Browser]:
    """A form-filling visitor; set .user and .mode, then merge .environ."""
    browser = Browser(tmp_path, ca_file=authority.ca_file)
    yield browser
    browser.close()


@pytest.fixture
def chromium_browser(tmp_path: Path) -> Iterator[Browser]:
    """A headless Chromium that signs in; screenshots land in tmp_path."""
    try:
        browser = chromium(tmp_path)
    except Missing as reason:
        do_without(reason)
        raise
    yield browser
    browser.close()


# ---------------------------------------------------------------- git, keyring


@pytest.fixture(params=["system", "newer"])
def git(request: pytest.FixtureRequest) -> Git:
    """Each git in turn: the system's, and one that carries Bearer."""
    return _git(system_git if request.param == "system" else newer_git)


@pytest.fixture
def old_git() -> Git:
    return _git(system_git)


@pytest.fixture
def new_git() -> Git:
    return _git(newer_git)


def _git(find: Callable[[], Git]) -> Git:
    try:
        return find()
    except Missing as reason:
        do_without(reason)
        raise


@pytest.fixture
def make_secret_service() -> Iterator[Callable[..., SecretService]]:
    """Start private keyrings: make_secret_service("locked")."""
    started: list[SecretService] = []

    def make(state: State = "unlocked", **options: Any) -> SecretService:
        server = SecretService(state, **options)
        started.append(server)
        try:
            server.start()
        except Missing as reason:
            do_without(reason)
        return server

    yield make
    for server in started:
        server.stop()


@pytest.fixture
def secret_service(
    make_secret_service: Callable[..., SecretService], monkeypatch: pytest.MonkeyPatch
) -> SecretService:
    """An unlocked private keyring; this process's environment points at its bus."""
    server = make_secret_service("unlocked")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", server.bus_address)
    return server


@pytest.fixture(params=STATES)
def any_secret_service(
    request: pytest.FixtureRequest, make_secret_service: Callable[..., SecretService]
) -> SecretService:
    """A private keyring in each of its states in turn."""
    return make_secret_service(request.param)
