"""The line that asks the agent by git's own client: what it passes on, and when."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import do_without
from hushkey_helpers.agent import protocol
from hushkey_install.cli import main
from hushkey_install.register import gitdoor
from hushkey_install.tools import githelpers
from kit.oauth import BIN, Machine
from servers.process import short_folder

TOKEN = b"t" * 3000
ANSWER = b"username=u\npassword=" + TOKEN + b"\npassword_expiry_utc=99\n"
HELPER = f"{BIN}/git-credential-hushkey"


@pytest.fixture(params=["our client", "git's client"])
def desk(
    home: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    if request.param == "git's client":
        monkeypatch.setattr(githelpers, "CLIENT", "hushkey-git-client-is-not-here")
    elif not (BIN / "hushkey-git-client").exists():
        do_without("hushkey-git-client was installed without a C compiler")
    made = Machine(home)
    made.configure()
    folder = short_folder("door")
    made.environ |= {"HUSHKEY_AGENT": "", "HUSHKEY_RUNTIME_DIR": str(folder)}
    for name in ("CI", "GITHUB_ACTIONS"):
        made.environ.pop(name, None)
    yield made
    shutil.rmtree(folder)


@contextlib.contextmanager
def listening(
    desk: Machine, *pieces: bytes, holds: bool = False
) -> Iterator[list[bytes]]:
    """Somebody at the socket who says *pieces*, and hangs up unless it *holds*."""
    heard: list[bytes] = []
    links: list[socket.socket] = []
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(os.path.join(desk.environ["HUSHKEY_RUNTIME_DIR"], "git"))
    listener.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = listener.accept()
                links.append(link)
                text = b""
                while piece := link.recv(65536):
                    text += piece
                heard.append(text)
                for piece in pieces:
                    link.sendall(piece)
                if not holds:
                    link.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        for link in links:
            link.close()
        listener.close()
        thread.join(5)
        os.unlink(os.path.join(desk.environ["HUSHKEY_RUNTIME_DIR"], "git"))


def marked(desk: Machine, text: bytes = ANSWER) -> bytes:
    return b"hushkey=%d\n%s" % (protocol.number(desk.environ), text)


def ask(
    desk: Machine, line: str, verb: str = "get", **environ: str
) -> tuple[bytes, float]:
    """Run *line* as git does; return what it says, and the seconds that it took."""
    began = time.monotonic()
    done = subprocess.run(
        ["/bin/sh", "-c", f"{line.removeprefix('!')} {verb}"],
        input=b"protocol=https\nhost=git.test\n",
        env=desk.environ | environ,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout, time.monotonic() - began


def test_whole_answer_of_this_agent_is_passed_on(desk: Machine) -> None:
    line = gitdoor.line(desk.environ)
    with listening(desk, marked(desk)[:1500], marked(desk)[1500:]) as heard:
        assert ask(desk, line)[0] == marked(desk)
        assert ask(desk, line, HUSHKEY_AGENT="on")[0] == marked(desk)

    head = b"action=get\ntimeout=%d\n" % protocol.number(desk.environ)
    assert heard == [head + b"protocol=https\nhost=git.test\n"] * 2


@pytest.mark.parametrize("verb", ["store", "erase", "exit", "capability", ""])
def test_nothing_but_get_reaches_a_socket(desk: Machine, verb: str) -> None:
    line = gitdoor.line(desk.environ)
    with listening(desk, marked(desk)) as heard:
        assert ask(desk, line, verb)[0] == b""
    assert heard == []
    ask(desk, line, verb)
    # git's own daemon would listen there by now.
    assert os.listdir(desk.environ["HUSHKEY_RUNTIME_DIR"]) == []


@pytest.mark.parametrize(
    "environ",
    [
        {"HUSHKEY_CONFIG": "/another.toml"},
        {"HUSHKEY_LOG": "debug"},
        {"HUSHKEY_AGENT": "off"},
        {"HUSHKEY_AGENT": "onoff"},
        {"HUSHKEY_UPSTREAM": "/s"},
        {"HOME": "/"},
        {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/other"},
        {"XDG_CONFIG_HOME": ""},
    ],
)
def test_another_environment_does_not_ask(
    desk: Machine, environ: dict[str, str]
) -> None:
    line = gitdoor.line(desk.environ)
    with listening(desk, marked(desk)) as heard:
        assert ask(desk, line, **environ)[0] == b""
    assert heard == []


def test_stripped_session_asks_as_the_helper_does(desk: Machine) -> None:
    line = gitdoor.line(desk.environ)
    stripped = {"DBUS_SESSION_BUS_ADDRESS": "", "XDG_RUNTIME_DIR": ""}
    with listening(desk, marked(desk)):
        assert ask(desk, line, **stripped)[0] == marked(desk)


Said = Callable[[Machine], bytes]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(lambda _: ANSWER, id="an agent without a number"),
        pytest.param(lambda _: b"hushkey=1\n" + ANSWER, id="another number"),
        pytest.param(
            lambda d: marked(d).replace(b"\n", b"7\n", 1), id="a longer number"
        ),
        pytest.param(lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", id="not an agent"),
        pytest.param(lambda d: b"\n" + marked(d), id="something before it"),
        pytest.param(lambda _: b"", id="nothing"),
    ],
)
def test_another_listener_is_not_believed(desk: Machine, said: Said) -> None:
    with listening(desk, said(desk)):
        assert ask(desk, gitdoor.line(desk.environ))[0] == b""


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(lambda _: b"", id="nothing"),
        # the client passes on each KiB as it comes
        pytest.param(lambda d: marked(d)[:1500], id="half"),
        pytest.param(marked, id="all but the end"),
    ],
)
def test_stopped_agent_costs_its_patience_and_says_nothing(
    desk: Machine, said: Said
) -> None:
    with listening(desk, said(desk), holds=True):
        text, took = ask(desk, gitdoor.line(desk.environ))
    assert text == b""
    assert float(gitdoor.PATIENCE) <= took < 10


def test_token_is_in_no_trace_and_no_environment(desk: Machine, tmp_path: Path) -> None:
    shell = shutil.which("bash") or "/bin/sh"
    script = f"{gitdoor.line(desk.environ).removeprefix('!')} get; env"
    with listening(desk, marked(desk)):
        done = subprocess.run(
            [shell, "-c", script],
            input=b"host=git.test\n",
            env=desk.environ | {"SHELLOPTS": "xtrace", "a": "mine", "GIT_TRACE": "1"},
            capture_output=True,
            timeout=30,
            check=False,
        )
    assert TOKEN not in done.stderr
    assert done.stdout.count(TOKEN) <= 2  # the answer; `a` was the caller's own


# -- when it is written ---------------------------------------------------------


@pytest.mark.parametrize("case", ["off", "config", "ci", "open", "open around"])
def test_no_line_where_it_could_not_serve(desk: Machine, case: str) -> None:
    assert gitdoor.line(desk.environ)
    environ = dict(desk.environ)
    folder = Path(environ["HUSHKEY_RUNTIME_DIR"])
    if case == "off":
        environ["HUSHKEY_AGENT"] = "off"
    elif case == "config":
        text = desk.config_file.read_text()
        desk.config_file.write_text(f"[settings]\nagent = false\n{text}")
    elif case == "ci":
        environ["CI"] = "true"
    elif case == "open":
        folder.chmod(0o1777)
    else:
        environ["HUSHKEY_RUNTIME_DIR"] = str(folder / "inner")
        folder.chmod(0o777)
    assert gitdoor.line(environ) == ""


@pytest.mark.parametrize("timeout", ["none", "without fractions"])
def test_only_git_s_client_needs_a_timeout(
    desk: Machine, timeout: str, tmp_path: Path
) -> None:
    (tmp_path / "git").symlink_to(shutil.which("git") or "")
    if timeout != "none":
        busybox = tmp_path / "timeout"
        busybox.write_text("#!/bin/sh\ncase $1 in *.*) exit 1;; esac; exec $2 $3\n")
        busybox.chmod(0o755)
    line = gitdoor.line(desk.environ | {"PATH": str(tmp_path)})
    assert ("hushkey-git-client " in line) is bool(line)
    assert bool(line) is (githelpers.CLIENT == "hushkey-git-client")


@pytest.mark.parametrize("has_own", [True, False])
def test_client_is_the_one_beside_the_helper(
    desk: Machine, tmp_path: Path, *, has_own: bool
) -> None:
    """Not one that has its name, in another folder of PATH, and may be anybody's."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    client = githelpers.CLIENT
    for folder in (ours, theirs):
        folder.mkdir()
        for name in ("git-credential-hushkey", client) if folder == ours else (client,):
            (folder / name).write_text(f"#!/bin/sh\n>{tmp_path}/ran-{folder.name}\n")
            (folder / name).chmod(0o755)
    if not has_own:
        (ours / client).unlink()
    path = f"{theirs}:{ours}:{desk.environ['PATH']}"
    line = gitdoor.line(desk.environ | {"PATH": path})
    assert (f"{ours}/{client} " in line) is has_own
    assert ("credential-cache" in line) is not has_own
    assert str(theirs) not in line
    assert not (tmp_path / "ran-theirs").exists()


