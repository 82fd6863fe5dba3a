"""One credential that another helper keeps, and how it gets into our store.

It goes the way of every credential that is typed: through our own executable, in
its tool's protocol, over a pipe. Nothing counts as kept that the same executable
does not give back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from collections.abc import Mapping

from hushkey.errors import HushkeyError, Permanent, plain
from hushkey.model import Frozen
from hushkey.system import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import KW_ONLY

#: seconds for one call of a helper; it may have to wait for the keyring
_PATIENCE = 30
_BREAKS = ("\n", "\r", "\0")


class Entry(Frozen):
    """A credential of *tool* (git or docker) that *source* keeps.

    ``path`` is empty where it is for the whole host; for docker, ``host`` is the
    server's address as docker writes it.
    """

    _secret = ("secret",)
    source: str
    tool: str
    _: KW_ONLY
    host: str
    user: str
    secret: str
    protocol: str = "https"
    path: str = ""

    def shown(self) -> str:
        """Return host and user, for a person."""
        where = self.host if "://" in self.host else f"{self.protocol}://{self.host}"
        path = f"/{self.path}" if self.path else ""
        return plain(f"{where}{path} as {self.user or 'nobody by name'}")


def keep(entry: Entry, environ: Mapping[str, str]) -> None:
    """Put *entry* into our store, and look whether it is there.

    Raises Permanent where it is not: the helper's own words say why.
    """
    fields = (entry.protocol, entry.host, entry.path, entry.user, entry.secret)
    if any(c in field for field in fields for c in _BREAKS):
        raise Permanent(f"{entry.shown()}: holds a line break, which git cannot carry")
    if entry.tool == "docker":
        _keep_docker(entry, environ)
    else:
        _keep_git(entry, environ)


def _keep_git(entry: Entry, environ: Mapping[str, str]) -> None:
    named = [("protocol", entry.protocol), ("host", entry.host)]
    named += [("path", entry.path)] if entry.path else []
    named += [("username", entry.user)]
    question = "".join(f"{key}={value}\n" for key, value in named)
    program = "git-credential-hushkey"
    whole = f"{question}password={entry.secret}\n\n"
    said = _call(program, "store", whole, environ)[1]
    given, words = _call(program, "get", f"{question}\n", environ)
    if f"\npassword={entry.secret}\n" not in f"\n{given}":
        raise _refused(entry, said or words)


def _keep_docker(entry: Entry, environ: Mapping[str, str]) -> None:
    program = "docker-credential-hushkey"
    keys = {"ServerURL": entry.host, "Username": entry.user, "Secret": entry.secret}
    said = "".join(_call(program, "store", json.dumps(keys), environ))
    given, words = _call(program, "get", entry.host, environ)
    try:
        kept = json.loads(given)["Secret"] == entry.secret
    except (ValueError, KeyError, TypeError):
        kept = False
    if not kept:
        raise _refused(entry, said or words)


def _refused(entry: Entry, words: str) -> HushkeyError:
    reason = words.strip().removeprefix("hushkey: ") or "the helper gave no reason"
    if entry.secret in reason:
        reason = "the helper gave no reason"
    return Permanent(f"{entry.shown()} was not kept: {plain(reason)}")


def _call(
    program: str, action: str, stdin: str, environ: Mapping[str, str]
) -> tuple[str, str]:
    """Return what our executable *program* says on its two streams."""
    beside = os.path.join(sysconfig.get_path("scripts"), program)
    path = programs.find(beside, environ) or programs.find(program, environ)
    if path is None:
        raise Permanent(f"this version of hushkey has no {program}")
    # It is asked for what is kept, never for a sign-in.
    quiet = {**environ, "HUSHKEY_INTERACTIVE": "never"}
    done = subprocess.run(
        [path, action],
        input=stdin.encode("utf-8", "surrogateescape"),
        capture_output=True,
        timeout=_PATIENCE,
        check=False,
        cwd="/",
        env=quiet,
    )
    out, err = (data.decode("utf-8", "replace") for data in (done.stdout, done.stderr))
    return out, err
