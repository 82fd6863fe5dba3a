"""Registering by settings: which files of a tool say what, and which scripts it needs.

A tool is a `SettingsRegistration` that says these things; how they are shown, made,
taken back and looked at by doctor is the same for all of them.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hushkey import origins
from hushkey.errors import HushkeyError, Permanent
from hushkey.model import Frozen
from hushkey.system import madefolders, programs
from hushkey_helpers import ANSWER
from hushkey_install.common import output, ownprograms
from hushkey_install.common.context import Context, shown
from hushkey_install.common.filechange import Change
from hushkey_install.common.finding import NOTE, PROBLEM, Finding
from hushkey_install.common.installrecord import InstallRecord, named
from hushkey_install.register.door import Placed
from hushkey_install.register.registration import Plan, Registration, show
from hushkey_install.register.settingsfile import SettingsFile
from hushkey_install.tools.installation import Installation


def is_ours(command: str) -> bool:
    """Tell whether the words of *command* start hushkey-answer, wherever it is."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    return bool(words) and os.path.basename(words[0]) == ANSWER


class Setup(Frozen):
    """What a tool is to be set up for: *program* is ours, by its absolute path."""

    _secret = ("environ",)
    environ: Mapping[str, str]
    context: Context
    program: str
    words: tuple[str, ...]

    def command(self, *words: str) -> str:
        """Return a command of words for a tool that splits it at spaces."""
        if len(self.program.split()) != 1:
            raise Permanent(
                f"{self.program}: the tool cannot start a path with a space in it",
                hint="put a link to it into another folder that is on PATH",
            )
        return " ".join((self.program, *words))

    def some_words(self, what: str = "HOST") -> tuple[str, ...]:
        """Return the words; raises Permanent for none."""
        if not self.words:
            raise Permanent(f"for which {what}?", hint=f"name at least one {what}")
        return self.words

    def only_word(self, what: str) -> str:
        """Return the one word that was given; raises Permanent for none or several."""
        if len(self.words) != 1:
            raise Permanent(f"exactly one {what} is needed", hint=f"name one {what}")
        return self.words[0]

    def host(self, url: str) -> str:
        """Return the host of *url*, without a port; raises Permanent if not ours."""
        self.context.rule(url)
        request = self.context.request(url)
        found = origins.parse_origin(request.protocol, request.host)
        return found[0] if found else request.host

    def origin(self, url: str) -> str:
        """Return the scheme, host and port of *url*; raises Permanent if not ours."""
        self.context.rule(url)
        request = self.context.request(url)
        return f"{request.protocol}://{request.host}"

    def place(self, url: str) -> str:
        """Return host, port and path of *url*; raises Permanent if not ours."""
        self.context.rule(url)
        request = self.context.request(url)
        made = "/".join((request.host, *filter(None, request.path.split("/"))))
        if not all(c.isalnum() or c in "-._~/:[]@%+" for c in made):
            raise Permanent(f"{shown(url)!r}: the tool takes no such path")
        return made


def _as_it_is(text: str) -> str:
    return text


class Form(Frozen):
    """How a setting is written, as `SettingsFile` takes it."""

    edit: Callable[[str, str], str]
    read: Callable[[str], str]
    without: Callable[[str, str], str]
    unnoted: Callable[[str], str] = _as_it_is


class Setting(Frozen):
    """The file at *path*, and what it has to say, given what it says so far."""

    path: str
    wanted: Callable[[str], str]


def whole_form(is_ours: Callable[[str], bool]) -> Form:
    """Return the form of a file that is ours as a whole, as *is_ours* tells."""
    return Form(
        lambda _, value: value,
        lambda text: text,
        lambda text, before: before if is_ours(text) else text,
    )


def whole_file(path: str, made: str, is_ours: Callable[[str], bool]) -> Setting:
    """Return the setting that the file at *path* is *made*, and nobody else's."""

    def wanted(text: str) -> str:
        if text and not is_ours(text):
            raise ValueError("it is there already and not ours")
        return made

    return Setting(path, wanted)


