"""The agent beside real git, a real server and a real keyring: quick, silent, current.

Who has answered is counted by the agent itself; what was asked of people and servers
stands in their own logs.
"""

import binascii
import contextlib
import json
import os
import shlex
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import psutil
import pytest

from conftest import do_without
from helpers.tools.test_grid import case
from hushkey_helpers import ANSWERS
from hushkey_helpers.agent import protocol
from hushkey_install.register import gitdoor
from hushkey_install.tools import githelpers
from kit.agent import rest
from kit.desk import BIN, Desk
from servers.agent import Agent
from servers.gits import Git
from servers.process import wait_until
from servers.secretservice import SecretService

pytestmark = pytest.mark.contract


@pytest.fixture
def agent(desk: Desk) -> Iterator[Agent]:
    with Agent() as made:
        desk.extra |= made.environ
        yield made


@pytest.fixture
def warm(desk: Desk, agent: Agent) -> Agent:
    """An agent that knows the token of the one sign-in so far."""
    signed_in(desk)
    agent.wait()
    time.sleep(0.1)  # a file this young could change again unseen: it is not kept
    for _ in range(2):
        assert desk.get().returncode == 0
    assert int(agent.facts()["tokens"]) == 1
    return agent


def signed_in(desk: Desk) -> bytes:
    done = desk.get()
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_agent(desk: Desk, agent: Agent) -> bytes:
    """Return what the helper says; the agent must have said it."""
    before = agent.answered()
    done = desk.get()
    assert (done.returncode, done.stderr) == (0, b"")
    assert agent.answered() == before + 1
    return done.stdout


