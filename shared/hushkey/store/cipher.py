"""The sealed form of a file: AES-256-GCM under the user's data key.

Layout: ``HUSHKEY1`` | key id (8 bytes) | nonce (12) | ciphertext and tag (16).
The header up to the nonce and the file's kind, issuer and client id are
associated data, so that files cannot be swapped for each other. The key id is
a keyed hash of the key: "sealed with another key" and "damaged" are different
findings (NIST SP 800-38D gives only "no").
"""

from __future__ import annotations

import os

from hushkey.system.digest import blake2s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

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
    header, nonce = MAGIC + key_id(key), os.urandom(_NONCE)
    return header + nonce + _aes(key).encrypt(nonce, content, header + purpose)


def unseal(key: bytes, data: bytes, purpose: bytes) -> bytes:
    """Return the content of *data*, or raise Damaged."""
    sealed_with(data)
    header, nonce = data[:_HEADER], data[_HEADER : _HEADER + _NONCE]
    try:
        return _aes(key).decrypt(nonce, data[_HEADER + _NONCE :], header + purpose)
    except Exception as error:
        from cryptography.exceptions import InvalidTag

        if not isinstance(error, InvalidTag):
            raise
        raise Damaged("the content was changed after it was sealed") from error


def _aes(key: bytes) -> AESGCM:
    """Return AES-GCM with *key*; the class that `aead` exports, without its package.

    The package loads every other cipher, too, and takes longer than all the rest of
    an answer from the cache.
    """
    try:
        from cryptography.hazmat.bindings._rust import openssl

        made: AESGCM = openssl.aead.AESGCM(key)
    except (ImportError, AttributeError):  # it is not promised to be there
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        made = AESGCM(key)
    return made
