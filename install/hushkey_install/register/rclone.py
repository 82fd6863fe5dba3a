"""Registering with rclone: the ``bearer_token_command`` of remotes.

rclone.org/webdav. The words are the remotes' names; their ``url`` says which host.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from hushkey import origins
from hushkey.errors import Permanent, plain
from hushkey.system import paths
from hushkey_install.common.filechange import read_text
from hushkey_install.register.setting import (
    Form,
    Setting,
    SettingsRegistration,
    Setup,
    is_ours,
)
from hushkey_install.tools.keylines import KeyLines, packed, unpacked

_KEY = "bearer_token_command"
_HEAD = re.compile(r"^\[([^\]\r\n]+)\]", re.MULTILINE)
_FIRST = "run `rclone config` first"


def _lines(remote: str, key: str = _KEY) -> KeyLines:
    return KeyLines(
        rf"(?P<key>{key})[ \t]*=[ \t]*(?P<value>[^\r\n]*)", "{key} = {value}", remote
    )


class RcloneRegistration(SettingsRegistration):
    """rclone, by the config of this user."""

    takes_hosts = several = True
    sample = "REMOTE"
    programs = ("rclone",)
    overridden_by = (r"RCLONE_(CONFIG_\w+|WEBDAV)_BEARER_TOKEN(_COMMAND)?",)
    about = "rclone asks hushkey for these remotes"

    def words_for(
        self, environ: Mapping[str, str], host: str, path: str
    ) -> tuple[str, ...]:
        """Return the remotes whose url is at *host*; without one, the host."""
        wanted, text = _place(host), ""
        with suppress(OSError):
            text = read_text(_config(environ))
        there = [name for name, url in _remotes(text) if _place(url) == wanted]
        return tuple(there) or (host,)

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return the command of each remote."""

        def wanted(text: str) -> str:
            if text.startswith(("RCLONE_ENCRYPT", "# Encrypted rclone")):
                raise ValueError("it is encrypted")
            said = json.loads(form.read(text))
            for remote in setup.some_words("REMOTE"):
                url = unpacked(_lines(remote, "url").value(text)).get("url", "")
                if not url:
                    known = ", ".join(plain(name) for name, _ in _remotes(text))
                    raise Permanent(
                        f"rclone has no remote {remote} with a url",
                        hint=f"name one of {known}" if known else _FIRST,
                    )
                said[remote] = {_KEY: setup.command("token", setup.place(url))}
            return json.dumps(said, sort_keys=True)

        form = self.form(setup.environ, setup.words)
        return [Setting(_config(setup.environ), wanted)]

    def form(self, environ: Mapping[str, str], words: tuple[str, ...]) -> Form:
        """Return the commands of the remotes."""

        def value(text: str) -> str:
            said = {each: unpacked(_lines(each).value(text)) for each in words}
            return json.dumps(said, sort_keys=True)

        def edit(text: str, value: str) -> str:
            for remote, values in json.loads(value).items():
                text = _lines(remote).edit(text, packed(values))
            return text

        def without(text: str, before: str) -> str:
            now, old = json.loads(value(text)), json.loads(before)
            for remote, values in now.items():
                if is_ours(values.get(_KEY, "")):
                    now[remote] = old.get(remote, {})
            return edit(text, json.dumps(now))

        return Form(edit, value, without)


def _remotes(text: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the url of each remote that has one."""
    for name in _HEAD.findall(text):
        if url := unpacked(_lines(name, "url").value(text)).get("url"):
            yield name, url


def _place(url: str) -> tuple[str, str]:
    """Return scheme and host of *url*, and of what is none, nothing."""
    try:
        request = origins.parse_url(url)
    except ValueError:
        return "", ""
    return request.protocol, request.host.lower()


def _config(environ: Mapping[str, str]) -> str:
    named = environ.get("RCLONE_CONFIG", "")
    if os.path.isabs(named):
        return named
    home = paths.home(environ)
    folder = (
        environ.get("APPDATA", home) if os.name == "nt" else paths.xdg_config(environ)
    )
    found = os.path.join(folder, "rclone", "rclone.conf")
    older = os.path.join(home, ".rclone.conf")
    return older if os.path.exists(older) and not os.path.exists(found) else found


RCLONE = RcloneRegistration("rclone")
