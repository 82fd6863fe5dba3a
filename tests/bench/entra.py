"""What Entra costs: requests and seconds of a sign-in, a refresh, a second tenant.

    .venv/bin/python tests/bench/entra.py [RUNS]

MSAL and the whole helper against the fake Entra and Azure DevOps on loopback, through
a CONNECT proxy; requests are counted in their logs. Ratios are to `python -c pass`.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from contracts.test_entra import AzureDesk
from servers.authority import Authority


class Step:
    """One row: what is done, and what it cost each time."""

    def __init__(
        self,
        name: str,
        act: Callable[[AzureDesk], object],
        before: Callable[[AzureDesk], object] = lambda desk: None,
    ) -> None:
        self.name = name
        self.act = act
        self.before = before
        self.seconds: list[float] = []
        self.ratios: list[float] = []
        self.requests = ""

    def run(self, desk: AzureDesk) -> None:
        self.before(desk)
        logs = desk.entra, desk.devops
        before = [len(log.log()) for log in logs]
        began = time.perf_counter()
        self.act(desk)
        self.seconds.append(time.perf_counter() - began)
        self.ratios.append(self.seconds[-1] / _base())
        entra, devops = (
            len(log.log()) - old for log, old in zip(logs, before, strict=True)
        )
        self.requests = f"{entra} + {devops}"


def _base() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - began


def _get(desk: AzureDesk, organisation: str = "contoso") -> None:
    done = desk.get(organisation)
    assert done.returncode == 0, done.stderr


STEPS = [
    Step("first sign-in (browser, login page and redirect included)", _get),
    Step("cached token", _get),
    Step("silent refresh", _get, lambda desk: desk.age(4000)),
    Step("second organisation, another tenant", lambda desk: _get(desk, "fabrikam")),
]


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder) / "authority")
        for number in range(runs):
            home = Path(folder) / str(number)
            home.mkdir()
            desk = AzureDesk(home, authority)
            desk.start()
            try:
                for step in STEPS:
                    step.run(desk)
            finally:
                desk.stop()
    print("| Entra | requests (Entra + Azure DevOps) | seconds | x `python -c pass` |")
    print("|---|---:|---:|---:|")
    for step in STEPS:
        seconds = statistics.median(step.seconds)
        ratio = statistics.median(step.ratios)
        print(f"| {step.name} | {step.requests} | {seconds:.2f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
