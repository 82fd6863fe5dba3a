"""The real clients of other tools, against a server that wants the right token."""

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from conftest import do_without
from hushkey.model import Grant
from kit.desk import Desk
from kit.oauth import (
    Machine,
    OidcServer,
    Reply,
    claims,
    grant,
    signed,
)
from servers.agent import Agent
from servers.authority import Authority
from servers.basic import basic_server
from servers.process import Missing, find_program
from servers.toolclients import (
    BIN,
    HEAVY,
    HELPED,
    STARTED,
    Client,
    Command,
    Place,
    installed,
    pnpm_alone,
    run,
)
from servers.toolserver import ToolServer

pytestmark = pytest.mark.contract
TOKEN = "at-c4nary"
CONFIG = """
[settings]
key_store = "file"

[identity.corp]
provider = "oidc"
issuer = "{issuer}"
client_id = "c"

[host."HOST"]
identity = "corp"
scopes = ["git"]
"""
Done = subprocess.CompletedProcess[bytes]

CLIENTS = {**HELPED, **{f"run {name}": each for name, each in STARTED.items()}}
each_client = pytest.mark.parametrize("name", CLIENTS)
each_helped = pytest.mark.parametrize("name", HELPED)


@pytest.fixture
def server(authority: Authority) -> Iterator[ToolServer]:
    with ToolServer(authority.server_context(), lambda token: token == TOKEN) as made:
        yield made


@pytest.fixture
def prepared(
    server: ToolServer, authority: Authority, tmp_path: Path
) -> Callable[[Client], tuple[Command, Path]]:
    """Let a client have a folder of its own, and return how to start it there."""
    number = iter(range(100))

    def prepare(client: Client) -> tuple[Command, Path]:
        folder = tmp_path / f"place-{next(number)}"
        folder.mkdir()
        try:
            return client(Place(folder, server, authority.ca_file)), folder
        except Missing as reason:
            do_without(reason)
            raise

    return prepare


Prepared = Callable[[Client], tuple[Command, Path]]


def rules_of(host: str) -> str:
    """The rules for *host*, which is AWS's STS, too, and by loopback's other name."""
    rule = f'[host."{host}"]\nidentity = "corp"\nscopes = ["git"]\n'
    keys = 'exchange = "sts"\nrole = "arn:aws:iam::111122223333:role/ci"\n'
    rules = rule + rule.replace('"]\n', '/aws"]\n', 1) + keys
    other = rule.replace("127.0.0.1", "localhost")
    return rules if other == rule else rules + other


def granted(**changes: Any) -> Grant:
    """A grant of TOKEN, with an ID token."""
    proof = signed(claims("https://id.test", time.time(), nonce=None))
    return grant(TOKEN, beside=proof, **changes)


def machine_of(home: Path, issuer: str, *hosts: str) -> Machine:
    machine = Machine(home, issuer)
    rules = "".join(map(rules_of, hosts))
    machine.configure(text=CONFIG.partition("[host")[0] + rules)
    machine.settle()
    # A client's home is not ours.
    machine.environ["HUSHKEY_CONFIG"] = str(machine.config_file)
    machine.environ["HUSHKEY_DATA_DIR"] = str(machine.data)
    return machine


def start(machine: Machine, prepared: tuple[Command, Path], **extra: str) -> Done:
    """Run a client without a terminal."""
    command, folder = prepared
    return subprocess.run(
        command.words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=machine.environ | dict(command.environ) | extra,
        cwd=folder,
        timeout=120,
        check=False,
        start_new_session=True,
    )


@each_client
def test_client_gets_its_token_silently(
    name: str, home: Path, server: ToolServer, prepared: Prepared
) -> None:
    machine = machine_of(home, "https://id.test", server.host)
    machine.has(granted())

    done = start(machine, prepared(CLIENTS[name]))

    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said + str(server.log)
    assert server.served
    assert TOKEN not in said
    assert "hushkey" not in said


@pytest.mark.long
@pytest.mark.parametrize("name", HEAVY)
def test_coding_agent_gets_its_token_silently(
    name: str, home: Path, server: ToolServer, prepared: Prepared
) -> None:
    machine = machine_of(home, "https://id.test", server.host)
    machine.has(granted())

    done = start(machine, prepared(HEAVY[name]))

    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said + str(server.log)
    assert b"hello" in done.stdout
    assert server.served
    assert TOKEN not in said


