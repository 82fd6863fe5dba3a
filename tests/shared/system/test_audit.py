"""Who was given a token for what: lines that hold no more than they may."""

import json
import os
from pathlib import Path

import pytest

from hushkey.system import audit, tracefile


def test_line_is_read_as_it_was_written(home: Path) -> None:
    audit.record(
        os.environ, forward="ab", to="me@far", host="git.test", outcome="given"
    )
    audit.record(os.environ, outcome="refused", expires=None, why="")

    first, second = audit.lines(os.environ)

    assert first["to"] == "me@far"
    assert first["outcome"] == "given"
    assert set(second) == {"time", "outcome"}
    assert os.stat(audit.path(os.environ)).st_mode & 0o777 == 0o600


def test_what_another_machine_says_is_one_harmless_line(home: Path) -> None:
    audit.record(
        os.environ,
        machine='far"}\n{"time": 1, "outcome": "given"}\x1b[2J\u202e',
        command="x" * 100_000,
        host="git.test\udcff",
    )

    ((line),) = Path(audit.path(os.environ)).read_bytes().splitlines()
    (facts,) = audit.lines(os.environ)

    assert len(line) < 1000
    assert facts["machine"].isprintable()
    assert facts["time"] > 1


def test_nothing_but_the_known_facts_gets_in(home: Path) -> None:
    audit.record(os.environ, outcome="given", token="s3cret", secret="s3cret")

    assert b"s3cret" not in Path(audit.path(os.environ)).read_bytes()


def test_it_grows_to_a_limit_and_one_older_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracefile, "MAX_BYTES", 500)
    for number in range(40):
        audit.record(os.environ, outcome=f"given {number}")

    found = audit.lines(os.environ)

    assert found[-1]["outcome"] == "given 39"
    assert 5 < len(found) < 40
    names = {p.name for p in Path(audit.path(os.environ)).parent.iterdir()}
    assert names == {"audit.log", "audit.log.1"}


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"time": "now"}', b'{"outcome": 1}', b"\xff" * 9]
)
def test_what_is_no_line_of_ours_is_passed_over(home: Path, line: bytes) -> None:
    audit.record(os.environ, outcome="given")
    with open(audit.path(os.environ), "ab") as file:
        file.write(line + b"\n" + json.dumps({"time": 5, "x": 1}).encode() + b"\n")

    assert [set(facts) for facts in audit.lines(os.environ)] == [
        {"time", "outcome"},
        {"time"},
    ]
