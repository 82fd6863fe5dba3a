"""Whatever reads what others send costs in proportion to it: counted, not timed.

`effort` adds up the bytes that are allocated from line to line, freed again or not,
and the lines themselves: a copy of all that came before, made for each piece, counts
in full. `Counting` counts the bytes that a search looks at.
"""

import json
import os
import subprocess
import sys
import tracemalloc
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import hushkey_helpers
from hushkey import origins
from hushkey.net import challenges, http
from hushkey.signin import paste, receiver, terminal
from hushkey.store import typed_index
from hushkey.store.tokencache import TokenCache
from hushkey.store.typed_index import CredentialKey
from hushkey.system import callers
from hushkey_helpers.agent import client, connections, protocol
from hushkey_helpers.docker import helper as docker_helper
from hushkey_helpers.docker import wire as docker_wire
from hushkey_helpers.git import wire
from hushkey_install.register import yarn
from hushkey_install.tools import jsontext

#: bytes for which one line of Python counts
_LINE = 64
_MANY = 2000


def effort(work: Callable[[], object]) -> int:
    """Return what *work* allocates and how much it does, in bytes."""
    total = last = 0

    def look(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal total, last
        now, peak = tracemalloc.get_traced_memory()
        total += max(0, peak - last) + _LINE
        tracemalloc.reset_peak()
        last = now
        return look

    before = sys.gettrace()
    tracemalloc.start()
    sys.settrace(look)
    try:
        work()
    finally:
        sys.settrace(before)
        tracemalloc.stop()
    return total


class Counting(bytearray):
    """A bytearray that counts how many of its bytes are searched."""

    seen = 0

    def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        Counting.seen += max(0, len(self) - start)
        return super().find(sub, start)

    def __contains__(self, sub: object) -> bool:
        Counting.seen += len(self)
        return super().__contains__(sub)  # type: ignore[operator]


class Dripping:
    """A connection that gives and takes 16 bytes at a time."""

    def __init__(self, data: bytes, *, waits: bool = False) -> None:
        self._pieces = [data[at : at + 16] for at in range(0, len(data), 16)]
        self._pieces.reverse()
        self._waits = waits
        self._rest = True

    def recv(self, size: int) -> bytes:
        if self._waits and self._rest:
            self._rest = False
            raise BlockingIOError
        self._rest = True
        return self._pieces.pop() if self._pieces else b""

    def send(self, data: Any) -> int:
        return min(16, len(data))

    def fileno(self) -> int:
        return -1


def dripping_read(data: bytes) -> Callable[[int, int], bytes]:
    link = Dripping(data)
    return lambda descriptor, size: link.recv(size)


# -- what is read, by how many pieces ------------------------------------------------

Reading = Callable[[int, pytest.MonkeyPatch], Callable[[], object]]


def _git(line: str) -> Reading:
    def reading(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
        data = "".join(line.format(n) for n in range(2 * number)).encode()
        return lambda: wire.parse(data)

    return reading


def _stdin(ends: str) -> Reading:
    def reading(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
        data = b"a=0123456789abc\n" * number
        patch.setattr(os, "read", dripping_read(data))
        return lambda: hushkey_helpers.read(0, ends)

    return reading


def _frame(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
    link = Dripping(protocol.frame(b"x" * 16 * number))
    return lambda: client._frame(link)


def _fields(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
    data = protocol.frame(*[b"x" * (number // 10)] * 200)
    return lambda: protocol.fields(data)


def _question(kind: type[connections.Connection]) -> Reading:
    def reading(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
        data = protocol.frame(b"x" * 16 * number)
        link = kind(Dripping(data, waits=True), 0.0)  # type: ignore[arg-type]

        def arrive() -> None:
            while link.arrived() is None:
                pass

        return arrive

    return reading


def _reply(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
    link = connections.GitLink(Dripping(b""), 0.0)  # type: ignore[arg-type]
    return lambda: link.give(b"x" * 16 * number, 0.0)


def _challenge(part: str) -> Reading:
    def reading(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
        text = "Bearer " + "".join(part.format(n) for n in range(number // 2))
        assert len(text) <= challenges.LONGEST
        return lambda: challenges.parse(text)

    return reading


def _quoted(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
    text = 'Bearer x="' + '\\"' * 3 * number + '"'
    return lambda: challenges.parse(text)


def _login(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
    keys = {f"Key{n}": "x" for n in range(number)}
    data = json.dumps({**keys, "ServerURL": "r", "Username": "u"}).encode()
    return lambda: docker_wire.credentials(data)


def _server(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
    return lambda: docker_helper._server(b"r\r\n" * number)


def _tokens(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
    rows = [
        {
            "account": f"a{n}",
            "asked": "git",
            "value": f"v{n}",
            "obtained_at": 1,
            "expires_at": 2,
        }
        for n in range(number // 4)
    ]
    accounts = {f"a{n}": {"label": f"l{n}"} for n in range(number // 4)}
    content = {"version": 1, "accounts": accounts, "tokens": rows}
    data = json.dumps(content).encode()
    return lambda: (cache := TokenCache.loads(data)).tokens() and cache.dumps()


def _registries(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
    entries = (f"  h{n}:\n    npmAlwaysAuth: true\n" for n in range(number // 4))
    text = f"npmRegistries:\n{''.join(entries)}"
    return lambda: yarn._said(text)


def _auths(act: Callable[[str], object]) -> Reading:
    def reading(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
        members = {f"h{n}.test": {"auth": "x"} for n in range(number // 4)}
        text = json.dumps({"auths": members, "credHelpers": {"a": "b"}}, indent=1)
        return lambda: act(text)

    return reading


def _paste(at_once: int) -> Reading:
    def reading(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
        data = (b"\x1b[200~" + b"x\x1b[A" * number)[: 4 * number]
        pieces = [data[at : at + at_once] for at in range(0, len(data), at_once)]
        reader = paste.PasteReader()
        return lambda: [reader.feed(piece) for piece in pieces]

    return reading


def _body(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
    class Answer:
        url = "https://id.test"

        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...
        def iter_content(self, size: int) -> Iterator[bytes]:
            yield from [b"x" * 16] * number

    return lambda: http._read(Answer())  # type: ignore[arg-type]


def _redirect(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
    head = b"GET / HTTP/1.1\r\n" + b"X: 0123456789a\r\n" * number + b"\r\n"
    return lambda: receiver.read(Dripping(head))  # type: ignore[arg-type]


def _word(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
    return lambda: callers.names_host("xr.test" * number, "r.test")


def _path(segment: str) -> Reading:
    def reading(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
        return lambda: origins.split_path(segment * number)

    return reading


def _origin(piece: str) -> Reading:
    def reading(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
        return lambda: origins.parse_origin("https", piece * number + "x.test")

    return reading


def _screen(number: int, patch: pytest.MonkeyPatch) -> Callable[[], object]:
    patch.setattr(os, "write", lambda fd, data: min(8, len(data)))
    return lambda: terminal.TerminalWriter(-1).value("x" * 4 * number)


READINGS: dict[str, Reading] = {
    "git: one list": _git("wwwauth[]=x\n"),
    "git: a list that is emptied again and again": _git("state[]=x\nstate[]=\n"),
    "git: many lists": _git("k{}[]=x\n"),
    "git: many keys": _git("k{}=x\n"),
    "git: one key": _git("k=x\n"),
    "stdin: git": _stdin("blank"),
    "stdin: docker": _stdin("end"),
    "agent: the client's frame": _frame,
    "agent: fields of a frame": _fields,
    "agent: a question": _question(connections.Connection),
    "agent: git's question": _question(connections.GitLink),
    "agent: an answer": _reply,
    "challenge: schemes": _challenge("A{} "),
    "challenge: parameters": _challenge("a{}=b,"),
    "challenge: spaces": _challenge(" ,\t "),
    "challenge: escapes": _quoted,
    "docker: a login": _login,
    "docker: a server": _server,
    "token cache": _tokens,
    "docker's config: put": _auths(lambda t: jsontext.put(t, ("auths", "z"), "y")),
    "docker's config: take": _auths(lambda t: jsontext.take(t, ("auths", "h1.test"))),
    "docker's config: source": _auths(lambda t: jsontext.source(t, ("auths", "z"))),
    "yarn's settings": _registries,
    "paste: at once": _paste(1 << 16),
    "paste: in pieces": _paste(3),
    "http: a body": _body,
    "http: a redirect": _redirect,
    "command line: a word": _word,
    "path: segments": _path("a/"),
    "path: encoded": _path("%61"),
    "path: encoded again and again": _path("%25"),
    "path: another script": _path("\u00e4"),
    "host: labels": _origin("a."),
    "host: labels in another script": _origin("\u00e4."),
    "host: one label": _origin("\u00e4"),
    "host: user info": _origin("\u00e4@"),
    "terminal": _screen,
}


@pytest.mark.parametrize("name", READINGS)
def test_twice_as_much_costs_twice_as_much(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cost(number: int) -> int:
        with monkeypatch.context() as patch:
            return effort(READINGS[name](number, patch))

    cost(8)  # what is imported or cached the first time counts for nobody
    small = cost(_MANY)

    assert cost(2 * _MANY) < 2.6 * small + 4096


@pytest.mark.parametrize(
    "module", [hushkey_helpers, receiver], ids=["stdin", "redirect"]
)
def test_search_for_the_end_looks_at_no_byte_often(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = {hushkey_helpers: _stdin("blank"), receiver: _redirect}[module]
    monkeypatch.setattr(module, "bytearray", Counting, raising=False)

    def cost(number: int) -> int:
        Counting.seen = 0
        with monkeypatch.context() as patch:
            reading(number, patch)()
        return Counting.seen

    small = cost(_MANY)

    assert small >= 16 * _MANY
    assert cost(2 * _MANY) < 2.6 * small


def test_question_for_one_of_many_stored_secrets_is_linear(tmp_path: Path) -> None:
    index = typed_index.Index(str(tmp_path), b"k" * typed_index.KEY_BYTES)

    def cost(number: int) -> int:
        for n in range(number):
            path = Path(
                index.path_of(CredentialKey("git", "https", "h.test", None, f"u{n}"))
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return effort(
            lambda: list(index.matching(CredentialKey("git", "https", "h.test")))
        )

    small = cost(200)

    assert cost(400) < 2.6 * small


# -- what the standard library or a regular expression repeats in C: bounded by input --


@pytest.mark.parametrize(
    "run",
    ["\u0316\u0301", "\uff9e\u0316", "\u0f73\u0f71", "\u0344"],
    ids=["marks", "half-width", "decomposed", "two in one"],
)
def test_no_long_run_of_combining_characters_is_normalised(
    run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = 0
    normalize = unicodedata.normalize

    def look(form: Any, text: str) -> str:
        nonlocal longest
        longest = max(longest, len(text))
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", look)

    assert origins.split_path("a" + run * 16000) is None
    assert longest == 1
    assert origins.split_path("a" + "\u0301" * 30 + "b") is not None


#: in a process of its own: what is quadratic would take longer than the whole suite
_SEARCHES = {
    "a URL in a URL": "masking.text('# ' + '://' * N)",
    "a word": "masking.text('# ' + 'a' * N)",
    "a word of many parts": "filechange.holds_secret('a-' * N)",
    "blank lines": "installrecord.replaced('a\\n' + '\\n' * N, '\\n' * N + 'b\\n')",
}


@pytest.mark.parametrize("name", _SEARCHES)
def test_search_of_much_ends_within_seconds_of_processor(
    name: str,
) -> None:
    code = (
        "import resource; from hushkey_install.config import masking;"
        "from hushkey_install.common import filechange, installrecord;"
        "N = 300_000; used = resource.getrusage(resource.RUSAGE_SELF).ru_utime;"
        "resource.setrlimit(resource.RLIMIT_CPU, (int(used) + 10, -1));"
        f"{_SEARCHES[name]}"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
