import sys
from types import ModuleType

import pytest
from cryptography.hazmat.primitives.ciphers import aead
from hypothesis import given, settings
from hypothesis import strategies as st

from hushkey.store.cipher import Damaged, key_id, keyed_hash, seal, sealed_with, unseal

KEY, OTHER = b"k" * 32, b"o" * 32
SEALED = seal(KEY, b"content", b"purpose")


@given(st.binary(), st.binary(), st.binary(min_size=32, max_size=32))
@settings(deadline=None)
def test_unseal_gives_back_what_was_sealed(
    content: bytes, purpose: bytes, key: bytes
) -> None:
    sealed = seal(key, content, purpose)

    assert unseal(key, sealed, purpose) == content
    assert sealed_with(sealed) == key_id(key)


def test_seal_never_looks_the_same_twice() -> None:
    assert seal(KEY, b"content", b"p") != seal(KEY, b"content", b"p")


def test_seal_hides_content_and_key() -> None:
    assert b"content" not in SEALED
    assert KEY not in SEALED
    assert SEALED.startswith(b"HUSHKEY1")


@pytest.mark.parametrize("bit", range(8))
def test_unseal_with_any_bit_flipped_is_damaged(bit: int) -> None:
    for at in range(len(SEALED)):
        changed = bytearray(SEALED)
        changed[at] ^= 1 << bit
        with pytest.raises(Damaged):
            unseal(KEY, bytes(changed), b"purpose")


@pytest.mark.parametrize("length", range(len(SEALED)))
def test_unseal_cut_short_is_damaged(length: int) -> None:
    with pytest.raises(Damaged):
        unseal(KEY, SEALED[:length], b"purpose")


@given(st.binary())
@settings(deadline=None)
def test_unseal_of_any_bytes_is_damaged(data: bytes) -> None:
    with pytest.raises(Damaged):
        unseal(KEY, data, b"purpose")
    with pytest.raises(Damaged):
        sealed_with(b"HUSHKEY" + data)


def test_unseal_longer_than_written_is_damaged() -> None:
    with pytest.raises(Damaged):
        unseal(KEY, SEALED + b"\0", b"purpose")


def test_unseal_with_another_key_is_damaged() -> None:
    with pytest.raises(Damaged):
        unseal(OTHER, SEALED, b"purpose")


def test_unseal_for_another_purpose_is_damaged() -> None:
    with pytest.raises(Damaged):
        unseal(KEY, SEALED, b"another")


def test_key_id_tells_keys_apart_and_says_nothing() -> None:
    assert key_id(KEY) == key_id(KEY)
    assert key_id(KEY) != key_id(OTHER)
    assert len(key_id(KEY)) == 8
    assert key_id(KEY) not in KEY


def test_keyed_hash_needs_the_key() -> None:
    assert keyed_hash(KEY, "token") == keyed_hash(KEY, "token")
    assert keyed_hash(KEY, "token") != keyed_hash(OTHER, "token")
    assert keyed_hash(KEY, "token") != keyed_hash(KEY, "other")
    assert "token" not in keyed_hash(KEY, "token")


def test_public_package_serves_where_the_short_way_to_it_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aead.AESGCM(KEY)  # its own import wants what is taken away here
    sealed = seal(KEY, b"content", b"purpose")
    monkeypatch.setitem(
        sys.modules, "cryptography.hazmat.bindings._rust", ModuleType("_rust")
    )

    assert unseal(KEY, sealed, b"purpose") == b"content"
    assert unseal(KEY, seal(KEY, b"more", b"p"), b"p") == b"more"
    with pytest.raises(Damaged):
        unseal(KEY, sealed, b"another")
