import os
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.errors import Cancelled
from hushkey.signin.paste import TOO_LONG, PasteReader, parse_redirect

OURS = "http://127.0.0.1:5000/cb"
WORDS = st.text(st.characters(codec="utf-8"), max_size=30)


@given(WORDS, st.text(min_size=1, max_size=30).filter(str.isascii))
def test_our_redirect_gives_back_what_was_sent(code: str, state: str) -> None:
    url = f"{OURS}?{urlencode({'code': code, 'state': state})}"

    assert parse_redirect(f"  {url} ", OURS, state) == {"code": code, "state": state}


@given(st.text())
def test_no_text_is_taken_without_our_redirect_in_front(text: str) -> None:
    answer = parse_redirect(text, OURS, "s")

    assert answer is None or text.strip().startswith(OURS)


@given(st.text(max_size=8))
def test_no_other_state_is_taken(state: str) -> None:
    answer = parse_redirect(f"{OURS}?code=c&state={quote(state)}", OURS, "right")

    assert answer is None or state == "right"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://[",
        "code",
        "?code=c&state=s",
        OURS,
        f"{OURS}?code=c",
        f"{OURS}?code=c&state=",
        f"{OURS}?code=c&state=s&state=s",
        f"{OURS}?code=c&code=d&state=s",
        f"{OURS}/?code=c&state=s",
        f"{OURS}#code=c&state=s",
        "https://127.0.0.1:5000/cb?code=c&state=s",
        "http://127.0.0.1:5001/cb?code=c&state=s",
        "http://127.0.0.1/cb?code=c&state=s",
        "http://localhost:5000/cb?code=c&state=s",
        "http://127.0.0.1:5000/CB?code=c&state=s",
        "http://me@127.0.0.1:5000/cb?code=c&state=s",
        "http://127.0.0.1:5000@evil.example/cb?code=c&state=s",
        f"{OURS}?code=c&state=s {OURS}?code=d&state=s",
        f"{OURS}?code=c&state=s\n",
        f"{OURS}?code=c\n&state=s",
        f"{OURS}?code={'c' * 70_000}&state=s",
    ],
)
def test_what_is_nearly_our_redirect_is_not_taken(text: str) -> None:
    allowed = {"code": "c", "state": "s"} if text.endswith("s\n") else None

    assert parse_redirect(text, OURS, "s") == allowed


def test_nothing_is_taken_for_an_empty_state() -> None:
    assert parse_redirect(f"{OURS}?code=c&state=", OURS, "") is None


def test_slash_that_a_browser_adds_is_no_difference() -> None:
    url = "http://localhost:5000/?code=c&state=s"

    assert parse_redirect(url, "http://localhost:5000", "s")
    assert parse_redirect(
        url.replace("localhost", "LOCALHOST"), "http://localhost:5000/", "s"
    )


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        (b"abc", []),
        (b"abc\r", ["abc"]),
        (b"abc\ndef\n", ["abc", "def"]),
        (b"\r", [""]),
        (b"abx\x7fc\r", ["abc"]),
        (b"\x08\x08a\r", ["a"]),
        (b"wrong\x15right\r", ["right"]),
        (b"\x1b[200~http://a\r\n?b\x1b[201~\r", ["http://a?b"]),
        (b"a\x1b[Ab\x1bOPc\x1b[1;5Cd\x1bxe\r", ["abcde"]),
        (b"a\x04\r", ["a\x04"]),
        (b"\xff\r", ["\ufffd"]),
    ],
)
def test_reader_puts_lines_together_however_they_are_cut(
    typed: bytes, lines: list[str]
) -> None:
    whole, pieces = PasteReader(), PasteReader()

    assert whole.feed(typed) == lines
    assert [
        line for n in range(len(typed)) for line in pieces.feed(typed[n : n + 1])
    ] == lines


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_reader_survives_any_bytes(parts: list[bytes]) -> None:
    reader = PasteReader()
    try:
        for part in parts:
            for line in reader.feed(part):
                assert "\r" not in line
    except Cancelled as error:
        assert error.what == "cancelled with Ctrl-D"


def test_reader_hands_nothing_on_of_a_line_over_the_limit() -> None:
    reader = PasteReader()

    assert reader.feed(b"x" * 70_000 + b"\r" + b"ok\r") == [TOO_LONG, "ok"]
    assert parse_redirect(TOO_LONG, OURS, "s") is None


def test_reader_takes_ctrl_d_as_cancel() -> None:
    with pytest.raises(Cancelled):
        PasteReader().feed(b"\x04")


def test_reader_does_not_wait_and_notices_a_hang_up() -> None:
    read, write = os.pipe()
    try:
        reader = PasteReader()
        assert reader.read(read) == []
        os.write(write, b"one\r")
        assert reader.read(read) == ["one"]
    finally:
        os.close(write)
    with pytest.raises(Cancelled, match="closed"):
        reader.read(read)
    os.close(read)