def at_terminal(machine: Machine, prepared: tuple[Command, Path]) -> tuple[int, str]:
    """Run a client as the foreground job of a terminal; return what is read there."""
    command, folder = prepared
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        variables = {**machine.environ, **command.environ}
        os.execve(command.words[0], command.words, variables)
    seen = b""
    try:
        deadline = time.monotonic() + 120
        while select.select([terminal], [], [], deadline - time.monotonic())[0]:
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # the other side is closed
                break
            seen += piece
            if not piece:
                break
    finally:
        os.close(terminal)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), seen.decode("utf-8", "replace")


def words_of(screen: str) -> str:
    """What is read on a terminal: tools break lines, draw frames and use colours.

    Loopback has one name there.
    """
    screen = screen.replace("localhost", "127.0.0.1")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)
    return " ".join(re.sub("[│╷╵|]", " ", plain).split())


@each_client
def test_person_at_a_terminal_reads_what_to_run(
    name: str, home: Path, server: ToolServer, prepared: Prepared
) -> None:
    machine = machine_of(home, "https://id.test", server.host)
    machine.environ["HUSHKEY_INTERACTIVE"] = "never"

    code, seen = at_terminal(machine, prepared(CLIENTS[name]))

    assert code != 0
    assert f"hushkey login {server.host}" in words_of(seen)
    assert not server.served


@each_client
def test_log_of_a_job_says_what_to_run(
    name: str, home: Path, server: ToolServer, prepared: Prepared
) -> None:
    """Without a terminal, but for what the tool's own stderr can show."""
    machine = machine_of(home, "https://id.test", server.host)
    machine.environ["HUSHKEY_INTERACTIVE"] = "never"

    done = start(machine, prepared(CLIENTS[name]))

    assert done.returncode != 0
    assert f"hushkey login {server.host}" in words_of(done.stderr.decode())


@each_helped
@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_identity_server_that_does_not_answer_is_asked_once(
    name: str, how: str, home: Path, server: ToolServer, prepared: Prepared
) -> None:
    with OidcServer() as issuer:
        machine = machine_of(home, issuer.issuer, server.host)
        text = machine.config_file.read_text()
        settings = "[settings]\nsilent_timeout = 2\n"
        machine.configure(text=text.replace("[settings]\n", settings))
        machine.settle()
        machine.has(granted(expires_in=1), age=3600)
        issuer.on("/token", issuer.hang if how == "hangs" else Reply({}, 503))

        done = start(machine, prepared(CLIENTS[name]))

        assert done.returncode != 0
        assert len(issuer.calls_to("/token")) == 1
        assert not server.served


@each_helped
def test_host_of_nobody_gets_no_token(
    name: str, home: Path, server: ToolServer, prepared: Prepared
) -> None:
    machine = machine_of(home, "https://id.test", "other.test")
    machine.has(granted())

    done = start(machine, prepared(CLIENTS[name]))

    assert done.returncode != 0
    assert not server.served
    assert TOKEN not in str(server.log)
    assert TOKEN.encode() not in done.stdout + done.stderr


def test_ten_tools_at_once_sign_in_once(
    desk: Desk, authority: Authority, tmp_path: Path
) -> None:
    """Nobody has signed in, and everything starts at the same moment."""
    with ToolServer(
        authority.server_context(), lambda token: token in desk.tokens()
    ) as server:
        desk.configure(hosts=rules_of(server.host))
        before = desk.issuer.sign_ins()

        def fetch(number: int) -> Done:
            folder = tmp_path / f"place-{number}"
            folder.mkdir()
            client = list(HELPED.values())[number]
            command = client(Place(folder, server, authority.ca_file))
            done = subprocess.run(
                command.words,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=desk.environ | dict(command.environ),
                cwd=folder,
                timeout=200,
                check=False,
            )
            desk.ear.hear(" ".join(command.words), done.stdout, done.stderr)
            return done

        try:
            with ThreadPoolExecutor(len(HELPED)) as pool:
                done = list(pool.map(fetch, range(len(HELPED))))
        except Missing as reason:
            do_without(reason)
            raise
    assert [each.stderr for each in done if each.returncode] == []
    assert len(desk.visitor.visits()) == 1
    assert desk.issuer.sign_ins() - before == 1
    assert len([made for made in desk.tokens() if not made.startswith("{")]) == 1


