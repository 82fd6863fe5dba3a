"""What the last attempt came to, for those who waited while it was made.

Twenty processes that wait for one refresh or one sign-in must not each repeat
a failure: the answer of the one that tried is everybody's answer. A sign-in
that failed keeps windows closed for a minute; a server that said Retry-After
is left alone until then. Nothing here is secret; a lost note costs one try.

Whatever takes a network or a person goes the same way: what is stored serves; else
`once`, under a lock, and how it failed is `FailureCache.recorded` for the others.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress

from hushkey import errors
from hushkey.system import cachefile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import Any, TypeVar

    from hushkey.model import Identity
    from hushkey.tokenrequest import Session

    Held = TypeVar("Held")
    Made = TypeVar("Made")

#: seconds in which a failed sign-in is not tried again unasked
QUIET = 60
#: seconds in which a server's claims, or refusals, lead to one sign-in at most
CLAIMS_QUIET = 600
#: seconds; a failure is shared for no longer than this, whatever Retry-After says
_LONGEST_BACKOFF = 600
#: seconds for which a note can matter, and how many are kept: the newest
_OLDEST, _MOST = 600, 40
#: the variables that decide how servers are reached, and with what a window opens
_AROUND = (
    *("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"),
    *("all_proxy", "https_proxy", "http_proxy", "no_proxy"),
    *("REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE", "GIT_SSL_CAINFO"),
    *("GIT_CONFIG_GLOBAL", "GIT_CONFIG_PARAMETERS", "BROWSER"),
)
_KINDS = {
    kind.__name__: kind
    for kind in (
        errors.UiRequired,
        errors.Cancelled,
        errors.Transient,
        errors.Permanent,
    )
}
_FIELDS = (
    "what",
    "hint",
    "code",
    "correlation",
    "retry_after",
    "suberror",
    "claims",
    "identity",
    "account",
)


def once(
    lock: AbstractContextManager[Held],
    look: Callable[[Held], Made | None],
    act: Callable[[Held], Made],
) -> Made:
    """Return what *act* makes, or what a sibling has made while this one waited.

    Under *lock*, and given what it yields, *look* looks again: at what is stored,
    and where that comes first at the failure to share, which it raises. If it
    returns None, *act* raises a failure to share or makes the attempt, in a block
    that is `FailureCache.recorded`.
    """
    with lock as held:
        found = look(held)
        return act(held) if found is None else found


class FailureCache:
    """The notes beside one token file; call the setters under its lock."""

    def __init__(self, folder: str, name: str) -> None:
        self._path = os.path.join(folder, "state", name + ".json")

    def record(
        self, step: str, error: errors.HushkeyError, now: float, key: str = ""
    ) -> None:
        """Remember how *step* (``refresh`` or ``sign-in``) failed at *now*.

        What is permanently wrong is so for the scopes *key*; a decline or a
        faulty server concerns everybody who uses this token file.
        """
        kind = next((k for k in _KINDS if isinstance(error, _KINDS[k])), "Permanent")
        slot = f"{step}:{key}" if kind in ("Permanent", "UiRequired") else step
        notes = self._read()
        notes[slot] = {
            "at": now,
            "kind": kind,
            **{field: getattr(error, field) for field in _FIELDS},
        }
        recent = [slot for slot in notes if -5 <= now - notes[slot]["at"] < _OLDEST]
        recent.sort(key=lambda slot: notes[slot]["at"])
        self._write({slot: notes[slot] for slot in recent[-_MOST:]})

    @contextmanager
    def recorded(
        self,
        step: str,
        clock: Callable[[], float],
        kinds: tuple[type[errors.HushkeyError], ...],
        key: str = "",
    ) -> Iterator[None]:
        """Note one of *kinds* that the block raises; forget the last if it works.

        The rest is as for `note`; *clock* returns the time (epoch seconds).
        """
        try:
            yield
        except kinds as error:
            self.record(step, error, clock(), key)
            raise
        self.clear(step)

    @contextmanager
    def under_way(self, step: str, now: float, key: str) -> Iterator[bool]:
        """Note that *step* is under way for as long as the block runs.

        Yields whether the process that noted so before was killed in its block:
        nothing else leaves the note behind.
        """
        killed = bool(self._notes(step, key, now))
        self.record(step, errors.UiRequired("cut off"), now, key)
        try:
            yield killed
        finally:
            self.clear(step)

    def clear(self, step: str) -> None:
        """Forget how *step* failed, since it has worked."""
        notes = self._read()
        kept = {k: n for k, n in notes.items() if k.partition(":")[0] != step}
        if kept != notes:
            self._write(kept)

    def refresh_failure(
        self,
        began: float,
        now: float,
        key: str = "",
        *,
        step: str = "refresh",
        asked_for: bool = False,
    ) -> errors.HushkeyError | None:
        """Return the failure that a caller who *began* to wait then shares.

        Also the one that the server asked to be left alone after, unless an
        explicit ``hushkey login`` has *asked_for* another try. *step* is
        ``refresh``, or an exchange by its own name.
        """
        for note in self._notes(step, key, now):
            wait = min(note.get("retry_after") or 0, _LONGEST_BACKOFF)
            waiting = now < note["at"] + wait and not asked_for
            if note["at"] >= began or waiting:
                return _error(note)
        return None

    def last(self, step: str, now: float) -> errors.HushkeyError | None:
        """Return how *step* failed last, with how long ago; None if it did not."""
        for note in self._notes(step, "", now):
            error = _error(note)
            error.what = f"{error.what}, {max(now - note['at'], 0):.0f} s ago"
            return error
        return None

    def sign_in_failure(
        self, began: float, now: float, key: str = "", *, asked_for: bool = False
    ) -> errors.HushkeyError | None:
        """Return the failed sign-in that speaks against another one now.

        *asked_for* is an explicit ``hushkey login``, which only shares a
        failure that happened while it waited. A faulty network keeps no
        window closed: it is not the person's answer.
        """
        for note in self._notes("sign-in", key, now):
            if note["at"] >= began:
                return _error(note)
            quiet = now < note["at"] + QUIET and note.get("kind") != "Transient"
            if quiet and not asked_for:
                error = _error(note)
                error.what = f"{error.what}, {now - note['at']:.0f} s ago"
                return error
        return None

    def asked_for_claims(self, now: float, key: str) -> bool:
        """Tell whether a server's claims have led to a sign-in a moment ago."""
        return self.asked_for("claims", now, key)

    def asked_for(self, step: str, now: float, key: str) -> bool:
        """Tell whether a server's *step* has led to a sign-in a moment ago."""
        notes = self._notes(step, key, now)
        return any(now < note["at"] + CLAIMS_QUIET for note in notes)

    def _notes(self, step: str, key: str, now: float) -> list[dict[str, Any]]:
        """Return the notes on *step*, but none from a future the clock left."""
        notes = self._read()
        found = (notes.get(slot) for slot in (step, f"{step}:{key}"))
        return [note for note in found if note and note["at"] <= now + 5]

    def _read(self) -> dict[str, Any]:
        notes = cachefile.read(self._path)
        return notes if all(map(_is_note, notes.values())) else {}

    def _write(self, notes: dict[str, Any]) -> None:
        """Write the notes; failing to only costs somebody a second try."""
        cachefile.write(self._path, notes)


