import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hushkey_install.tools import jsontext
from kit.core import ANY

KEY = ("credHelpers", "r.test")
DOCKERS = """{
\t"auths": {
\t\t"https://index.docker.io/v1/": {
\t\t\t"auth": "dTpw"
\t\t}
\t},
\t"credsStore": "desktop",
\t"HttpHeaders": {
\t\t"User-Agent": "Docker-Client/19 \\u003clinux\\u003e"
\t}
}"""


def test_new_object_goes_to_the_end_in_the_files_own_style() -> None:
    after = jsontext.put(DOCKERS, KEY, "hushkey")

    added = ',\n\t"credHelpers": {\n\t\t"r.test": "hushkey"\n\t}\n}'
    assert after == DOCKERS[:-2] + added


def test_member_of_an_existing_object_is_one_line_more() -> None:
    before = '{\n  "credHelpers": {\n    "a.test": "x"\n  },\n  "z": 1.50\n}\n'

    assert jsontext.put(before, KEY, "hushkey") == (
        '{\n  "credHelpers": {\n    "a.test": "x",\n    "r.test": "hushkey"\n  },\n'
        '  "z": 1.50\n}\n'
    )


def test_value_is_replaced_in_its_place() -> None:
    before = '{"credHelpers" : {"r.test" : "ecr-login", "b": "c"}}'

    assert jsontext.put(before, KEY, "hushkey") == (
        '{"credHelpers" : {"r.test" : "hushkey", "b": "c"}}'
    )


@pytest.mark.parametrize("before", ["", " \n", "{}", "{ }", "{\n}\n"])
def test_empty_file_becomes_one_of_dockers_own(before: str) -> None:
    after = jsontext.put(before, KEY, "hushkey")

    assert json.loads(after) == {"credHelpers": {"r.test": "hushkey"}}
    assert after.startswith('{\n\t"credHelpers": {\n\t\t"r.test": "hushkey"\n\t}\n}')


def test_line_ends_of_windows_stay() -> None:
    before = DOCKERS.replace("\n", "\r\n")

    after = jsontext.put(before, KEY, "hushkey")

    assert "\n" not in after.replace("\r\n", "")


def test_compact_text_stays_compact() -> None:
    assert jsontext.put('{"a":1}', KEY, "h") == ('{"a":1,"credHelpers":{"r.test":"h"}}')


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "7",
        "null",
        '"x"',
        "{",
        "{'a': 1}",
        '{"a":1,}',
        '{"a":1}{',
        '{"a":1,"a":2}',
        '{"x":{"a":1,"a":2}}',
        "// c\n{}",
        "[" * 100_000,
        "\ufeff{}",
    ],
)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        jsontext.put(text, KEY, "h")
    with pytest.raises(ValueError, match=r".+"):
        jsontext.take(text, KEY)


def test_null_is_an_object_that_is_not_there() -> None:
    before = '{\n  "credHelpers": null,\n  "z": 1\n}'

    assert jsontext.put(before, KEY, "hushkey") == (
        '{\n  "credHelpers": {\n    "r.test": "hushkey"\n  },\n  "z": 1\n}'
    )


def test_something_else_in_the_way_is_refused() -> None:
    with pytest.raises(ValueError, match="credHelpers is not an object"):
        jsontext.put('{"credHelpers": "x"}', KEY, "h")


@pytest.mark.parametrize("path", [KEY, ("credHelpers",), ("auths", "x"), ("a", "b")])
def test_taking_what_is_not_there_changes_nothing(path: tuple[str, ...]) -> None:
    for text in (DOCKERS, "{}", '{"a": "b"}'):
        assert jsontext.take(text, path) == text


def test_any_member_can_be_taken_out() -> None:
    text = '{"a": {"x": 1, "y": 2, "z": 3}}'

    assert jsontext.take(text, ("a", "x")) == '{"a": {"y": 2, "z": 3}}'
    assert jsontext.take(text, ("a", "y")) == '{"a": {"x": 1, "z": 3}}'
    assert jsontext.take(text, ("a", "z")) == '{"a": {"x": 1, "y": 2}}'
    assert jsontext.take(text, ("a",)) == "{}"


names = st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(names, values, max_size=4)
indents = st.sampled_from([None, 0, 1, 2, 4, "\t", "   "])


@given(objects, indents, st.booleans(), names, names)
def test_putting_in_and_taking_out_gives_the_same_text(
    content: dict[str, Any], indent: Any, is_ascii: bool, outer: str, inner: str
) -> None:
    text = json.dumps(content, indent=indent, ensure_ascii=is_ascii)
    inside = content.get(outer, {})
    assume(isinstance(inside, dict) and inner not in inside)

    after = jsontext.put(text, (outer, inner), "hushkey")

    expected = {**content, outer: {**inside, inner: "hushkey"}}
    assert json.loads(after) == expected
    assert list(json.loads(after)) == list(expected)
    back = jsontext.take(after, (outer, inner))
    if outer not in content:
        back = jsontext.take(back, (outer,))
    assert back == text


@given(ANY)
def test_any_text_is_refused_or_edited(text: str) -> None:
    try:
        after = jsontext.put(text, KEY, "h")
    except ValueError:
        return
    assert jsontext.value(after, *KEY) == "h"
