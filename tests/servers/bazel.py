"""Bazel, whose server outlives each command: started by the first, ended by us."""

import os
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    pkcs12,
)

from servers import children
from servers.process import CACHE, Missing
from servers.toolserver import ToolServer

_ROOT = CACHE / "bazel"
_PASSWORD = "changeit"
_LOAD = (
    'load("@bazel_tools//tools/build_defs/repo:http.bzl", "http_archive", "http_file")'
)
Done = subprocess.CompletedProcess[bytes]


class Bazel:
    """One workspace in *folder*; its settings are those of the home of who calls."""

    def __init__(self, folder: Path, ca_file: Path) -> None:
        if not (_ROOT / "stamp").exists():
            raise Missing("Bazel is not there: run tests/prepare --long")
        self._folder = folder
        self._workspace = folder / "workspace"
        self._workspace.mkdir()
        authority = x509.load_pem_x509_certificate(ca_file.read_bytes())
        (folder / "trusted").write_bytes(
            pkcs12.serialize_java_truststore(
                [pkcs12.PKCS12Certificate(authority, b"ca")],
                BestAvailableEncryption(_PASSWORD.encode()),
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def fetch(
        self, environ: dict[str, str], server: ToolServer, *names: str
    ) -> tuple[Done, list[Path]]:
        """Fetch ``/bazel/NAME`` of *server* for each name; return what came, too."""
        lines = [_LOAD]
        for number, name in enumerate(names):
            rule = "http_archive" if name.endswith(".tar.gz") else "http_file"
            url = f"{server.url}/bazel/{name}"
            lines.append(f'{rule}(name = "it{number}", url = "{url}")')
        (self._workspace / "WORKSPACE").write_text("\n".join(lines) + "\n")
        wanted = " + ".join(f"@it{number}//..." for number in range(len(names)))
        done = self.run(environ, "query", "--keep_going", wanted)
        folders = self._folder.glob("base/external/it*")
        return done, [path for f in folders for path in f.rglob("*hello*")]

    def run(self, environ: dict[str, str], verb: str, *words: str) -> Done:
        """Run one command, without a terminal and without Bazel's registry."""
        share = _ROOT / "usr/share/bazel"
        trust = "--host_jvm_args=-Djavax.net.ssl.trustStore"
        startup = (
            "--nosystem_rc",
            f"--install_base={share}",
            "--trust_install_base",
            "--max_idle_secs=120",  # where nobody lived to end it
            f"--server_javabase={_ROOT / 'java'}",
            f"--output_user_root={self._folder / 'root'}",
            f"--output_base={self._folder / 'base'}",
            f"{trust}={self._folder / 'trusted'}",
            f"{trust}Password={_PASSWORD}",
        )
        offline = ("--noenable_bzlmod", "--enable_workspace")
        return subprocess.run(
            (str(_ROOT / "usr/bin/bazel"), *startup, verb, *offline, *words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environ,
            cwd=self._workspace,
            timeout=120,
            check=False,
            start_new_session=True,
        )

    def shutdown(self, environ: dict[str, str]) -> Done:
        """Run ``bazel shutdown``, which waits until its server is gone altogether."""
        reaper = threading.Thread(target=self._reap, args=(self.pid(),))
        reaper.start()
        try:
            return self.run(environ, "shutdown")
        finally:
            self._end()
            reaper.join()

    def _end(self) -> None:
        if pid := self.pid():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _reap(self, pid: int | None) -> None:
        with suppress(ChildProcessError):
            os.waitpid(pid or 0, 0)

    def pid(self) -> int | None:
        """Return the process id of its server, which is our child; None if it ended."""
        try:
            text = (self._folder / "base/server/server.pid.txt").read_text()
        except FileNotFoundError:
            return None
        return int(text)

    def started(self) -> list[str]:
        """Return the command lines of what its server has started and that runs."""
        found = []
        for pid in children.of(self.pid() or "none"):
            with suppress(FileNotFoundError):
                line = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
                found.append(line.replace("\0", " "))
        return found
