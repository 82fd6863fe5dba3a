"""A server's process starts with proof, and ends with its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from hushkey_install.demo.idserver import IdentityServer
from hushkey_install.demo.service import Service, ServiceError

PARENT = """
import sys, time
from pathlib import Path
from hushkey_install.demo.idserver import IdentityServer
server = IdentityServer(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


class Broken(Service):
    module: ClassVar[str] = "hushkey_install.demo.no_such_module"

    def settings(self) -> dict[str, object]:
        return {}


def test_start_says_why_it_failed(tmp_path: Path) -> None:
    """The last line of the process's own complaint is in the error."""
    service = Broken(tmp_path)

    with pytest.raises(ServiceError, match="No module named"):
        service.start()
    assert service.pid is None


def test_stop_twice_is_fine(tmp_path: Path) -> None:
    """Stopping what was never started, or has stopped, does nothing."""
    service = Broken(tmp_path)

    service.stop()
    service.stop()


def is_alive(pid: int) -> bool:
    """Whether *pid* runs; one that ended and was not waited for does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.contract
def test_server_ends_with_its_parent(tmp_path: Path) -> None:
    """Even kill -9 of the parent leaves no server behind."""
    pytest.importorskip("oauth2_provider")
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.05)

    assert not is_alive(pid)


@pytest.mark.contract
def test_stop_leaves_no_process(tmp_path: Path) -> None:
    """After the with block the process is gone and waited for."""
    pytest.importorskip("oauth2_provider")
    with IdentityServer(tmp_path) as server:
        pid = server.pid
        assert pid and psutil.pid_exists(pid)

    assert not psutil.pid_exists(pid)
