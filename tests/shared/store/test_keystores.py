from __future__ import annotations

import os
from pathlib import Path

import pytest

from hushkey.config import schema
from hushkey.store.keystores import KEY_STORES, KeyFile, open_key_store

MEMORY = "kit.core.MemoryKeyring"


def written(word: str) -> str:
    """Return what the config says for the *word* of the table."""
    return word + MEMORY if word.endswith(":") else word


@pytest.mark.parametrize("word", KEY_STORES)
def test_every_word_of_the_table_is_one_of_the_config(
    word: str, tmp_path: Path
) -> None:
    opened = open_key_store(written(word), str(tmp_path))

    assert schema.key_store(written(word)) is None
    assert opened.name
    assert all(
        callable(getattr(opened, call)) for call in ("get", "put", "unlock", "version")
    )


def test_config_takes_no_word_that_the_table_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = {"keyring": KEY_STORES["keyring"], "vault": KEY_STORES["file"]}
    monkeypatch.setattr(schema, "KEY_STORES", kept)

    assert schema.key_store("vault") is None
    assert schema.key_store("file") == 'keyring, vault, or "keyring:module.Class"'


def test_version_of_the_key_file_changes_with_it(tmp_path: Path) -> None:
    key_file = KeyFile(str(tmp_path / "key"))
    none = key_file.version()
    key_file.put("one")
    one = key_file.version()
    key_file.put("two")

    assert len({none, one, key_file.version()}) == 3
    assert one is not None  # which would mean that nobody can tell
    os.unlink(tmp_path / "key")
    assert key_file.version() == none
