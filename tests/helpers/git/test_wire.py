import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey_helpers import REQUEST_BYTES
from hushkey_helpers.git import wire
from hushkey_helpers.git.wire import (
    LINE_BYTES,
    Malformed,
    Message,
    parse,
    render,
)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    with suppress(Malformed):
        assert isinstance(parse(data), Message)


_KEYS = st.sampled_from(["protocol", "host", "path", "x", "wwwauth[]", "state[]"])
_VALUES = st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]))


@given(st.lists(st.tuples(_KEYS, _VALUES)))
def test_pairs_come_back_or_are_malformed(pairs: list[tuple[str, str]]) -> None:
    data = "".join(f"{key}={value}\n" for key, value in pairs).encode()
    singles = [(k, v) for k, v in pairs if not k.endswith("[]")]
    if len(set(singles)) > len(dict(singles)):
        with pytest.raises(Malformed):
            parse(data)
    else:
        assert parse(data).values == dict(singles)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"host=a\rhost=b\n", id="lone CR, CVE-2024-50338"),
        pytest.param(b"host=a\r\n", id="CR LF"),
        pytest.param(b"host=a\0b\n", id="NUL"),
        pytest.param(b"host=a\nhost=b\n", id="second host, CVE-2020-5260"),
        pytest.param(b"protocol=https\nprotocol=http\n", id="second protocol"),
        pytest.param(b"host\n", id="no ="),
        pytest.param(b"=value\n", id="no key"),
        pytest.param(b"x=" + b"y" * LINE_BYTES + b"\n", id="long line"),
        pytest.param(b"a=b\n" * (REQUEST_BYTES // 4 + 1), id="long request"),
    ],
)
def test_malformed_request_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse(data)


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (b"", {}),
        (b"\n", {}),
        (b"host=a", {"host": "a"}),
        (b"host=a\n\nhost=b\n", {"host": "a"}),
        (b"host=\n", {"host": ""}),
        (b"host=a=b=c\n", {"host": "a=b=c"}),
        (b"host=a\nhost=a\n", {"host": "a"}),
        (b"path= a b \n", {"path": " a b "}),
        (b"path=\xff\n", {"path": "\udcff"}),
        ("path=a\u2028b\x85c\x0bd\n".encode(), {"path": "a\u2028b\x85c\x0bd"}),
        (b"x=" + b"y" * (LINE_BYTES - 2) + b"\n", {"x": "y" * (LINE_BYTES - 2)}),
    ],
)
def test_request_is_read_as_git_writes_it(data: bytes, values: dict[str, str]) -> None:
    assert parse(data).values == values


def test_lists_keep_their_order_and_an_empty_value_empties_them() -> None:
    message = parse(b"state[]=a\nstate[]=b\nwwwauth[]=x\nwwwauth[]=\nwwwauth[]=y\n")

    assert message.lists == {"state": ["a", "b"], "wwwauth": ["y"]}


@pytest.mark.parametrize("sent", [b"host=a\n\nrest", b"\n", b"host=a\n\n"])
def test_read_stops_at_an_empty_line(sent: bytes) -> None:
    read, write = os.pipe()
    os.write(write, sent)
    with open(read, "rb"), open(write, "wb"):  # nobody closes: git may wait, too
        assert wire.read(read) == sent


@pytest.mark.parametrize("sent", [b"", b"host=a", b"host=a\n"])
def test_read_stops_at_the_end(tmp_path: Path, sent: bytes) -> None:
    path = tmp_path / "request"
    path.write_bytes(sent)
    with path.open("rb") as file:
        assert wire.read(file.fileno()) == sent


def test_read_stops_beyond_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "request"
    path.write_bytes(b"a=b\n" * REQUEST_BYTES)
    with path.open("rb") as file:
        data = wire.read(file.fileno())

    assert REQUEST_BYTES < len(data) <= REQUEST_BYTES + 65536


# -- writing ---------------------------------------------------------------------


@given(st.lists(st.tuples(_KEYS.filter(lambda k: "[]" not in k), _VALUES)))
def test_what_is_written_is_read_back(pairs: list[tuple[str, str]]) -> None:
    values = dict(pairs)

    assert parse(render([f"{k}={v}" for k, v in values.items()])).values == values


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\nmore=1\r\n"])
def test_caller_that_ends_every_line_with_crlf_is_understood(end: bytes) -> None:
    found = parse(b"protocol=https\r\nhost=a\r\nwwwauth[]=Basic\r\n" + end)

    assert (found.values, found.lists) == (
        {"protocol": "https", "host": "a"},
        {"wwwauth": ["Basic"]},
    )


@pytest.mark.parametrize(
    "data",
    [
        b"protocol=https\r\nhost=a\n\n",
        b"protocol=https\nhost=a\r\n\r\n",
        b"protocol=https\r\nhost=a\rb\r\n\r\n",
        b"protocol=https\r\nhost=a\r\r\n\r\n",
        b"protocol=https\r\nhost=a\r\nx=b\n\r\n",
    ],
)
def test_carriage_return_of_one_line_alone_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse(data)


@pytest.mark.parametrize("value", ["a\nhost=b", "a\rb", "a\0b"])
def test_value_that_breaks_the_format_is_not_written(value: str) -> None:
    with pytest.raises(Malformed):
        render([f"password={value}"])
