"""The forward's protocol: what is written is read again, and nothing else is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.model import Request
from hushkey.net import forwarding
from hushkey.net.forwarding import Garbage, Question

#: whatever a value may be: any bytes but control characters
VALUES = (
    st.binary(max_size=60)
    .map(lambda data: bytes(c for c in data if c > 31 and c != 127))
    .map(lambda data: data.decode("utf-8", "surrogateescape"))
)
HOSTS = VALUES.filter(bool)
QUESTIONS = st.builds(
    Question,
    VALUES,
    st.builds(Request, st.sampled_from(["https", "http", "x"]), HOSTS, VALUES, VALUES),
    VALUES,
    VALUES,
    st.booleans(),
)
GET = forwarding.message("get", tool="git", protocol="https", host="git.test")


@given(QUESTIONS)
def test_question_is_read_as_it_was_written(asked: Question) -> None:
    assert forwarding.question(asked.bytes()) == asked


@given(st.binary(max_size=300))
def test_whatever_arrives_is_a_question_or_garbage(data: bytes) -> None:
    for sent in (data, b"hushkey-forward 2 get\n" + data, GET[:-1] + data):
        try:
            found = forwarding.question(sent)
        except Garbage as error:
            assert str(error).isprintable()
            assert len(str(error)) < 120
        else:
            assert found.request.host
            assert found.request.protocol


@given(QUESTIONS, st.data())
def test_piece_of_a_question_is_not_whole(asked: Question, data: st.DataObject) -> None:
    whole = asked.bytes()
    piece = whole[: data.draw(st.integers(0, len(whole) - 1))]

    assert not forwarding.is_whole(piece, forwarding.QUESTION_BYTES)
    with pytest.raises(Garbage):
        forwarding.question(piece)


def test_refusal_names_a_token_by_its_hash() -> None:
    name = forwarding.named("s3cret")
    asked = Question("git", Request("https", "git.test"), refused=name)

    assert forwarding.question(asked.bytes()) == asked
    assert b"s3cret" not in asked.bytes()
    head = b"hushkey-forward 2 rejected\nprotocol=https\nhost=git.test"
    for line in ("", "refused=", f"person=1\nrefused={name}", "refused=" + "../" * 10):
        with pytest.raises(Garbage):
            forwarding.question(head + b"\n" + line.encode() + b"\n\n")
    with pytest.raises(Garbage):
        forwarding.question(GET.replace(b"\n\n", f"\nrefused={name}\n\n".encode()))


@pytest.mark.parametrize("verb", ["store", "erase", "config", "refresh", "list", "GET"])
def test_nothing_but_get_can_be_asked(verb: str) -> None:
    with pytest.raises(Garbage, match="nothing but `get`"):
        forwarding.question(GET.replace(b"2 get", b"2 " + verb.encode()))


@pytest.mark.parametrize("kind", ["given", "person", "unknown", "error", "working"])
def test_answer_is_no_question(kind: str) -> None:
    with pytest.raises(Garbage, match="nothing but `get`"):
        forwarding.question(forwarding.message(kind))


@pytest.mark.parametrize("number", [b"0", b"1", b"20", b"02", b"", b"2.0", b"\xff"])
def test_another_version_is_told_with_ours(number: bytes) -> None:
    theirs = f"version {number.decode()} of" if number.isdigit() else "another version"
    with pytest.raises(forwarding.OtherVersion, match=f"{theirs}.* version 2:"):
        forwarding.question(GET.replace(b" 2 ", b" " + number + b" "))


@pytest.mark.parametrize(
    "line",
    [
        b"host=other.test",  # a second one
        b"config=1",
        b"token=x",
        b"no equals sign",
        b"path=a\rb",
        b"path=a\0b",
        b"path=\x7f",
        b"=x",
        b" host=x",
    ],
)
def test_line_that_is_none_of_the_protocol_s_is_refused(line: bytes) -> None:
    with pytest.raises(Garbage):
        forwarding.question(GET[:-1] + line + b"\n\n")


def test_question_without_a_host_or_protocol_is_refused() -> None:
    for name in (b"host=git.test\n", b"protocol=https\n"):
        with pytest.raises(Garbage, match="names no host"):
            forwarding.question(GET.replace(name, b""))


def test_flood_is_refused_before_its_end() -> None:
    with pytest.raises(Garbage, match="its own protocol"):
        forwarding.is_whole(b"GET / HTTP/1.1", forwarding.QUESTION_BYTES)
    with pytest.raises(Garbage, match="too long"):
        forwarding.is_whole(GET[:-1] + b"x" * 20_000, forwarding.QUESTION_BYTES)
    with pytest.raises(Garbage, match="more than one"):
        forwarding.is_whole(GET + GET, forwarding.QUESTION_BYTES)


@pytest.mark.parametrize("value", ["a\nhost=b", "a\r", "\0", "a\x1b[2J", "\x7f"])
def test_control_character_is_never_written(value: str) -> None:
    with pytest.raises(Garbage, match="control character in path"):
        Question("git", Request("https", "git.test", value)).bytes()
