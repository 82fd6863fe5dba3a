"""What keyring is told to use, and whether that switches it off.

keyring's own settings (keyring `core.py`, `util/platform_.py`): the variable
PYTHON_KEYRING_BACKEND, else `default-keyring` in keyringrc.cfg, which
`keyring --disable` writes. People switch keyring off where it hangs or asks; that is
meant for whatever is called keyring, the program of ours included.
"""

from __future__ import annotations

import os

from hushkey.errors import HushkeyError
from hushkey.system import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "PYTHON_KEYRING_BACKEND"
#: keyring's own backends that answer nothing
_OFF = ("keyring.backends.null.", "keyring.backends.fail.")


def chosen(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the backend that keyring is told to use and who says so, or nothing.

    Of a file that cannot be read, or says nothing, keyring makes no choice.
    """
    if name := environ.get(VARIABLE, "").strip():
        return name, VARIABLE
    try:
        path = _file(environ)
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeError, HushkeyError):
        return "", ""
    import configparser  # only where there is a file

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        return "", ""
    name = parser.get("backend", "default-keyring", fallback="").strip()
    return (name, path) if name else ("", "")


def is_off(name: str) -> bool:
    """Tell whether the backend *name* is one that switches keyring off."""
    return name.startswith(_OFF)


def _file(environ: Mapping[str, str]) -> str:
    if os.name == "nt":
        base = environ.get("LOCALAPPDATA") or environ.get("ProgramData")
        base = base or paths.home(environ)
        return os.path.join(base, "Python Keyring", "keyringrc.cfg")
    return os.path.join(paths.xdg_config(environ), "python_keyring", "keyringrc.cfg")
