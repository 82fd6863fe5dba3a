"""Where the key lives, asked before the first sign-in fails for it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from hushkey.acquire import session
from hushkey.errors import StoreError
from hushkey.tokenrequest import PromptOptions
from hushkey_install.common import output
from hushkey_install.config import settings

COMMAND = "hushkey config set key_store file"


def trouble(environ: Mapping[str, str]) -> StoreError | None:
    """Return why the key cannot be read, or None if it can; never prompts."""
    acquirer = session.acquirer(environ, time.time(), options=PromptOptions())
    try:
        acquirer.data_key.key()
    except StoreError as error:
        return error
    return None


def offer(environ: Mapping[str, str], *, sure: bool = False) -> None:
    """Where there is no keyring, offer a key file: a person chooses, or reads of it.

    *sure*: it is chosen already.
    """
    error = trouble(environ)
    if error is None or error.reason != "absent":
        return
    if COMMAND not in error.hint:  # it would lock out what is stored already
        output.say(f"note: {error.line()}", err=True)
        return
    if sure:
        settings.set_value("key_store", "file")
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        output.say(f"note: there is no OS keyring here; run `{COMMAND}`", err=True)
        return
    question = "there is no OS keyring here; keep the key in a file only you can read?"
    if output.confirm(question):
        settings.set_value("key_store", "file")
