import base64
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hushkey import runtime
from hushkey.acquire import session
from hushkey.errors import StoreError
from hushkey.store.typed import TypedCredentials
from hushkey_helpers.tool import Tool
from kit.core import MemoryDrawer, vault_of
from kit.oauth import BIN, Machine, OidcServer, grant

ASKED = b"protocol=https\nhost=git.test\n\n"


def dumped_core(folder: Path, code: str) -> bool:
    """Let a Python that ran *code* crash; tell whether the system dumped it."""
    script = 'cd "$1" && ulimit -c unlimited && exec "$2" -c "$3" 2>/dev/null'
    crash = f"{code}; import os; os.abort()"
    words = ["sh", "-c", script, "sh", str(folder), sys.executable, crash]
    pid = os.posix_spawn("/bin/sh", words, os.environ)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGABRT
    return os.WCOREDUMP(status)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root raises the hard limit")
def test_crash_writes_no_core(tmp_path: Path) -> None:
    ours = "from hushkey.acquire import session; session.leave_no_core()"

    assert dumped_core(tmp_path, "pass")  # or this test could not fail
    assert not dumped_core(tmp_path, ours)


@pytest.mark.parametrize(("hard", "soft"), [(-1, 1), (4096, 1), (1, 1), (0, 0)])
def test_limit_is_as_low_as_can_be(
    monkeypatch: pytest.MonkeyPatch, hard: int, soft: int
) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (hard, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))

    session.leave_no_core()

    assert limits == [(soft, hard)]


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc here")
def test_helper_at_work_has_the_limit(home: Path) -> None:
    with OidcServer() as server:
        server.on("/token", server.hang)
        machine = Machine(home, server.issuer)
        machine.configure()
        machine.has(grant("at-old"), age=7200)
        program = str(BIN / "git-credential-hushkey")
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'ulimit -c 8 && exec "$0" get', program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=machine.environ,
        )
        try:
            assert process.stdin
            process.stdin.write(ASKED)
            process.stdin.flush()
            end = time.monotonic() + 30
            while not server.calls_to("/token") and time.monotonic() < end:
                time.sleep(0.01)
            limits = Path(f"/proc/{process.pid}/limits").read_text()
        finally:
            process.kill()
            process.communicate()

    (line,) = [line for line in limits.splitlines() if "core" in line]
    assert line.split()[4] == "1"


# -- the stash behind a locked keyring -------------------------------------------


class LockedDrawer(MemoryDrawer):
    """Locked until somebody unlocks it, which *opens* allows or not."""

    def __init__(self, opens: bool) -> None:
        super().__init__(base64.b64encode(bytes(32)).decode(), self.check)
        self.locked, self.opens = True, opens

    def check(self) -> None:
        if self.locked and self.calls[-1] != "unlock":
            raise StoreError("locked", "the drawer is locked", hint="none")

    def unlock(self) -> None:
        super().unlock()
        if not self.opens:
            raise StoreError("denied", "the prompt was dismissed")
        self.locked = False


def asks_for_key(home: Path, key_store: LockedDrawer, **environ: str) -> bytes | None:
    folder = home / "data"
    typed_store = TypedCredentials(str(folder), vault_of(folder, key_store), print)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "hushkey.store.typed.open_typed_credentials", lambda *_: typed_store
        )
        where = {"HOME": str(home), "HUSHKEY_DATA_DIR": str(folder), **environ}
        return session.with_typed_credentials(
            where, lambda typed_store: typed_store.data_key.key()
        )


def test_locked_keyring_is_unlocked_where_a_window_can_open(home: Path) -> None:
    key_store = LockedDrawer(opens=True)

    assert asks_for_key(home, key_store, DISPLAY=":0") == bytes(32)
    assert key_store.calls.count("unlock") == 1


@pytest.mark.parametrize(
    "environ",
    [{}, {"DISPLAY": ":0", "CI": "1"}, {"DISPLAY": ":0", "SSH_TTY": "/dev/pts/1"}],
)
def test_locked_keyring_stays_so_where_nobody_sees_it(
    home: Path, environ: dict[str, str]
) -> None:
    key_store = LockedDrawer(opens=True)

    with pytest.raises(StoreError) as caught:
        asks_for_key(home, key_store, **environ)

    assert caught.value.line() == "the drawer is locked; unlock it and try again"
    assert "unlock" not in key_store.calls


def test_dialog_that_was_dismissed_comes_once_in_a_minute(home: Path) -> None:
    key_store = LockedDrawer(opens=False)

    with pytest.raises(StoreError, match="dismissed"):
        asks_for_key(home, key_store, DISPLAY=":0")
    with pytest.raises(StoreError, match="is locked"):
        asks_for_key(home, key_store, DISPLAY=":0")

    assert key_store.calls.count("unlock") == 1


def test_tool_s_own_facts_decide_how_a_person_may_be_asked(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.configure()
    toy = Tool(
        "toy",
        callers={},
        command=lambda: "toy fetch in /src",
        interactive=lambda environ: environ["TOY_ASKS"],
        no_terminal=lambda: "toy --quiet",
    )
    monkeypatch.setattr(runtime, "tool_of", {"toy": toy}.get)
    environ = {**machine.environ, "TOY_ASKS": "never"}

    found = session.acquirer(environ, 9.0, asks_for="toy").session.options
    nobody = session.acquirer(environ, 9.0).session.options

    asked = (found.command(), found.interactive(), found.no_terminal())
    assert asked == ("toy fetch in /src", "never", "toy --quiet")
    assert (nobody.command(), nobody.interactive(), nobody.no_terminal()) == ("",) * 3
