import os
import re
import shlex
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from hushkey import trace
from hushkey.errors import HushkeyError, Permanent, StoreError, UiRequired
from hushkey.model import HostRule, Identity
from hushkey.system import tracefile
from hushkey.tokenrequest import TokenRequest
from kit.core import ANY

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z pid=\d+ tool=\S+ step=\S+"
    r"( (verb|host|path|rule|status|outcome|code|suberror|correlation|took)=\S+)*"
    r" ms=\d+\n"
)
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture(autouse=True)
def no_trace() -> Iterator[None]:
    yield
    trace._sink = None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file that this process notes its steps in."""
    path = tmp_path / "log"
    assert tracefile.begin("git", {"HUSHKEY_LOG": str(path)}) == ""
    return path


def facts(line: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(line)[1:])


def noted(file: Path) -> list[dict[str, str]]:
    lines = file.read_text().splitlines(keepends=True)
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    return [facts(line) for line in lines]


def rule(pattern: str = "*.test") -> HostRule:
    return HostRule(pattern, Identity("corp", "oidc"))


# -- what a line says --------------------------------------------------------------


def test_step_without_a_log_does_nothing() -> None:
    trace.event("asked", host="git.test")

    assert trace._sink is None


def test_step_says_who_where_and_how_long(file: Path) -> None:
    wanted = TokenRequest(rule(), "git.test", "", time.time(), 300)

    trace.event("cached", wanted, began=time.monotonic() - 1.5)

    (line,) = noted(file)
    assert line["pid"] == str(os.getpid())
    assert (line["tool"], line["step"]) == ("git", "cached")
    assert (line["host"], line["rule"]) == ("git.test", "*.test")
    assert 1500 <= int(line["took"]) < 3000
    assert int(line["ms"]) < 3000


def test_error_is_its_class_and_codes_without_its_text(file: Path) -> None:
    error = UiRequired(
        "canary text",
        hint="canary hint",
        code="invalid_grant",
        suberror="bad_token",
        correlation="0a1b-2c3d",
        account="canary@example.com",
    )

    trace.event("failed", error=error)
    trace.event("failed", error=StoreError("other-key", "canary"))
    trace.event("failed", error=KeyError("canary"))

    first, second, third = noted(file)
    assert first["outcome"] == "UiRequired"
    assert (first["code"], first["suberror"]) == ("invalid_grant", "bad_token")
    assert first["correlation"] == "0a1b-2c3d"
    assert (second["outcome"], second["code"]) == ("StoreError", "other-key")
    assert third["outcome"] == "KeyError"
    assert "canary" not in file.read_text()


@pytest.mark.parametrize(
    "code", ["eyJhbGciOi", "0.AXoA-rt_", "a" * 41, "two words", "x\ny", "_a", "s3cret"]
)
def test_code_that_is_no_word_is_not_repeated(file: Path, code: str) -> None:
    """A server may put anything there, what it was sent included."""
    trace.event("failed", error=Permanent("no", code=code, suberror=code))

    (line,) = noted(file)
    assert (line["code"], line["suberror"]) == ("other", "other")


@pytest.mark.parametrize("given", ["two words", "a" * 81, "a\x1b[2J", "a=b", ""])
def test_correlation_id_of_an_odd_form_is_left_out(file: Path, given: str) -> None:
    trace.event("http", correlation=given)

    assert "correlation" not in noted(file)[0]


@pytest.mark.parametrize(
    "url",
    [
        "https://me:canary@id.test:8443/token?code=canary#canary",
        "https://id.test:8443/token#canary?canary",
    ],
)
def test_url_is_noted_without_user_query_and_fragment(file: Path, url: str) -> None:
    trace.event("http", url=url, verb="POST", status=200)

    (line,) = noted(file)
    assert (line["host"], line["path"]) == ("id.test:8443", "/token")
    assert (line["verb"], line["status"]) == ("POST", "200")
    assert "canary" not in file.read_text()


SECRET = "c4nary-" + "s" * 20


@given(where=ANY, other=ANY, text=ANY)
def test_no_text_breaks_a_line_or_lets_a_secret_in(
    where: str, other: str, text: str
) -> None:
    lines: list[bytes] = []
    trace._sink = tracefile.Trace("git", lines.append)
    error = HushkeyError(
        text + SECRET, hint=SECRET, code=text + SECRET, suberror=SECRET + text
    )
    trace.event("failed", host=where, verb=other, error=error)
    trace.event("http", url=f"https://u:{SECRET}@{where}/{other}?q={SECRET}")
    trace.event("asked", rule=rule(text), host=f"{text}:{SECRET}@{where}")
    trace.event("asked", host=f"{text * 500}{SECRET}@{where}")
    trace.event("http", correlation=f"{SECRET} {text}")

    for line in lines:
        assert LINE.fullmatch(line.decode("ascii"))
        assert len(line) < 2000
        assert SECRET.encode() not in line


# -- which file --------------------------------------------------------------------


def test_debug_writes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    assert tracefile.begin("git", {"HUSHKEY_LOG": "debug"}) == ""

    trace.event("asked", host="git.test")

    assert LINE.fullmatch(capfd.readouterr().err)


@pytest.mark.parametrize("name", ["log", "./log", "1", "~/log", "DEBUG"])
def test_relative_path_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    line = tracefile.begin("git", {"HUSHKEY_LOG": name})

    assert line == "HUSHKEY_LOG must be `debug` or an absolute path; nothing is logged"
    trace.event("asked")
    assert list(tmp_path.iterdir()) == []


def test_file_and_new_folder_are_the_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "log"

    assert tracefile.begin("git", {"HUSHKEY_LOG": str(path)}) == ""

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    tracefile.begin("git", {"HUSHKEY_LOG": str(tmp_path / "log")})

    assert tmp_path.stat().st_mode & 0o777 == 0o755


def _link(path: Path) -> None:
    path.with_name("target").write_text("")
    path.symlink_to(path.with_name("target"))


def _dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nobody"))


def _hard_link(path: Path) -> None:
    path.with_name("target").write_text("")
    os.link(path.with_name("target"), path)


@pytest.mark.parametrize(
    "make", [_link, _dangling, _hard_link, os.mkfifo, Path.mkdir, None]
)
def test_what_is_no_plain_file_is_refused(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "log" if make else Path("/dev/null")
    if make:
        make(path)
    before = sorted(tmp_path.iterdir())

    line = tracefile.begin("git", {"HUSHKEY_LOG": str(path)})

    assert line.startswith(f"HUSHKEY_LOG: {path} is not a plain file")
    assert line.endswith("nothing is logged")
    trace.event("asked")
    assert sorted(tmp_path.iterdir()) == before
    assert all(p.stat().st_size == 0 for p in before if p.is_file())


def test_file_that_became_a_link_is_not_followed(file: Path) -> None:
    file.unlink()
    _link(file)

    trace.event("asked")

    assert file.with_name("target").read_text() == ""


@AS_ROOT
@pytest.mark.parametrize("whose", ["file", "folder"])
def test_what_belongs_to_somebody_else_is_refused(tmp_path: Path, whose: str) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    path = folder / "log"
    if whose == "file":
        path.write_text("")
    os.chown(path if whose == "file" else folder, 12345, 12345)

    line = tracefile.begin("git", {"HUSHKEY_LOG": str(path)})

    assert "belongs to another user" in line
    trace.event("asked")
    assert not path.exists() or path.read_text() == ""


@pytest.mark.parametrize("path", ["/proc/nobody/log", "/proc/self/log"])
def test_what_cannot_be_written_is_nobody_s_business(path: str) -> None:
    assert tracefile.begin("git", {"HUSHKEY_LOG": path}) == ""

    trace.event("asked")


def test_full_disk_changes_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)

    trace.event("asked")


# -- rotation ----------------------------------------------------------------------


def test_full_file_becomes_the_older_one(file: Path) -> None:
    file.write_bytes(b"x" * tracefile.MAX_BYTES)

    trace.event("asked")

    assert file.with_name("log.1").stat().st_size == tracefile.MAX_BYTES
    assert len(noted(file)) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_only_one_older_file_is_kept(file: Path) -> None:
    for _ in range(3):
        file.write_bytes(b"x" * tracefile.MAX_BYTES)
        trace.event("asked")

    assert {p.name for p in file.parent.iterdir()} == {"log", "log.1"}


def test_rotation_that_fails_keeps_the_lines_coming(file: Path) -> None:
    file.write_bytes(b"x" * tracefile.MAX_BYTES)
    file.with_name("log.1").mkdir()

    trace.event("asked")

    assert file.stat().st_size > tracefile.MAX_BYTES


def test_line_written_to_a_file_that_is_gone_is_written_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sibling rotated twice between our open and our write."""
    write = os.write
    removals = iter([file.unlink])

    def after_removal(descriptor: int, data: bytes) -> int:
        next(removals, lambda: None)()
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", after_removal)

    trace.event("asked")

    assert len(noted(file)) == 1