@each_helped
def test_person_signs_in_at_the_terminal_of_any_client(
    name: str, home: Path, server: ToolServer, prepared: Prepared
) -> None:
    """Whatever the client does with our streams, the code is read and it goes on."""
    with OidcServer() as issuer:
        issuer.offers_devices()
        proof = signed(claims(issuer.issuer, time.time(), nonce=None))
        issuer.grants(access_token=TOKEN, id_token=proof)
        machine = machine_of(home, issuer.issuer, server.host)
        machine.environ["HUSHKEY_INTERACTIVE"] = "device"

        command, folder = prepared(HELPED[name])
        # NuGet's word that nobody may be asked
        words = tuple(word for word in command.words if word != "-NonInteractive")

        code, seen = at_terminal(machine, (Command(words, command.environ), folder))

        assert code == 0, seen
        assert server.served
        assert len(issuer.calls_to("/device")) == 1
        assert "ABCD-EFGH" in seen
        assert TOKEN not in seen


@pytest.mark.parametrize("name", ["kubectl", "go"])
def test_person_who_refuses_is_asked_once(
    name: str, home: Path, server: ToolServer, prepared: Prepared
) -> None:
    """kubectl runs a failing command five times over, Go as often at once."""
    with OidcServer() as issuer:
        issuer.offers_devices()
        issuer.on("/token", Reply({"error": "access_denied"}, 400))
        machine = machine_of(home, issuer.issuer, server.host)
        machine.environ["HUSHKEY_INTERACTIVE"] = "device"

        code, seen = at_terminal(machine, prepared(HELPED[name]))

        assert code != 0
        assert len(issuer.calls_to("/device")) == 1, seen


@each_helped
def test_token_that_the_server_refuses_ends_the_command(
    name: str, home: Path, server: ToolServer, prepared: Prepared
) -> None:
    """No client asks for ever, and none is handed a new sign-in by a 401."""
    server.accepts = server.trusts = lambda token: False
    machine = machine_of(home, "https://id.test", server.host)
    machine.has(granted())

    done = start(machine, prepared(HELPED[name]))

    assert done.returncode != 0
    assert not server.served
    assert TOKEN.encode() not in done.stdout + done.stderr
    assert len([seen for seen in server.log if TOKEN in seen.authorization]) < 20


def test_cargo_login_and_logout_are_answered(
    home: Path, server: ToolServer, prepared: Prepared
) -> None:
    machine = machine_of(home, "https://id.test", server.host)
    machine.has(granted())
    command, folder = prepared(HELPED["cargo"])

    def cargo(verb: str) -> Done:
        words = (command.words[0], verb, "--registry", "mine")
        return start(machine, (Command(words, command.environ), folder))

    login, logout = cargo("login"), cargo("logout")

    assert login.returncode == 0, login.stderr
    assert logout.returncode == 0, logout.stderr
    assert f"hushkey logout {server.host}".encode() in logout.stderr
    assert machine.stored() == [TOKEN]


def test_pnpm_runs_with_every_registry_that_install_took(
    home: Path, server: ToolServer, prepared: Prepared
) -> None:
    """A helper with a % in its words would end each of its commands."""
    machine = machine_of(home, "https://id.test", server.host)
    machine.has(granted())
    command, folder = prepared(pnpm_alone)
    hosts = (f"{server.host}/my%20team/npm/", f"{server.host}/npm/")

    words = (str(BIN / "hushkey"), "install", "pnpm", *hosts)
    done = start(machine, (Command(words, command.environ), folder))
    assert done.returncode == 0, done.stderr
    done = start(machine, (command, folder))

    assert done.returncode == 0, done.stderr + done.stdout
    assert server.served


@pytest.mark.parametrize("key", ["mine", "MINE"])
def test_project_that_leads_a_registry_elsewhere_gets_no_token(
    key: str, home: Path, server: ToolServer, authority: Authority, prepared: Prepared
) -> None:
    """cargo takes the variable of the token for both of these names."""
    machine = machine_of(home, "https://id.test", server.host)
    machine.has(granted())
    with ToolServer(authority.server_context(), lambda _: True) as other:
        command, folder = prepared(STARTED["cargo"])
        (folder / ".cargo").mkdir()
        index = f'index = "sparse+{other.url}/cargo/"'
        (folder / ".cargo/config.toml").write_text(f"[registries.{key}]\n{index}\n")
        manifest = (folder / "Cargo.toml").read_text()
        (folder / "Cargo.toml").write_text(manifest.replace('"mine"', f'"{key}"'))

        done = start(machine, (command, folder))

        assert other.log == []
    assert done.returncode == 1
    assert b"which is not at https://" in done.stderr


