"""The words of an ssh command line (ssh(1)): options, destination, remote command."""

from __future__ import annotations

from collections.abc import Sequence

from hushkey.model import Frozen

#: the options that take a value
_VALUED = frozenset("BbcDEeFIiJLlmOoPpQRSWw")
#: what only the session is about, not the connection
_SESSION = frozenset("nNtT")
#: what the forward decides itself, or what leaves no session to forward to
_TAKEN = frozenset("fGMOQSVW")


class Unusable(ValueError):
    """An option that a forward has no use for, or no destination; says which."""


class SshWords(Frozen):
    """What was typed behind `ssh`.

    ``connection`` are the options without those of the session alone, ``session`` all
    but ``-N``, which is ``silent``: a forward without a session.
    """

    connection: tuple[str, ...]
    session: tuple[str, ...]
    destination: str
    command: tuple[str, ...]
    silent: bool


def parse(words: Sequence[str]) -> SshWords:
    """Take *words* apart as ssh does; raises Unusable."""
    connection: list[str] = []
    session: list[str] = []
    rest = list(words)
    destination, silent = "", False
    while rest:
        word = rest.pop(0)
        if word == "--":
            if not destination and rest:
                destination = rest.pop(0)
            break
        if not word.startswith("-") or word == "-":
            if destination:
                rest.insert(0, word)
                break
            destination = word
            continue
        for at, letter in enumerate(word[1:], 1):
            if letter in _TAKEN:
                raise Unusable(f"ssh's -{letter} cannot go with a forward")
            if letter in _VALUED:
                value = word[at + 1 :] or (rest.pop(0) if rest else "")
                connection += [f"-{letter}", value]
                session += [f"-{letter}", value]
                break
            silent |= letter == "N"
            if letter not in _SESSION:
                connection.append(f"-{letter}")
            if letter != "N":
                session.append(f"-{letter}")
    if not destination:
        raise Unusable("say where to: hushkey forward ssh USER@SERVER")
    return SshWords(tuple(connection), tuple(session), destination, tuple(rest), silent)
