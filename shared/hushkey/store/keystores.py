"""Where the data key may lie: one class for each word of the config's `key_store`.

The only file that names keyring. Backends come from an allow-list and are made
by name: never keyring's default or its chainer, which could be our own backend
(it would recurse) or a plug-in that writes plain text. To add a place, write its
class and give it a line in `KEY_STORES`.
"""

from __future__ import annotations

import os
import sys

from hushkey.errors import StoreError
from hushkey.system import ownership, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Protocol, TypeVar

    from hushkey.store.secretservice import SecretServiceStore

    T = TypeVar("T")
else:
    Protocol = object

#: the item in the keyring; `keyring get hushkey data-key` finds it too
SERVICE, USER = "hushkey", "data-key"
#: those that keyring gives the item in the Secret Service
ATTRIBUTES = {"service": SERVICE, "username": USER}
CHOOSE_FILE = "run `hushkey config set key_store file` to keep the key in a file"
_BY_PLATFORM = {
    "darwin": "keyring.backends.macOS.Keyring",
    "win32": "keyring.backends.Windows.WinVaultKeyring",
}
#: backends that ask others: our own would come back here, without an end
_NEVER = ("hushkey", "keyring.backends.chainer.")


class KeyStore(Protocol):
    """A place that holds one short text; every call may raise StoreError."""

    name: str

    def get(self) -> str | None:
        """Return the text, None if there is none; StoreError if locked."""

    def put(self, text: str) -> None:
        """Keep the text."""

    def drop(self) -> None:
        """Delete the text, if there is one."""

    def unlock(self) -> None:
        """Ask the person to unlock; may take as long as a person does."""

    def version(self) -> object:
        """Return what is another value when the text may have changed.

        ``signals`` if the place itself says so, None if nobody can tell; whoever
        remembers something made with the text compares, and looks no further.
        """


class KeyFile:
    """The key in a 0600 file of the user's: only where the config says so."""

    def __init__(self, path: str) -> None:
        self.name = f"the key file {path}"
        self._path = path

    def get(self) -> str | None:
        try:
            with open(ownership.open_own(self._path), "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(1024).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(
                "denied",
                f"cannot read {self._path}: {error.strerror}",
                hint="make it readable for you alone (mode 0600)",
                path=self._path,
            ) from error
        if hasattr(os, "getuid") and mode & 0o077:
            raise StoreError(
                "denied",
                f"{self._path} can be read by others",
                hint=f"run `chmod 600 {self._path}`, and sign in again if unsure",
                path=self._path,
            )
        return text

    def put(self, text: str) -> None:
        paths.make_private(os.path.dirname(self._path))
        try:
            ownership.replace(self._path, text.encode("ascii"))
        except OSError as error:
            raise StoreError(
                "unwritable",
                f"cannot write {self._path}: {error.strerror}",
                hint="make room and check its permissions",
            ) from error

    def drop(self) -> None:
        ownership.check_name(self._path)
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(
                "unwritable", f"cannot delete {self._path}: {error.strerror}"
            ) from error

    def unlock(self) -> None:
        """Do nothing: a file is never locked."""

    def version(self) -> object:
        try:
            found = os.lstat(self._path)
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


class KeyringStore:
    """One backend of the keyring package, made by its class name."""

    def __init__(self, class_name: str) -> None:
        self.name = f"the keyring ({class_name})"
        self._class_name = class_name

    def get(self) -> str | None:
        found = self._guard(lambda: self._backend().get_password(SERVICE, USER))
        return None if found is None else str(found)

    def put(self, text: str) -> None:
        self._guard(lambda: self._backend().set_password(SERVICE, USER, text))

    def drop(self) -> None:
        if self.get() is not None:
            self._guard(lambda: self._backend().delete_password(SERVICE, USER))

    def unlock(self) -> None:
        """Read the item: these keyrings prompt by themselves when they must."""
        self.get()

    def version(self) -> object:
        """Return None: these keyrings do not say when something changes."""

    def _backend(self) -> Any:
        import keyring.core

        if self._class_name.startswith(_NEVER):
            raise ImportError(f"{self._class_name} is not a keyring by itself")
        try:
            return keyring.core.load_keyring(self._class_name)
        except RuntimeError as error:  # keyring's "not on this system"
            raise ImportError(str(error)) from error

    def _guard(self, call: Callable[[], T]) -> T:
        import keyring.errors

        try:
            return call()
        except keyring.errors.KeyringLocked as error:
            raise StoreError(
                "locked",
                f"{self.name} is locked",
                hint="unlock it, or run `hushkey login` to be asked",
            ) from error
        except (keyring.errors.NoKeyringError, ImportError, AttributeError) as error:
            raise StoreError(
                "absent", f"{self.name} cannot be used here", hint=CHOOSE_FILE
            ) from error
        except keyring.errors.KeyringError as error:
            raise StoreError(
                "denied",
                f"{self.name} refused ({type(error).__name__})",
                hint="allow hushkey in your keyring, or " + CHOOSE_FILE,
            ) from error


class ServiceStore:
    """The Secret Service: read directly where it can be, else by its library.

    Every call but the usual one, a key that is there and open, pays for the library.
    """

    name = "the Secret Service keyring"

    def get(self) -> str | None:
        from hushkey.store import openitem

        found = openitem.read(ATTRIBUTES)
        return self._library().get() if found is None else found

    def put(self, text: str) -> None:
        self._library().put(text)

    def drop(self) -> None:
        self._library().drop()

    def unlock(self) -> None:
        self._library().unlock()

    def version(self) -> object:
        """Return that the service has signals for what changes."""
        return "signals"

    def _library(self) -> SecretServiceStore:
        from hushkey.store.secretservice import SecretServiceStore

        return SecretServiceStore(self.name, ATTRIBUTES, CHOOSE_FILE)


def _system_keyring(folder: str, _: str) -> KeyStore:
    """Return the keyring that belongs to this system."""
    if sys.platform in _BY_PLATFORM:
        return KeyringStore(_BY_PLATFORM[sys.platform])
    return ServiceStore()


#: by the words of the config, which schema takes from here; a word with a colon is
#: followed by the name of a class. Made with the data folder and that name.
KEY_STORES: Mapping[str, Callable[[str, str], KeyStore]] = {
    "keyring": _system_keyring,
    "file": lambda folder, _: KeyFile(os.path.join(folder, "key")),
    "keyring:": lambda _, class_name: KeyringStore(class_name),
}


def open_key_store(choice: str, folder: str) -> KeyStore:
    """Return the place that *choice* of the config names; nothing is contacted yet."""
    word, colon, class_name = choice.partition(":")
    return KEY_STORES[word + colon](folder, class_name)
