"""What a pip's connections prove; real processes and real sockets, on any port."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from hushkey import origins
from hushkey.errors import NeedsCaller
from hushkey.model import Request
from hushkey.runtime import AgentContext, WouldBlock
from hushkey_helpers.agent.memory import Memory, Watch
from hushkey_helpers.agent.renewal import RenewalSchedule
from hushkey_helpers.keyring import proofs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

#: {https} is the port that stands for 443 in these tests, {http} another one
ASK = """
import os, sys
from hushkey import origins
from hushkey.model import Request
from hushkey_helpers.keyring import proofs
origins.DEFAULT_PORTS["https"] = origins.SERVED["https"] = {https}
print(proofs.by_connection(Request("https", sys.argv[1]), os.environ))
"""
PIP = """
import socket as s, subprocess, sys, time
def to(host, port, family=s.AF_INET):
    held.append(s.socket(family))
    held[-1].connect((host, port))
held = []
{holds}
subprocess.run({start} + [sys.executable, "-c", {ask!r}, sys.argv[1]], check=True)
"""
HTTPS = "to('127.0.0.1', {https})"


class Ports(NamedTuple):
    """Ports that take connections, on several addresses of loopback."""

    https: int
    http: int


@pytest.fixture(scope="module")
def ports() -> Iterator[Ports]:
    with ExitStack() as stack:

        def listen(address: str, port: int = 0) -> socket.socket:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            made = stack.enter_context(socket.socket(family))
            made.bind((address, port))
            made.listen()
            return made

        made = Ports(*(listen("127.0.0.1").getsockname()[1] for _ in Ports._fields))
        for port in made:
            listen("127.0.0.2", port)
        listen("::1", made.https)
        yield made


def proven(
    folder: Path,
    ports: Ports,
    holds: str,
    host: str = "127.0.0.1",
    name: str = "pip",
    start: str = "[]",
    **environ: str,
) -> bool:
    """Run a program *name* that asks for *host* while it *holds* connections."""
    script = folder / name
    values = ports._asdict()
    text = PIP.format(
        holds=holds.format(**values), start=start, ask=ASK.format(**values)
    )
    script.write_text(text)
    proxies = ("http_proxy", "all_proxy")
    clean = {k: v for k, v in os.environ.items() if k.lower() not in proxies}
    done = subprocess.run(
        [sys.executable, str(script), host],
        env={**clean, **environ},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    return {"True\n": True, "False\n": False}[done.stdout]


@pytest.mark.parametrize(
    ("host", "holds"),
    [
        ("127.0.0.1", HTTPS),
        ("127.0.0.1", f"{HTTPS}; to('127.0.0.2', {{https}})"),
        ("127.0.0.1", f"{HTTPS}; held += s.socketpair()"),
        ("127.0.0.1", "to('::ffff:127.0.0.1', {https}, s.AF_INET6)"),
        ("localhost", HTTPS),
        ("[::1]", "to('::1', {https}, s.AF_INET6)"),
    ],
)
def test_connections_to_https_alone_prove_it(
    tmp_path: Path, ports: Ports, host: str, holds: str
) -> None:
    assert proven(tmp_path, ports, holds, host)


@pytest.mark.parametrize(
    "holds",
    [
        pytest.param("", id="none"),
        pytest.param("to('127.0.0.1', {http})", id="http"),
        pytest.param(f"{HTTPS}; to('127.0.0.1', {{http}})", id="both"),
        pytest.param(f"{HTTPS}; to('127.0.0.2', {{http}})", id="http elsewhere"),
        pytest.param("to('127.0.0.2', {https})", id="a proxy with the same port"),
        pytest.param("to('::1', {https}, s.AF_INET6)", id="another address"),
        pytest.param(f"{HTTPS}; held.append(s.socket(type=s.SOCK_DGRAM))", id="udp"),
        pytest.param(
            f"{HTTPS}; held.append(s.create_server(('127.0.0.1', 0)))", id="listening"
        ),
        pytest.param(f"{HTTPS}; held.append(s.socket())", id="not connected"),
    ],
)
def test_anything_else_proves_nothing(tmp_path: Path, ports: Ports, holds: str) -> None:
    assert not proven(tmp_path, ports, holds)


@pytest.mark.parametrize("reset", [True, False])
def test_http_connection_that_the_server_ended_still_counts(
    tmp_path: Path, ports: Ports, reset: bool
) -> None:
    """Whoever is in the way can reset it, and then no table of the system has it."""
    end = "held[0].setsockopt(s.SOL_SOCKET, s.SO_LINGER, b'\\1\\0\\0\\0\\0\\0\\0\\0')\n"
    ended = (
        "server = s.create_server(('127.0.0.1', 0))\n"
        "to('127.0.0.1', server.getsockname()[1])\n"
        "held.insert(0, server.accept()[0])\n"
        f"{end if reset else ''}"
        "held.pop(0).close()\n"
        "server.close()\n"
        "held[0].settimeout(10)\n"
        "try: held[0].recv(1)\n"
        "except ConnectionResetError: pass\n"
    )

    assert not proven(tmp_path, ports, ended + HTTPS)


@pytest.mark.parametrize("name", ["uv", "poetry", "pdm", "wrapper", "pip.pyz"])
def test_client_that_may_ask_before_it_connects_proves_nothing(
    tmp_path: Path, ports: Ports, name: str
) -> None:
    assert not proven(tmp_path, ports, HTTPS, name=name)


def test_program_between_pip_and_us_proves_nothing(
    tmp_path: Path, ports: Ports
) -> None:
    between = "['/bin/sh', '-c', '\"$@\"; exit $?', 'sh']"

    assert not proven(tmp_path, ports, HTTPS, start=between)


@pytest.mark.parametrize("host", ["127.0.0.1:443", "127.0.0.1:{https}", "[::1]:443"])
def test_port_in_the_name_may_be_http_s(
    tmp_path: Path, ports: Ports, host: str
) -> None:
    holds = f"{HTTPS}; to('::1', {{https}}, s.AF_INET6)"

    assert not proven(tmp_path, ports, holds, host.format(https=ports.https))


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "All_Proxy"])
def test_proxy_for_http_may_have_the_port_of_https(
    tmp_path: Path, ports: Ports, name: str
) -> None:
    assert not proven(tmp_path, ports, HTTPS, **{name: "http://127.0.0.2"})
    assert proven(tmp_path, ports, HTTPS, **{name: ""})


def test_name_that_no_one_resolves_in_time_proves_nothing(
    tmp_path: Path, ports: Ports
) -> None:
    assert not proven(tmp_path, ports, HTTPS, host="no-such-host.invalid")


def test_machine_without_proc_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", fail)
    monkeypatch.setattr(os, "listdir", fail)

    assert not proofs.by_connection(Request("https", "127.0.0.1"), {})


# -- in the agent ----------------------------------------------------------------


def in_agent(asker: int, *, quick: bool = False) -> bool:
    with AgentContext(Memory(Watch(), RenewalSchedule()), 0, quick=quick, asker=asker):
        return proofs.by_connection(Request("https", "127.0.0.1"), {})


@pytest.mark.parametrize("name", ["pip", "uv"])
def test_agent_looks_at_what_started_its_client(
    tmp_path: Path, ports: Ports, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(origins.DEFAULT_PORTS, "https", ports.https)
    monkeypatch.setitem(origins.SERVED, "https", ports.https)
    script = tmp_path / name
    wait = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"
    text = PIP.format(holds=HTTPS, start="[]", ask=wait)
    script.write_text(text.format(https=ports.https))
    asking = subprocess.Popen(
        [sys.executable, str(script), ""],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with asking:
        assert asking.stdout is not None
        client = int(asking.stdout.readline())
        assert in_agent(client) is (name == "pip")
        assert not in_agent(asking.pid)  # what started pip is no pip
        with pytest.raises(WouldBlock):
            in_agent(client, quick=True)
        with pytest.raises(NeedsCaller):
            in_agent(0)
        assert asking.stdin is not None
        asking.stdin.close()
