"""The plug-in that conda imports: what the files in its environment hold.

docs.conda.io/projects/conda/en/stable/dev-guide/plugins. conda loads what names itself
in the entry points of its own environment. The plug-in needs nothing but conda, and
asks our program by its absolute path: a channel's header comes from there alone.
"""

from __future__ import annotations

import os

from hushkey_helpers.tools import conda

#: what conda's channel_settings call it
NAME = "hushkey"
_MODULE = "hushkey_conda"
_MARK = "# made by `hushkey install conda`"
#: a local one: no index has it, or somebody's package of this name would be installed
#: where pip's list of what is here is repeated
_VERSION = "1+local"
#: without RECORD in it: conda does not list it, nor export it to other machines
_INFO = f"{_MODULE}-{_VERSION}.dist-info"
#: conda 24.5 runs on Python 3.8. requests calls an auth handler once for each request,
#: not for a redirect, where it drops the header if that leads to another origin
_SOURCE = """\
{mark}
import json
import re
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

from conda.base.context import context
from conda.plugins import hookimpl
from conda.plugins.types import ChannelAuthBase, CondaAuthHandler

PROGRAM = {program!r}
PATIENCE = {patience}  # seconds
# seconds: a failure is said once, and a token whose end nobody knows is asked for again
KEPT = 600
# conda's own token, which a channel's URL may hold: another program must not see it
TOKEN = re.compile("/t/[^/]+/")
PLATFORM = re.compile(r"/(noarch|(emscripten|freebsd|linux|osx|wasi|win|zos)-\\w+)/")

kept = {{}}
lock = threading.Lock()


class HushkeyAuth(ChannelAuthBase):
    def __call__(self, request):
        where = urlsplit(request.url)
        named = urlsplit(self.channel_name)
        if where.scheme != "https" or context.offline or TOKEN.search(where.path):
            return request
        if named.scheme and named.netloc.lower() != where.netloc.lower():
            return request
        if "Authorization" not in request.headers:
            header = authorization(channel_of(where))
            if header:
                request.headers["Authorization"] = header
        return request


def channel_of(where):
    path = where.path
    platforms = list(PLATFORM.finditer(path))
    folder = path[: platforms[-1].start()] if platforms else path.rpartition("/")[0]
    return "https://" + where.netloc.rpartition("@")[2] + folder


def authorization(channel):
    with lock:
        header, until = kept.get(channel, ("", 0))
        if time.time() >= until:
            said = ask(channel)
            header = said.get("authorization", "")
            until = said.get("until", time.time() + KEPT)
            kept[channel] = header, until
        return header


def ask(channel):
    words = [PROGRAM, "conda", channel]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=PATIENCE
        )
        return {{}} if done.returncode else dict(json.loads(done.stdout))
    except (OSError, TypeError, ValueError, subprocess.SubprocessError) as error:
        line = "hushkey: {{}} failed ({{}}); run `hushkey doctor`"
        print(line.format(PROGRAM, type(error).__name__), file=sys.stderr)
        return {{}}


@hookimpl
def conda_auth_handlers():
    yield CondaAuthHandler(name="{name}", handler=HushkeyAuth)
"""
_METADATA = f"""\
Metadata-Version: 2.1
Name: {_MODULE.replace("_", "-")}
Version: {_VERSION}
Summary: {_MARK[2:]}
"""
_ENTRY_POINTS = f"""\
{_MARK}
[conda]
{NAME} = {_MODULE}
"""


def files(folder: str, program: str) -> dict[str, str]:
    """Return what has to be in *folder*, conda's site-packages, by the files' paths."""
    source = _SOURCE.format(
        mark=_MARK, program=program, patience=conda.PATIENCE, name=NAME
    )
    return {
        os.path.join(folder, f"{_MODULE}.py"): source,
        os.path.join(folder, _INFO, "METADATA"): _METADATA,
        os.path.join(folder, _INFO, "entry_points.txt"): _ENTRY_POINTS,
    }


def is_ours(text: str) -> bool:
    """Tell whether *text* is that of one of the files."""
    return _MARK[2:] in text


def compiled(path: str) -> list[str]:
    """Return what Python has made of the file *path*, if that is our module."""
    folder, name = os.path.split(path)
    cache = os.path.join(folder, "__pycache__")
    if name != f"{_MODULE}.py" or not os.path.isdir(cache):
        return []
    return [
        os.path.join(cache, each)
        for each in sorted(os.listdir(cache))
        if each.startswith(f"{_MODULE}.") and each.endswith(".pyc")
    ]