def test_file_that_a_sibling_has_just_rotated_is_not_rotated_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(b"x" * tracefile.MAX_BYTES)
    older = file.with_name("log.1")

    def rotated_meanwhile(*_: object) -> None:
        if not older.exists():
            file.rename(older)
            file.write_text("a sibling's line\n")

    monkeypatch.setattr("fcntl.flock", rotated_meanwhile)

    trace.event("asked")

    assert older.stat().st_size == tracefile.MAX_BYTES
    assert file.read_text().startswith("a sibling's line\n2")


WRITER = """
import sys
from hushkey import trace
from hushkey.system import tracefile
tracefile.MAX_BYTES = int(sys.argv[2])
tracefile.begin("git", {"HUSHKEY_LOG": sys.argv[1]})
sys.stdin.read()
for number in range(int(sys.argv[3])):
    trace.event("asked", host=f"n{number}.test", verb=sys.argv[4])
"""


def crowd(path: Path, size: int, lines: int, processes: int) -> list[dict[str, str]]:
    """Let *processes* write *lines* each at once; return all that was noted."""
    words = [sys.executable, "-c", WRITER, str(path), str(size), str(lines)]
    writers = [
        subprocess.Popen([*words, f"w{n}"], stdin=subprocess.PIPE)
        for n in range(processes)
    ]
    for writer in writers:
        assert writer.stdin
        writer.stdin.close()
    assert {writer.wait(60) for writer in writers} == {0}
    older = path.with_name(f"{path.name}.1")
    return (noted(older) if older.exists() else []) + noted(path)


