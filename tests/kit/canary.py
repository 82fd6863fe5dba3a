"""Every secret of a test, searched for wherever it must not be.

What the real server gave and was given, and the data key, are canaries: found
in an output, a trace, a file, or in the arguments or the environment of a
program that was started, they are a leak. Known and allowed:

- an access token on stdout, which is what helpers and `hushkey token` are for;
- the data key in the key file, where ``key_store = "file"`` puts it;
- the `state` of a sign-in in the browser's arguments and on the terminal: both
  carry the address to open (RFC 8252 7), and without the verifier, which is
  nowhere, a state redeems nothing.
"""

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from servers.issuer import Issuer

#: (kind of secret, kind of place) that belong together
ALLOWED = {
    ("access_token", "stdout"),
    ("data key", "key file"),
    ("state", "arguments"),
    ("state", "stderr"),
    ("state", "stdout"),
}


class Secret(NamedTuple):
    """One canary."""

    kind: str
    value: bytes

    def forms(self) -> Iterator[bytes]:
        """Yield the ways in which it could be written down."""
        yield self.value
        yield quote(self.value, safe="").encode()
        yield self.value.hex().encode()
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            for lead in range(3):
                # As part of something longer ("user:token" of Basic): the
                # characters at both ends depend on the neighbours.
                whole = encode(b"\0" * lead + self.value)
                first = (8 * lead + 5) // 6
                yield whole[first : 8 * (lead + len(self.value)) // 6]


class Place(NamedTuple):
    """Something that was seen or lies there."""

    kind: str
    name: str
    content: bytes


class Leak(NamedTuple):
    """A secret where it must not be; the secret itself is not told."""

    secret: str
    place: str


def of_issuer(issuer: Issuer) -> Iterator[Secret]:
    """Yield what *issuer* gave and was given since its last reset."""
    for record in issuer.secrets():
        for kind, value in record.items():
            if value:
                yield Secret(kind, str(value).encode())


def of_key_file(path: Path) -> Iterator[Secret]:
    if path.exists():
        yield Secret("data key", base64.b64decode(path.read_bytes()))


def below(folder: Path, key_file: Path) -> Iterator[Place]:
    """Yield every file below *folder*; sealed ones too, they tell nothing."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            kind = "key file" if path == key_file else "file"
            yield Place(kind, str(path.relative_to(folder)), path.read_bytes())


def leaks(secrets: Iterable[Secret], places: Iterable[Place]) -> list[Leak]:
    """Return every secret in a place that is not allowed."""
    canaries = {secret: tuple(secret.forms()) for secret in set(secrets)}
    return [
        Leak(secret.kind, f"{place.kind} {place.name}")
        for place in places
        for secret, forms in canaries.items()
        if (secret.kind, place.kind) not in ALLOWED
        and any(form in place.content for form in forms)
    ]


class Ear:
    """Listens to the programs of one user: put `environ` into theirs.

    It keeps their trace, what they say, and what they start and how: that is
    watch.py's, which a .pth file of .venv runs (tests/prepare), since our programs
    obey no PYTHONPATH.
    """

    def __init__(self, folder: Path) -> None:
        self.trace = folder / "log" / "hushkey.log"
        self._children = folder / "children"
        self._children.mkdir(parents=True)
        self._heard: list[Place] = []

    @property
    def environ(self) -> dict[str, str]:
        return {
            "HUSHKEY_LOG": str(self.trace),
            "CANARY_FOLDER": str(self._children),
        }

    def hear(self, name: str, out: bytes, err: bytes) -> None:
        """Keep what a program said."""
        self._heard += [Place("stdout", name, out), Place("stderr", name, err)]

    def places(self) -> Iterator[Place]:
        """Yield all that was heard and seen."""
        yield from self._heard
        for path in sorted(self.trace.parent.glob("*")):
            yield Place("trace", path.name, path.read_bytes())
        for path in sorted(self._children.iterdir()):
            for line in path.read_bytes().splitlines():
                kind, _, content = line.partition(b" ")
                yield Place(kind.decode(), path.name, content)
