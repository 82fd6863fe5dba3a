"""The far side: asked when nobody here has a token, believed as far as it goes."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushkey import runtime
from hushkey.acquire import upstream
from hushkey.errors import (
    ConfigError,
    HushkeyError,
    InteractionUnavailable,
    NeedsCaller,
    Permanent,
)
from hushkey.model import Request
from hushkey.net import forwarding
from hushkey.net.forwarding import Question, message
from hushkey.system import audit, paths
from hushkey.tokenrequest import PromptOptions
from kit.oauth import Desk, FakeProvider, grant, imported, timed_imports
from servers.process import short_folder

GIVEN = message("given", username="me", token="at-far", expires="2000000000")
ASKED = Request("https", "git.test", "team/app", "you")


class NearSide:
    """Answers in turn, the last answer again and again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers = [GIVEN]
        self.asked: list[Question] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(32)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            with link:
                data = b""
                while not data.endswith(b"\n\n"):
                    if not (piece := link.recv(4096)):
                        break
                    data += piece
                if not data:
                    return
                self.asked.append(forwarding.question(data))
                last = len(self.answers) == 1
                link.sendall(self.answers[0] if last else self.answers.pop(0))

    def stop(self) -> None:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(self.path))
        self._thread.join(10)
        self._listener.close()


@pytest.fixture
def folder(home: Path) -> Iterator[Path]:
    made = short_folder("upstream")
    yield made
    for path in made.iterdir():
        path.unlink()
    made.rmdir()


@pytest.fixture
def near(folder: Path) -> Iterator[NearSide]:
    made = NearSide(folder / "upstream")
    yield made
    made.stop()


def environ(near: NearSide, **more: str) -> dict[str, str]:
    return {**os.environ, "HUSHKEY_UPSTREAM": str(near.path), **more}


def find(
    near: NearSide, request: Request = ASKED, command: str = "git fetch", **more: str
) -> upstream.Forwarded | None:
    options = PromptOptions(tool="git", command=lambda: command)
    return upstream.find(request, environ(near, **more), "git", lambda: options)


def test_token_comes_with_its_user_and_end(near: NearSide) -> None:
    found = find(near)

    assert found
    assert found.token.value == "at-far"
    assert (found.username, found.token.expires_at) == ("me", 2000000000)
    assert found.rule.answer_user("", "you") == "me"
    (asked,) = near.asked
    assert (asked.request, asked.tool, asked.person) == (ASKED, "git", False)
    assert asked.machine == os.uname().nodename


def test_command_is_worked_out_only_for_a_person(near: NearSide) -> None:
    near.answers = [message("person"), message("working") * 3 + GIVEN]

    assert find(near)

    assert [(q.person, q.command) for q in near.asked] == [
        (False, ""),
        (True, "git fetch"),
    ]


def test_line_from_there_is_said_once(
    near: NearSide, capfd: pytest.CaptureFixture[str]
) -> None:
    line = message("working", line="run\u202e this")
    near.answers = [message("person"), message("working") + line * 3 + GIVEN]

    assert find(near)

    assert capfd.readouterr().err == "hushkey: where you sit: run this\n"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"HUSHKEY_INTERACTIVE": "never"}, "HUSHKEY_INTERACTIVE is never"),
        ({"CI": "true"}, "CI job"),
    ],
)
def test_nobody_is_asked_where_policy_says_never(
    near: NearSide, more: dict[str, str], reason: str
) -> None:
    near.answers = [message("person")]

    with pytest.raises(InteractionUnavailable, match=reason):
        find(near, ASKED, "git fetch", **more)

    assert len(near.asked) == 1


@pytest.mark.parametrize(
    "more", [{"SSH_CONNECTION": "a"}, {"GIT_TERMINAL_PROMPT": "0"}, {}]
)
def test_terminal_and_display_here_make_no_difference(
    near: NearSide, more: dict[str, str]
) -> None:
    near.answers = [message("person"), GIVEN]

    assert find(near, ASKED, "git fetch", **more)


def test_unknown_host_is_asked_for_once_in_a_while(near: NearSide) -> None:
    near.answers = [message("unknown")]

    assert [find(near) for _ in range(3)] == [None] * 3
    assert find(near, Request("https", "other.test")) is None
    assert len(near.asked) == 2


@pytest.mark.parametrize("protocol", ["http", "ssh", ""])
def test_nothing_but_https_is_asked_for(near: NearSide, protocol: str) -> None:
    assert find(near, Request(protocol, "git.test")) is None
    assert near.asked == []


