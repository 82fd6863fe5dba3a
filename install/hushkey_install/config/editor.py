"""`hushkey config edit`: the user's editor on a copy, which must be valid to count."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

from hushkey.errors import ConfigError, Permanent, plain
from hushkey.system import ownership, paths, programs
from hushkey_install.common import output
from hushkey_install.common.filechange import Change, read_text, remove, write_text
from hushkey_install.config import document

_VARIABLES = ("VISUAL", "EDITOR")
#: tried where neither variable is set
_USUAL = ("sensible-editor", "editor", "nano", "vim", "vi")
_NEW = """\
# hushkey: who signs you in, and for which hosts.
#
# [identity.corp]
# provider = "oidc"
# issuer = "https://id.example.com"
# client_id = "hushkey"
#
# [host."git.example.com"]
# identity = "corp"
"""


def edit() -> None:
    """Let the person edit a copy until it is valid, then put it in place.

    What they wrote is never lost: a copy that is not valid stays beside the
    config file, and the next `config edit` goes on with it.
    """
    source = paths.config_file(os.environ)
    words = _editor(os.environ)
    folder = os.path.dirname(source)
    paths.check_owner(source)
    before = document.text_of(source)
    ownership.make_folder(folder)
    copy = source.removesuffix(".toml") + ".edit.toml"
    ownership.check_name(copy)
    if not (os.path.exists(copy) and _goes_on(copy)):
        write_text(copy, before or _NEW, 0o600)
    while True:
        _run(words, copy, folder)
        problems = _problems(copy, source)
        if not problems:
            break
        for problem in problems:
            output.say(problem.replace(source, copy), err=True)
        if not (_is_person() and output.confirm("edit again?", default=True)):
            raise ConfigError(
                f"{source} was not changed; your edit is kept in {copy}",
                hint="run `hushkey config edit` to go on with it",
            )
    _install(source, copy, before)


def _install(source: str, copy: str, before: str) -> None:
    after = read_text(copy)
    if document.text_of(source) != before:
        raise ConfigError(
            f"{source} was changed by somebody else; your edit is in {copy}",
            hint="run `hushkey config edit` again and compare",
        )
    change = Change(source, before, after)
    if change and after != _NEW:
        document.save(change)
        output.say(f"saved {source}", err=True)
    else:
        output.say("nothing was changed", err=True)
    remove(copy)


def _goes_on(copy: str) -> bool:
    """Tell whether to go on with what an earlier edit left."""
    if not _is_person():
        return True
    question = f"{copy} holds an earlier edit; go on with it?"
    return output.confirm(question, default=True)


def _is_person() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _problems(copy: str, source: str) -> tuple[str, ...]:
    """Return every problem of what was written, each with its line."""
    try:
        document.check(document.text_of(copy), source)
    except ConfigError as error:
        return error.problems or (error.line(),)
    return ()


def _editor(environ: os._Environ[str]) -> list[str]:
    """Return the words that start the editor, the program by its absolute path."""
    for variable in _VARIABLES:
        if text := environ.get(variable, "").strip():
            try:
                words = shlex.split(text)
            except ValueError:
                words = []
            program = programs.find(words[0], environ) if words else None
            if program is None:
                raise Permanent(
                    f"{variable} names no program on PATH: {plain(text, 80)}",
                    hint="set it to an editor, for example EDITOR=nano",
                )
            return [program, *words[1:]]
    found = (programs.find(name, environ) for name in _USUAL)
    program = next(filter(None, found), None)
    if program is None:
        raise Permanent(
            "no editor was found",
            hint="set EDITOR, or use `hushkey config set` and `config add-host`",
        )
    return [program]


def _run(words: list[str], copy: str, folder: str) -> None:
    """Run the editor on *copy*; it waits for a person, so there is no deadline."""
    # In our folder: an editor may read its settings where it is started.
    done = subprocess.run([*words, copy], cwd=folder, check=False)
    if done.returncode:
        raise Permanent(
            f"{os.path.basename(words[0])} ended with {done.returncode}; "
            "the config was not changed",
            hint=f"your edit, if any, is in {copy}",
        )
