"""What `hushkey forward` and `hushkey log` take, and what they say of nothing."""

import pytest
from click.testing import CliRunner

from hushkey_install.cli import main
from kit.oauth import Machine


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--socket PATH"),
        (["ssh"], "USER@SERVER"),
        (["ssh", "-f", "far"], "-f cannot go with a forward"),
        (["--only", "http://git.test", "ssh", "far"], "https only"),
        (["--only", "git.test/../x", "ssh", "far"], "path prefix"),
        (["--for", "soon", "ssh", "far"], "not a duration"),
        (["--socket", "/x/y", "ssh", "far"], "goes without ssh"),
    ],
)
def test_wrong_words_are_wrong_usage(
    machine: Machine, words: list[str], said: str
) -> None:
    result = CliRunner().invoke(main, ["forward", *words], env=machine.environ)

    assert result.exit_code == 2
    assert said in result.stderr


def test_relative_socket_is_refused(machine: Machine) -> None:
    words = ["forward", "--socket", "run/upstream"]
    result = CliRunner().invoke(main, words, env=machine.environ)

    assert result.exit_code == 1
    assert "not an absolute path" in result.stderr


def test_nothing_to_show_is_said(machine: Machine) -> None:
    for words in (["forward", "status"], ["log"], ["log", "--json"]):
        result = CliRunner().invoke(main, words, env=machine.environ)
        assert result.exit_code == 0, result.output
        assert result.stdout.strip() in (
            "no forward runs; to start one: hushkey forward ssh USER@SERVER",
            "nobody has asked by hushkey forward; for this machine's own tools: "
            "hushkey config set audit true",
            '{\n  "schema": 1,\n  "lines": []\n}',
        )


def test_moment_that_no_calendar_has_is_left_out(machine: Machine) -> None:
    line = '{"time": 1000000000000000000000000, "host": "git.test"}\n'
    machine.data.mkdir(parents=True, exist_ok=True)
    (machine.data / "audit.log").write_text(line)

    result = CliRunner().invoke(main, ["log"], env=machine.environ)

    assert result.exit_code == 0, result.output
    assert "git.test" in result.stdout
