"""The teller's voice: every word of the demonstration, and the closing table.

Plain ASCII, so that it reads the same in a pipe, a log and an old terminal.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hushkey.errors import visible
from hushkey.system.paths import config_file
from hushkey_install.demo.idserver import Tally

MARGIN = 7  # for the times: "123.4 s"
NEXT_STEPS = """\
[identity.corp]
provider = "oidc"
issuer = "https://id.example.com/realms/dev"
client_id = "hushkey"

[host."git.example.com"]
identity = "corp"
scopes = ["openid", "offline_access"]"""


@dataclass(frozen=True)
class Chapter:
    """What was promised, what the identity server saw, and how long it took."""

    title: str
    promised: Tally
    seen: Tally
    seconds: float

    @property
    def kept(self) -> bool:
        """Whether all went as promised."""
        return self.seen == self.promised


class Teller:
    """Tells the story on a rich console, with the time since it began."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._chapters: list[Chapter] = []
        self._failed = False

    @property
    def kept(self) -> bool:
        """Whether every promise so far was kept."""
        return not self._failed and all(chapter.kept for chapter in self._chapters)

    @property
    def columns(self) -> int:
        """The room that is left beside the times."""
        return max(self._console.width - MARGIN - 2, 20)

    def heading(self, title: str) -> None:
        """Begin something new, with the time."""
        spent = time.monotonic() - self._began
        self._console.print()
        self._line(f"{spent:5.1f} s", Text(title, "bold"))

    def say(self, text: str, style: str = "") -> None:
        """Say *text* under the current heading."""
        for line in text.splitlines():
            self._line("", Text(visible(line), style))

    def close(self, chapter: Chapter) -> None:
        """Say what the chapter cost, by the server's own count."""
        self._chapters.append(chapter)
        self.say(
            f"{decision(chapter)}: {windows(chapter.seen)}, {requests(chapter.seen)}, "
            f"{chapter.seconds:.1f} s",
            "green" if chapter.kept else "bold red",
        )
        if not chapter.kept:
            promised = chapter.promised
            self.say(f"promised: {windows(promised)}, {requests(promised)}", "red")

    def fail(self, why: str) -> None:
        """Say that the story ends here, and why."""
        self._failed = True
        self._console.print()
        self._line("", Text(f"hushkey demo: {visible(why)}", "bold red"))

    def wait(self, seconds: float, why: str) -> None:
        """Let *seconds* pass; count down where that can be seen."""
        until = time.monotonic() + seconds
        # A recording would keep every frame of the countdown.
        if not self._console.is_terminal or self._console.record:
            self.say(f"{why}: waiting {seconds:.0f} s", "dim")
            time.sleep(seconds)
            return
        with self._console.status("") as status:
            while (left := until - time.monotonic()) > 0:
                status.update(f"{why}: {left:.0f} s")
                time.sleep(min(0.2, left))
        self.say(f"{why}: waited {seconds:.0f} s", "dim")

    def table(self) -> None:
        """Sum up: a row for each chapter."""
        if not self._chapters:
            return
        table = Table(title="What it cost, by the identity server's own journal")
        table.add_column("what happened", overflow="fold")
        for name in ("browser windows", "token requests", "seconds"):
            table.add_column(name, justify="right", overflow="fold")
        table.add_column("promise", overflow="fold")
        for chapter in self._chapters:
            table.add_row(
                Text(chapter.title),
                str(chapter.seen.windows),
                kinds(chapter.seen) or "0",
                f"{chapter.seconds:.1f}",
                Text(
                    "kept" if chapter.kept else "BROKEN",
                    "green" if chapter.kept else "bold red",
                ),
            )
        self._console.print()
        self._console.print(table)

    def next_steps(self) -> None:
        """Say how to do the same with a host of the user's own."""
        self.heading("Your own host")
        self.say(f"1. Say who signs you in, and where, in {config_file(os.environ)}:")
        self.say(f"\n{NEXT_STEPS}\n\n", "cyan")
        self.say("   (known hosts need less, or nothing: `hushkey help forges`)")
        self.say("2. hushkey install git")
        self.say("3. hushkey login git.example.com")
        self.say(
            "   From then on git asks nobody; if it does, run `hushkey explain URL`."
        )

    def _line(self, left: str, text: Text) -> None:
        if not text:
            self._console.print()
            return
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=MARGIN, justify="right", style="dim")
        grid.add_column(overflow="fold")
        grid.add_row(left, text)
        self._console.print(grid)


def decision(chapter: Chapter) -> str:
    """Return the promise in words, or that it was broken."""
    if not chapter.kept:
        return "NOT as promised"
    if chapter.seen.windows:
        return "asked once"
    return "renewed silently" if chapter.seen.refreshes else "silent"


def windows(tally: Tally) -> str:
    """Return the number of browser windows in words."""
    return f"{tally.windows} browser window{'' if tally.windows == 1 else 's'}"


def requests(tally: Tally) -> str:
    """Return the number of token requests, and of what kind they were."""
    plural = "" if tally.requests == 1 else "s"
    named = f" ({kinds(tally)})" if tally.requests else ""
    return f"{tally.requests} token request{plural}{named}"


def kinds(tally: Tally) -> str:
    """Return the token requests by what they were for."""
    numbers = {
        "sign-in": tally.sign_ins,
        "refresh": tally.refreshes,
        "refused": tally.refused,
    }
    return ", ".join(f"{number} {kind}" for kind, number in numbers.items() if number)