def test_refusal_is_the_other_side_s_line(near: NearSide) -> None:
    near.answers = [message("error", line="no\u202etoken")]

    with pytest.raises(Permanent, match="hushkey says: notoken"):
        find(near)


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\n\n",
        message("given", username="me"),
        message("given", token="at"),
        message("given", username="me", token="at", expires="soon"),
        message("get", host="x"),
        b"hushkey-forward 2 given\ntoken=a\rb\n\n",
    ],
)
def test_half_an_answer_is_none(near: NearSide, answer: bytes) -> None:
    near.answers = [answer]

    with pytest.raises(HushkeyError):
        find(near)


@pytest.mark.parametrize("number", ["1", "3", "x"])
def test_other_version_is_a_warning(near: NearSide, number: str) -> None:
    near.answers = [f"hushkey-forward {number} error\nline=no\n\n".encode()]
    lines: list[str] = []

    assert upstream.find(ASKED, environ(near), "git", dict, lines.append) is None  # type: ignore[arg-type]
    (line,) = lines
    assert "this side version 2: install the same hushkey on both" in line


def test_only_what_was_given_is_known_again(near: NearSide) -> None:
    assert find(near)

    assert upstream.gave("at-far", environ(near))
    assert not upstream.gave("another", environ(near))


def test_refusal_is_told_by_hash_and_only_of_what_came_from_there(
    near: NearSide, capfd: pytest.CaptureFixture[str]
) -> None:
    assert find(near)
    near.answers = [message("unknown")]

    for secret in ("another", "at-far"):
        name = forwarding.named(secret)
        upstream.rejected(ASKED, environ(near), "git", name)
    near.answers = [message("error", line="no")]
    upstream.rejected(ASKED, environ(near), "git", forwarding.named("at-far"))
    gone = {**environ(near), "HUSHKEY_UPSTREAM": str(near.path) + "-gone"}
    upstream.rejected(ASKED, gone, "git", forwarding.named("at-far"))

    _, *told = near.asked
    assert [asked.refused for asked in told] == [forwarding.named("at-far")] * 2
    assert capfd.readouterr() == ("", "")


def test_nobody_answers_is_a_line_and_no_token(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "upstream"))
    there = {**os.environ, "HUSHKEY_UPSTREAM": str(folder / "upstream")}

    assert upstream.find(ASKED, there, "git", PromptOptions) is None

    said = capfd.readouterr().err
    assert "does not answer" in said
    assert said.count("\n") == 1
    assert (
        upstream.find(
            ASKED,
            {**there, "HUSHKEY_UPSTREAM": "off"},
            "git",
            PromptOptions,
        )
        is None
    )
    assert capfd.readouterr().err == ""


def test_what_a_lost_connection_left_is_removed(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "upstream"))
    there = {**os.environ, "HUSHKEY_RUNTIME_DIR": str(folder)}

    assert [upstream.find(ASKED, there, "git", PromptOptions) for _ in range(2)] == [
        None
    ] * 2

    assert capfd.readouterr().err.count("does not answer") == 1
    assert list(folder.iterdir()) == []


def test_silence_ends_when_the_answer_is_expected(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    there = {**os.environ, "HUSHKEY_UPSTREAM": str(folder / "upstream")}
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(folder / "upstream"))
        busy.listen()
        began = time.monotonic()
        with runtime.Expected(0.2):
            assert upstream.find(ASKED, there, "git", PromptOptions) is None

    assert time.monotonic() - began < 4
    assert "does not answer" in capfd.readouterr().err


@pytest.mark.parametrize("answer", [b"", GIVEN[:-1]])
def test_line_that_is_cut_is_a_line(
    near: NearSide, answer: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    near.answers = [answer]

    assert find(near) is None
    assert "does not answer (the connection was cut)" in capfd.readouterr().err


def test_forwarded_answer_loads_little(near: NearSide) -> None:
    near.answers = [message("given", username="me", token="at-far")]
    for _ in range(2):  # the first one compiles the presets
        done = subprocess.run(
            timed_imports("git-credential-hushkey", "get"),
            input=b"protocol=https\nhost=git.test\n\n",
            capture_output=True,
            env=environ(near),
            timeout=30,
            check=True,
        )

    heavy = {"json", "re", "contextlib", "socket", "ssl", "psutil", "cryptography"}
    found = heavy | {"hushkey.acquire.acquirer", "subprocess", "typing"}
    assert found & set(imported(done.stderr)) == set()
    assert done.stdout == b"username=me\npassword=at-far\n"


def test_many_notes_are_trimmed(
    near: NearSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "_MOST", 3)
    for number in range(6):
        near.answers = [message("given", username="me", token=f"at-{number}")]
        assert find(near)

    folder = Path(paths.data_folder(os.environ), "state", "upstream-given")
    assert len(list(folder.iterdir())) <= 3
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in folder.iterdir())


def test_agent_leaves_it_to_its_caller(near: NearSide) -> None:
    memory = object()
    with (
        runtime.AgentContext(memory, 0, quick=False),  # type: ignore[arg-type]
        pytest.raises(NeedsCaller),
    ):
        find(near)

    assert near.asked == []


