import sys
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey import errors
from hushkey.errors import (
    Cancelled,
    ConfigError,
    HushkeyError,
    InteractionUnavailable,
    Permanent,
    StoreError,
    Transient,
    UiRequired,
    plain,
    visible,
)
from kit.core import ANY
from kit.unseen import is_unseen, unseen


def is_harmless(line: str) -> bool:
    line.encode()  # a lone surrogate would break the writer
    return not unseen(line, layout="")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain words", "plain words"),
        ("two\nlines\r\n", "two lines"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("c1\x9b31m", "c1 31m"),
        ("a\u2028b\u2029c", "a b c"),
        ("exe\u202egpj.txt", "exegpj.txt"),
        ("left\u200eright\u200f\u061c", "leftright"),
        ("  many   spaces ", "many spaces"),
        ("no\u00adne \u200bof\ufeff \U000e0041these", "none of these"),
        ("fil\u3164ler\u115f\u2800 \u2764\ufe0f", "filler \u2764"),
        ("a\u00a0b\u3000c", "a b c"),
        ("app\ue000\U000f0000le", "apple"),
        ("na\u00efve \u65e5\u672c", "na\u00efve \u65e5\u672c"),
        ("bad \udcff byte", "bad ? byte"),
        (None, "None"),
        (b"\n", "b'\\n'"),
        ("", ""),
    ],
)
def test_plain_is_one_harmless_line(text: object, line: str) -> None:
    assert plain(text) == line


def test_visible_leaves_no_character_that_shows_nothing() -> None:
    # Planes 4 to 13 have no characters, the last two only private ones: their edges.
    edges = [*range(0x40000, 0x40100), *range(0x10FF00, sys.maxunicode + 1)]
    shown = {
        n: visible(chr(n)) for n in [*range(0x40000), *range(0xE0000, 0xE1000), *edges]
    }

    assert {n for n, text in shown.items() if unseen(text, layout="")} == set()
    # and takes nothing that shows
    lost = {n for n, text in shown.items() if text != chr(n)}
    kept = {n for n in lost if not is_unseen(chr(n)) and not chr(n).isspace()}
    assert kept - {0x13441, 0x13442} == set()  # blanks, unassigned before Unicode 15


def test_visible_keeps_columns() -> None:
    assert visible("a  b\tc\nd") == "a  b c d"


def test_plain_cuts_long_text() -> None:
    assert plain("x" * 1000, 10) == "xxxxxxx..."
    assert plain("x" * 10, 10) == "x" * 10


@given(ANY, st.integers(3, 50))
def test_plain_of_any_text_is_harmless_and_short(text: str, limit: int) -> None:
    line = plain(text, limit)

    assert is_harmless(line)
    assert len(line) <= limit


def test_line_holds_everything_in_order() -> None:
    error = Transient(
        "the server is busy",
        hint="try again",
        code="temporarily_unavailable",
        correlation="c-1",
        host="git.example.com",
        identity="corp",
        account="me@example.com",
    )

    assert error.line() == (
        "the server is busy (host git.example.com, identity corp, "
        "account me@example.com, error temporarily_unavailable, "
        "correlation id c-1); try again"
    )


def test_line_of_bare_error_is_what_happened() -> None:
    assert HushkeyError("it broke").line() == "it broke"


@given(ANY, ANY, ANY, ANY)
def test_line_of_any_text_is_harmless_and_bounded(
    what: str, hint: str, code: str, host: str
) -> None:
    line = HushkeyError(what, hint=hint, code=code, host=host).line()

    assert is_harmless(line)
    assert len(line) <= 902


def test_line_of_endless_text_is_bounded() -> None:
    error = HushkeyError("w" * 10**6, hint="h" * 10**6, code="c" * 10**6)

    assert len(error.line()) == 902


def test_str_and_traceback_show_the_line_only() -> None:
    error = Permanent("refused\x1b[2J", hint="look\nhere")

    assert str(error) == "refused [2J; look here"
    assert "\x1b" not in "".join(traceback.format_exception_only(error))


def test_about_fills_in_only_what_is_missing() -> None:
    error = UiRequired("sign in", host="a.example")

    same = error.about(host="b.example", identity="corp", account="me")

    assert same is error
    assert (error.host, error.identity, error.account) == ("a.example", "corp", "me")


def test_retry_after_is_kept() -> None:
    assert Transient("busy", retry_after=7).retry_after == 7
    assert Transient("busy").retry_after is None


@pytest.mark.parametrize(
    ("kind", "parent"),
    [
        (UiRequired, HushkeyError),
        (InteractionUnavailable, UiRequired),
        (Cancelled, HushkeyError),
        (Transient, HushkeyError),
        (Permanent, HushkeyError),
        (ConfigError, Permanent),
        (StoreError, HushkeyError),
    ],
)
def test_tree_is_as_drawn(kind: type[HushkeyError], parent: type[HushkeyError]) -> None:
    assert kind.__base__ is parent
    assert errors.__doc__ is not None
    assert kind.__name__ in errors.__doc__


@pytest.mark.parametrize("kind", [Cancelled, Transient, Permanent, StoreError])
def test_only_ui_required_can_lead_to_a_browser(kind: type[HushkeyError]) -> None:
    assert not issubclass(kind, UiRequired)


def test_store_error_says_which_way() -> None:
    error = StoreError("locked", "the keyring is locked", hint="unlock it")

    assert error.reason == "locked"
    assert error.line() == "the keyring is locked; unlock it"
