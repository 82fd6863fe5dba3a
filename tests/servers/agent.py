"""The real agent of one desk, watched by its own words and ended by its own id."""

import contextlib
import os
import shutil
import signal

from hushkey_helpers.agent import start as starting
from hushkey_install.common import agentcontrol
from servers.process import Server, short_folder, wait_until


class Agent(Server):
    """A runtime folder in which helpers may start an agent; none outlives `stop`."""

    def start(self) -> None:
        self.folder = short_folder("agent")

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "HUSHKEY_AGENT": "on",
            "HUSHKEY_LOG": "",  # whoever writes a trace does without the agent
            "HUSHKEY_RUNTIME_DIR": str(self.folder),
        }

    def pid(self) -> int:
        """The process; 0 if there is none."""
        if not os.path.exists(starting.lock_path(str(self.folder))):
            return 0
        return starting.holder(str(self.folder))

    def facts(self) -> dict[str, str]:
        """What it says about itself, nothing if it says nothing."""
        return agentcontrol.ask(str(self.folder), "status")

    def answered(self) -> int:
        return int(self.facts().get("answered", -1))

    def wait(self) -> int:
        """Wait until it serves; return its process."""
        wait_until(lambda: bool(self.facts()), "the agent", seconds=20)
        return self.pid()

    def wait_for_end(self) -> None:
        wait_until(lambda: not self.pid(), "the end of the agent", seconds=20)

    def send(self, number: signal.Signals) -> None:
        if (pid := self.pid()) > 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """End it whatever it does, also one that is only starting."""

        def gone() -> bool:
            self.send(signal.SIGKILL)
            path = starting.lock_path(str(self.folder))
            if not os.path.exists(path):
                return True
            descriptor = starting.take_lock(str(self.folder))
            if descriptor < 0:
                return False
            os.close(descriptor)
            return True

        wait_until(gone, "the end of the agent", seconds=20)
