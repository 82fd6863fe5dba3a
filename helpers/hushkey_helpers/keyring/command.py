"""hushkey-keyring: the command line of the `keyring` program.

What pip, uv, pdm, pipx and build start instead of importing keyring. Ours are
get, set and del of services that the config serves; everything else is for the
next real `keyring` on PATH, with the same words, as if we were not there; and so is
all of it while keyring is switched off.

Called in the wild (recorded): ``get URL USER`` (pip to 26.1, uv),
``--mode=creds --output=json get URL [USER]`` (pip from 26.2), ``get URL --mode
creds`` (uv), ``--mode=creds get URL ''`` (pdm). pip takes exit code 2 for an
outdated keyring, so no answer of ours has it.
"""

from __future__ import annotations

import os
import time

from hushkey.errors import ConfigError, HushkeyError
from hushkey.system import paths, programs
from hushkey_helpers.answer import Answer, explained
from hushkey_helpers.keyring import services
from hushkey_helpers.process import serve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hushkey_helpers.keyring.services import Service

#: set for the `keyring` that we hand a question to: it must not come back here
PASSED_ON = "HUSHKEY_KEYRING_PASSED_ON"
#: what a script of ours holds, wherever it lies and whatever it is called; a person's
#: own one that starts ours holds its name
_MARK = b"from hushkey_helpers.keyring import"  # a comment, since it is no Python
_NAMED = b"hushkey-keyring"
BACKEND_VARIABLE = "PYTHON_KEYRING_BACKEND"
#: keyring's own backends that answer nothing
_OFF = ("keyring.backends.null.", "keyring.backends.fail.")
_CHOICES = {"--mode": ("password", "creds"), "--output": ("plain", "json")}
_USAGE = (
    "hushkey-keyring speaks the command line of `keyring`: get, set, del",
    "to use it: hushkey install pip",
)


class Call:
    """One parsed command line; ``foreign`` if it has words that only keyring knows."""

    def __init__(self, argv: list[str]) -> None:
        self.foreign = False
        #: it has words that keyring knows from 25.2 on only
        self.newer = False
        self.options = {"--mode": "password", "--output": "plain"}
        words = self._words(argv)
        self.operation, self.service, self.username = (*words, "", "", "")[:3]
        self.foreign |= len(words) > 3

    def _words(self, argv: list[str]) -> list[str]:
        """Return the positional words, and keep the options around them."""
        words: list[str] = []
        rest = iter(argv)
        for word in rest:
            name, equals, value = word.partition("=")
            if word == "--":
                words += rest
            elif name in _CHOICES:
                self.newer = True
                value = value if equals else next(rest, "")
                self.foreign |= value not in _CHOICES[name]
                self.options[name] = value
            elif word.startswith("-") and word != "-":
                self.foreign = True
            else:
                words.append(word)
        return words


def main(
    request: bytes | None = None, after_work: Callable[[], None] | None = None
) -> None:
    """Answer whoever started us as `keyring`; nothing comes on stdin."""
    serve(answer, lambda _: b"", request, after_work)


