"""The environment that makes visitor.py or chromium.py a program's browser."""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers import children
from servers.process import find_program

HERE = Path(__file__).parent


@dataclass
class Browser:
    """A scripted person at a browser; `visits` counts the windows."""

    folder: Path
    user: str = "alice"
    mode: str = ""
    ca_file: Path | None = None
    code: str = ""
    hang: float | None = None
    program: str = "visitor.py"

    @property
    def argv(self) -> list[str]:
        return [sys.executable, str(HERE / self.program)]

    @property
    def log_file(self) -> Path:
        return self.folder / "visits.jsonl"

    @property
    def environ(self) -> dict[str, str]:
        """BROWSER and what the script reads; merge it into a program's."""
        values = {
            "BROWSER": shlex.join(self.argv),
            "VISITOR_LOG": str(self.log_file),
            "VISITOR_USER": self.user,
        }
        if self.mode:
            values["VISITOR_MODE"] = self.mode
        if self.ca_file is not None:
            values["VISITOR_CA"] = str(self.ca_file)
        if self.code:
            values["VISITOR_CODE"] = self.code
        if self.hang is not None:
            values["VISITOR_HANG"] = str(self.hang)
        if self.program == "chromium.py":
            values["CHROMIUM_SHOTS"] = str(self.folder)
        return values

    def visits(self) -> list[dict[str, Any]]:
        """One record per window that was opened."""
        if not self.log_file.exists():
            return []
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def close(self) -> None:
        """End every window that is still open: nobody else waits for it."""
        opened = {visit["pid"] for visit in self.visits()}
        real = self.program == "chromium.py"
        children.end(lambda pid, line: pid in opened or (real and "chrom" in line))

    def troubles(self) -> str:
        """What the script could not do; empty when all went well."""
        file = Path(f"{self.log_file}.errors")
        return file.read_text() if file.exists() else ""


def chromium(folder: Path, **values: Any) -> Browser:
    """A Browser that is a real headless Chromium; screenshots land in `folder`."""
    find_program("chromium")
    find_program("chromedriver", package="chromium-driver")
    return Browser(folder, program="chromium.py", **values)
