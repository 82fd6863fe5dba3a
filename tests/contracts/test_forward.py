"""`hushkey forward` through a real sshd: sign in here, for another user over there."""

import json
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import do_without, running
from hushkey.model import Request
from hushkey.net import forwarding
from hushkey.net.forwarding import Question
from kit import canary
from kit.agent import rest
from kit.desk import BIN, Desk, Done
from servers.authority import Authority
from servers.process import clean_environ, short_folder, wait_until
from servers.ssh import FAR, SshServer

pytestmark = pytest.mark.contract

CLONE = "git -c credential.helper= -c credential.helper=hushkey clone -q"
#: git's question on the far side, to our helper alone
FILL = (
    "git -c credential.helper= -c credential.helper=hushkey "
    "-c credential.useHttpPath=true credential fill"
)


@pytest.fixture(scope="module")
def sshd_process(authority: Authority) -> Iterator[SshServer]:
    yield from running(SshServer(authority.ca_file))


@pytest.fixture
def sshd(sshd_process: SshServer) -> Iterator[SshServer]:
    """The server, with empty homes; no connection may leave its socket."""
    for name in ("far", "other"):
        sshd_process.empty(name)
    yield sshd_process
    wait_until(lambda: not sshd_process.socket.exists(), "the socket to go")


def forwarded(desk: Desk, sshd: SshServer, command: str, *options: str) -> Done:
    """Run *command* on the far side of `hushkey forward` with *options*."""
    only = options or ("--only", desk.apache.host)
    return desk.hushkey("forward", *only, "ssh", *sshd.words(), command)


