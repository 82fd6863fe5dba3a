"""Whether the config may name another place for the key: not while files need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hushkey.config import rules
from hushkey.config.schema import DEFAULTS
from hushkey.errors import ConfigError, Permanent
from hushkey.store.datakey import open_data_key
from hushkey.store.keystores import KEY_STORES
from hushkey.store.sealedfile import sealed_files
from hushkey.system import paths


def check(choice: object, environ: Mapping[str, str]) -> None:
    """Raise Permanent if stored sign-ins could not be opened with key_store *choice*.

    The key is where it is: another place has none, and every tool would fail.
    """
    folder = paths.data_folder(environ)
    files = sealed_files(folder)
    settings = _settings(environ)
    word, colon, _ = str(choice).partition(":")
    if not files or word + colon not in KEY_STORES or choice == settings["key_store"]:
        return  # a wrong word is the config's own error
    there = open_data_key({**settings, "key_store": str(choice)}, folder, list)
    if there.opens(files):
        return
    raise Permanent(
        f"{len(files)} stored sign-in(s) or typed credential(s) need the key where it "
        f"is now: with key_store = {choice} nothing could open them, so nothing was "
        "changed",
        hint="to start anew, run `hushkey reset` (it moves them aside), then this "
        "command, and sign in again",
    )


def _settings(environ: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        return rules.load(environ).settings
    except ConfigError:
        return {**DEFAULTS, "key_store": None}
