"""What the agent makes of a warm `get`: whole processes, in turn, as ratios.

    .venv/bin/python tests/bench/agent.py [RUNS]

Against `python -c pass` of the same environment, git's own cache daemon, docker's own
helper and `keyring get`, all on one private Secret Service; then a crowd of 32, and a
config and a store a thousand times as large.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.__main__ import desk
from hushkey.model import Account, Grant, TokenKey
from hushkey_helpers.agent import protocol
from kit.desk import BIN, Desk
from servers.agent import Agent
from servers.process import clean_environ, wait_until

GIT = str(BIN / "git-credential-hushkey")
DOCKER = str(BIN / "docker-credential-hushkey")
KEYRING = str(BIN / "hushkey-keyring")
CROWD, CALLS = 32, 1000
MANY_HOSTS, MANY_IDENTITIES, MANY_TOKENS = 1000, 100, 1000


@dataclass
class Row:
    """One program; its seconds, and the ratio to the base beside it each time."""

    name: str
    argv: list[str]
    stdin: bytes = b""
    environ: dict[str, str] = field(default_factory=dict)
    expected: bytes = b""
    seconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    def run(self, environ: dict[str, str], folder: Path) -> float:
        """Run it once; return the seconds until it has ended."""
        asked, answer = os.pipe(), os.pipe()
        os.write(asked[1], self.stdin)
        os.close(asked[1])
        streams = [(os.POSIX_SPAWN_DUP2, asked[0], 0)]
        streams += [(os.POSIX_SPAWN_DUP2, answer[1], 1)]
        began = time.perf_counter()
        process = os.posix_spawn(
            self.argv[0], self.argv, environ | self.environ, file_actions=streams
        )
        os.waitpid(process, 0)
        took = time.perf_counter() - began
        os.close(answer[1])
        os.close(asked[0])
        said = os.read(answer[0], 1 << 16)
        os.close(answer[0])
        assert self.expected in said, (self.name, said)
        return took

    @property
    def ms(self) -> float:
        return statistics.median(self.seconds) * 1000

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


def measure(rows: list[Row], base: Row, runs: int, made: Desk) -> None:
    """Run all rows in turn, each beside the base, after a warm-up."""
    environ = made.environ
    for number in range(runs + 1):
        for row in rows:
            reference = base.run(environ, made.folder)
            took = row.run(environ, made.folder)
            if number:
                row.seconds.append(took)
                row.ratios.append(took / reference)
                base.seconds.append(reference)


@contextlib.contextmanager
def cache_daemon(made: Desk) -> Iterator[str]:
    """git's own cache, with a password in it."""
    folder = made.folder / "cache"
    folder.mkdir(mode=0o700)
    socket = str(folder / "socket")
    words = ["git", "credential-cache", "--socket", socket]
    stored = b"protocol=https\nhost=stored.test\nusername=u\npassword=p\n"
    subprocess.run([*words, "store"], input=stored, env=made.environ, check=True)
    yield socket
    subprocess.run([*words, "exit"], env=made.environ, check=True)


def rows(made: Desk, agent: Agent, cache: str) -> list[Row]:
    host = made.apache.host
    ours = f"protocol=https\nhost={host}\n\n".encode()
    off = {"HUSHKEY_AGENT": "off"}
    git = shutil.which("git") or "git"
    door = [git, "credential-cache", "--socket"]
    place = [str(agent.folder / "git"), str(protocol.number(made.environ))]
    found = [
        Row("git get, warm", [GIT, "get"], ours, expected=b"password="),
        Row("git get, host not ours", [GIT, "get"], b"protocol=https\nhost=o.test\n\n"),
        Row("git get, cached, no agent", [GIT, "get"], ours, off, b"password="),
        Row("docker get, warm", [DOCKER, "get"], host.encode(), expected=b"Secret"),
        Row("`hushkey token`, warm", [str(BIN / "hushkey"), "token", host]),
        Row("`keyring get`", [str(BIN / "keyring"), "get", "hushkey", "data-key"]),
        Row(
            "git's C client at our door",
            [*door, str(agent.folder / "git"), "get"],
            ours,
            expected=b"password=",
        ),
        Row(
            "hushkey-git-client at our door",
            [str(BIN / "hushkey-git-client"), *place, "get"],
            ours,
            expected=b"password=",
        ),
        Row(
            "git's C client at its own daemon",
            [*door, cache, "get"],
            b"protocol=https\nhost=stored.test\n",
            expected=b"password=p",
        ),
    ]
    if Path(KEYRING).exists():
        words = [KEYRING, "get", f"https://{host}/", "u"]
        found.insert(4, Row("hushkey-keyring get, warm", words, expected=b"\n"))
    if peer := shutil.which("docker-credential-secretservice"):
        typed = {"ServerURL": "stored.test", "Username": "u", "Secret": "p"}
        text = json.dumps(typed).encode()
        subprocess.run([peer, "store"], input=text, env=made.environ, check=True)
        name = "docker-credential-secretservice get"
        found.append(Row(name, [peer, "get"], b"stored.test", expected=b"Secret"))
    if azure := shutil.which("az"):
        words = [azure, "account", "get-access-token"]
        found.append(Row("`az account get-access-token`", words))
    return found


