"""Where the key lives, asked before the first sign-in fails for it."""

import sys
import time
from collections.abc import Mapping

from hushkey import answering
from hushkey.errors import StoreError
from hushkey.want import Manners
from hushkey_install import screen
from hushkey_install.config import settings

COMMAND = "hushkey config set key_store file"


def trouble(environ: Mapping[str, str]) -> StoreError | None:
    """Return why the key cannot be read, or None if it can; never prompts."""
    acquirer = answering.acquirer(environ, time.time(), manners=Manners())
    try:
        acquirer.vault.key()
    except StoreError as error:
        return error
    return None


def offer(environ: Mapping[str, str]) -> None:
    """Where there is no keyring, offer a key file: a person chooses, or reads of it."""
    error = trouble(environ)
    if error is None or error.reason != "absent":
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        screen.say(f"note: there is no OS keyring here; run `{COMMAND}`", err=True)
        return
    question = "there is no OS keyring here; keep the key in a file only you can read?"
    if screen.confirm(question):
        settings.set_value("key_store", "file")
