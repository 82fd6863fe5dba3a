"""Registering with Yarn: a plug-in of ours, and the registries that it is asked for.

yarnpkg.com/configuration/yarnrc, ``plugins`` and ``npmRegistries``. Yarn 3 and 4 read
``~/.yarnrc.yml`` beside the project's. They ask a plug-in for every request for a
package in a scope, and for others where ``npmAlwaysAuth`` is set; what it answers goes
before each ``npmAuthToken``. A plug-in that is missing ends every command of Yarn's.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from hushkey import origins
from hushkey.errors import Permanent
from hushkey.system import paths
from hushkey_helpers.tools import yarn
from hushkey_install.common.context import shown
from hushkey_install.common.filechange import read_text
from hushkey_install.common.finding import NOTE, PROBLEM, Finding
from hushkey_install.register import door
from hushkey_install.register.door import Placed
from hushkey_install.register.setting import (
    Form,
    Setting,
    SettingsRegistration,
    Setup,
)
from hushkey_install.register.settingsfile import SettingsFile
from hushkey_install.tools import nodepackages, textlines, yamltext
from hushkey_install.tools.installation import Installation

_PLUGIN = "yarn-plugin-hushkey.cjs"
_FILE = ".yarnrc.yml"
_ALWAYS = "npmAlwaysAuth"
#: the registry in use, and that Yarn asks for each
_SERVER = re.compile(r"""^npmRegistryServer:[ \t]*["']?([^\s"'#]+)""", re.MULTILINE)
_EVERY = re.compile(rf"^{_ALWAYS}:[ \t]*true\b", re.MULTILINE)
#: the first version with the hook
_HOOK = 3
#: what Yarn's package is called, by version
_PACKAGES = ("yarn", "@yarnpkg/cli-dist")


class YarnRegistration(SettingsRegistration):
    """Yarn, by the settings of this user."""

    takes_hosts = takes_paths = several = True
    sample = "npm.example.com/team"
    programs = ("yarn",)
    about = (
        "yarn asks hushkey for these registries, and for those of packages in scopes; "
        "run `hushkey uninstall yarn` before hushkey goes, or yarn refuses all commands"
    )

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return our entry of the plug-ins, and each registry's."""
        for word in setup.words:
            setup.place(word)  # or says why it cannot be served
            if not setup.origin(word).startswith("https:"):
                raise Permanent(f"{word}: yarn asks hushkey for https alone")
        path = _path(setup.environ)

        def wanted(text: str) -> str:
            said = _said(text)
            said["entry"] = path
            for url in map(_registry, setup.words):
                known = [key for key in said["always"] if _bare(key) == _bare(url)]
                said["always"] |= dict.fromkeys(known or [url], "true")
            return json.dumps(said)

        return [Setting(_file(setup.environ), wanted)]

    def form(self, environ: Mapping[str, str], words: tuple[str, ...]) -> Form:
        """Return our entry, and whether each registry is always asked for."""
        ours = frozenset(_bare(_registry(word)) for word in words)

        def without(text: str, value: str) -> str:
            before, now = json.loads(value), _said(text)
            for key, always in list(now["always"].items()):
                if _bare(key) in ours and always == "true":
                    now["always"].pop(key)
                    if key in before["always"]:
                        now["always"][key] = before["always"][key]
            headers = {key: before[key] for key in ("plugins", "registries")}
            return _edited(text, json.dumps({**now, "entry": None, **headers}))

        return Form(_edited, _value, without, _without_entry)

    def doors(self, setup: Setup) -> Iterable[Placed]:
        """Return the plug-in."""
        text = plugin(setup.program)
        return [Placed(setup.environ, self.name, _path(setup.environ), text)]

    def _files(self, environ: Mapping[str, str]) -> Iterator[tuple[str, SettingsFile]]:
        """Yield the file also where no notes are left: our plug-in has gone with them.

        Yarn would refuse every command until its entry goes, too.
        """
        yield from super()._files(environ)
        if not self._noted(environ).known:
            path = _file(environ)
            yield path, self._file(environ, path, ())

    def said(self, setup: Setup) -> str:
        """Return what the person is told: also that the Yarn here is too old."""
        return "\n".join((self.about, *_old(setup.environ)))

    def checks(self, installation: Installation) -> Iterator[Finding]:
        """Yield also what a project says against it, and that Yarn is too old."""
        yield from super().checks(installation)
        noted = self._noted(installation.environ)
        if not noted.known:
            return
        for text in _old(installation.environ):
            yield Finding("yarn-version", NOTE, text)
        ours = {_bare(_registry(word)) for word in noted.words}
        name = installation.environ.get("YARN_RC_FILENAME") or _FILE
        for path in _above(installation.folder, name):
            for key, always in _always(_text(path)).items():
                if _bare(key) not in ours:
                    continue
                place = shown(key)
                if always == "false":
                    text = f"yarn: in {path}, {_ALWAYS} of {place} overrides hushkey"
                    yield Finding("yarn-overridden", PROBLEM, text)
                elif always is None:
                    text = f"yarn: in {path}, {place} lacks {_ALWAYS}: true for Yarn 3"
                    yield Finding("yarn-overridden", NOTE, text)
        yield from self._unasked(installation, [*_above(installation.folder, name)])

    def _unasked(
        self, installation: Installation, projects: Iterable[str]
    ) -> Iterator[Finding]:
        """Yield the registry in use, if hushkey answers for it and Yarn does not ask.

        Yarn only says that whoever asks is anonymous.
        """
        paths = dict.fromkeys((*projects, _file(installation.environ)))
        texts = {path: _text(path) for path in paths}
        served = ((path, _SERVER.search(text)) for path, text in texts.items())
        path, found = next((pair for pair in served if pair[1]), ("", None))
        if found is None or installation.context is None:
            return
        url, asked = found[1], set[str]()
        for text in texts.values():
            if _EVERY.search(text):
                return
            always = _always(text)
            asked |= {_bare(key) for key in always if always[key]}
        with suppress(ValueError):
            request = origins.parse_url(url)
            rule = installation.context.config.rule_for(request)
            if rule and request.protocol == "https" and _bare(url) not in asked:
                text = f"yarn: in {path}, npmRegistryServer is {shown(url)}, for which "
                place = "/".join((request.host, *filter(None, request.path.split("/"))))
                yield Finding(
                    "yarn-unasked",
                    PROBLEM,
                    f"{text}yarn does not ask hushkey",
                    shlex.join(["hushkey", "install", "yarn", place]),
                )


def plugin(program: str) -> str:
    """Return the plug-in that starts *program*, an absolute path."""
    path = os.path.join(os.path.dirname(__file__), _PLUGIN)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for name, value in (("PROGRAM", program), ("DEADLINE", yarn.TOOL.patience)):
        before, rest = text.split(f"const {name} = ", 1)
        after = rest.partition(";")[2]
        text = f"{before}const {name} = {json.dumps(value)};{after}"
    return text


def _file(environ: Mapping[str, str]) -> str:
    return os.path.join(paths.home(environ), _FILE)


def _path(environ: Mapping[str, str]) -> str:
    return os.path.join(door.folder(environ), _PLUGIN)


def _registry(word: str) -> str:
    """Return the URL of the registry that *word* names, as Yarn compares it."""
    request = origins.parse_url(word)
    path = "/".join(("", *filter(None, request.path.split("/"))))
    return f"https://{request.host}{path.rstrip('/')}"


def _bare(key: str) -> str:
    """Return the URL *key* without what makes no difference to Yarn."""
    return key.removeprefix("https:").removesuffix("/")


def _old(environ: Mapping[str, str]) -> list[str]:
    version = nodepackages.major("yarn", _PACKAGES, environ)
    if not 0 < version < _HOOK:
        return []
    return [
        f"yarn: the one on PATH is Yarn {version}, which asks nobody for a token; "
        f"a project that brings Yarn {_HOOK} or newer (yarnPath) asks hushkey"
    ]


def _above(folder: str, name: str) -> Iterator[str]:
    """Yield the settings called *name* of *folder*, and of the folders above it."""
    before = ""
    while folder != before:
        yield os.path.join(folder, name)
        before, folder = folder, os.path.dirname(folder)


def _text(path: str) -> str:
    with suppress(OSError):
        return read_text(path)
    return ""


def _always(text: str) -> Mapping[str, str | None]:
    with suppress(ValueError):
        always: Mapping[str, str | None] = _said(text)["always"]
        return always
    return {}


# -- the text ----------------------------------------------------------------------


def _said(text: str) -> dict[str, Any]:
    """Return what *text* says.

    The path of our plug-in; each registry and how ``npmAlwaysAuth`` is written there,
    None where it is not; and the lines that say that there are none.
    """
    plugins = yamltext.listing(text, "plugins")
    registries = yamltext.mapping(text, "npmRegistries")
    entry = next(filter(_is_ours, plugins.items if plugins else ()), None)
    always, lines = {}, textlines.split(text)
    for item in registries.items if registries else ():
        found = item.scalars.get((item.name, _ALWAYS))
        always[item.name] = yamltext.source(lines, found) if found else None
    return {
        "entry": entry.says("path") if entry else None,
        "always": always,
        "plugins": yamltext.header(text, "plugins"),
        "registries": yamltext.header(text, "npmRegistries", yamltext.mapping),
    }


def _value(text: str) -> str:
    return json.dumps(_said(text), sort_keys=True)


def _is_ours(item: yamltext.Item) -> bool:
    return item.says("path").replace("\\", "/").rpartition("/")[2] == _PLUGIN


def _edited(text: str, value: str) -> str:
    said, now = json.loads(value), _said(text)
    if now["entry"] != said["entry"]:
        text = _with_entry(text, said["entry"], said["plugins"])
    for key in sorted({**now["always"], **said["always"]}):
        made = said["always"].get(key)
        if key not in now["always"] or made != now["always"][key]:
            text = _with_always(text, key, made)
        if key not in said["always"]:
            text = _without_registry(text, key)
    header = said["registries"]
    return yamltext.with_header(text, "npmRegistries", header, yamltext.mapping)


def _with_entry(text: str, path: str | None, header: str | None) -> str:
    """Return *text* with our plug-in at *path*; None: without, and *header* again."""
    text = yamltext.without_item(
        text, "plugins", header if path is None else "", _is_ours
    )
    if path is None:
        return text
    plugins = yamltext.listing(text, "plugins")
    indent = plugins.indent if plugins and not plugins.empty else "  "
    lines = f"{indent}- path: {yamltext.written(path)}\n{indent}  spec: hushkey"
    return yamltext.with_item(text, "plugins", lines)


def _without_entry(text: str) -> str:
    """Return *text* without our plug-in, whatever else it says."""
    with suppress(ValueError):
        if _said(text)["entry"] is not None:
            return _with_entry(text, None, None)
    return text


def _with_always(text: str, key: str, made: str | None) -> str:
    """Return *text* where the registry *key* has ``npmAlwaysAuth`` as *made*."""
    found = yamltext.mapping(text, "npmRegistries")
    item = _item(found, key)
    if item is None:
        if made is None:
            return text
        indent = found.indent if found and not found.empty else "  "
        lines = f"{indent}{json.dumps(key)}:\n{indent}  {_ALWAYS}: {made}"
        return yamltext.with_item(text, "npmRegistries", lines, yamltext.mapping)
    scalar = item.scalars.get((key, _ALWAYS))
    if scalar is None:
        if item.inner is None:
            raise ValueError(f"{key} is not written line by line")
        line = f"{item.inner}{_ALWAYS}: {made}"
        return textlines.inserted(text, item.first + 1, line)
    if made is None:
        return textlines.without(text, scalar.line, scalar.line + 1)
    return yamltext.rewrite(text, scalar, made)


def _without_registry(text: str, key: str) -> str:
    """Return *text* without the entry of *key*, which says nothing any more."""
    item = _item(yamltext.mapping(text, "npmRegistries"), key)
    if item is None or item.inner is None or item.after > item.first + 1:
        return text
    return textlines.without(text, item.first, item.after)


def _item(found: yamltext.Listing | None, key: str) -> yamltext.Item | None:
    return next((i for i in found.items if i.name == key), None) if found else None


YARN = YarnRegistration("yarn")
