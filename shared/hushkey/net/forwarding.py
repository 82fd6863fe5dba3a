"""What goes over a forwarded socket: one question, one answer, nothing else.

A message is text: a line ``hushkey-forward 2 KIND``, lines ``name=value``, an empty
line. A question is a ``get``, or a ``rejected``: that the host refused the token which
came from here before; its fields are `Question`'s. Before the answer there may
be any number of ``working`` messages, so that a person has time and a dead line is
noticed all the same; one may bring a line for the person there. The answer is
``given`` (user name, token, perhaps when it expires and in which scheme its host wants
it), ``person`` (ask again with ``person=1`` if somebody waits: a sign-in or a consent
is needed), ``unknown`` (no host of the other side's) or ``error`` (one line). Whoever
speaks another version gets an ``error``.

There is no word for anything else: no configuration, no refresh token, no store.
"""

from __future__ import annotations

from hushkey.model import Frozen, Request
from hushkey.system.digest import blake2s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 2
_NAME = b"hushkey-forward"
#: bytes of a whole question and of a whole answer; a token of many groups has 30 KiB
QUESTION_BYTES, ANSWER_BYTES = 16 * 1024, 256 * 1024
GET, REJECTED, GIVEN, PERSON, UNKNOWN, ERROR, WORKING = (
    "get",
    "rejected",
    "given",
    "person",
    "unknown",
    "error",
    "working",
)
_KINDS = (GET, REJECTED, GIVEN, PERSON, UNKNOWN, ERROR, WORKING)
#: seconds between two signs of life of a side that is at work
HEARTBEAT = 2.0


class Garbage(ValueError):
    """What arrived is no message of this version; its text says why, in a line."""


class OtherVersion(Garbage):
    """What arrived is a message of another version of this protocol."""


class Question(Frozen):
    """What the far side asks: for *tool*, on *machine*, because of *command*.

    All of it is its word and no more. *person*: somebody waits there, so that it may
    take a sign-in here. *refused*: the hash (`named`) of the token that the host
    refused, if it says that; the token itself does not go back.
    """

    tool: str
    request: Request
    machine: str = ""
    command: str = ""
    person: bool = False
    refused: str = ""

    def bytes(self) -> bytes:
        """Return the message; raises Garbage for what cannot be written."""
        asked = self.request
        return message(
            REJECTED if self.refused else GET,
            tool=self.tool,
            protocol=asked.protocol,
            host=asked.host,
            path=asked.path,
            username=asked.username,
            machine=self.machine,
            command=self.command,
            person="1" if self.person else "",
            refused=self.refused,
        )


_ASKED = {*Question.__annotations__, *Request.__annotations__} - {"request"}
_FIELDS = {
    GET: _ASKED - {"refused"},
    REJECTED: _ASKED - {"person"},
    GIVEN: {"username", "token", "expires", "scheme"},
    ERROR: {"line"},
    WORKING: {"line"},
}


def question(data: bytes) -> Question:
    """Return the question in the whole message *data*; raises Garbage."""
    kind, words = parse(data, QUESTION_BYTES)
    if kind not in (GET, REJECTED):
        raise Garbage(f"nothing but `{GET}` can be asked")
    if not words.get("host") or not words.get("protocol"):
        raise Garbage("the question names no host")
    if kind == REJECTED and not _is_name(words.get("refused", "")):
        raise Garbage("the refusal names no token")
    asked = (words.get(key, "") for key in ("protocol", "host", "path", "username"))
    return Question(
        words.get("tool", ""),
        Request(*asked),
        words.get("machine", ""),
        words.get("command", ""),
        words.get("person") == "1",
        words.get("refused", ""),
    )


def named(token: str) -> str:
    """Return what stands for *token* where it must not be itself: a hash, in hex."""
    encoded = token.encode("utf-8", "surrogateescape")
    return blake2s(encoded, digest_size=16, person=b"upstream").hexdigest()


def _is_name(text: str) -> bool:
    return len(text) == 32 and not {*text} - {*"0123456789abcdef"}


def message(kind: str, **words: str) -> bytes:
    """Return one message, without the words that are empty; raises Garbage."""
    lines = [b"%s %d %s" % (_NAME, VERSION, kind.encode())]
    for name, value in words.items():
        if value:
            encoded = value.encode("utf-8", "surrogateescape")
            if any(c < 32 or c == 127 for c in encoded):
                raise Garbage(f"a control character in {name}")
            lines.append(b"%s=%s" % (name.encode(), encoded))
    return b"\n".join(lines) + b"\n\n"


def is_whole(data: bytes | bytearray, limit: int) -> bool:
    """Tell whether *data* ends a message; raises Garbage for what can be none.

    At the first byte that is wrong: nobody has to wait for the end of a flood.
    """
    start = data[: len(_NAME) + 1]
    if start != (_NAME + b" ")[: len(start)]:
        raise Garbage("this is a forward of hushkey, which speaks its own protocol")
    if len(data) > limit:
        raise Garbage("the message is too long")
    end = data.find(b"\n\n")
    if 0 <= end < len(data) - 2:
        raise Garbage("there is more than one message")
    return end >= 0


def parse(data: bytes, limit: int) -> tuple[str, Mapping[str, str]]:
    """Return kind and words of the whole message *data*; raises Garbage."""
    if not is_whole(data, limit):
        raise Garbage("half a message")
    first, *lines = data[:-2].split(b"\n")
    _, version, kind = [*first.decode("ascii", "replace").split(" "), "", ""][:3]
    if version != str(VERSION):
        is_number = version.isascii() and version.isdigit()
        theirs = f"version {version[:12]}" if is_number else "another version"
        raise OtherVersion(
            f"it speaks {theirs} of the forward's protocol, this side version "
            f"{VERSION}: install the same hushkey on both"
        )
    if kind not in _KINDS or first.count(b" ") != 2:
        raise Garbage(f"nothing but `{GET}` can be asked")
    words: dict[str, str] = {}
    for line in lines:
        name, equals, value = line.partition(b"=")
        key = name.decode("ascii", "replace")
        if not equals or key not in _FIELDS.get(kind, ()) or key in words:
            raise Garbage("a line that is not one of the protocol's")
        if any(c < 32 or c == 127 for c in value):
            raise Garbage("a control character in a value")
        words[key] = value.decode("utf-8", "surrogateescape")
    return kind, words
