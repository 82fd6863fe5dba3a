"""What the tests of the core share: a drawer in memory, a config, a child."""

import importlib
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from keyring.backend import KeyringBackend
from keyring.compat import properties

from hushkey.config.compile import compile_config
from hushkey.config.rules import Config
from hushkey.model import Account, Grant, HostRule
from hushkey.store.datakey import DataKey
from hushkey.store.sealedfile import sealed_files
from hushkey.store.tokenfile import TokenFile

# A busy machine is no fault of the code.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

#: any text at all, lone surrogates too: tools hand us bytes that are not UTF-8
ANY = st.text(
    st.one_of(
        st.characters(exclude_categories=()),
        st.characters(categories=("Cc", "Cf", "Cs")),
        st.sampled_from("/.:@%#?[]*\\ -_x1\udc2e\u202e"),
    )
)

ME = Account("id-1", "me@example.com")
YOU = Account("id-2", "you@example.com")

IDENTITIES = """
[identity.work]
provider = "entra"
tenant = "contoso.onmicrosoft.com"

[identity.corp]
provider = "oidc"
issuer = "https://id.example.com/realms/dev"
client_id = "hushkey"
"""


def rule(pattern: str, identity: str = "corp", **more: str) -> str:
    """Return one host table as TOML."""
    keys = {"identity": identity, **more}
    lines = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    return f'[host."{pattern}"]\n{lines}'


def config_of(*rules: str) -> Config:
    """Return the config of two identities and these *rules*."""
    return Config(compile_config(IDENTITIES + "".join(rules), "config.toml"), "")


def pattern_of(rule: HostRule | None) -> str:
    return rule.pattern if rule else ""


class MemoryDrawer:
    """Holds the text in memory; *before* runs at each call, and may raise."""

    name = "the drawer"

    def __init__(
        self, text: str | None = None, before: Callable[[], object] = lambda: None
    ) -> None:
        self.text = text
        self.calls: list[str] = []
        self.before = before

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.before()

    def get(self) -> str | None:
        self._called("get")
        return self.text

    def version(self) -> object:
        return None

    def put(self, text: str) -> None:
        self._called("put")
        self.text = text

    def drop(self) -> None:
        self._called("drop")
        self.text = None

    def unlock(self) -> None:
        self._called("unlock")


class MemoryKeyring(KeyringBackend):
    """A keyring backend that forgets with its process."""

    priority = 1.0
    items: dict[tuple[str, str], str] = {}  # noqa: RUF012 - shared by all instances
    fails: list[Exception] = []  # noqa: RUF012 - the same

    def get_password(self, service: str, username: str) -> str | None:
        if self.fails:
            raise self.fails[0]
        return self.items.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.items[service, username] = password


class Useless(KeyringBackend):
    """A backend for another system, as keyring's own write it."""

    @properties.classproperty
    def priority(cls) -> float:
        raise RuntimeError("another system is required")


def vault_of(folder: Path, key_store: Any = None, timeout: float = 5) -> DataKey:
    """Return a vault over *key_store* (or a new one) for the data *folder*."""
    root = str(folder)
    return DataKey(
        key_store or MemoryDrawer(), root, timeout, lambda: sealed_files(root)
    )


def token_file(
    folder: Path,
    data_key: DataKey,
    *,
    issuer: str = "https://id.example.com",
    client_id: str = "hushkey",
    warn: Callable[[str], None] = lambda text: None,
) -> TokenFile:
    return TokenFile(str(folder), issuer, client_id, data_key, warn)


def grant(access: str = "access", **fields: Any) -> Grant:
    return Grant(access, **{"expires_in": 3600, "scopes": ("git",), **fields})


@contextmanager
def child(work: Callable[[], object]) -> Iterator[int]:
    """Yield the id of a forked process that does *work*; it is gone afterwards."""
    with warnings.catch_warnings():
        # Python 3.12 warns where threads exist: daemon threads of other tests.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            os.write(2, f"child: {error!r}\n".encode())
        finally:
            os._exit(code)
    try:
        yield pid
    finally:
        if _running(pid):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _running(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


def ended(pid: int) -> int:
    """Wait for *pid*; return its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def said_by(work: Callable[[], str], *, uid: int | None = None) -> str:
    """Return what *work* returned in a child process, there run as *uid*."""
    read, write = os.pipe()

    def tell() -> None:
        if uid is not None and os.geteuid() != uid:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
        os.write(write, work().encode())

    with child(tell) as pid:
        os.close(write)
        with open(read, "rb") as pipe:
            said = pipe.read().decode()
        assert ended(pid) == 0
    return said


def preload() -> None:
    """Import what is imported late: another user cannot read our Python."""
    for name in (
        "cryptography.hazmat.primitives.ciphers.aead",
        "hushkey.config.compile",
    ):
        importlib.import_module(name)


def reachable(folder: Path) -> None:
    """Let other users pass through pytest's own folders down to *folder*."""
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.geteuid() and not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o011)