def answer(
    argv: list[str], request: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    """Answer one call, or name the program that does."""
    call = Call(argv)
    if call.foreign or call.operation not in ("get", "set", "del"):
        return _pass_on(argv, call, environ)
    if is_switched_off(chosen_backend(environ)[0]):
        return _pass_on(argv, call, environ)
    began = time.time()
    try:
        found = services.find(call.service, call.username, environ)
    except ConfigError as error:
        line = explained(error).line()
        # Nothing of a wrong config counts; entries of the user's own still do.
        passed = _pass_on(argv, call, environ)
        passed.lines = (line, *passed.lines)
        return passed
    if found is None:
        if call.operation == "get" and paths.may_have_upstream(environ):
            return _forwarded(call, environ) or _pass_on(argv, call, environ)
        return _pass_on(argv, call, environ)
    if call.operation != "get":
        return Answer(lines=(_refusal(call, found),), code=1)
    if found.unproven and not _is_proven(found, environ):
        line = explained(found.refusal()).line()
        return Answer(lines=(_told(line, environ),), code=1)
    return _get(call, found, environ, began)


def _is_proven(found: Service, environ: Mapping[str, str]) -> bool:
    from hushkey_helpers.keyring import proofs

    return proofs.by_connection(found.request, environ)


def _get(
    call: Call, found: Service, environ: Mapping[str, str], began: float
) -> Answer:
    try:
        token = found.token(environ, began)
        return Answer(_render(call, found.answer_user(token), token.value))
    except HushkeyError as error:
        about = error.about(host=found.host, identity=found.rule.identity.name)
        line = explained(about).line()
    except Exception as error:
        line = explained(error).line()
    return Answer(lines=(_told(line, environ),), code=1)


def _forwarded(call: Call, environ: Mapping[str, str]) -> Answer | None:
    """Return the answer of the machine that the person sits at; None: it has none."""
    try:
        token = services.forwarded(call.service, call.username, environ)
        if token is None:
            return None
        return Answer(_render(call, token.username, token.value))
    except HushkeyError as error:
        return Answer(lines=(_told(explained(error).line(), environ),), code=1)


def _told(line: str, environ: Mapping[str, str]) -> str:
    """Return *line*, once it has been shown where our stderr is hidden."""
    from hushkey_helpers import channel
    from hushkey_helpers.keyring.tool import TOOL

    channel.tell(line, environ, TOOL)
    return line


def _render(call: Call, username: str, password: str) -> bytes:
    """Return what `keyring get` prints."""
    if any(c in text for text in (username, password) for c in "\n\r\0"):
        raise HushkeyError("the user name or token cannot be written on a line")
    creds = call.options["--mode"] == "creds"
    if call.options["--output"] == "json":
        import json

        fields = {"username": username} if creds else {}
        text = json.dumps({**fields, "password": password})
    else:
        text = f"{username}\n{password}" if creds else password
    return f"{text}\n".encode("utf-8", "surrogateescape")


def _refusal(call: Call, found: Service) -> str:
    about = f"(host {found.host}, identity {found.rule.identity.name})"
    if call.operation == "set":
        return (
            f"did not store a password: hushkey signs in here {about}; give the host "
            'an identity with provider = "static" to let another keyring keep it'
        )
    return f"nothing to delete: hushkey signs in here {about}; to sign out, run: " + (
        f"hushkey logout {found.rule.identity.name}"
    )


# -- the next keyring ----------------------------------------------------------


def _pass_on(argv: list[str], call: Call, environ: Mapping[str, str]) -> Answer:
    """Return the answer of the next `keyring` on PATH, or that there is none."""
    following = next(_others(environ), "") if PASSED_ON not in environ else ""
    if following:
        environ = {**environ, PASSED_ON: "1"}
        answer = Answer(instead=(following, *argv), environ=environ)
        if call.operation == "get" and call.newer and not call.foreign:
            answer.otherwise = lambda: _ask_older(following, call, environ)
        return answer
    if call.operation == "get" and not call.foreign:
        return Answer(code=1)  # as keyring says "nothing found"
    if not argv or "-h" in argv or "--help" in argv:
        return Answer(lines=_USAGE, code=0 if argv else 1)
    return Answer(lines=("there is no other keyring program on PATH",), code=1)


def _ask_older(program: str, call: Call, environ: Mapping[str, str]) -> Answer:
    """Return what a keyring before 25.2 says, which knows no options of `get`.

    pip takes its exit code 2 for a reason to ask nobody any more, us included. Its
    words are ``get SERVICE USER``, so without a user name there is no question.
    """
    if not call.username:
        return Answer(code=1)
    import subprocess

    words = (program, "get", call.service, call.username)
    done = subprocess.run(words, env=environ, stdout=subprocess.PIPE, check=False)
    password = done.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")
    if done.returncode or not password:
        return Answer(code=1)
    return Answer(_render(call, call.username, password))


def _others(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the programs called `keyring` on PATH that are not ours."""
    for folder in environ.get("PATH", "").split(os.pathsep):
        path = programs.find("keyring", {**environ, "PATH": folder})
        if path and not is_ours(path):
            yield path


def is_ours(path: str) -> bool:
    """Tell whether the program at *path* is this one under whatever name."""
    real = os.path.realpath(path)
    if os.path.basename(real).startswith("hushkey-keyring"):
        return True
    try:
        with open(real, "rb") as file:
            head = file.read(8192)
    except OSError:
        return True  # what cannot be read is not started either
    return _MARK in head or (head.startswith(b"#!") and _NAMED in head)


# -- switched off --------------------------------------------------------------
#
# keyring's own settings (keyring `core.py`, `util/platform_.py`): the variable, else
# `default-keyring` in keyringrc.cfg, which `keyring --disable` writes. People switch
# keyring off where it hangs or asks; that is meant for whatever is called keyring.


def chosen_backend(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the backend that keyring is told to use and who says so, or nothing.

    Of a file that cannot be read, or says nothing, keyring makes no choice.
    """
    if name := environ.get(BACKEND_VARIABLE, "").strip():
        return name, BACKEND_VARIABLE
    try:
        path = _keyringrc(environ)
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeError, HushkeyError):
        return "", ""
    import configparser  # only where there is a file

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        return "", ""
    name = parser.get("backend", "default-keyring", fallback="").strip()
    return (name, path) if name else ("", "")


def is_switched_off(name: str) -> bool:
    """Tell whether the backend *name* is one that switches keyring off."""
    return name.startswith(_OFF)


def _keyringrc(environ: Mapping[str, str]) -> str:
    if os.name == "nt":
        base = environ.get("LOCALAPPDATA") or environ.get("ProgramData")
        base = base or paths.home(environ)
        return os.path.join(base, "Python Keyring", "keyringrc.cfg")
    return os.path.join(paths.xdg_config(environ), "python_keyring", "keyringrc.cfg")