class SettingsRegistration(Registration):
    """A tool whose settings name hushkey-answer."""

    #: the programs that read the settings
    programs: tuple[str, ...] = ()
    #: of the names of variables that go before what the settings say
    overridden_by: tuple[str, ...] = ()
    #: whether `hushkey uninstall` may name some of the hosts
    several = False
    about = ""

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return what has to be set; raises HushkeyError."""
        raise NotImplementedError

    def form(self, environ: Mapping[str, str], words: tuple[str, ...]) -> Form:
        """Return how the settings for *words* are written."""
        raise NotImplementedError

    def form_of(
        self, path: str, environ: Mapping[str, str], words: tuple[str, ...]
    ) -> Form:
        """Return how the file at *path* is written, where they are not all the same."""
        return self.form(environ, words)

    def doors(self, setup: Setup) -> Iterable[Placed]:
        """Return the scripts and plug-ins that the tool needs to reach us."""
        return ()

    def overriding(self, text: str) -> Iterator[str]:
        """Yield what in the text of its settings goes before ours."""
        return iter(())

    def concerns(self, what: str, installation: Installation) -> bool:
        """Tell whether *what*, a variable or of `overriding`, is for a host of ours."""
        return True

    def said(self, setup: Setup) -> str:
        """Return what the person is told once it is set."""
        return self.about

    # -- what install and uninstall do -------------------------------------------

    def plan(
        self, environ: dict[str, str], hosts: tuple[str, ...], **more: Any
    ) -> Plan:
        """Return what sets it up for *hosts*, beside those that it is set up for."""
        noted = self._noted(environ)
        words = noted.words if self.several else () if hosts else noted.words
        return self._planned(environ, tuple(dict.fromkeys((*words, *hosts))))

    def undo(
        self, environ: dict[str, str], hosts: tuple[str, ...], **more: Any
    ) -> Plan:
        """Return what takes the settings back; no config is asked for all of them."""
        words = self._noted(environ).words
        left = tuple(word for word in words if word not in hosts)
        if hosts and left == words:
            return Plan(lambda: False, lambda: None)
        if hosts and left:
            return self._planned(environ, left)
        return self._undone(environ)

    def _planned(self, environ: dict[str, str], words: tuple[str, ...]) -> Plan:
        context = Context(environ)
        setup = Setup(environ, context, ownprograms.expect(ANSWER, environ), words)
        settings = list(self.settings(setup))
        paths = dict.fromkeys(setting.path for setting in settings)
        changes = []
        every = tuple(dict.fromkeys((*self._noted(environ).words, *words)))
        for setting in settings:
            # What is not wanted any more is taken out, too.
            made = self._file(environ, setting.path, every).anew(setting.wanted)
            changes.append((self._file(environ, setting.path, words), *made))
        gone = [
            (file, file.undoing())
            for path, file in self._files(environ)
            if path not in paths
        ]
        doors = [(door, door.change()) for door in self.doors(setup)]
        needed = [door.path for door, _ in doors]
        closed = [
            (door, door.unneeded())
            for door in self._doors(environ)
            if door.path not in needed
        ]

        missing = [f for path in paths for f in madefolders.missing(path)]
        folders = list(dict.fromkeys((*missing, *self._noted(environ).folders)))

        def shown() -> bool:
            some = [show(change) for _, _, change in changes]
            some += [show(change) for _, change in (*gone, *doors, *closed)]
            return any(some)

        def apply() -> None:
            note()
            for file, change in gone:
                file.undo(change)
            for file, before, change in changes:
                if change:
                    file.keep(change, before)
            output.say(self.said(setup), err=True)

        def note() -> None:
            """Say first who needs which script: it can be undone."""
            notes = {
                "files": list(paths),
                "words": list(words),
                "programs": needed,
                "folders": folders,
            }
            InstallRecord(environ, self.name).write(notes)
            for door, change in closed:
                door.remove(change)
            for door, change in doors:
                door.place(change)

        return Plan(shown, apply, note)

    def _undone(self, environ: dict[str, str]) -> Plan:
        changes = [(file, file.undoing()) for _, file in self._files(environ)]
        doors = [(door, door.unneeded()) for door in self._doors(environ)]

        def shown() -> bool:
            return any([show(change) for _, change in (*changes, *doors)])

        def apply() -> None:
            for file, change in changes:
                file.undo(change)
            for door, change in doors:
                door.remove(change)
            madefolders.remove_empty(self._noted(environ).folders)
            InstallRecord(environ, self.name).write({})

        return Plan(shown, apply, apply)

    def files(self, environ: Mapping[str, str]) -> Iterator[str]:
        """Yield the files that install has changed."""
        yield from self._noted(environ).files

    # -- what doctor says ----------------------------------------------------------

    def checks(self, installation: Installation) -> Iterator[Finding]:
        """Yield what keeps the tool from asking us, once it was told to."""
        environ = installation.environ
        noted = self._noted(environ)
        if not noted.known:
            return
        command = shlex.join(["hushkey", "install", self.name, *noted.words])
        if self.programs and not any(
            programs.find(each, environ) for each in self.programs
        ):
            text = f"{self.name}: {' or '.join(self.programs)} is not on PATH"
            yield Finding(f"{self.name}-missing", NOTE, text)
        if installation.config is not None:
            yield from self._changed(environ, noted.words, command)
        for variable in sorted(environ):
            if environ[variable] and any(
                re.fullmatch(name, variable) and self.concerns(variable, installation)
                for name in self.overridden_by
            ):
                text = f"{self.name}: the variable {variable} overrides hushkey"
                code = f"{self.name}-overridden"
                yield Finding(code, PROBLEM, text, f"unset {variable}")
        for path, file in self._files(environ):
            for what in self.overriding(file.text()):
                if not self.concerns(what, installation):
                    continue
                text = f"{self.name}: in {path}, {what} overrides hushkey"
                yield Finding(f"{self.name}-overridden", PROBLEM, text)

    def _changed(
        self, environ: dict[str, str], words: tuple[str, ...], command: str
    ) -> Iterator[Finding]:
        code = f"{self.name}-settings"
        try:
            setup = Setup(
                environ, Context(environ), ownprograms.expect(ANSWER, environ), words
            )
            made: list[Change] = []
            for setting in self.settings(setup):
                file = self._file(environ, setting.path, words)
                made.append(file.anew(setting.wanted)[1])
            made += [door.change() for door in self.doors(setup)]
        except HushkeyError as error:
            yield Finding(code, PROBLEM, f"{self.name}: {error.line()}")
            return
        for change in made:
            if change:
                text = f"{self.name}: {change.path} does not ask {setup.program}"
                yield Finding(
                    code, PROBLEM, text, command, lambda: self.install(words, False)
                )

    # -- notes ---------------------------------------------------------------------

    def _noted(self, environ: Mapping[str, str]) -> _Noted:
        notes = InstallRecord(environ, self.name).read()
        keys = ("files", "words", "programs", "folders")
        if not all(isinstance(notes.get(key), list) for key in keys):
            return _Noted(False, (), (), (), ())
        return _Noted(True, *(tuple(map(str, notes[key])) for key in keys))

    def _doors(self, environ: Mapping[str, str]) -> Iterator[Placed]:
        for path in self._noted(environ).programs:
            yield Placed(environ, self.name, path)

    def _files(self, environ: Mapping[str, str]) -> Iterator[tuple[str, SettingsFile]]:
        noted = self._noted(environ)
        for path in noted.files:
            yield path, self._file(environ, path, noted.words)

    def _file(
        self, environ: Mapping[str, str], path: str, words: tuple[str, ...]
    ) -> SettingsFile:
        record = named(self.name, path)
        form = self.form_of(path, environ, words)
        edits = (form.edit, form.read, form.without, form.unnoted)
        return SettingsFile(environ, record, path, *edits)


class _Noted(Frozen):
    """What install noted of a tool: whether anything, which files, for which words.

    And which scripts it placed, and which folders it made, the deepest first.
    """

    known: bool
    files: tuple[str, ...]
    words: tuple[str, ...]
    programs: tuple[str, ...]
    folders: tuple[str, ...]
