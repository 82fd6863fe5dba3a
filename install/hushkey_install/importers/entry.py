"""One credential that another helper keeps, and how it gets into our store.

It goes the way of every credential that is typed: through our own executable, in
its tool's protocol, over a pipe. Nothing counts as kept that the same executable
does not give back after the last one was stored.
"""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from collections.abc import Mapping

from hushkey.acquire import session
from hushkey.errors import HushkeyError, Permanent, plain
from hushkey.model import Frozen
from hushkey.system import programs
from hushkey.tokenrequest import PromptOptions

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


def store(entry: Entry, environ: Mapping[str, str]) -> str:
    """Put *entry* into our store; return what was said about it.

    Raises Permanent for what its tool cannot carry.
    """
    fields = [entry.protocol, entry.host, entry.path, entry.user]
    if entry.tool != "docker":
        fields.append(entry.secret)  # JSON carries any, as Google's _json_key
    if any(c in field for field in fields for c in _BREAKS):
        raise Permanent(f"{entry.shown()}: holds a line break, which cannot be kept")
    if entry.tool == "docker":
        keys = {"ServerURL": entry.host, "Username": entry.user, "Secret": entry.secret}
        return _call("docker-credential-hushkey", "store", json.dumps(keys), environ)[1]
    whole = f"{_question(entry)}password={entry.secret}\n\n"
    return _call("git-credential-hushkey", "store", whole, environ)[1]


def confirm(entry: Entry, said: str, environ: Mapping[str, str]) -> None:
    """Look whether *entry* is in our store; *said* is what `store` returned.

    Raises what keeps the store from serving, else Permanent: the helper's own words
    say why.
    """
    if entry.tool == "docker":
        given, words = _call("docker-credential-hushkey", "get", entry.host, environ)
        kept, is_other = _found(given, entry)
    else:
        question = f"{_question(entry)}\n"
        given, words = _call("git-credential-hushkey", "get", question, environ)
        kept = f"\npassword={entry.secret}\n" in f"\n{given}"
        is_other = "\npassword=" in f"\n{given}"
    if kept:
        return
    other = "something else is kept for the same address" if is_other else ""
    raise _refused(entry, said or other or words, environ)


def _question(entry: Entry) -> str:
    named = [("protocol", entry.protocol), ("host", entry.host)]
    named += [("path", entry.path)] if entry.path else []
    named += [("username", entry.user)]
    return "".join(f"{key}={value}\n" for key, value in named)


def _found(given: str, entry: Entry) -> tuple[bool, bool]:
    """Return whether docker was given *entry*, and whether it was given anything."""
    try:
        answer = json.loads(given)
        found = answer["Username"], answer["Secret"]
    except (ValueError, KeyError, TypeError):
        return False, False
    return found == (entry.user, entry.secret), True


def _refused(entry: Entry, words: str, environ: Mapping[str, str]) -> HushkeyError:
    """Return the error for what is not kept, of the kind that the store's own is."""
    try:
        session.with_typed_credentials(
            environ,
            lambda kept: kept.data_key.ensure_key(),
            options=PromptOptions(tool_may_ask=False),
        )
    except HushkeyError as error:
        error.what = f"{entry.shown()} was not kept: {error.what}"
        return error
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