def remembered(desk: Desk, agent: Agent) -> bytes:
    """Return what the agent says to git's own client: it looks nowhere for that."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(20)
        link.connect(str(agent.folder / "git"))
        host = desk.apache.host.encode()
        link.sendall(b"action=get\ntimeout=1\nprotocol=https\nhost=%s\n\n" % host)
        link.shutdown(socket.SHUT_WR)
        return rest(link)


def at_once(desk: Desk, number: int) -> list[tuple[int, bytes]]:
    with ThreadPoolExecutor(number) as pool:
        done = list(pool.map(lambda _: desk.get(), range(number)))
    return [(d.returncode, d.stdout) for d in done]


def test_first_real_work_starts_it_and_the_next_call_is_its(
    desk: Desk, agent: Agent
) -> None:
    first = signed_in(desk)
    agent.wait()

    assert by_agent(desk, agent) == first
    assert len(desk.visitor.visits()) == 1


# AWS's tools take keys, which this host does not give.
@pytest.mark.parametrize("name", sorted(ANSWERS.keys() - {"aws"}))
def test_every_tool_is_answered_by_it(desk: Desk, warm: Agent, name: str) -> None:
    """But for a dialogue, which its own process leads from end to end."""
    made = case(name, desk.apache.host)
    (token,) = desk.tokens()
    before = warm.answered()

    program = str(BIN / "hushkey-answer")
    done = desk.start(program, name, *made.argv, stdin=made.stdin, **dict(made.environ))

    assert (done.returncode, done.stderr) == (0, b"")
    assert token.encode() in done.stdout
    assert warm.answered() == before + (ANSWERS[name][0] != "dialogue")


def test_token_command_is_answered_by_it(desk: Desk, warm: Agent) -> None:
    before = warm.answered()

    done = desk.hushkey("token", desk.apache.host)

    assert done.stdout.decode() == f"{desk.tokens()[0]}\n"
    assert warm.answered() == before + 1


@pytest.mark.parametrize("switch", ["CI=true", "HUSHKEY_AGENT=off", "config"])
def test_it_is_not_started_where_it_is_not_wanted(
    desk: Desk, agent: Agent, switch: str
) -> None:
    desk.extra["HUSHKEY_AGENT"] = ""
    name, _, value = switch.partition("=")
    if switch == "config":
        desk.configure(settings="agent = false")
        signed_in(desk)
    else:
        desk.extra["HUSHKEY_INTERACTIVE"] = "browser"
        assert desk.get(**{name: value}).returncode == 0

    assert desk.tokens()
    assert agent.pid() == 0
    assert not (agent.folder / "agent").exists()


def test_crowd_of_first_calls_starts_one(desk: Desk, agent: Agent) -> None:
    assert {code for code, _ in at_once(desk, 20)} == {0}
    pid = agent.wait()

    assert {code for code, _ in at_once(desk, 5)} == {0}
    assert agent.pid() == pid


def test_it_is_detached_and_carries_nothing_along(desk: Desk, warm: Agent) -> None:
    process = Path(f"/proc/{warm.pid()}")

    assert os.getsid(warm.pid()) == warm.pid()
    assert os.readlink(process / "cwd") == "/"
    open_files = [os.readlink(path) for path in (process / "fd").iterdir()]
    kinds = {name.partition(":")[0] for name in open_files}
    assert kinds <= {"/dev/null", "socket", "pipe", f"{warm.folder}/agent.lock"}
    names = {
        pair.partition(b"=")[0].decode()
        for pair in (process / "environ").read_bytes().split(b"\0")
    }
    assert names <= {*protocol.FORWARDED_VARS, ""}
    modes = [(warm.folder / name).stat().st_mode & 0o777 for name in ("agent", "git")]
    assert modes == [0o600, 0o600]


def test_git_works_with_it_as_without(desk: Desk, git: Git, warm: Agent) -> None:
    before = warm.answered()
    first = desk.clone(git, "contoso/app", "first")
    second = desk.clone(git, "fabrikam/app", "second")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert warm.answered() == before + 4  # a get and a store for each
    assert len(desk.visitor.visits()) == 1


def test_docker_s_helper_is_answered_and_renewed_by_it(desk: Desk, warm: Agent) -> None:
    program = str(BIN / "docker-credential-hushkey")
    answers = []
    for age in (0, 3601):
        desk.age(age)
        before = warm.answered()
        done = desk.start(program, "get", stdin=desk.apache.host.encode())
        assert done.returncode == 0, done.stdout
        assert warm.answered() == before + 1
        answers.append(done.stdout)

    assert answers[0] != answers[1]
    assert desk.issuer.refreshes() == 1


def test_keyring_s_command_line_is_answered_by_it(desk: Desk, warm: Agent) -> None:
    program = str(BIN / "hushkey-keyring")
    url = f"https://{desk.apache.host}/simple/"
    (token,) = desk.tokens()
    for words in (["get", url, "u"], ["--mode=creds", "get", url]):
        before = warm.answered()
        done = desk.start(program, *words)
        assert (done.returncode, done.stderr) == (0, b"")
        assert token.encode() in done.stdout
        assert warm.answered() == before + 1

    before = warm.answered()
    assert desk.start(program, "get", "https://other.test/", "u").stdout == b""
    assert warm.answered() == before  # another keyring's to say


def test_expired_token_is_renewed_by_it_once_for_all(desk: Desk, warm: Agent) -> None:
    old = by_agent(desk, warm)
    desk.age(3601)
    desk.issuer.set(delay=1)

    answers = at_once(desk, 20)

    assert {code for code, _ in answers} == {0}
    (answer,) = {out for _, out in answers}
    assert answer != old
    assert desk.issuer.refreshes() == 1
    assert len(desk.visitor.visits()) == 1


def test_one_flight_across_those_with_and_those_without_it(
    desk: Desk, warm: Agent
) -> None:
    desk.age(3601)
    desk.issuer.set(delay=1)

    def get(number: int) -> bytes:
        return desk.get(HUSHKEY_AGENT="on" if number % 2 else "off").stdout

    with ThreadPoolExecutor(12) as pool:
        answers = set(pool.map(get, range(12)))

    assert len(answers) == 1
    assert desk.issuer.refreshes() == 1


def test_failing_server_is_asked_once_and_everybody_hears_of_it(
    desk: Desk, warm: Agent
) -> None:
    desk.age(3601)
    desk.issuer.fail("status")
    before = desk.issuer.refreshes()

    answers = at_once(desk, 10)
    desk.issuer.heal()

    assert {code for code, _ in answers} == {1}
    assert desk.issuer.refreshes() - before <= 2
    assert len(desk.visitor.visits()) == 1


def loaded(agent: Agent) -> set[str]:
    """The names of the libraries that the agent has loaded."""
    maps = Path(f"/proc/{agent.pid()}/maps").read_text()
    return {Path(line.split()[-1]).name.partition(".")[0] for line in maps.splitlines()}


def test_what_a_renewal_needs_does_not_stay(desk: Desk, warm: Agent) -> None:
    """The network's libraries are most of what an agent would keep in memory."""
    pid = warm.pid()
    before = loaded(warm)
    for number in (1, 2):
        desk.age(3601)
        signed_in(desk)
        assert desk.issuer.refreshes() == number
    by_agent(desk, warm)

    assert warm.pid() == pid
    assert not {"_ssl", "_rust", "_cffi_backend"} & loaded(warm)
    assert loaded(warm) <= before | {"_posixsubprocess", "_random", "_sha2"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root looks into the agent")
def test_no_refresh_token_and_no_key_is_ever_in_its_memory(
    desk: Desk, warm: Agent
) -> None:
    """Not even where it was once: what opens the store is another process."""
    refresh = [row["refresh_token"] for row in grants(desk)]
    desk.age(3601)
    token = signed_in(desk).partition(b"password=")[2].split()[0]
    refresh += [row["refresh_token"] for row in grants(desk)]
    key = (desk.folder / "data/key").read_text().strip()
    wait_until(
        lambda: signed_in(desk) != b"" and token in memory_of(warm.pid()),
        "the new token",
    )

    found = memory_of(warm.pid())

    assert len(set(refresh)) == 2
    secrets = [binascii.a2b_base64(key), *(s.encode() for s in (key, *refresh))]
    assert [number for number, secret in enumerate(secrets) if secret in found] == []


def grants(desk: Desk) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(desk.token_file().read().dumps())["grants"]
    return found


def memory_of(pid: int) -> bytes:
    """Everything that the process could have written to."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights, *_ = line.split()
            if rights.startswith("rw"):
                start, end = (int(number, 16) for number in place.split("-"))
                memory.seek(start)
                found.append(memory.read(end - start))
    return b"\0".join(found)


def test_killed_agent_s_renewal_is_saved(desk: Desk, warm: Agent) -> None:
    """What the server was asked is stored, although nobody waits for it."""
    desk.age(3601)
    desk.issuer.set(delay=1)
    before = desk.issuer.refreshes()
    with ThreadPoolExecutor(1) as pool:
        caller = pool.submit(desk.get)
        agent = psutil.Process(warm.pid())
        wait_until(lambda: bool(agent.children()), "its process", pause=0.01)
        (process,) = agent.children()
        warm.kill()
        assert caller.result().returncode == 0

    assert desk.issuer.refreshes() == before + 1
    assert len(desk.visitor.visits()) == 1
    ended = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    with contextlib.suppress(psutil.NoSuchProcess):
        wait_until(lambda: process.status() in ended, "its end")


def test_renewal_that_outlives_its_agent_stores_nothing_after_a_sign_out(
    desk: Desk, warm: Agent
) -> None:
    desk.age(3601)
    desk.issuer.set(delay=1)
    with ThreadPoolExecutor(2) as pool:
        caller = pool.submit(desk.get, HUSHKEY_INTERACTIVE="never")
        agent = psutil.Process(warm.pid())
        wait_until(lambda: bool(agent.children()), "its process", pause=0.01)
        (process,) = agent.children()
        gone = pool.submit(desk.hushkey, "logout", "corp", "--local")
        warm.kill()
        assert gone.result().returncode == 0
        caller.result()
    ended = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    with contextlib.suppress(psutil.NoSuchProcess):
        wait_until(lambda: process.status() in ended, "its end")

    assert not desk.token_file().read().accounts
    assert desk.get(HUSHKEY_INTERACTIVE="never").stdout == b"quit=1\n"


def test_sign_in_is_the_caller_s_own(desk: Desk, warm: Agent) -> None:
    desk.age(3601)
    desk.issuer.forget()

    answers = at_once(desk, 8)

    assert {code for code, _ in answers} == {0}
    assert len(desk.visitor.visits()) == 2


def test_token_in_use_is_renewed_before_it_ends(desk: Desk, agent: Agent) -> None:
    desk.issuer.set(access_ttl=10)
    signed_in(desk)
    agent.wait()
    old = by_agent(desk, agent)

    # Half of its life is left then; the agent looks every five seconds.
    wait_until(lambda: desk.issuer.refreshes() == 1, "a renewal", seconds=15)
    wait_until(lambda: agent.facts()["renewed"] == "1", "its end")
    password = old.partition(b"password=")[2].split()[0]
    answers: list[bytes] = []

    def is_new() -> bool:
        answers.append(remembered(desk, agent))
        return b"password=" in answers[-1] and password not in answers[-1]

    wait_until(is_new, "the new token in its memory")
    assert signed_in(desk) != old
    assert desk.issuer.refreshes() == 1


# -- what is withdrawn -----------------------------------------------------------


def test_signed_out_is_signed_out(desk: Desk, warm: Agent) -> None:
    old = by_agent(desk, warm)
    assert desk.hushkey("logout", "corp", "--local").returncode == 0

    warm.wait_for_end()
    done = desk.get(HUSHKEY_INTERACTIVE="never")
    assert done.stdout == b"quit=1\n"
    assert signed_in(desk) != old


def test_signed_out_without_a_word_to_it_is_signed_out(desk: Desk, warm: Agent) -> None:
    with desk.token_file().change(5) as change:
        for account in list(change.cache.accounts):
            change.cache.sign_out(account)
        change.save()

    assert desk.get(HUSHKEY_INTERACTIVE="never").stdout == b"quit=1\n"


def test_erased_token_is_not_given_again(desk: Desk, warm: Agent) -> None:
    old = by_agent(desk, warm)
    desk.age(100)
    (token,) = desk.tokens()
    text = f"protocol=https\nhost={desk.apache.host}\npassword={token}\n\n"
    assert desk.helper("erase", text).returncode == 0

    assert desk.get().stdout != old
    assert desk.issuer.refreshes() == 1


def test_host_that_the_config_drops_is_dropped(desk: Desk, warm: Agent) -> None:
    host = '[host."other.example.com"]\nidentity = "corp"\nscopes = ["git"]\n'
    desk.configure(hosts=host)

    assert desk.get().stdout == b""


def test_config_that_wants_no_agent_ends_it(desk: Desk, warm: Agent) -> None:
    desk.extra["HUSHKEY_AGENT"] = ""
    desk.configure(settings="agent = false")

    assert desk.get().returncode == 0
    warm.wait_for_end()


def test_key_file_that_is_gone_is_missed(desk: Desk, warm: Agent) -> None:
    (desk.folder / "data" / "key").rename(desk.folder / "elsewhere")
    try:
        done = desk.get()
    finally:
        (desk.folder / "elsewhere").rename(desk.folder / "data" / "key")

    assert b"holds no hushkey key" in done.stderr
    assert done.stdout == b"quit=1\n"


class TestKeyring:
    """A real Secret Service says what changes in it."""

    @pytest.fixture
    def service(
        self,
        desk: Desk,
        agent: Agent,
        make_secret_service: Callable[..., SecretService],
    ) -> SecretService:
        made = make_secret_service("unlocked")
        desk.extra = dict(made.environ) | agent.environ
        desk.configure(key_store="keyring", settings="keyring_timeout = 2")
        signed_in(desk)
        agent.wait()

        def known() -> bool:
            assert desk.get().returncode == 0
            return agent.facts()["tokens"] == "1"

        wait_until(known, "a warm agent", pause=0.1)
        return made

    def test_reading_it_is_no_change(
        self, desk: Desk, agent: Agent, service: SecretService
    ) -> None:
        for _ in range(3):
            assert desk.get(HUSHKEY_AGENT="off").returncode == 0

        assert agent.facts()["tokens"] == "1"

    def test_locked_keyring_is_locked_at_once(
        self, desk: Desk, agent: Agent, service: SecretService
    ) -> None:
        service.lock()

        done = desk.get(HUSHKEY_INTERACTIVE="never")

        assert b"is locked" in done.stderr
        assert agent.facts()["tokens"] == "0"

    def test_keyring_that_goes_is_gone(
        self, desk: Desk, agent: Agent, service: SecretService
    ) -> None:
        service.stop_daemon()

        assert b"no OS keyring" in desk.get().stderr
        assert agent.facts()["tokens"] == "0"

    def test_token_is_renewed_with_the_key_from_the_keyring(
        self,
        desk: Desk,
        agent: Agent,
        service: SecretService,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name, value in service.environ.items():
            monkeypatch.setenv(name, value)
        desk.age(3601)

        by_agent(desk, agent)

        assert desk.issuer.refreshes() == 1


# -- what may become of it ---------------------------------------------------------


def test_killed_agent_is_missed_by_nobody(desk: Desk, warm: Agent) -> None:
    answer = by_agent(desk, warm)
    warm.kill()

    assert desk.get().stdout == answer


def test_frozen_agent_costs_a_moment(desk: Desk, warm: Agent) -> None:
    answer = by_agent(desk, warm)
    warm.send(signal.SIGSTOP)
    began = time.monotonic()

    assert desk.get().stdout == answer
    assert time.monotonic() - began < 3


def test_agent_that_freezes_at_work_is_not_waited_for(desk: Desk, warm: Agent) -> None:
    desk.age(3601)
    desk.issuer.set(delay=4)
    pool = ThreadPoolExecutor(1)
    waiting = pool.submit(desk.get)
    wait_until(lambda: desk.issuer.refreshes() == 1, "the refresh")
    warm.send(signal.SIGSTOP)
    began = time.monotonic()
    time.sleep(4)
    warm.send(signal.SIGCONT)  # the lock of the store is its own until then

    assert waiting.result(60).returncode == 0
    assert time.monotonic() - began < 30
    assert len(desk.visitor.visits()) == 1


def test_hushkey_agent_tells_and_ends_it(desk: Desk, warm: Agent) -> None:
    status = desk.hushkey("agent", "status")
    assert b"running:" in status.stdout
    assert desk.hushkey("agent", "stop").returncode == 0
    assert warm.pid() == 0
    assert b"no\n" in desk.hushkey("agent", "status").stdout
    assert desk.hushkey("agent", "start").returncode == 0
    assert warm.pid()


def test_frozen_agent_is_ended_by_force(desk: Desk, warm: Agent) -> None:
    warm.send(signal.SIGSTOP)

    assert b"gives no answer" in desk.hushkey("agent", "status").stdout
    assert desk.hushkey("agent", "stop").returncode == 0
    assert warm.pid() == 0


# -- git's own client ----------------------------------------------------------------


def register_git_socket(desk: Desk, agent: Agent) -> str:
    """Write git's own protocol before ours, as the guide says."""
    socket = agent.folder / "git"
    line = (
        '!f() { test "$1" = get && exec timeout 1 git credential-cache '
        f"--socket {shlex.quote(str(socket))} get; :; }}; f"
    )
    url = f"https://{desk.apache.host}"
    path = desk.folder / "gitconfig"
    escaped = line.replace("\\", "\\\\").replace('"', '\\"')
    path.write_text(
        f'[credential "{url}"]\n\thelper =\n\thelper = "{escaped}"\n'
        "\thelper = hushkey\n"
    )
    return url


def install_line(desk: Desk, _: Agent) -> str:
    """Let `hushkey install git` write it, now that there is an agent."""
    if not (BIN / "hushkey-git-client").exists():
        do_without("hushkey-git-client was installed without a C compiler")
    assert desk.hushkey("install", "git").returncode == 0
    assert "/hushkey-git-client " in (desk.folder / "gitconfig").read_text()
    return f"https://{desk.apache.host}"


def install_line_without_client(desk: Desk, agent: Agent) -> str:
    """Let there be the line that is written where our own client is not."""
    place = install_line(desk, agent)
    with mock.patch.object(githelpers, "CLIENT", "hushkey-git-client-is-not-here"):
        line = gitdoor.line(desk.environ)
    words = ["config", "--file", str(desk.folder / "gitconfig"), "--replace-all"]
    desk.start("git", *words, f"credential.{place}.helper", line, "^!f")
    text = (desk.folder / "gitconfig").read_text()
    assert "credential-cache --socket" in text
    assert "hushkey-git-client" not in text
    return place


REGISTERED = pytest.mark.parametrize(
    "register", [register_git_socket, install_line, install_line_without_client]
)
Register = Callable[[Desk, Agent], str]


@REGISTERED
def test_git_s_own_client_is_answered(
    desk: Desk, git: Git, warm: Agent, register: Register
) -> None:
    register(desk, warm)
    desk.extra["GIT_TRACE"] = "1"
    done = desk.clone(git, "contoso/app", "first")

    assert done.returncode == 0, done.stderr
    assert b"git-credential-hushkey get" not in done.stderr
    assert b"git-credential-hushkey store" in done.stderr
    assert len(desk.visitor.visits()) == 1


@REGISTERED
@pytest.mark.parametrize("state", ["cold", "frozen", "absent"])
def test_git_goes_on_to_us_where_its_client_hears_nothing(
    desk: Desk, old_git: Git, warm: Agent, state: str, register: Register
) -> None:
    register(desk, warm)
    if state == "cold":
        desk.age(3601)
    elif state == "frozen":
        warm.send(signal.SIGSTOP)
    else:
        warm.kill()

    done = desk.clone(old_git, "contoso/app", "first")

    assert done.returncode == 0, done.stderr
    assert len(desk.visitor.visits()) == 1


@REGISTERED
def test_stale_token_heals_through_both_protocols(
    desk: Desk, new_git: Git, warm: Agent, register: Register
) -> None:
    register(desk, warm)
    desk.clone(new_git, "contoso/app", "first")
    desk.age(100)
    time.sleep(0.1)
    assert desk.get().returncode == 0
    assert desk.apache.refuse_seen() > 0

    done = new_git.run("fetch", environ=desk.environ, cwd=desk.folder / "first")

    assert done.returncode == 0, done.stderr
    assert desk.issuer.refreshes() == 1
    assert len(desk.visitor.visits()) == 1


#: what git may ask for our host and for others, without the lines that name them
ASKED = {
    "plain": "",
    "path": "path=contoso/app.git\n",
    "user": "username=somebody\n",
    "bearer": "capability[]=authtype\ncapability[]=state\n",
    "basic": 'capability[]=authtype\nwwwauth[]=Basic realm="x"\n',
    "offered": 'capability[]=authtype\nwwwauth[]=Bearer realm="x"\nwwwauth[]=Basic\n',
    "state": "capability[]=authtype\ncapability[]=state\nstate[]=other:1\n",
    "unknown": "capability[]=new\nhasnot=seen\n",
    "carriage return": "path=a\rb\n",
    "two hosts": "host=other.test\n",
    "not a line": "nothing\n",
}


@pytest.mark.parametrize("client", ["hushkey-git-client", "is-not-here"])
def test_installed_line_answers_as_the_helper_does_or_not_at_all(
    desk: Desk, warm: Agent, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_line(desk, warm)
    monkeypatch.setattr(githelpers, "CLIENT", client)
    line = gitdoor.line(desk.environ)
    host = desk.apache.host
    places = [f"protocol=https\nhost={host}\n"]
    places += [f"protocol=http\nhost={host}\n", "protocol=https\nhost=foreign.test\n"]
    places += [f"protocol=https\nhost={host.upper()}.\n", f"host={host}\n"]
    places += [f"url=https://{host}/a\n"]
    answered = set()
    for place in places:
        for name, more in ASKED.items():
            asked = f"{place}{more}\n"
            shell = ("/bin/sh", "-c", f"{line.removeprefix('!')} get")
            by_line = desk.start(*shell, stdin=asked.encode())
            by_helper = desk.helper(
                "get", asked, HUSHKEY_AGENT="off", HUSHKEY_INTERACTIVE="never"
            )
            said = by_line.stdout.partition(b"\n")[2]
            assert said in (b"", by_helper.stdout), asked
            if said:
                answered.add((place, name))
    ours = {"plain", "path", "bearer", "basic", "offered", "state", "unknown"}
    assert answered >= {(places[0], name) for name in ours}
    assert {place for place, _ in answered} <= {places[0], places[3]}


def test_line_of_another_environment_is_not_answered(desk: Desk, warm: Agent) -> None:
    """The agent knows another config than who asks: the helper asks for theirs."""
    other = desk.folder / "other.toml"
    other.write_bytes((desk.folder / "config.toml").read_bytes())
    desk.extra["HUSHKEY_CONFIG"] = str(other)
    install_line(desk, warm)
    before = warm.answered()
    desk.extra["GIT_TRACE"] = "1"
    asked = f"protocol=https\nhost={desk.apache.host}\n\n"

    done = desk.start("git", "credential", "fill", stdin=asked.encode())

    assert b"git-credential-hushkey get" in done.stderr
    assert b"password=" in done.stdout
    assert warm.answered() <= before + 2  # by its own protocol; the line's went unused


def test_approve_starts_no_daemon_and_writes_nothing(
    desk: Desk, old_git: Git, warm: Agent
) -> None:
    install_line(desk, warm)
    warm.kill()
    (warm.folder / "git").unlink()
    asked = f"protocol=https\nhost={desk.apache.host}\n".encode()
    secret = b"username=u\npassword=typed-by-me\n\n"

    old_git.run("credential", "approve", environ=desk.environ, stdin=asked + secret)
    old_git.run("credential", "reject", environ=desk.environ, stdin=asked + secret)

    assert not (warm.folder / "git").exists() or warm.facts()
    assert b"typed-by-me" not in desk.files()
