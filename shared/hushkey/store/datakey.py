"""The user's one data key, in the OS keyring or where the config says.

Every call that does not prompt ends within ``timeout`` seconds. The places are
`hushkey.store.keystores`.
"""

from __future__ import annotations

import binascii
import os
import sys

from hushkey import runtime
from hushkey.errors import HushkeyError, StoreError
from hushkey.store import cipher
from hushkey.store.keystores import CHOOSE_FILE, USER, open_key_store
from hushkey.system import locks, ownership, paths
from hushkey.system.deadline import Expired, within
from hushkey.trace import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    from hushkey.store.keystores import KeyStore

    T = TypeVar("T")


class DataKey:
    """Reads the key once per process; makes it once per user.

    ``sealed_files`` tells which files the key has to open: a new key is never
    made while there are any.
    """

    def __init__(
        self,
        key_store: KeyStore,
        folder: str,
        timeout: float,
        sealed_files: Callable[[], list[str]],
    ) -> None:
        self.name = key_store.name
        self.timeout = timeout
        self._key_store = key_store
        self._folder = folder
        self._sealed_files = sealed_files
        self._key: bytes | None = None

    def key(self) -> bytes | None:
        """Return the key, or None if none was made yet; raises StoreError."""
        if self._key is None:
            runtime.ensure_may_open()
            text = self._call(self._key_store.get, self.timeout)
            self._key = None if text is None else _decode(text, self.name)
            event("key-read")
        return self._key

    def version(self) -> object:
        """Return what changes when the key may have changed; see `KeyStore`."""
        return self._key_store.version()

    def hashed(self, text: str) -> str:
        """Return what only the holder of the key can make of *text*.

        The agent, which does not hold it, may know it from the time before.
        """

        def make() -> str:
            return cipher.keyed_hash(self.key() or b"", text)

        memory = runtime.memory()
        return memory.name(self.version(), text, make) if memory else make()

    def ensure_key(self) -> bytes:
        """Return the key, making it if this is the first use.

        Raises StoreError ``no-key`` where sealed files exist that it could not
        open: a new key would lock them out for good.
        """
        if key := self._usable_key():
            return key
        lock = os.path.join(self._folder, "locks", "key.lock")
        with locks.held(lock, self.timeout):
            if key := self._usable_key():
                return key
            if self._sealed_files():
                raise StoreError(
                    "no-key",
                    f"{self.name} holds no hushkey key, but sealed files exist",
                    hint="restore the key, or run `hushkey reset` to start over",
                )
            return self._make_key()

    def _usable_key(self) -> bytes | None:
        """Return the key; what is no key of ours counts while it opens nothing."""
        try:
            return self.key()
        except StoreError as error:
            if error.reason == "other-key" and not self._sealed_files():
                return None
            raise

    def drop(self) -> None:
        """Delete the key, for good: what it sealed can never be opened again."""
        self._call(self._key_store.drop, self.timeout)
        self._key = None

    def unlock(self, timeout: float) -> None:
        """Let the person unlock the keyring, within *timeout* seconds."""
        self._call(self._key_store.unlock, timeout)

    def _make_key(self) -> bytes:
        key = os.urandom(cipher.KEY_BYTES)
        text = binascii.b2a_base64(key, newline=False).decode()
        self._call(lambda: self._key_store.put(text), self.timeout)
        if self._call(self._key_store.get, self.timeout) != text:
            raise StoreError(
                "broken",
                f"{self.name} did not give back the key that was just put in",
                hint=CHOOSE_FILE,
            )
        self._key = key
        return key

    def _call(self, call: Callable[[], T], timeout: float) -> T:
        """Run a keyring call; whatever goes wrong in it becomes a StoreError."""
        try:
            return within(timeout, call)
        except StoreError as error:
            raise self._advised(error)  # noqa: B904 - it is the same one
        except Expired as error:
            raise self._advised(
                StoreError(
                    "hung",
                    f"{self.name} gave no answer within {timeout:g} s",
                    hint="restart your keyring (log out and in), or " + CHOOSE_FILE,
                )
            ) from error
        except Exception as error:
            # Backends raise whatever their D-Bus or OS binding raises, and the
            # text may quote what was stored: only the type is shown.
            raise self._advised(
                StoreError(
                    "broken",
                    f"{self.name} failed with {type(error).__name__}",
                    hint="unlock or restart your keyring, or " + CHOOSE_FILE,
                )
            ) from error

    def _advised(self, error: StoreError) -> StoreError:
        """Return *error* without the advice to put the key elsewhere, if one is in use.

        The key that sealed the files is where it was, though it cannot be seen from
        here: another one would lock all of them out.
        """
        if CHOOSE_FILE not in error.hint or not self.is_needed():
            return error
        rest = error.hint.removesuffix(CHOOSE_FILE).removesuffix("or ").rstrip(", ")
        where = "run hushkey where you are logged in"
        if error.reason == "absent":
            error.what += ", or it cannot be seen from here"
            if not paths.session_bus(os.environ) and sys.platform == "linux":
                error.what += f" ({paths.BUS} is not set)"
                where = f"pass {paths.BUS} on (tox: pass_env), or {where}"
        error.hint = "; ".join(
            (*filter(None, (rest,)), f"the stored sign-ins need its key: {where}")
        )
        return error

    def is_needed(self) -> bool:
        """Tell whether files are sealed with a key that the key file does not hold."""
        files = self._sealed_files()
        file = open_key_store("file", self._folder)
        in_file = DataKey(file, self._folder, self.timeout, list)
        return bool(files) and not in_file.opens(files)

    def opens(self, files: list[str]) -> bool:
        """Tell whether this is the key that sealed *files*; never prompts.

        What is no sealed file says nothing about the key.
        """
        try:
            key = self.key()
        except StoreError:
            return False
        return key is not None and _sealed_with(files) <= {cipher.key_id(key)}


def _sealed_with(files: list[str]) -> set[bytes]:
    """Return the ids of the keys that sealed *files*, as far as they can be read."""
    found = set()
    for path in files:
        try:
            with open(ownership.open_own(path), "rb") as file:
                found.add(cipher.sealed_with(file.read(1024)))
        except (OSError, HushkeyError, cipher.Damaged):
            continue
    return found


def _decode(text: str, name: str) -> bytes:
    try:
        key = binascii.a2b_base64(text.encode(), strict_mode=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != cipher.KEY_BYTES:
        raise StoreError(
            "other-key",
            f"{name} holds something under hushkey/{USER} that is not a hushkey key",
            hint="restore the key, or run `hushkey reset` to start over",
        )
    return key


def open_data_key(
    settings: Mapping[str, Any],
    folder: str,
    sealed_files: Callable[[], list[str]],
) -> DataKey:
    """Return the data key that the settings choose; nothing is contacted yet."""
    key_store = open_key_store(settings["key_store"], folder)
    return DataKey(key_store, folder, settings["keyring_timeout"], sealed_files)
