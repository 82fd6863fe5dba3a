"""Doctor on the key: the keyring, and whether its key opens the token files."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from functools import partial

from hushkey.errors import StoreError
from hushkey.model import Identity
from hushkey.signin import policy
from hushkey.store import typed_index
from hushkey.store.typed import open_typed_credentials
from hushkey.system import paths
from hushkey_install.common.finding import FINE, PROBLEM, Finding
from hushkey_install.config import keystore, settings
from hushkey_install.tools.installation import Installation

#: what each reason of a StoreError is called here, and the command that fixes it
_MENDS = {
    "absent": ("keyring-absent", keystore.COMMAND),
    "locked": ("keyring-locked", "hushkey login"),
    "hung": ("keyring-hung", keystore.COMMAND),
    "broken": ("keyring-broken", keystore.COMMAND),
    "denied": ("keyring-denied", ""),
    "other-key": ("key-other", "hushkey reset"),
    "no-key": ("key-missing", "hushkey reset"),
}


def check(installation: Installation) -> Iterator[Finding]:
    """Yield why the key cannot be read, or opens nothing."""
    if installation.context is None:
        return
    data_key = installation.context.acquirer.data_key
    try:
        data_key.key()
    except StoreError as error:
        if _is_needed(installation):
            yield _finding(error)
        return
    for identity in _one_for_each_file(installation):
        try:
            installation.context.acquirer.file_of(identity).read()
        except StoreError as error:
            if not _is_foreign(error.path):  # which has a finding of its own
                yield _finding(error)
            return  # one key for all
    try:
        open_typed_credentials(
            installation.context.config.settings,
            paths.data_folder(installation.environ),
            _quiet,
        ).check_key()
    except StoreError as error:
        yield _finding(error)
    else:
        text = f"the key in {data_key.name} opens what is stored"
        yield Finding("key-right", FINE, text)


def _is_foreign(path: str) -> bool:
    """Tell whether *path* is another user's."""
    try:
        return hasattr(os, "geteuid") and os.lstat(path).st_uid != os.geteuid()
    except OSError:
        return False


def _close(path: str) -> None:
    os.chmod(paths.check_owner(path), 0o600)


def _is_needed(installation: Installation) -> bool:
    """Tell whether anything is stored, or will be, that needs the user's own key.

    In a job nobody signs in, and what the job gets is sealed by a key in its folder.
    Where there are machines only, they get their tokens without a key, too.
    """
    assert installation.context is not None  # noqa: S101 - the caller looked
    environ = installation.environ
    known = installation.context.config.identities().values()
    file_of = installation.context.acquirer.file_of
    if any(not each.machine and file_of(each).stamp() for each in known):
        return True
    if any(True for _ in typed_index.files(paths.data_folder(environ))):
        return True
    own = [rule.identity for rule, _ in installation.context.own_rules()]
    if not own and installation.forwarded:
        return False  # nobody signs in here
    only_machines = bool(own) and all(each.machine for each in own)
    return not (policy.ci(environ) or only_machines)


def _quiet(line: str) -> None:
    """Say nothing: what is wrong becomes a finding."""


def _one_for_each_file(installation: Installation) -> Iterator[Identity]:
    assert installation.context is not None  # noqa: S101 - the caller looked
    for identity in installation.context.config.identities().values():
        if installation.context.acquirer.file_of(identity).stamp():
            yield identity


def _finding(error: StoreError) -> Finding:
    code, command = _MENDS.get(error.reason, (f"store-{error.reason}", ""))
    if command == keystore.COMMAND and command not in error.hint:
        command = ""  # another place for the key would lock out what is stored
    mend: Callable[[], object] | None = None
    if command == keystore.COMMAND and error.reason == "absent":
        mend = partial(settings.set_value, "key_store", "file")
    if error.reason == "denied" and error.path:
        command = f"chmod 600 {shlex.quote(error.path)}"
        mend = partial(_close, error.path)
    # A hint is a sentence, not a command that can be typed as it is.
    text = error.what if command or not error.hint else f"{error.what}; {error.hint}"
    return Finding(code, PROBLEM, text, command, mend)