@contextmanager
def standing(
    desk: Desk, *words: str, **extra: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """`hushkey forward` WORDS that stays, until the block or itself ends."""
    process = subprocess.Popen(
        [str(BIN / "hushkey"), "forward", *words],
        env=desk.environ | extra,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=desk.folder,
    )
    assert process.stderr
    assert process.stdout
    try:
        first = process.stderr.readline()
        assert first.startswith(b"answering "), first + process.stderr.read()
        yield process
    finally:
        process.terminate()
        out, err = process.communicate(timeout=30)
        desk.ear.hear("hushkey forward", out, err)


def over_there(sshd: SshServer, command: str, user: str = "far") -> Done:
    """Run *command* on the far side by a connection of its own."""
    return subprocess.run(
        [sshd.ssh, *sshd.words(user), command],
        env=clean_environ(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


def question(desk: Desk, path: str = "") -> str:
    return f"printf 'protocol=https\\nhost={desk.apache.host}\\npath={path}\\n\\n'"


def log(desk: Desk) -> list[dict[str, str]]:
    told = json.loads(desk.hushkey("log", "--json").stdout)
    found: list[dict[str, str]] = told["lines"]
    return found


# -- every tool, one sign-in --------------------------------------------------------


def test_clone_over_there_signs_in_here_once(desk: Desk, sshd: SshServer) -> None:
    url = desk.apache.url_of("contoso/app")

    done = forwarded(desk, sshd, f"{CLONE} {url} one && {CLONE} {url} two")

    assert done.returncode == 0, done.stderr
    assert (sshd.home() / "two" / "README").exists()
    assert len(desk.visitor.visits()) == 1
    machine = os.uname().nodename
    asks = f"git clone in {sshd.home()} on {machine} (forwarded to far@127.0.0.1)"
    assert f"{asks} needs a sign-in to {desk.apache.host}" in done.stderr.decode()


def test_nothing_of_a_token_is_kept_over_there(desk: Desk, sshd: SshServer) -> None:
    # A place where git's `store` could put it: nothing but our own look hinders that.
    settings = "printf '[settings]\\nkey_store = \"file\"\\n' >config.toml"
    place = f"(mkdir -p .config/hushkey && cd .config/hushkey && {settings})"
    url = desk.apache.url_of("contoso/app")

    done = forwarded(desk, sshd, f"{place} && {CLONE} {url} one")

    assert done.returncode == 0, done.stderr
    places = [*canary.below(sshd.home(), sshd.home() / "no-key")]
    assert places
    assert canary.leaks(desk.secrets(), places) == []
    data = sshd.home() / ".local/share/hushkey"
    assert not (data / "stash").exists()
    assert not (data / "tokens").exists()


def test_docker_logout_over_there_takes_nothing_away_here(
    desk: Desk, sshd: SshServer
) -> None:
    assert desk.get().returncode == 0
    helper = f"printf %s {desk.apache.host} | docker-credential-hushkey"

    done = forwarded(desk, sshd, f"{helper} get && {helper} erase && {helper} get")

    assert (done.returncode, done.stderr) == (0, b"")
    first, second = (json.loads(text)["Secret"] for text in done.stdout.splitlines())
    assert first == second
    assert [line["outcome"] for line in log(desk)] == ["given", "given"]


def test_every_helper_is_answered(desk: Desk, sshd: SshServer) -> None:
    assert desk.get().returncode == 0
    host = desk.apache.host

    done = forwarded(
        desk,
        sshd,
        f"printf {host} | docker-credential-hushkey get; echo; "
        f"hushkey-keyring get https://{host}/simple/ me; "
        f"hushkey-answer token {host}; hushkey token {host}; "
        f"python3 -c 1; {BIN}/python -c 'import keyring; "
        f'print(keyring.get_password("https://{host}/simple/", "me"))\'',
    )

    (token,) = desk.tokens()
    found = json.loads(done.stdout.partition(b"}")[0] + b"}")
    assert found == {"ServerURL": host, "Username": "oauth2", "Secret": token}
    assert done.stdout.decode().split()[-4:] == [token] * 4, done.stderr
    desk.ear.hear("tokens that were asked for", b"", done.stderr)
    desk.ear._heard = [p for p in desk.ear._heard if token.encode() not in p.content]


def test_twenty_at_once_open_one_window(desk: Desk, sshd: SshServer) -> None:
    url = desk.apache.url_of("contoso/app")

    done = forwarded(
        desk,
        sshd,
        f"for i in $(seq 20); do {CLONE} {url} c$i & done; wait; ls -d c*/README",
    )

    assert len(done.stdout.split()) == 20, done.stderr
    assert len(desk.visitor.visits()) == 1


# -- consent, sight, end ------------------------------------------------------------


def askpass(desk: Desk, code: int) -> str:
    program = desk.folder / "askpass"
    program.write_text(f'#!/bin/sh\necho "$1" >>{desk.folder}/asked\nexit {code}\n')
    program.chmod(0o700)
    return str(program)


def test_each_host_is_asked_for_once(desk: Desk, sshd: SshServer) -> None:
    words = ["forward", "ssh", *sshd.words(), f"{question(desk)} | {FILL}; " * 3]

    allowed = desk.hushkey(*words, SSH_ASKPASS=askpass(desk, 0))
    (asked,) = (desk.folder / "asked").read_text().splitlines()
    refused = desk.hushkey(*words, SSH_ASKPASS=askpass(desk, 1))

    assert allowed.stdout.count(b"password=") == 3, allowed.stderr
    assert f"May far@127.0.0.1 have tokens for {desk.apache.host}" in asked
    assert b"password=" not in refused.stdout
    assert b"far@127.0.0.1 may have no token for" in refused.stderr
    outcomes = [facts["outcome"] for facts in log(desk)]
    assert outcomes == ["given"] * 3 + ["refused"] * 3
    token = allowed.stdout.partition(b"password=")[2].split(b"\n")[0]
    desk.ear._heard = [p for p in desk.ear._heard if token not in p.content]


def test_another_terminal_answers_where_no_window_can_ask(
    desk: Desk, sshd: SshServer
) -> None:
    host = desk.apache.host
    words = ["forward", "ssh", *sshd.words(), f"{question(desk)} | {FILL}; " * 2]
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(desk.hushkey, *words)
        said: list[Done] = []

        def allowed() -> bool:
            said.append(desk.hushkey("forward", "allow", host))
            return said[-1].returncode == 0 or done.done()

        wait_until(allowed, "the question", seconds=60)
        there = done.result(60)

    assert there.stdout.count(b"password=") == 2, there.stderr
    line = f"where you sit: waiting for a consent; run `hushkey forward allow {host}`"
    assert there.stderr.count(f"hushkey: {line}".encode()) == 1
    assert f"May far@127.0.0.1 have tokens for {host}".encode() in said[-1].stdout
    token = there.stdout.partition(b"password=")[2].split(b"\n")[0]
    desk.ear._heard = [p for p in desk.ear._heard if token not in p.content]


def test_status_and_log_say_who_asked_for_what(desk: Desk, sshd: SshServer) -> None:
    host = desk.apache.host
    with standing(desk, "--only", host, "--for", "8h", "ssh", "-N", *sshd.words()):
        over_there(sshd, f"{question(desk, 'contoso/app')} | {FILL}")
        status = desk.hushkey("forward", "status")
    after = desk.hushkey("forward", "status")
    (line,) = log(desk)

    assert b"far@127.0.0.1" in status.stdout
    assert f"{host}/contoso/app".encode() in status.stdout
    assert b"no forward runs" in after.stdout
    assert line["outcome"] == "given"
    assert line["command"].startswith("git credential in")
    assert line["machine"] == os.uname().nodename
    assert (line["host"], line["path"], line["tool"]) == (host, "contoso/app", "git")
    audit = desk.folder / "data" / "audit.log"
    assert audit.stat().st_mode & 0o777 == 0o600


def test_it_ends_at_its_time_and_the_session_goes_on(
    desk: Desk, sshd: SshServer
) -> None:
    command = (
        f"{question(desk)} | {FILL} >/dev/null && echo before; "
        f"while [ -e {sshd.socket} ]; do sleep 0.1; done; "
        f"{question(desk)} | {FILL} >/dev/null || echo after"
    )

    options = ("--only", desk.apache.host, "--for", "6s")
    done = forwarded(desk, sshd, command, *options)

    assert done.stdout.split() == [b"before", b"after"], done.stderr


def test_exit_code_is_that_of_the_session(desk: Desk, sshd: SshServer) -> None:
    assert forwarded(desk, sshd, "exit 7").returncode == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_however_it_ends_nothing_is_left(
    desk: Desk, sshd: SshServer, number: signal.Signals
) -> None:
    only = ("--only", desk.apache.host)
    with standing(desk, *only, "ssh", "-N", *sshd.words()) as process:
        assert sshd.socket.exists()
        process.send_signal(number)
        process.wait(20)

    wait_until(lambda: not sshd.socket.exists(), "the socket to go")
    wait_until(lambda: not connections(sshd), "ssh to end")
    assert b"no forward runs" in desk.hushkey("forward", "status").stdout


def connections(sshd: SshServer) -> bytes:
    """The ssh processes of this server's clients."""
    words = ["pgrep", "-f", f"ssh .*-p {sshd.port} "]
    return subprocess.run(words, capture_output=True, check=False).stdout


def test_cut_line_leaves_nothing_and_is_said(desk: Desk, sshd: SshServer) -> None:
    only = ("--only", desk.apache.host)
    with standing(desk, *only, "ssh", "-N", *sshd.words()) as process:
        for pid in connections(sshd).split():
            os.kill(int(pid), signal.SIGKILL)
        assert process.wait(20) != 0
        wait_until(lambda: not sshd.socket.exists(), "the socket to go")
        done = over_there(sshd, f"{question(desk)} | {FILL}")

    assert b"password=" not in done.stdout


def test_next_forward_after_a_cut_answers_again(desk: Desk, sshd: SshServer) -> None:
    assert desk.get().returncode == 0
    words = ("--only", desk.apache.host, "ssh", "-N", *sshd.words())
    ask = f"{question(desk)} | {FILL} | grep -c password="
    with standing(desk, *words) as process:
        for pid in connections(sshd).split():
            os.kill(int(pid), signal.SIGKILL)
        assert process.wait(20) != 0
    with standing(desk, *words):
        assert over_there(sshd, ask).stdout == b"1\n"


def test_second_forward_takes_the_place_and_outlives_the_first(
    desk: Desk, sshd: SshServer
) -> None:
    assert desk.get().returncode == 0
    words = ("--only", desk.apache.host, "ssh", "-N", *sshd.words())
    ask = f"{question(desk)} | {FILL} | grep -c password="
    with standing(desk, *words) as first, standing(desk, *words):
        assert over_there(sshd, ask).stdout == b"1\n"
        first.terminate()
        first.wait(20)
        assert over_there(sshd, ask).stdout == b"1\n"


def test_two_accounts_at_once_each_have_their_own(desk: Desk, sshd: SshServer) -> None:
    assert desk.get().returncode == 0
    host = desk.apache.host
    ask = f"{question(desk)} | {FILL} | grep -c password="
    far = ("--only", host, "ssh", "-N", *sshd.words())
    other = ("--only", "other.test", "ssh", "-N", *sshd.words("other"))
    with standing(desk, *far), standing(desk, *other):
        assert over_there(sshd, ask).stdout == b"1\n"
        refused = over_there(sshd, ask, "other")
        assert refused.stdout == b"0\n"
        assert b"other@127.0.0.1 may have no token" in refused.stderr
    assert [(f["to"], f["outcome"]) for f in log(desk)] == [
        ("far@127.0.0.1", "given"),
        ("other@127.0.0.1", "refused"),
    ]


def test_machine_asleep_is_one_line_and_awake_it_answers(
    desk: Desk, sshd: SshServer
) -> None:
    assert desk.get().returncode == 0
    ask = f"{question(desk)} | {FILL} | grep -c password="
    words = ("--only", desk.apache.host, "ssh", "-N", *sshd.words())
    with standing(desk, *words) as process:
        process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            asleep = over_there(sshd, ask)
            took = time.monotonic() - began
        finally:
            process.send_signal(signal.SIGCONT)
        awake = over_there(sshd, ask)

    assert asleep.stdout == b"0\n"
    ours = [line for line in asleep.stderr.splitlines() if b"hushkey" in line]
    assert len(ours) == 1, asleep.stderr
    assert b"does not answer (timed out)" in ours[0]
    assert took < 30
    assert awake.stdout == b"1\n"


# -- attacks ------------------------------------------------------------------------


@pytest.fixture
def open_forward(desk: Desk, sshd: SshServer) -> Iterator[Path]:
    """The socket that root on the server can reach, with a signed-in person behind."""
    assert desk.get().returncode == 0
    only = ("--only", desk.apache.host)
    with standing(desk, *only, "ssh", "-N", *sshd.words()):
        yield sshd.socket


def sent(path: Path, data: bytes) -> tuple[str, str]:
    """Return kind and line of the answer to *data*."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(20)
        link.connect(str(path))
        try:
            link.sendall(data)
        except BrokenPipeError:
            assert len(data) > 10_000
        kind, words = forwarding.parse(rest(link), forwarding.ANSWER_BYTES)
        assert "token" not in words
        return kind, words.get("line", "")


def test_another_user_over_there_cannot_ask(
    desk: Desk, sshd: SshServer, open_forward: Path
) -> None:
    ask = f"HUSHKEY_UPSTREAM={open_forward} {FILL}"

    mine = over_there(sshd, f"{question(desk)} | {FILL} | grep -c password=")
    other = over_there(sshd, f"{question(desk)} | {ask}", "other")
    raw = over_there(sshd, f"ls -l {open_forward}", "other")

    assert mine.stdout == b"1\n", mine.stderr
    assert b"password=" not in other.stdout
    assert b"HUSHKEY_UPSTREAM" in other.stderr
    assert b"Permission denied" in raw.stderr
    assert open_forward.stat().st_uid == FAR
    assert open_forward.stat().st_mode & 0o777 == 0o600
    assert open_forward.parent.stat().st_mode & 0o777 == 0o700


def test_forged_questions_get_no_token(desk: Desk, open_forward: Path) -> None:
    host = desk.apache.host

    def asked(*request: str) -> tuple[str, str]:
        return sent(open_forward, Question("git", Request(*request)).bytes())

    for foreign in ("other.test", f"{host}.evil.test", "github.com", "127.0.0.1:1"):
        kind, _ = asked("https", foreign)
        assert kind in ("unknown", "error"), foreign
    for near in (f"evil@{host}", host.replace("127", "\uff11\uff12\uff17"), f"{host}/"):
        assert asked("https", near)[0] == "unknown", near
    assert asked("http", host)[0] == "unknown"
    assert asked("https", host, "a/../b")[0] == "error"  # --only cannot tell which
    assert asked("https", host, "%2e%2e/b")[0] == "error"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"hushkey-forward 2 get\nhost=" + b"x" * 1_000_000, "too long"),
        (b"hushkey-forward 9 get\nhost=a\n\n", "speaks version 9 of"),
        (b"hushkey-forward 2 erase\nhost=a\n\n", "nothing but `get`"),
        (b"hk\x01\x00\x00\x00\x08\x00\x00\x00\x04stop", "its own protocol"),
        (os.urandom(1_000_000), "its own protocol"),
    ],
)
def test_garbage_is_refused_in_one_line_and_noted(
    desk: Desk, open_forward: Path, data: bytes, line: str
) -> None:
    kind, said = sent(open_forward, data)

    assert kind == "error"
    assert line in said
    assert line in log(desk)[-1]["why"]


def test_foreign_host_is_no_s_quickly_and_remembered(
    sshd: SshServer, open_forward: Path, desk: Desk
) -> None:
    ask = f"printf 'protocol=https\\nhost=other.test\\n\\n' | {FILL}"

    done = over_there(sshd, f"{ask}; {ask}; {ask}")

    assert b"password=" not in done.stdout
    assert b"hushkey" not in done.stderr  # git asks as it always did
    unknown = [facts for facts in log(desk) if facts["outcome"] == "unknown"]
    assert [facts["host"] for facts in unknown] == ["other.test"]


def test_reject_over_there_renews_the_token_and_signs_nobody_out(
    desk: Desk, sshd: SshServer, open_forward: Path
) -> None:
    desk.age(600)  # one that is new is not set aside for one refusal
    git = FILL.replace("fill", "")
    script = f"""
    {question(desk)} | {git} fill >one && {git} reject <one
    {question(desk)} | {git} fill >two && ! cmp -s one two && echo renewed
    """

    done = over_there(sshd, script)

    assert done.stdout == b"renewed\n", done.stderr
    assert [facts["outcome"] for facts in log(desk)] == ["given", "rejected", "given"]
    assert len(desk.visitor.visits()) == 1


# -- a container --------------------------------------------------------------------


def test_container_with_a_mounted_socket_and_an_empty_home(desk: Desk) -> None:
    if os.geteuid() != 0:
        do_without("only root can make a mount namespace here")
    folder, inside = short_folder("mount"), short_folder("inside")
    path, host = folder / "upstream", desk.apache.host
    (inside / "hk").mkdir()
    (inside / "home").mkdir()
    (inside / "ca.pem").write_bytes(desk.ca_file.read_bytes())
    script = (
        f"mount --bind {folder} {inside}/hk && mount -t tmpfs none {desk.folder} && "
        f"test ! -e {desk.folder}/config.toml && "
        f"{CLONE} {desk.apache.url_of('contoso/app')} {inside}/app"
    )
    with standing(desk, "--only", host, "--socket", str(path)):
        done = subprocess.run(
            ["unshare", "-m", "/bin/sh", "-c", script],
            env=clean_environ(
                HOME=str(inside / "home"),
                PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
                HUSHKEY_UPSTREAM=str(inside / "hk" / "upstream"),
                GIT_SSL_CAINFO=str(inside / "ca.pem"),
                GIT_TERMINAL_PROMPT="0",
            ),
            capture_output=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert (inside / "app" / "README").exists()
    assert len(desk.visitor.visits()) == 1
    assert list(folder.iterdir()) == []
    subprocess.run(["rm", "-rf", str(folder), str(inside)], check=True)


def test_killed_forward_is_one_line_over_there(desk: Desk) -> None:
    folder = short_folder("gone")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "upstream"))
    there = {"HUSHKEY_UPSTREAM": str(folder / "upstream")}
    began = time.monotonic()

    git = desk.helper("get", "protocol=https\nhost=other.test\n\n", **there)
    program = str(BIN / "docker-credential-hushkey")
    docker = desk.start(program, "get", stdin=b"other.test", **there)

    assert git.stdout == b""  # git goes on as without a forward
    assert docker.stdout == b"credentials not found in native keychain\n"
    for done in (git, docker):
        assert b"`hushkey forward` runs on does not answer" in done.stderr
        assert done.stderr.count(b"\n") == 1
    assert time.monotonic() - began < 20
    subprocess.run(["rm", "-rf", str(folder)], check=True)


# -- one forward behind another ------------------------------------------------------


def test_second_hop_asks_the_first(desk: Desk, sshd: SshServer) -> None:
    """From here to far, and from far to another account of that server."""
    host, key = desk.apache.host, sshd.home() / "key"
    key.write_bytes((sshd.folder / "key").read_bytes())
    key.chmod(0o600)
    os.chown(key, FAR, FAR)
    words = " ".join(sshd.words("other")).replace(str(sshd.folder / "key"), str(key))
    ask = f"{question(desk)} | {FILL} | grep -c password="
    hop = f"hushkey forward --only {host} ssh {words} {shlex.quote(ask)}"

    done = forwarded(desk, sshd, hop)

    assert done.stdout == b"1\n", done.stderr
    assert len(desk.visitor.visits()) == 1
    assert b"(forwarded to other@127" in done.stderr
    assert b"(forwarded to far@127.0.0.1)" in done.stderr


def test_forward_that_leads_back_here_does_not_ask_itself(desk: Desk) -> None:
    """As with ssh to this very account: its socket is at this machine's own place."""
    run = desk.folder / "run"
    run.mkdir(mode=0o700)
    os.chdir(run)
    only = ("--only", desk.apache.host)
    with standing(desk, *only, "--socket", str(run / "upstream"), BROWSER="false"):
        began = time.monotonic()
        done = desk.get(BROWSER="false")

    assert b"password=" not in done.stdout
    assert time.monotonic() - began < 30
    assert len(log(desk)) == 1
    os.chdir("/")