def crowd(made: Desk, agent: Agent) -> str:
    """1,000 gets by 32 at once: all right, nobody asked, and how long each took."""
    ours = f"protocol=https\nhost={made.apache.host}\n\n".encode()
    (token,) = made.tokens()
    row = Row("crowd", [GIT, "get"], ours, expected=token.encode())
    environ = made.environ
    before = agent.answered()
    asked = len(made.issuer.log())
    with ThreadPoolExecutor(CROWD) as pool:
        took = list(pool.map(lambda _: row.run(environ, made.folder), range(CALLS)))
    median, p99 = statistics.median(took), statistics.quantiles(took, n=100)[98]
    return (
        f"{CALLS} gets by {CROWD} at once: all right, "
        f"{agent.answered() - before} by the agent, "
        f"{len(made.issuer.log()) - asked} requests to the server; median "
        f"{median * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms = {p99 / median:.1f} x; "
        f"agent {resident(agent):.0f} MiB resident"
    )


def resident(agent: Agent) -> float:
    status = Path(f"/proc/{agent.pid()}/status").read_text()
    (line,) = [text for text in status.splitlines() if text.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def grow(made: Desk) -> None:
    """A thousand host rules, a hundred identities, a thousand tokens."""
    issuer, host = made.issuer.url, made.apache.host
    identities = "".join(
        f'[identity.n{n}]\nprovider = "oidc"\nissuer = "{issuer}"\nclient_id = "c{n}"\n'
        for n in range(MANY_IDENTITIES)
    )
    rules = "".join(
        f'[host."h{n}.test"]\nidentity = "n{n % MANY_IDENTITIES}"\nscopes = ["git"]\n'
        for n in range(MANY_HOSTS)
    )
    ours = f'[host."{host}"]\nidentity = "corp"\nscopes = ["git"]\n'
    made.configure(key_store="keyring", identity=identities, hosts=ours + rules)
    with made.token_file().change(30) as change:
        who = Account(change.cache.current, "")
        for number in range(MANY_TOKENS):
            grant = Grant("t" * 1500 + str(number), expires_in=36000)
            change.cache.keep(
                grant, who, TokenKey((f"scope{number}",)), int(time.time())
            )
        change.save()


def warmed(made: Desk, agent: Agent, tokens: int) -> None:
    """Wait until the agent knows that many tokens."""

    def known() -> bool:
        assert made.get().returncode == 0
        return int(agent.facts()["tokens"]) >= tokens

    wait_until(known, "a warm agent", seconds=30, pause=0.1)


def table(base: Row, found: list[Row]) -> str:
    lines = [
        "| what | median ms | x `python -c pass` |",
        "|---|---:|---:|",
        f"| `python -c pass` | {base.ms:.1f} | 1.0 |",
    ]
    lines += [f"| {row.name} | {row.ms:.1f} | {row.ratio:.2f} |" for row in found]
    return "\n".join(lines)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    for name in set(os.environ) - set(clean_environ()):
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    base = Row("python -c pass", [sys.executable, "-c", "pass"])
    with desk() as made, Agent() as agent, cache_daemon(made) as cache:
        made.extra |= agent.environ
        made.hushkey("agent", "start")
        warmed(made, agent, 1)
        found = rows(made, agent, cache)
        measure(found, base, runs, made)
        print(table(base, found), "\n")
        print(crowd(made, agent), "\n", flush=True)
        small = found[0], found[2]
        grow(made)
        warmed(made, agent, MANY_TOKENS)
        large = [Row(row.name, row.argv, row.stdin, row.environ) for row in small]
        measure(large, base, runs, made)
        for one, many in zip(small, large, strict=True):
            print(f"{one.name}: {many.ratio / one.ratio:.2f} x with a thousand of each")
        print(f"agent: {resident(agent):.0f} MiB resident then")


if __name__ == "__main__":
    main()
