"""The story of the demonstration, told while it happens.

Each chapter does something with real programs and then reads from the identity
server's own trace what that cost: browser windows and token requests. What
was promised and what was seen are compared; a broken promise is said aloud and
makes the exit code 1.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from hushkey_install.demo import display, sshserver
from hushkey_install.demo.commands import Command, Done
from hushkey_install.demo.idserver import Tally
from hushkey_install.demo.interruption import Interrupted, interruptible
from hushkey_install.demo.service import ServiceError
from hushkey_install.demo.sshserver import SshServer
from hushkey_install.demo.stage import Stage
from hushkey_install.demo.teller import Chapter, Teller

ACCESS_SECONDS = 30
AT_ONCE = 8
COMMAND_SECONDS = 90.0
# How long a window may take to come up before the visitor takes over.
BROWSER_SECONDS = 25.0
ASKED_ONCE = Tally(windows=1, sign_ins=1)
SILENT = Tally()
RENEWED = Tally(refreshes=1)


class StoryError(Exception):
    """Something went wrong, and the story cannot go on."""


def run(console: Console, browser: bool | None) -> int:
    """Tell the story; 0 if every promise was kept, 1 if not.

    *browser* says whether to sign in with the user's own browser; None means
    if there is one.
    """
    teller = Teller(console)
    try:
        with interruptible():
            perform(teller, browser)
    except (StoryError, ServiceError, OSError, subprocess.SubprocessError) as error:
        teller.fail(str(error))
    except Interrupted as stop:
        teller.fail("stopped; everything it had started is ended and removed")
        return 128 + stop.signum
    teller.table()
    if teller.kept:
        teller.next_steps()
    return 0 if teller.kept else 1


def perform(teller: Teller, browser: bool | None) -> None:
    """Set the stage, play, clear the stage, and look whether anything is left."""
    check_installed()
    git, programs = find_git(), Path(sys.executable).parent
    teller.heading("Two real servers on this machine, and a folder for everything")
    with Stage(git, programs, ACCESS_SECONDS) as stage:
        Story(teller, stage, browser).tell()
    teller.heading("The end: servers stopped, folder removed")
    if left := [*stage.leftovers(), *stage.servers()]:
        raise StoryError(f"processes that should be gone: {left}")
    if stage.folder.exists():
        raise StoryError(f"a folder that should be gone: {stage.folder}")
    teller.say("looked again: no process, no file is left", "green")


def check_installed() -> None:
    """Refuse to begin without the servers' libraries, which are an extra."""
    for name in ("oauth2_provider", "werkzeug"):
        if importlib.util.find_spec(name) is None:
            raise StoryError("its servers are not installed: pip install hushkey[demo]")


def find_git() -> Path:
    """Return git's absolute path; a relative entry of PATH is nobody's to trust."""
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    absolute = os.pathsep.join(entry for entry in entries if os.path.isabs(entry))
    if found := shutil.which("git", path=absolute):
        return Path(found)
    raise StoryError("git was not found on PATH; install git and run this again")


