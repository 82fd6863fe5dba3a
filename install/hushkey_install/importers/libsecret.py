"""What git-credential-libsecret keeps in the Secret Service.

Its items have the schema org.git.Password and the attributes user, object (the
path), protocol, port and server; since git 2.43 the secret may be followed by
lines with an expiry and a refresh token (contrib/credential/libsecret).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from hushkey.errors import StoreError
from hushkey.system.deadline import Expired, within
from hushkey_install.importers.entry import Entry

NAME = "libsecret"
_SCHEMA = {"xdg:schema": "org.git.Password"}
#: seconds for a keyring that does not answer
_PATIENCE = 10


def places(environ: Mapping[str, str]) -> list[str]:
    """Return where it is, in words."""
    return ["the Secret Service keyring"] if sys.platform == "linux" else []


def entries(environ: Mapping[str, str]) -> Iterator[Entry]:
    """Yield what git put there; nothing where there is no keyring. Never prompts."""
    if sys.platform != "linux":
        return
    try:
        found = within(_PATIENCE, _items)
    except Expired as error:
        raise StoreError(
            "hung", "the Secret Service keyring gave no answer", hint="restart it"
        ) from error
    for attributes, secret in found:
        if entry := parse(attributes, secret):
            yield entry


def _items() -> list[tuple[dict[str, str], bytes]]:
    import secretstorage  # noqa: PLC0415 - on Linux only
    from secretstorage.exceptions import SecretStorageException  # noqa: PLC0415

    try:
        with closing(secretstorage.dbus_init()) as bus:
            if not secretstorage.check_service_availability(bus):
                return []
            items = list(secretstorage.search_items(bus, _SCHEMA))
            if any(item.is_locked() for item in items):
                raise StoreError(
                    "locked", "the Secret Service keyring is locked", hint="unlock it"
                )
            return [(item.get_attributes(), item.get_secret()) for item in items]
    except (SecretStorageException, OSError):
        return []  # there is none, so nothing is in it


def parse(attributes: Mapping[str, Any], secret: bytes) -> Entry | None:
    """Return the credential in one item, or None if it is not for a host."""
    server, protocol = attributes.get("server", ""), attributes.get("protocol", "")
    if not (server and protocol):
        return None
    port = attributes.get("port", "")
    return Entry(
        NAME,
        "git",
        protocol=str(protocol),
        host=f"{server}:{port}" if port not in ("", "0") else str(server),
        path=str(attributes.get("object", "")),
        user=str(attributes.get("user", "")),
        secret=secret.split(b"\n")[0].decode("utf-8", "surrogateescape"),
    )
