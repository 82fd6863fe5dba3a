import pytest

from hushkey_install import screen

TITLES = ("host", "account")
ROWS = [("git.test", "me"), ("a.very.long.host.name.example.com", "me@example.com")]


def test_columns_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")

    lines = screen.table(TITLES, ROWS).splitlines()

    assert [line.index("m") for line in lines[1:2]] == [35]
    assert len(lines) == 3
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize("columns", ["40", "1", "0", "-3", "wide"])
def test_blocks_where_columns_do_not_fit(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    text = screen.table(TITLES, [*ROWS, ("x" * 300, "y")])

    assert text.startswith("git.test\n  account: me\n")


def test_same_name_is_written_once() -> None:
    assert screen.facts([("git", "a"), ("git", "b"), ("next", "c")]) == (
        "git:       a\n           b\nnext:      c"
    )


def test_no_colours_but_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert screen.styled("x", "red") == "x"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")

    assert screen.styled("x", "red") != "x"
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            assert screen.styled("x", "red") == "x"
