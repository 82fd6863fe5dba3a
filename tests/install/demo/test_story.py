"""The whole story, with the installed helper and the scripted visitor."""

import importlib.util
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from hushkey_install.demo import sshserver, story

TELL = (
    "from rich.console import Console; from hushkey_install.demo import story; "
    "raise SystemExit(story.run(Console(), browser=False))"
)
needs_helper = pytest.mark.skipif(
    any(
        importlib.util.find_spec(name) is None
        for name in (
            "hushkey_helpers.git.helper",
            "hushkey_install.cli",
            "oauth2_provider",
        )
    ),
    reason="needs the helper, the command and the extra [demo]",
)


@needs_helper
@pytest.mark.contract
def test_every_promise_is_kept() -> None:
    """Asked once, silent then, one refresh for many: by the server's count."""
    output = io.StringIO()
    code = story.run(Console(file=output, width=100), browser=False)

    assert code == 0, output.getvalue()
    assert output.getvalue().count("asked once") == 2
    assert "1 refresh" in output.getvalue()
    given = "answers to far in hushkey's log: 1\n" in output.getvalue()
    assert given != ("Over SSH\n" in output.getvalue())
    if os.geteuid() == 0 and not isinstance(sshserver.find_programs(), str):
        assert given


@pytest.mark.contract
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopping_leaves_nothing(signum: int, tmp_path: Path) -> None:
    """Stopped in the middle, it removes its folder and ends its processes."""
    pytest.importorskip("oauth2_provider")
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", TELL], stdout=subprocess.PIPE, env=environment
    ) as teller:
        assert teller.stdout
        while b"First git clone" not in teller.stdout.readline():
            assert teller.poll() is None
        children = psutil.Process(teller.pid).children(recursive=True)
        teller.send_signal(signum)
        rest = teller.stdout.read().decode()
    _, alive = psutil.wait_procs(children, timeout=5)

    assert len(children) >= 2
    assert alive == []
    assert list(tmp_path.iterdir()) == []
    assert "stopped" in rest
    assert teller.returncode == 128 + signum


def test_no_git_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git there is one line and exit code 1, and no traceback."""
    pytest.importorskip("oauth2_provider")
    monkeypatch.setenv("PATH", "relative:.")
    output = io.StringIO()

    assert story.run(Console(file=output), browser=False) == 1
    assert "git was not found" in output.getvalue()