class Story:
    """The chapters, in order."""

    def __init__(self, teller: Teller, stage: Stage, browser: bool | None) -> None:
        self._teller = teller
        self._stage = stage
        self._asked_for = browser
        self._scripted = not (display.has_browser() if browser is None else browser)

    def tell(self) -> None:
        """Tell all chapters; StoryError ends it early."""
        self._introduce()
        self._chapter("first git clone", ASKED_ONCE, self._clone_first)
        self._chapter("clone again, commit, push", SILENT, self._clone_again)
        self._copy()
        self._chapter(f"signed out, {AT_ONCE} fetches at once", ASKED_ONCE, self._storm)
        self._over_ssh()
        self._expire()
        self._chapter(f"expired, {AT_ONCE} fetches at once", RENEWED, self._fetch_all)
        self._chapter("status, then signed out", SILENT, self._sign_out)

    def _introduce(self) -> None:
        stage, say = self._stage, self._teller.say
        version = stage.identity.facts["version"]
        say(f"identity  {stage.identity.issuer}  (django-oauth-toolkit {version})")
        say(f"git       {stage.url}  (git http-backend)")
        say(f"folder    {stage.folder}  (removed at the end)")
        say("\nhushkey reads this config there. Its key is in a file beside it, not")
        say("in your keyring: the tokens live for seconds, and nothing is to remain.")
        say(f"\n{stage.config}\n", "cyan")
        if self._scripted:
            say("No browser here: a scripted visitor opens the sign-in page instead,")
            say("follows its redirects and sends in its form. The rest is the same.")
        else:
            say("The sign-in opens in your own browser. User and password are filled")
            say("in already: one click.")
        self._cast()

    def _cast(self) -> None:
        forced = self._asked_for is True
        self._stage.cast(self._teller.columns, self._scripted, forced)

    def _chapter(self, title: str, promised: Tally, act: Callable[[], None]) -> None:
        self._teller.heading(title[0].upper() + title[1:])
        before, began = self._stage.identity.tally(), time.monotonic()
        act()
        spent = time.monotonic() - began
        seen = self._stage.identity.tally() - before
        self._teller.close(Chapter(title, promised, seen, spent))

    def _clone_first(self) -> None:
        clone = self._git("clone", self._stage.url, "first")
        self._teller.say(f"$ git clone {self._stage.url} first")
        (done,) = self._attempt([clone], self._patience())
        if done.code is None and self._asked_for is None and not self._window_seen():
            self._teller.say("No window came up: the scripted visitor takes over.")
            self._scripted = True
            self._cast()
            shutil.rmtree(self._stage.work / "first", ignore_errors=True)
            (done,) = self._attempt([clone])
        self._check([done])

    def _patience(self) -> Callable[[], bool]:
        if self._scripted or self._asked_for:
            return lambda: True
        until = time.monotonic() + BROWSER_SECONDS
        return lambda: time.monotonic() < until or self._window_seen()

    def _window_seen(self) -> bool:
        return self._stage.identity.tally().windows > 0

    def _clone_again(self) -> None:
        self._run(self._git("clone", self._stage.url, "second"))
        message = "Nobody was asked"
        self._run(
            self._git(
                "-C", "second", "commit", "--quiet", "--allow-empty", "-m", message
            )
        )
        self._run(self._git("-C", "second", "push", "origin", "main"))

    def _copy(self) -> None:
        """Give each of the fetches to come a clone of its own, one commit behind."""
        for number in range(AT_ONCE):
            first, copy = (
                self._stage.work / "first",
                self._stage.work / f"copy-{number}",
            )
            shutil.copytree(first, copy, symlinks=True)

    def _storm(self) -> None:
        self._run(self._hushkey("logout", "demo"))
        self._fetch_all()

    def _fetch_all(self) -> None:
        fetches = [
            self._git("-C", f"copy-{number}", "fetch") for number in range(AT_ONCE)
        ]
        self._teller.say(f"$ git fetch   ({AT_ONCE} times, each in its own clone)")
        took = sorted(done.seconds for done in self._check(self._attempt(fetches)))
        self._teller.say(
            f"the first was done after {took[0]:.1f} s, the last {took[-1]:.1f} s"
        )

    def _over_ssh(self) -> None:
        """Clone on a machine without config and sign-in, if one can be had here."""
        programs, title = sshserver.find_programs(), "over SSH, answered from here"
        if isinstance(programs, str):
            self._teller.heading("Over SSH")
            self._teller.say(f"left out: this machine has no {programs}", "dim")
            return
        far = self._stage.reach(programs)
        if why := far.refusal():
            self._teller.heading("Over SSH")
            self._teller.say(f"left out: sshd lets nobody in here ({why})", "dim")
            return
        self._chapter(title, SILENT, lambda: self._clone_far(far))

    def _clone_far(self, far: SshServer) -> None:
        stage, say = self._stage, self._teller.say
        say("far is an OpenSSH server: no config there, and nobody signed in.")
        client = os.path.relpath(far.client, stage.work)
        there = ("ssh", "-F", client, "far", "git", "clone", "--quiet", stage.url)
        self._run(self._hushkey("forward", "--only", stage.served.host, *there))
        log = self._run(self._hushkey("log", "--json")).output
        given = sum(line["outcome"] == "given" for line in json.loads(log)["lines"])
        say(f"answers to far in hushkey's log: {given}")

    def _expire(self) -> None:
        self._teller.heading("The access token expires")
        issued = max(
            entry["time"]
            for entry in self._stage.identity.log()
            if "grant_type" in entry and entry["status"] == 200
        )
        left = max(0.0, issued + ACCESS_SECONDS + 1 - time.time())
        self._teller.wait(left, f"it lives for {ACCESS_SECONDS} s")

    def _sign_out(self) -> None:
        self._teller.say(self._run(self._hushkey("status")).output, "dim")
        self._teller.say(self._run(self._hushkey("logout", "demo")).output, "dim")
        log = self._stage.identity.log()
        revoked = sum(
            e["path"] == "/o/revoke_token/" and e["status"] == 200 for e in log
        )
        refused = self._stage.served.refusals()
        self._teller.say(f"the identity server was told to revoke: {revoked} times")
        self._teller.say(f"tokens that the git server had to refuse: {refused}")

    def _git(self, *words: str) -> Command:
        return Command([self._stage.git, *words], self._stage.work)

    def _hushkey(self, *words: str) -> Command:
        return Command([self._stage.programs / "hushkey", *words], self._stage.work)

    def _run(self, command: Command) -> Done:
        program, *words = map(str, command.words)
        self._teller.say(f"$ {shlex.join([Path(program).name, *words])}")
        (done,) = self._check(self._attempt([command]))
        return done

    def _attempt(
        self,
        commands: Sequence[Command],
        installation: Callable[[], bool] = lambda: True,
    ) -> list[Done]:
        person = 0 if self._scripted else self._stage.sign_in_seconds
        return self._stage.commands.run(
            commands, COMMAND_SECONDS + person, installation
        )

    def _check(self, all_done: list[Done]) -> list[Done]:
        for done in all_done:
            if done.code is None:
                raise StoryError(f"no end after {done.seconds:.0f} s: {done.output}")
            if done.code:
                raise StoryError(f"it ended with code {done.code}: {done.output}")
        return all_done
