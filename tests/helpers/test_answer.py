"""One mapping of errors: ours are shown, others by their type alone, both traced."""

import pytest

from hushkey import trace
from hushkey.errors import HushkeyError, StoreError
from hushkey_helpers.answer import explained, failed


class Heard:
    """A sink that keeps the errors it was told."""

    def __init__(self) -> None:
        self.errors: list[object] = []

    def event(self, step: str, **facts: object) -> None:
        assert step == "failed"
        self.errors.append(facts["error"])


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    found = Heard()
    monkeypatch.setattr(trace, "_sink", found)
    return found


def test_error_of_ours_is_itself(heard: Heard) -> None:
    error = StoreError("denied", "no entry", hint="look again")

    assert explained(error) is error
    assert heard.errors == [error]


@pytest.mark.parametrize(
    "error", [ValueError("token=s3cret"), OSError(2, "s3cret"), KeyError("s3cret")]
)
def test_other_error_is_its_type(heard: Heard, error: Exception) -> None:
    found = explained(error)

    assert type(found) is HushkeyError
    assert found.line() == (
        f"internal error ({type(error).__name__}); please report it"
    )
    assert explained(error, more="").line() == (
        f"internal error ({type(error).__name__})"
    )
    assert heard.errors == [error, error]


def test_failure_is_one_line_and_1(heard: Heard) -> None:
    answer = failed(StoreError("denied", "no\nentry"))

    assert (answer.out, answer.lines, answer.code) == (b"", ("no entry",), 1)
    assert len(heard.errors) == 1
