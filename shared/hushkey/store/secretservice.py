"""The Secret Service (GNOME Keyring, KeePassXC, KWallet 5.97+), read directly.

keyring's own backend would cost its whole import and, where the collection is
locked, open a dialog. Here the Locked property is looked at first, and nothing
but `unlock` ever prompts (freedesktop.org Secret Service API draft, 0.2).
Imported only where `hushkey.store.openitem` could not read the key.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress

import secretstorage
from jeepney.io.blocking import open_dbus_connection
from secretstorage.exceptions import (
    ItemNotFoundException,
    LockedException,
    PromptDismissedException,
    SecretServiceNotAvailableException,
)
from secretstorage.util import add_match_rules

from hushkey.errors import StoreError
from hushkey.system import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class SecretServiceStore:
    """The item of the default collection that has these attributes."""

    def __init__(self, name: str, attributes: dict[str, str], choose_file: str) -> None:
        """Take the words for the keyring and for what else to choose."""
        self._name = name
        self._attributes = attributes
        self._choose_file = choose_file

    def get(self) -> str | None:
        """Return the secret; StoreError ``locked`` without any prompt."""
        with self._collection() as collection:
            if collection is None:
                return None
            items = list(collection.search_items(self._attributes))
            if not items:
                # An absent item in a locked collection may be hidden by the lock.
                if collection.is_locked():
                    raise self._locked()
                return None
            if items[0].is_locked():
                raise self._locked()
            return str(items[0].get_secret().decode("ascii", "replace"))

    def put(self, text: str) -> None:
        """Keep the secret in the default collection, which must be open."""
        with self._collection() as collection:
            if collection is None:
                raise self._locked("has no default collection yet")
            if collection.is_locked():
                raise self._locked()
            attributes = {**self._attributes, "application": "Python keyring library"}
            collection.create_item(
                "hushkey data key", attributes, text.encode(), replace=True
            )

    def drop(self) -> None:
        """Delete the item; StoreError ``locked`` without any prompt."""
        with self._collection() as collection:
            for item in collection.search_items(self._attributes) if collection else ():
                if item.is_locked():
                    raise self._locked()
                item.delete()

    def unlock(self) -> None:
        """Show the keyring's own dialog and wait for the person."""
        with self._collection() as collection:
            if collection is None:
                with self._bus() as bus:
                    secretstorage.create_collection(bus, "Login", alias="default")
            elif collection.is_locked() and collection.unlock():
                raise self._locked("was not unlocked")

    @contextmanager
    def _collection(self) -> Iterator[Any]:
        """Yield the default collection, or None where none was ever made."""
        with self._bus() as bus:
            collection = None
            # Not get_default_collection: that one creates it, with a prompt.
            with suppress(ItemNotFoundException):
                collection = secretstorage.get_collection_by_alias(bus, "default")
            yield collection

    @contextmanager
    def _bus(self) -> Iterator[Any]:
        try:
            bus = _connected()
        except (SecretServiceNotAvailableException, OSError, ValueError) as error:
            raise self._absent() from error
        try:
            if not secretstorage.check_service_availability(bus):
                raise self._absent()
            yield bus
        except SecretServiceNotAvailableException as error:
            raise self._absent() from error
        except LockedException as error:
            raise self._locked() from error
        except PromptDismissedException as error:
            raise StoreError(
                "denied",
                f"{self._name} was not opened: the prompt was dismissed",
                hint="try again and confirm, or " + self._choose_file,
            ) from error
        finally:
            bus.close()

    def _absent(self) -> StoreError:
        return StoreError(
            "absent", "there is no OS keyring here", hint=self._choose_file
        )

    def _locked(self, how: str = "is locked") -> StoreError:
        return StoreError(
            "locked",
            f"{self._name} {how}",
            hint="unlock it, or run `hushkey login` to be asked",
        )


def _connected() -> Any:
    """Return a connection to the session's bus, also where nothing names it."""
    if os.environ.get(paths.BUS) or not (address := paths.session_bus(os.environ)):
        return secretstorage.dbus_init()
    bus = open_dbus_connection(address)
    add_match_rules(bus)
    return bus