def test_terraform_logout_says_that_the_sign_in_stays(
    home: Path, server: ToolServer, prepared: Prepared
) -> None:
    machine = machine_of(home, "https://id.test", server.host)
    machine.has(granted())
    command, folder = prepared(HELPED["terraform"])
    words = (command.words[0], "logout", server.host)

    code, seen = at_terminal(machine, (Command(words, command.environ), folder))

    assert code == 0, seen
    assert f"hushkey logout {server.host}" in words_of(seen)
    assert machine.stored() == [TOKEN]


def test_agent_answers_each_client(
    home: Path, server: ToolServer, authority: Authority, prepared: Prepared
) -> None:
    with OidcServer() as issuer, Agent() as agent:
        proof = signed(claims(issuer.issuer, time.time(), nonce=None))
        issuer.grants(access_token=TOKEN, id_token=proof)
        machine = machine_of(home, issuer.issuer, server.host)
        machine.environ |= agent.environ
        machine.has(grant("at-old", expires_in=1), age=3600)
        machine.run("hushkey", "token", server.host)
        agent.wait()
        keys = ("hushkey-answer", "aws", "--host", f"{server.host}/aws")
        machine.environ["SSL_CERT_FILE"] = str(authority.ca_file)
        for _ in range(2):  # from then on all is in memory
            machine.run("hushkey", "token", server.host)
            machine.run(*keys)

        for name, client in HELPED.items():
            made = prepared(client)
            if "HOME" in made[0].environ:
                continue  # another home is another person's
            before = agent.answered()
            done = start(machine, made)
            assert done.returncode == 0, done.stderr
            assert agent.answered() > before, name

        assert len(issuer.calls_to("/token")) == 1


def test_git_lfs_is_answered_by_gits_helper(home: Path, tmp_path: Path) -> None:
    if not shutil.which("git-lfs"):
        do_without("git-lfs is not installed: run tests/prepare")
    with basic_server(tmp_path) as server:
        server.password = TOKEN
        rule = f'[host."{server.url}"]\nidentity = "corp"\nscopes = ["git"]\n'
        machine = Machine(home, "https://id.test")
        machine.configure(
            text=CONFIG.partition("[host")[0] + rule + f'username = "{server.user}"\n'
        )
        machine.has(granted())
        git = ("git", "-c", "credential.helper=", "-c", "credential.helper=hushkey")
        for words in (
            ("git", "init", "-q", "."),
            ("git", "remote", "add", "origin", f"{server.url}/app.git"),
            (*git, "lfs", "locks"),
        ):
            done = start(machine, (Command(words), tmp_path))
            assert done.returncode == 0, done.stderr

    assert any("/info/lfs/locks" in asked and code == 200 for asked, code in server.log)
    assert TOKEN.encode() not in done.stdout + done.stderr


@pytest.mark.parametrize("ours", [True, False])
def test_conan_asks_the_plug_in_that_install_made(
    home: Path, server: ToolServer, authority: Authority, tmp_path: Path, ours: bool
) -> None:
    try:
        libraries = installed("conan")
    except Missing as reason:
        do_without(reason)
        raise
    machine = machine_of(home, "https://id.test", server.host if ours else "other.test")
    machine.has(granted())
    folder = tmp_path / "conan"
    folder.mkdir()
    remote = {"name": "mine", "url": f"{server.url}/conan", "verify_ssl": True}
    (folder / "remotes.json").write_text(json.dumps({"remotes": [remote]}))
    (folder / "global.conf").write_text(
        f"core.net.http:cacert_path={authority.ca_file}\ncore:non_interactive=True\n"
    )
    machine.environ["CONAN_HOME"] = str(folder)
    made = machine.run("hushkey", "install", "conan")
    assert made.returncode == 0, made.stderr
    words = (sys.executable, str(libraries / "bin" / "conan"))
    command = Command((*words, "list", "hello/*", "-r", "mine"), {})

    machine.environ["PYTHONPATH"] = str(libraries)
    done = start(machine, (command, tmp_path))

    said = (done.stdout + done.stderr).decode()
    assert ("hello/1.0" in said) == ours, said
    assert ("/conan/v2/conans/search" in server.served) == ours
    assert TOKEN not in said
    assert ours or TOKEN not in str(server.log)