def test_fifty_processes_at_once_write_whole_lines(tmp_path: Path) -> None:
    found = crowd(tmp_path / "log", 10**9, 40, 50)

    expected = {(f"w{w}", f"n{n}.test") for w in range(50) for n in range(40)}
    assert sorted((line["verb"], line["host"]) for line in found) == sorted(expected)


def test_processes_that_race_to_rotate_lose_no_line(tmp_path: Path) -> None:
    """One rotation is due: whoever is late must not rename the new file over it."""
    path = tmp_path / "log"
    lines, processes = 40, 12
    whole = crowd(tmp_path / "sizing", 10**9, lines, 1)
    size = (tmp_path / "sizing").stat().st_size * processes * 6 // 10

    found = crowd(path, size, lines, processes)

    assert len(whole) == lines
    assert path.with_name("log.1").exists()
    assert len(found) == lines * processes


def test_many_rotations_tear_no_line(tmp_path: Path) -> None:
    found = crowd(tmp_path / "log", 5000, 60, 8)

    assert 20 < len(found) < 480
    assert {p.name for p in tmp_path.iterdir()} == {"log", "log.1"}


def test_threads_write_whole_lines(file: Path) -> None:
    def write() -> None:
        for _ in range(100):
            trace.event("http", url="https://id.test/token")

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(noted(file)) == 800
