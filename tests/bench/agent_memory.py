"""What the agent keeps in memory: at its start, after an answer, after a renewal.

    .venv/bin/python tests/bench/agent_memory.py

Resident and proportional MiB of the real process, each once it is idle; beside a bare
Python, since what is shared with others costs nobody anything.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.__main__ import desk
from bench.agent import warmed
from servers.agent import Agent
from servers.process import clean_environ

_SECONDS_TO_SETTLE = 7


def weight(pid: int) -> str:
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, number, _ = line.split()
        found[name.rstrip(":")] = int(number) / 1024
    return (
        f"resident {found['Rss']:.1f}, proportional {found['Pss']:.1f}, "
        f"its own {found['Private_Dirty'] + found['Private_Clean']:.1f} MiB"
    )


def settled(pid: int) -> str:
    time.sleep(_SECONDS_TO_SETTLE)
    return weight(pid)


def main() -> None:
    for name in set(os.environ) - set(clean_environ()):
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    words = [sys.executable, "-I", "-S", "-c", "input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as bare:
        time.sleep(1)
        print(f"bare Python: {weight(bare.pid)}")
        bare.communicate(b"\n")
    with desk() as made, Agent() as agent:
        made.extra |= agent.environ
        made.hushkey("agent", "start")
        pid = agent.wait()
        print(f"started: {settled(pid)}")
        warmed(made, agent, 1)
        print(f"after an answer: {settled(pid)}", flush=True)
        made.age(3601)
        before = made.issuer.refreshes()
        assert made.get().returncode == 0
        assert made.issuer.refreshes() == before + 1
        print(f"after a renewal: {settled(pid)}", flush=True)
        assert agent.pid() == pid


if __name__ == "__main__":
    main()