class Mail(socketserver.ThreadingTCPServer):
    """An SMTP server (RFC 5321) that wants AUTH PLAIN (RFC 4616) with TOKEN."""

    daemon_threads = True

    def __init__(self) -> None:
        self.heard: list[str] = []
        super().__init__(("127.0.0.1", 0), _MailHandler)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _MailHandler(socketserver.StreamRequestHandler):
    server: Mail
    timeout = 60

    def handle(self) -> None:
        self._say("220 mail.test")
        while line := self.rfile.readline().decode().strip():
            word, _, rest = line.partition(" ")
            if word == "EHLO":
                self._say("250-mail.test", "250 AUTH PLAIN")
            elif word == "AUTH":
                pair = b64decode(rest.removeprefix("PLAIN ")).decode()
                self.server.heard.append(pair.partition("\0")[2])
                good = pair.endswith(f"\0{TOKEN}")
                self._say("235 welcome" if good else "535 no")
            elif word == "DATA":
                self._say("354 go on")
                while self.rfile.readline().rstrip() not in (b".", b""):
                    pass
                self.server.heard.append("a mail")
                self._say("250 thanks")
            else:
                self._say("221 bye" if word == "QUIT" else "250 thanks")

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())


@pytest.mark.parametrize("ours", [True, False])
def test_send_email_is_answered_for_mail_servers_that_are_named(
    home: Path, tmp_path: Path, ours: bool
) -> None:
    """The user name is the asked one: it goes into what is sent."""
    asked = subprocess.run(("git", "send-email", "-h"), capture_output=True)
    if b"is not a git command" in asked.stderr:
        do_without("git send-email is not installed: run tests/prepare")
    mail = tmp_path / "mail"
    mail.write_text("From: me@corp.test\nTo: you@corp.test\nSubject: hi\n\nhello\n")
    machine = Machine(home, "https://id.test")
    with Mail() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        host = f"smtp://{server.host}" if ours else server.host
        rule = f'[host."{host}"]\nidentity = "corp"\nscopes = ["git"]\n'
        machine.configure(text=CONFIG.partition("[host")[0] + rule)
        machine.has(granted())
        port = server.host.partition(":")[2]
        words = (
            *("git", "-c", "credential.helper=", "-c", "credential.helper=hushkey"),
            *("send-email", "--smtp-server=127.0.0.1", f"--smtp-server-port={port}"),
            *("--smtp-user=me@example.com", "--smtp-auth=PLAIN", "--confirm=never"),
            *("--from=me@corp.test", "--to=you@corp.test", "--quiet", str(mail)),
        )
        variables = {"EMAIL": "me@corp.test", "GIT_TERMINAL_PROMPT": "0"}
        done = start(machine, (Command(words, variables), tmp_path))
        server.shutdown()
        thread.join()

    said = (done.stdout + done.stderr).decode()
    assert TOKEN not in said
    if ours:
        assert server.heard == [f"me@example.com\0{TOKEN}", "a mail"], said
    else:
        assert "a mail" not in server.heard
        assert TOKEN not in str(server.heard)
        assert "Password" in said


def test_psql_sends_the_token_as_its_password(home: Path, tmp_path: Path) -> None:
    """postgresql.org/docs "Message Flow": a server that wants a password in clear."""
    heard: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        link, _ = listener.accept()
        with link, link.makefile("rwb", buffering=0) as stream:
            length = int.from_bytes(stream.read(4))
            stream.read(length - 4)  # the start-up packet
            stream.write(b"R\0\0\0\x08\0\0\0\x03")  # a password in clear, please
            stream.read(1)
            heard.append(stream.read(int.from_bytes(stream.read(4)) - 4))
            stream.write(b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I")  # welcome, ready
            stream.read(1)
            stream.read(int.from_bytes(stream.read(4)) - 4)  # the query
            stream.write(b"C\0\0\0\x0dSELECT 0\0" + b"Z\0\0\0\x05I")

    try:
        psql = find_program("psql", package="postgresql-client")
    except Missing as reason:
        do_without(reason)
        raise
    machine = machine_of(home, "https://id.test", "db.test")
    machine.has(granted())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        port = str(listener.getsockname()[1])
        words = (psql, "-X", "-w", "-h", "127.0.0.1", "-p", port, "-U", "me")
        variables = {"PGSSLMODE": "disable", "PGGSSENCMODE": "disable"}
        command = Command((*words, "-c", "select", "x"), variables)
        done = start(machine, (run("psql", command, at="db.test"), tmp_path))
        thread.join(60)

    assert (done.returncode, done.stderr) == (0, b"")
    assert heard == [TOKEN.encode() + b"\0"]