def test_client_is_found_where_the_helper_s_link_leads(
    desk: Machine, tmp_path: Path
) -> None:
    (tmp_path / "git-credential-hushkey").symlink_to(HELPER)
    line = gitdoor.line(desk.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    there = githelpers.CLIENT == "hushkey-git-client"
    assert (f"{os.path.realpath(BIN)}/hushkey-git-client " in line) is there


def test_client_that_has_gone_says_nothing(desk: Machine, tmp_path: Path) -> None:
    """As after an upgrade to a hushkey without one: git asks the next helper."""
    line = gitdoor.line(desk.environ)
    for name in ("git", "hushkey-git-client"):
        line = re.sub(rf"/\S+/{name}(?= )", str(tmp_path / name), line)
    with listening(desk, marked(desk)) as heard:
        done = subprocess.run(
            ["/bin/sh", "-c", f"{line.removeprefix('!')} get"],
            input=b"host=git.test\n",
            env=desk.environ,
            capture_output=True,
            timeout=30,
            check=False,
        )
    assert (done.stdout, done.stderr, heard) == (b"", b"", [])


@pytest.mark.parametrize("linked", ["folder", "socket"])
def test_link_is_not_followed(desk: Machine, tmp_path: Path, linked: str) -> None:
    line = gitdoor.line(desk.environ)
    folder = Path(desk.environ["HUSHKEY_RUNTIME_DIR"])
    elsewhere = folder.with_name(f"{folder.name}.x")
    with listening(desk, marked(desk)) as heard:
        if linked == "folder":
            folder.rename(elsewhere)
            folder.symlink_to(elsewhere)
        else:
            (folder / "git").rename(folder / "other")
            (folder / "git").symlink_to("other")
        try:
            assert ask(desk, line)[0] == b""
        finally:
            if linked == "folder":
                folder.unlink()
                elsewhere.rename(folder)
            else:
                (folder / "other").rename(folder / "git")
    assert heard == []


@pytest.mark.parametrize(
    "name",
    [
        *("two words", "it's", 'a"b', "$HOME`x`", "ü", "a\nb", "\\", "#;!{}", "*?[x]"),
        pytest.param(os.fsdecode(b"\xff"), id="no UTF-8"),
    ],
)
def test_any_folder_can_be_named(desk: Machine, name: str) -> None:
    folder = os.path.join(desk.environ["HUSHKEY_RUNTIME_DIR"], name)
    os.mkdir(folder, 0o700)
    desk.environ |= {"HUSHKEY_RUNTIME_DIR": folder, "XDG_CONFIG_HOME": folder}
    with listening(desk, marked(desk)):
        assert ask(desk, gitdoor.line(desk.environ))[0] == marked(desk)


def hushkey(desk: Machine, *words: str) -> str:
    result = CliRunner().invoke(main, words, env=desk.environ)
    assert result.exit_code == 0, result.output
    return result.output


def lines(desk: Machine) -> list[str]:
    key = "credential.https://git.test.helper"
    words = ["git", "config", "--global", "-z", "--get-all", key]
    out = subprocess.run(words, env=desk.environ, check=False, capture_output=True)
    return os.fsdecode(out.stdout).split("\0")[:-1]


OWN = "!f() { git credential-cache --socket /r/hushkey/git get; }; f"


@pytest.mark.parametrize(
    ("before", "front"),
    [
        ("", []),
        ("[alias]\n\tst = status\n", []),
        ('[credential "https://git.test"]\n\thelper = store\n', ["store"]),
    ],
)
def test_install_writes_it_once_and_uninstall_takes_it_out(
    desk: Machine, before: str, front: list[str]
) -> None:
    file = desk.home / ".gitconfig"
    file.write_text(before)
    hushkey(desk, "install", "git")
    line = gitdoor.line(desk.environ)

    assert lines(desk) == [*front, "", line, HELPER]
    assert "nothing to change" in hushkey(desk, "install", "git")
    assert githelpers.is_socket(line)
    assert not githelpers.is_wrong_socket(line)
    hushkey(desk, "uninstall", "git")
    assert file.read_text() == before


def test_new_line_takes_the_place_of_the_old_one_alone(desk: Machine) -> None:
    """Comments beside what stays are the person's."""
    file = desk.home / ".gitconfig"
    file.write_text('[credential "https://git.test"]\n\thelper = store # mine\n')
    hushkey(desk, "install", "git")
    text = file.read_text()
    desk.environ["HUSHKEY_UPSTREAM"] = "/else.where"
    hushkey(desk, "install", "git")
    assert lines(desk) == ["store", "", gitdoor.line(desk.environ), HELPER]
    assert file.read_text().splitlines()[:3] == text.splitlines()[:3]
    assert "store # mine" in text

    file.write_text(file.read_text() + "[alias]\n\tst = status\n")
    desk.environ["HUSHKEY_AGENT"] = "off"  # one line fewer
    hushkey(desk, "install", "git")
    assert lines(desk) == ["store", "", HELPER]


@pytest.mark.parametrize(
    "name",
    ["a\nb", "*?[x]", "($HOME){2}|^\\'", pytest.param("\udcff", id="no UTF-8")],
)
def test_line_of_any_folder_is_replaced(desk: Machine, name: str) -> None:
    folder = os.path.join(desk.environ["HUSHKEY_RUNTIME_DIR"], name)
    os.mkdir(folder, 0o700)
    desk.environ |= {"HUSHKEY_RUNTIME_DIR": folder, "LC_ALL": "C.UTF-8"}
    hushkey(desk, "install", "git")
    before = lines(desk)
    desk.environ["HUSHKEY_RUNTIME_DIR"] = os.path.dirname(folder)
    hushkey(desk, "install", "git")
    assert lines(desk) == ["", gitdoor.line(desk.environ), HELPER]
    assert len(before) == 3


def test_edited_file_loses_the_line_and_nothing_else(desk: Machine) -> None:
    file = desk.home / ".gitconfig"
    hushkey(desk, "install", "git")
    file.write_text(file.read_text() + "[alias]\n\tst = status\n")
    hushkey(desk, "uninstall", "git")
    assert file.read_text().strip() == "[alias]\n\tst = status"


def test_install_without_an_agent_takes_it_out_again(desk: Machine) -> None:
    hushkey(desk, "install", "git")
    desk.environ["HUSHKEY_AGENT"] = "off"
    hushkey(desk, "install", "git")
    assert lines(desk) == ["", HELPER]


def test_one_s_own_line_stays_in_its_place(desk: Machine) -> None:
    text = f'[credential "https://git.test"]\n\thelper =\n\thelper = "{OWN}"\n'
    (desk.home / ".gitconfig").write_text(text)
    hushkey(desk, "install", "git")
    assert lines(desk) == ["", OWN, HELPER]


@pytest.mark.parametrize(
    "theirs",
    [
        "store --file /h/hushkey-git-client/passwords",
        "store --file=/h/hushkey-git-client",
        "store --file /h/.git-credential-hushkey",
        "/opt/hushkey-git-client/bin/git-credential-other",
        "!/opt/hushkey-git-client-2 /r/git 7 get",
        "/opt/not-git-credential-hushkey",
    ],
)
def test_another_helper_with_a_name_like_ours_is_handed_nothing(
    desk: Machine, theirs: str
) -> None:
    text = f'[credential "https://git.test"]\n\thelper =\n\thelper = "{theirs}"\n'
    (desk.home / ".gitconfig").write_text(text)
    hushkey(desk, "install", "git")
    assert lines(desk)[-3:] == ["", gitdoor.line(desk.environ), HELPER]
    hushkey(desk, "uninstall", "git")
    assert (desk.home / ".gitconfig").read_text() == text


@pytest.mark.parametrize(
    "own",
    [
        "/x/hushkey-git-client /r/git 7",
        "!'/a b/hushkey-git-client' '/r r/git' 7",
        "!hushkey-git-client /r/git 7",
        '!f() { test $1 = get && /x/hushkey-git-client /r/git "$N" get; }; f',
        OWN,
    ],
)
def test_one_s_own_line_is_told_from_another_helper(own: str) -> None:
    assert githelpers.is_socket(own)
    assert not gitdoor.is_door(own)


def test_doctor_tells_that_there_could_be_a_line(desk: Machine) -> None:
    """As after an upgrade to a hushkey whose client was compiled."""
    desk.environ["HUSHKEY_AGENT"] = "off"
    hushkey(desk, "install", "git")
    said = CliRunner().invoke(main, ["doctor"], env=desk.environ).output
    assert "line to the agent" not in said
    desk.environ["HUSHKEY_AGENT"] = ""
    said = CliRunner().invoke(main, ["doctor"], env=desk.environ).output
    assert "git's line to the agent is missing" in said
    hushkey(desk, "install", "git")
    said = CliRunner().invoke(main, ["doctor"], env=desk.environ).output
    assert "line to the agent" not in said


def test_doctor_tells_a_line_of_another_environment(desk: Machine) -> None:
    hushkey(desk, "install", "git")
    said = CliRunner().invoke(main, ["doctor"], env=desk.environ).output
    assert "line to the agent" not in said
    assert "also asks" not in said

    desk.environ["HUSHKEY_UPSTREAM"] = "/elsewhere"
    said = CliRunner().invoke(main, ["doctor"], env=desk.environ).output
    assert "line to the agent" in said
    hushkey(desk, "install", "git")
    said = CliRunner().invoke(main, ["doctor"], env=desk.environ).output
    assert "line to the agent" not in said