def circumstances(identity: Identity, session: Session) -> str:
    """Return what changes with the config and the way to the server.

    Somebody who has fixed either does not hear the old failure again.
    """
    settings = {k: v for k, v in session.settings.items() if k != "git_url"}
    named = {name: session.environ.get(name, "") for name in _AROUND}
    files = (settings.get("ca_file", ""), *named.values())
    home = session.environ.get("HOME", "")
    paths = [str(f) for f in files if os.path.isabs(str(f))]
    paths.append(os.path.join(home, ".gitconfig"))
    times = []
    for path in paths:
        with suppress(OSError, ValueError):
            times.append(os.stat(path).st_mtime_ns)
    said = repr((sorted(settings.items()), identity._fields(), named, times))
    import hashlib  # noqa: PLC0415 - no cached answer needs it

    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:16]


def _is_note(note: object) -> bool:
    return (
        isinstance(note, dict)
        and isinstance(note.get("at"), int | float)
        and isinstance(note.get("retry_after"), int | float | None)
    )


def _error(note: dict[str, Any]) -> errors.HushkeyError:
    kind = _KINDS.get(str(note.get("kind")), errors.Permanent)
    fields: dict[str, Any] = {name: str(note.get(name) or "") for name in _FIELDS}
    return kind(**{**fields, "retry_after": note.get("retry_after")})
