"""The agent's protocol: where its sockets are, and its frames.

What a helper needs before it knows whether there is an agent at all, so it loads
nothing but `os` and `sys`. A frame is a list of byte strings: ``hk``, one byte of
version, the length of the rest, then each string with its own length (4 bytes, big
end first). Nothing in it is ever evaluated, and no length is believed beyond MAX.
"""

import os
import sys

from hushkey_helpers import ANSWERS, PROGRAMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: rises with every change of what the fields of a frame mean
VERSION = 1
_MAGIC = b"hk" + bytes([VERSION])
HEADER = len(_MAGIC) + 4
#: bytes of a whole frame, and strings in it; a request of git's may have 1 MiB
MAX = 2 * 1024 * 1024
_MAX_FIELDS = 256

#: how an answer can begin: the answer itself; another frame follows within HEARTBEAT;
#: a person would be needed; do it yourself; the agent could not
ANSWERED, WORKING, UI, NOT_OURS, ERROR = (
    b"answered",
    b"working",
    b"ui-required",
    b"not-ours",
    b"error",
)
#: seconds between two frames of an agent that is at work
HEARTBEAT = 1.0

#: where the session's folder is, whose name cron, tox and ssh strip
_RUN_USER = "/run/user"
#: what says where the session is; who lacks them means no other one
SESSION_VARS = ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")
#: what says whose files and which keyring are meant: the agent's own must be the same
IDENTITY_VARS = (
    "DBUS_SESSION_BUS_ADDRESS",
    "HOME",
    "HUSHKEY_DATA_DIR",
    "HUSHKEY_RUNTIME_DIR",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
)
#: those, and what says which config counts: all that is compared for git's own client,
#: which sends no environment
PLACE_VARS = (
    *IDENTITY_VARS,
    "HUSHKEY_CONFIG",
    "HUSHKEY_SYSTEM_CONFIG",
    "HUSHKEY_UPSTREAM",
    "XDG_CONFIG_HOME",
)
#: what libraries take from the environment on the way to a server
NETWORK_VARS = (
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "all_proxy",
    "https_proxy",
    "http_proxy",
    "no_proxy",
)
#: what tells a machine's identity where it is (`hushkey.system.proofs`); no secrets
MACHINE_VARS = (
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_ID",
    "AZURE_CONFIG_DIR",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "AZURE_TENANT_ID",
    "BUILDKITE",
    "CIRCLECI",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "IDENTITY_ENDPOINT",
    "JENKINS_URL",
    "MSI_ENDPOINT",
    "TF_BUILD",
)
#: what every answer may depend on and goes along with a question. What is not here
#: or the tool's own is unknown in the agent: who needs it has a process of their own
FORWARDED_VARS = (
    *PLACE_VARS,
    *NETWORK_VARS,
    *MACHINE_VARS,
    "HUSHKEY_AGENT",
    "PATH",
)


def forwarded(tool: str) -> "tuple[str, ...]":
    """Return the names of all that an answer to *tool* may depend on."""
    if tool in ANSWERS:
        return (*FORWARDED_VARS, *ANSWERS[tool][2])
    own = (name for row in PROGRAMS.values() if row[0] == tool for name in row[4])
    return (*FORWARDED_VARS, *own)


class Garbage(ValueError):
    """What arrived is no frame."""


def folder(environ: "Mapping[str, str]") -> str:
    """Return the folder of the sockets, nothing if there can be none.

    The same one as `paths.runtime_folder`, without its cost.
    """
    if sys.platform == "win32":
        return ""
    if override := environ.get("HUSHKEY_RUNTIME_DIR", ""):
        return override if os.path.isabs(override) else ""
    base, data = environ.get("XDG_RUNTIME_DIR", ""), environ.get("HUSHKEY_DATA_DIR", "")
    if os.path.isabs(base) and os.path.isdir(base):
        return os.path.join(base, "hushkey")
    if not data and (base := _stripped()):
        return os.path.join(base, "hushkey")
    data = data or _data_folder(environ)
    return os.path.join(data, "run") if os.path.isabs(data) else ""


def _stripped() -> str:
    """Return the folder that XDG_RUNTIME_DIR would name, as `paths.session_folder`."""
    if sys.platform == "win32":
        return ""
    folder = f"{_RUN_USER}/{os.geteuid()}"
    try:
        found = os.lstat(folder)
    except OSError:
        return ""
    private = found.st_mode & 0o170077 == 0o040000
    return folder if private and found.st_uid == os.geteuid() else ""


def _data_folder(environ: "Mapping[str, str]") -> str:
    home = environ.get("HOME", "")
    if sys.platform == "darwin":
        below = "Library/Application Support"
    else:
        base = environ.get("XDG_DATA_HOME", "").strip()
        if os.path.isabs(base):
            return os.path.join(base, "hushkey")
        below = ".local/share"
    return os.path.join(home, below, "hushkey") if os.path.isabs(home) else ""


def is_safe(folder: str, socket: str) -> bool:
    """Tell whether *folder* and *socket* are this user's and nobody else's."""
    if sys.platform == "win32":
        return False
    try:
        around, inside = os.lstat(folder), os.lstat(socket)
    except OSError:
        return False
    mine = around.st_uid == inside.st_uid == os.geteuid()
    kinds = around.st_mode & 0o170000 == 0o040000, inside.st_mode & 0o170000 == 0o140000
    return mine and all(kinds) and not (around.st_mode | inside.st_mode) & 0o077


def installation() -> bytes:
    """Return what names this very copy of hushkey: another one answers differently."""
    try:
        found = os.stat(__file__)
    except OSError:
        return b""
    place = os.path.realpath(__file__)  # however the way there was written
    text = f"{found.st_mtime_ns} {found.st_size} {found.st_ino} {place}"
    return text.encode("utf-8", "surrogateescape")


def number(environ: "Mapping[str, str]") -> int:
    """Return the number of this hushkey's place and *environ*: positive, 31 bits."""
    import zlib  # noqa: PLC0415 - helpers do without it

    words = (os.path.realpath(__file__), *(environ.get(n, "") for n in PLACE_VARS))
    return zlib.crc32(os.fsencode("\0".join(words))) & 0x7FFFFFFF


# -- frames ----------------------------------------------------------------------


def frame(*fields: bytes) -> bytes:
    """Return *fields* as one frame."""
    body = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return _MAGIC + len(body).to_bytes(4, "big") + body


def size(head: bytes) -> int:
    """Return the bytes of the whole frame that begins with *head*; raises Garbage.

    HEADER bytes tell; of fewer it is only said whether they can be a beginning.
    """
    if not _MAGIC.startswith(head[: len(_MAGIC)]):
        raise Garbage("no frame, or one of another version")
    if len(head) < HEADER:
        return HEADER
    whole = HEADER + int.from_bytes(head[len(_MAGIC) : HEADER], "big")
    if whole > MAX:
        raise Garbage("the frame is too long")
    return whole


def fields(data: bytes) -> "list[bytes]":
    """Return what the whole frame *data* holds; raises Garbage."""
    if len(data) < HEADER or size(data[:HEADER]) != len(data):
        raise Garbage("not one whole frame")
    found: list[bytes] = []
    at = HEADER
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data) or at + 4 > len(data) or len(found) == _MAX_FIELDS:
            raise Garbage("a field ends outside of its frame")
        found.append(data[at + 4 : end])
        at = end
    return found
