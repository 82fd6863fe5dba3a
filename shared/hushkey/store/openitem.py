"""One item of the Secret Service that is there and open: the usual case, quickly.

The other cases, and what writes or asks, are `hushkey.store.secretservice`'s.
Session algorithm dh-ietf1024-sha256-aes128-cbc-pkcs7 of the Secret Service API draft
(0.2): the secret crosses the bus encrypted.
"""

from __future__ import annotations

import os

from hushkey.system.dbus import Body, SessionBus, Unusual

_SERVICE, _PATH = "org.freedesktop.secrets", "/org/freedesktop/secrets"
_INTERFACE = "org.freedesktop.Secret."
_NO_OBJECT = "/"
_ALGORITHM = "dh-ietf1024-sha256-aes128-cbc-pkcs7"
#: the group: "Second Oakley Group", RFC 2409 6.2
_PRIME = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74"
    "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437"
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF",
    16,
)
_GENERATOR, _PUBLIC_BYTES = 2, 128
#: An exponent of 225 bits is enough for a group of twice the size (RFC 7919 5.2); one
#: as long as the prime takes four times as long and makes this one no stronger.
_EXPONENT_BYTES = 32
_BLOCK = 16


def read(attributes: dict[str, str]) -> str | None:
    """Return the secret of the default collection's item with *attributes*.

    None where it is anything but there and open: `SecretServiceStore` then finds out
    what is the matter. Nothing is ever created, unlocked or prompted for. May hang as
    long as the service does.
    """
    try:
        with SessionBus(_SERVICE) as bus:
            found = _secret(bus, attributes)
    except (Unusual, OSError, ValueError):
        return None
    return None if found is None else found.decode("ascii", "replace")


def _secret(bus: SessionBus, attributes: dict[str, str]) -> bytes | None:
    service, collection, item = (
        _INTERFACE + name for name in ("Service", "Collection", "Item")
    )
    alias = Body("s").text("default")
    where = bus.call(_PATH, service, "ReadAlias", alias, "o").text()
    if where == _NO_OBJECT:
        return None
    wanted = Body("a{ss}").texts(attributes)
    found = bus.call(where, collection, "SearchItems", wanted, "ao").texts()
    if not found:
        return None
    asked = Body("ss").text(item).text("Locked")
    locked = bus.call(found[0], "org.freedesktop.DBus.Properties", "Get", asked, "v")
    if locked.kind() != "b" or locked.pad(4).number():
        return None
    ours = int.from_bytes(os.urandom(_EXPONENT_BYTES), "big")
    public = pow(_GENERATOR, ours, _PRIME).to_bytes(_PUBLIC_BYTES, "big")
    offer = Body("sv").text(_ALGORITHM).kind("ay").octets(public)
    opened = bus.call(_PATH, service, "OpenSession", offer, "vo")
    if opened.kind() != "ay":
        return None
    theirs, session = int.from_bytes(opened.octets(), "big"), opened.text()
    if not 1 < theirs < _PRIME - 1:
        return None  # everybody would know the shared secret
    asked = Body("o").text(session)
    sealed = bus.call(found[0], item, "GetSecret", asked, "(oayays)")
    sealed.text()
    shared = pow(theirs, ours, _PRIME).to_bytes(_PUBLIC_BYTES, "big")
    return _opened(shared, sealed.octets(), sealed.octets())


def _opened(shared: bytes, vector: bytes, sealed: bytes) -> bytes:
    """Return what *sealed* holds; raises ValueError where it is not well-formed."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    key = HKDF(algorithm=SHA256(), length=16, salt=None, info=b"").derive(shared)
    decryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor()
    padded = decryptor.update(sealed) + decryptor.finalize()
    size = padded[-1] if padded else 0
    if not 1 <= size <= _BLOCK or padded[-size:] != bytes((size,)) * size:
        raise ValueError("not padded as PKCS #7 has it")
    return padded[:-size]