# -- before a sign-in here ----------------------------------------------------------


def test_rule_of_this_side_that_needs_a_sign_in_asks_there(
    tmp_path: Path, near: NearSide
) -> None:
    provider = FakeProvider(sign_in=grant())

    token = Desk(tmp_path).get(provider, environ=environ(near))

    assert token.value == "at-far"
    assert provider.asked == []
    assert near.asked[0].request.host == "git.test"


def test_token_of_this_side_comes_first(tmp_path: Path, near: NearSide) -> None:
    desk = Desk(tmp_path)
    desk.has(grant("at-here"))

    assert desk.get(FakeProvider(), environ=environ(near)).value == "at-here"
    assert near.asked == []


def test_explicit_login_is_for_this_side(tmp_path: Path, near: NearSide) -> None:
    provider = FakeProvider(sign_in=grant("at-here"))
    options = PromptOptions(login=True)
    here = environ(near, HUSHKEY_INTERACTIVE="device")

    token = Desk(tmp_path).get(provider, environ=here, options=options)

    assert (token.value, near.asked) == ("at-here", [])


@pytest.mark.parametrize("dead", [True, False])
def test_sign_in_is_here_where_the_other_side_cannot_serve(
    tmp_path: Path, near: NearSide, dead: bool
) -> None:
    near.answers = [b"" if dead else message("unknown")]
    if dead:
        near.answers = [message("unknown")]
        near.path.rename(near.path.with_name("moved"))
    provider = FakeProvider(sign_in=grant("at-here"))
    desk = Desk(tmp_path)

    token = desk.get(provider, environ=environ(near, HUSHKEY_INTERACTIVE="device"))

    assert token.value == "at-here"
    assert ("no socket at" in "".join(desk.warnings)) == dead
    if dead:
        near.path.with_name("moved").rename(near.path)


# -- whose socket it is -------------------------------------------------------------


def test_well_known_place_is_in_the_runtime_folder(home: Path) -> None:
    runtime_folder = Path(paths.runtime_folder(os.environ))
    assert not paths.may_have_upstream(os.environ)
    assert paths.upstream(os.environ) == ""

    runtime_folder.mkdir(mode=0o700)
    place = str(runtime_folder / "upstream")
    os.chdir(runtime_folder)  # a socket's path has room for 107 bytes
    with socket.socket(socket.AF_UNIX) as link:
        link.bind("upstream")
    assert paths.may_have_upstream(os.environ)
    assert paths.upstream(os.environ) == place

    runtime_folder.chmod(0o750)
    assert paths.upstream(os.environ) == ""
    os.chdir("/")


def test_runtime_folder_that_cannot_be_is_nobody_s_upstream() -> None:
    assert not paths.may_have_upstream({**os.environ, "HUSHKEY_RUNTIME_DIR": "run"})


@pytest.mark.parametrize("kind", ["missing", "file", "link", "open folder", "relative"])
def test_named_socket_that_others_could_have_made_is_refused(
    folder: Path, kind: str
) -> None:
    path = folder / "upstream"
    with socket.socket(socket.AF_UNIX) as link:
        link.bind(str(folder / "real"))
    if kind == "file":
        path.write_text("")
    elif kind == "link":
        path.symlink_to(folder / "real")
    elif kind == "open folder":
        (folder / "real").rename(path)
        folder.chmod(0o777)
    named = "upstream" if kind == "relative" else str(path)

    with pytest.raises(ConfigError, match="HUSHKEY_UPSTREAM"):
        paths.upstream({**os.environ, "HUSHKEY_UPSTREAM": named})
    folder.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another")
def test_socket_of_another_user_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as link:
        link.bind(str(folder / "upstream"))
    named = {**os.environ, "HUSHKEY_UPSTREAM": str(folder / "upstream")}
    assert paths.upstream(named)

    os.chown(folder / "upstream", 64931, 64931)
    assert paths.upstream(named)  # a container's root
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match="not a socket of yours"):
        paths.upstream(named)


@pytest.mark.parametrize(
    ("on", "passes_on", "number"), [(1, 0, 1), (1, 1, 0), (0, 0, 0)]
)
def test_tool_that_gets_one_is_in_the_audit_log(
    near: NearSide, home: Path, on: int, passes_on: int, number: int
) -> None:
    config = home / ".config" / "hushkey" / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(f"[settings]\naudit = {'true' if on else 'false'}\n")
    here = environ(near)

    found = upstream.find(ASKED, here, "git", PromptOptions, passes_on=bool(passes_on))

    assert found
    lines = audit.lines(here)
    assert len(lines) == number
    for line in lines:
        line.pop("time")
        assert line == {
            "tool": "git",
            "host": "git.test",
            "path": "team/app",
            "outcome": "given",
            "account": "me",
            "expires": 2000000000,
            "why": "came by hushkey forward",
        }
