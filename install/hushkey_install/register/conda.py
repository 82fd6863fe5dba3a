"""Registering with conda: a plug-in in its base environment, and channel_settings.

docs.conda.io/projects/conda/en/stable/user-guide/configuration/settings.html. conda
loads plug-ins from the environment that it is itself in, and from there alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice
from typing import Any

from hushkey.errors import Permanent
from hushkey.system import paths, programs
from hushkey_install.common.context import shown
from hushkey_install.common.filechange import remove
from hushkey_install.common.finding import Finding
from hushkey_install.register import condaplugin
from hushkey_install.register.registration import Plan
from hushkey_install.register.setting import (
    Form,
    Setting,
    SettingsRegistration,
    Setup,
    whole_file,
    whole_form,
)
from hushkey_install.tools import pythontools, textlines, yamltext
from hushkey_install.tools.pythontools import Client

_LIST = "channel_settings"
#: the first one whose channel_settings take a pattern
_OLDEST = (24, 5)
_NETRC = "see `hushkey help tools` for how conda reads a token from a file instead"


def _program(environ: Mapping[str, str]) -> str | None:
    """Return conda itself, of which a shell has a function: CONDA_EXE is its path."""
    named = environ.get("CONDA_EXE", "")
    return programs.find(named, environ) or programs.find("conda", environ)


def _packages(environ: Mapping[str, str]) -> str:
    """Return where conda's own environment keeps packages; raises Permanent."""
    program = _program(environ)
    if program is None:
        raise Permanent("conda is not on PATH", hint="run this where `conda` works")
    prefix = pythontools.prefix_of(program)
    client = Client("conda", program, prefix)
    folder, version = client.folder("conda"), client.version("conda")
    if not folder:
        raise Permanent(f"{program} is no conda that takes plug-ins", hint=_NETRC)
    number = version.split(".")[:2]
    if not all(map(str.isdigit, number)) or (*map(int, number),) < _OLDEST:
        raise Permanent(
            f"conda {version} is too old: 24.5 is needed",
            hint="run `conda update --name base conda`",
        )
    if not os.access(folder, os.W_OK):
        raise Permanent(
            f"{prefix} is not yours to change, and conda takes plug-ins from there "
            "alone",
            hint=f"install conda in your home folder, or {_NETRC}",
        )
    return os.path.realpath(folder)


def _is_ours(item: yamltext.Item, channel: str = "") -> bool:
    """Tell whether *item* names us, and *channel*, if that is given."""
    named = item.says("auth").casefold() == condaplugin.NAME
    return named and channel in ("", item.says("channel"))


def _value(text: str) -> str:
    """Return the items that name us, as they are written, each by its channel."""
    found = yamltext.listing(text, _LIST)
    lines = textlines.split(text)
    items = {
        item.says("channel"): "".join(lines[item.first : item.after]).rstrip("\r\n")
        for item in (found.items if found else ())
        if _is_ours(item)
    }
    said = {"items": items, "header": yamltext.header(text, _LIST)}
    return json.dumps(said, sort_keys=True)


def _edited(text: str, value: str) -> str:
    said = json.loads(value)
    wanted, now = said["items"], json.loads(_value(text))["items"]
    for channel in now:
        if now[channel] != wanted.get(channel):
            meant = partial(_is_ours, channel=channel)
            text = yamltext.without_item(text, _LIST, said["header"], meant)
    for channel, item in wanted.items():
        if now.get(channel) != item:
            text = yamltext.with_item(text, _LIST, item)
    return text


def _without(text: str, value: str) -> str:
    """Return *text* without us, although somebody has edited it since."""
    before, now = json.loads(value), json.loads(_value(text))["items"]
    kept = {channel: now[channel] for channel in now if channel in before["items"]}
    return _edited(text, json.dumps({**before, "items": kept}))


class CondaRegistration(SettingsRegistration):
    """conda, by a plug-in and the settings of the channels that it is for."""

    takes_hosts = takes_paths = several = True
    sample = "conda.example.com/team"
    programs = ("conda",)
    overridden_by = ("CONDA_NO_PLUGINS",)
    about = "conda asks hushkey for a token of these channels"

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return the plug-in's files, and an item for each channel or host."""
        channels = [_pattern(setup, word) for word in setup.some_words()]
        made = condaplugin.files(_packages(setup.environ), setup.program)
        found = [
            whole_file(path, text, condaplugin.is_ours) for path, text in made.items()
        ]

        def wanted(text: str) -> str:
            said = json.loads(_value(text))
            listed = yamltext.listing(text, _LIST)
            indent = listed.indent if listed and not listed.empty else "  "
            for channel in channels:
                said["items"][channel] = (
                    f"{indent}- channel: {yamltext.written(channel)}\n"
                    f"{indent}  auth: {condaplugin.NAME}"
                )
            return json.dumps({**said, "header": ""}, sort_keys=True)

        return [*found, Setting(_condarc(setup.environ), wanted)]

    def form(self, environ: Mapping[str, str], words: tuple[str, ...]) -> Form:
        """Return the items that name us."""
        return Form(_edited, _value, _without)

    def form_of(
        self, path: str, environ: Mapping[str, str], words: tuple[str, ...]
    ) -> Form:
        """Return the whole file, for what is not conda's own."""
        if os.path.basename(path) == ".condarc":
            return self.form(environ, words)
        return whole_form(condaplugin.is_ours)

    def plan(
        self, environ: dict[str, str], hosts: tuple[str, ...], **more: Any
    ) -> Plan:
        """Return what sets it up; the plug-in may have been in another environment."""
        return self._swept(environ, super().plan(environ, hosts, **more))

    def undo(
        self, environ: dict[str, str], hosts: tuple[str, ...], **more: Any
    ) -> Plan:
        """Return what takes it back, and what Python made of the plug-in."""
        return self._swept(environ, super().undo(environ, hosts, **more))

    def _swept(self, environ: Mapping[str, str], plan: Plan) -> Plan:
        placed = list(self.files(environ))

        def then(act: Callable[[], object]) -> None:
            act()
            for path in placed:
                for each in () if os.path.exists(path) else condaplugin.compiled(path):
                    remove(each)

        return Plan(plan.show, partial(then, plan.apply), partial(then, plan.tidy))

    def overriding(self, text: str) -> Iterator[str]:
        """Yield later items for our channels: of those that match, the last counts."""
        try:
            found = yamltext.listing(text, _LIST)
        except ValueError:
            return
        ours: list[str] = []
        for item in found.items if found else ():
            channel = item.says("channel")
            if _is_ours(item):
                ours.append(channel)
            elif any(_meet(channel, each) for each in ours):
                # conda's own token may be in there
                yield f"the later item for {shown(channel).partition('/t/')[0]}"

    def _changed(
        self, environ: dict[str, str], words: tuple[str, ...], command: str
    ) -> Iterator[Finding]:
        if _program(environ):  # one file that is missing says it of all
            yield from islice(super()._changed(environ, words, command), 1)


def _meet(one: str, other: str) -> bool:
    return fnmatchcase(one, other) or fnmatchcase(other, one)


def _pattern(setup: Setup, word: str) -> str:
    place = setup.place(word)
    if "[" in place:  # in a pattern it means something else
        raise Permanent(f"{place}: conda's settings take no such host")
    return f"https://{place}/*"


def _condarc(environ: Mapping[str, str]) -> str:
    return os.path.join(paths.home(environ), ".condarc")


CONDA = CondaRegistration("conda")
