"""The sealed form of a file: AES-256-GCM under the user's data key.

Layout: ``HUSHKEY1`` | key id (8 bytes) | nonce (12) | ciphertext and tag (16).
The header up to the nonce and the file's kind, issuer and client id are
associated data, so that files cannot be swapped for each other. The key id is
a keyed hash of the key: "sealed with another key" and "damaged" are different
findings (NIST SP 800-38D gives only "no").
"""

from __future__ import annotations

import os

from hushkey.system.blake import blake2s

MAGIC = b"HUSHKEY1"
KEY_BYTES = 32
_ID, _NONCE = 8, 12
_HEADER = len(MAGIC) + _ID


class Damaged(Exception):
    """The right key, and yet the content does not open."""


def key_id(key: bytes) -> bytes:
    """Return the public name of *key*, which says nothing about it."""
    return blake2s(b"key id", key=key, digest_size=_ID, person=b"hushkey").digest()


def keyed_hash(key: bytes, text: str) -> str:
    """Return a hash of *text* that only the holder of *key* can make."""
    digest = blake2s(text.encode(), key=key, digest_size=16, person=b"hk-state")
    return digest.hexdigest()


def is_newer(data: bytes) -> bool:
    """Tell whether *data* has the form of a later hushkey."""
    return data[:7] == MAGIC[:7] and not data.startswith(MAGIC)


def sealed_with(data: bytes) -> bytes:
    """Return the id of the key that sealed *data*; Damaged if it is no seal."""
    if len(data) < _HEADER + _NONCE + 16 or not data.startswith(MAGIC):
        raise Damaged("not a sealed file")
    return data[len(MAGIC) : _HEADER]


def seal(key: bytes, content: bytes, purpose: bytes) -> bytes:
    """Return *content* sealed for *purpose*."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    header, nonce = MAGIC + key_id(key), os.urandom(_NONCE)
    return header + nonce + AESGCM(key).encrypt(nonce, content, header + purpose)


def unseal(key: bytes, data: bytes, purpose: bytes) -> bytes:
    """Return the content of *data*, or raise Damaged."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    sealed_with(data)
    header, nonce = data[:_HEADER], data[_HEADER : _HEADER + _NONCE]
    try:
        return AESGCM(key).decrypt(nonce, data[_HEADER + _NONCE :], header + purpose)
    except InvalidTag as error:
        raise Damaged("the content was changed after it was sealed") from error
