"""The keyring backend: for clients that import keyring (twine, poetry, pip, pdm).

keyring imports this for every program of the user that touches a keyring, so it
loads nothing of ours until it is asked, and next to nothing until it is asked
for a host that is ours. In a chain the first answer and the first exception end
the question (keyring's chainer): for what is not ours it returns None, and
raises NotImplementedError where something is to be kept. Where it is the only
keyring, as beside no other poetry and hatch would find none, it keeps that sealed.
"""

from __future__ import annotations

import os
import threading
import time

from keyring import backend, credentials, errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey.errors import HushkeyError
    from hushkey_helpers.keyring.services import Service

    #: user name and password, or why there is none; and until when (epoch seconds)
    Outcome = tuple[str, str, str, float]

#: seconds in which a failure is not tried again by the same process: clients ask
#: several times for one password
_FAILED = 60
#: clients that hide what a backend raises
_HIDES = ("poetry", "pdm")


class Keyring(backend.KeyringBackend):
    """Tokens as passwords, for the services that hushkey's config names."""

    #: below the chainer's 10, so that entries of the user's own stay reachable; above
    #: the 9.9 of other sign-ins (Azure's, CodeArtifact's), since keyring leaves a tie
    #: to chance
    priority = 9.95

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known: dict[tuple[str, str], Outcome] = {}
        self._turn = threading.Lock()
        self._warned = False
        if os.environ.get("HUSHKEY_LOG"):
            _begin_trace()

    def get_password(self, service: str, username: str) -> str | None:
        """Return a token for *service*, None if it is not ours; KeyringError."""
        found = self._proven(service, username)
        if found is None:
            kept = _kept(service, username) or self._forwarded(service, username)
            return None if kept is None else kept[1]
        return self._outcome(found)[1]

    def get_credential(
        self, service: str, username: str | None
    ) -> credentials.Credential | None:
        """Return *username*, or one that will do, with a token; as get_password."""
        found = self._proven(service, username or "")
        if found is None:
            kept = _kept(service, username or None)
            kept = kept or self._forwarded(service, username or "")
            return None if kept is None else credentials.SimpleCredential(*kept)
        return credentials.SimpleCredential(*self._outcome(found)[:2])

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it, sealed, if no other keyring can; what is ours is refused."""
        what = 'give the host an identity with provider = "static" to keep one'
        self._refuse(service, username, errors.PasswordSetError, what)
        from hushkey.errors import HushkeyError
        from hushkey_helpers.keyring import kept

        try:
            if not _is_alone():
                # A chain goes on to the next one, whose word counts from now on.
                kept.forget(service, username, os.environ)
                raise NotImplementedError("hushkey keeps no passwords")
            kept.keep(service, username, password, os.environ)
        except HushkeyError as error:
            raise errors.PasswordSetError(f"hushkey: {error.line()}") from error

    def delete_password(self, service: str, username: str) -> None:
        """Forget what was kept, send a chain on, or say how to sign out."""
        what = "to sign out, run: hushkey logout {}"
        self._refuse(service, username, errors.PasswordDeleteError, what)
        from hushkey.errors import HushkeyError
        from hushkey_helpers.keyring import kept

        try:
            gone = kept.forget(service, username, os.environ)
        except HushkeyError as error:
            raise errors.PasswordDeleteError(f"hushkey: {error.line()}") from error
        if not _is_alone():
            raise NotImplementedError("hushkey keeps no passwords")
        if not gone:
            raise errors.PasswordDeleteError("Password not found")

    def _refuse(
        self,
        service: str,
        username: str,
        kind: type[errors.KeyringError],
        what: str,
    ) -> None:
        """Raise *kind* if the service is ours: its passwords are tokens."""
        found = self._find(service, username)
        if found is None:
            return
        name = found.rule.identity.name
        raise kind(
            f"hushkey: signs in to {found.host} (identity {name}) and keeps no "
            f"password for it; {what.format(name)}"
        )

    def _find(self, service: object, username: object) -> Service | None:
        """Return the service if it is ours; a wrong config serves nobody."""
        from hushkey.errors import ConfigError
        from hushkey_helpers.keyring import services

        if not isinstance(service, str):
            return None
        user = username if isinstance(username, str) else ""
        try:
            return services.find(service, user, os.environ)
        except ConfigError as error:
            if not self._warned:
                self._warned = True
                _warn(error.line())
            return None

    def _proven(self, service: object, username: object) -> Service | None:
        """Return the service if it is ours, and its token goes over https."""
        found = self._find(service, username)
        if found is None or not found.unproven:
            return found
        from hushkey_helpers.keyring import proofs

        if proofs.by_url(found.request):
            return found
        _warn(found.refusal().line())
        return None

    def _forwarded(self, service: object, username: object) -> tuple[str, str] | None:
        """Return what the machine has at which the person sits; KeyringError."""
        from hushkey.errors import HushkeyError
        from hushkey.system import paths

        if not isinstance(service, str) or not isinstance(username, str):
            return None
        try:
            if not paths.may_have_upstream(os.environ):
                return None
            from hushkey import runtime
            from hushkey_helpers import table
            from hushkey_helpers.keyring import services

            runtime.tool_of = table.tool_of
            with _Aside():
                token = services.forwarded(service, username, os.environ)
        except HushkeyError as error:
            raise errors.KeyringError(f"hushkey: {error.line()}") from error
        return (token.username, token.value) if token else None

    def _outcome(self, found: Service) -> Outcome:
        """Return what was found for *found* just now, or find it; KeyringError."""
        key = (found.host, found.username)
        with self._turn:
            known = self._known.get(key)
            if known is None or known[3] <= time.time():
                known = self._known[key] = _ask(found)
        if known[2]:
            raise errors.KeyringError(known[2])
        return known


def _is_alone() -> bool:
    """Tell whether no other keyring here could keep a password."""
    from keyring.backends.chainer import ChainerBackend

    from hushkey_helpers.keyring import kept

    others = (
        each
        for each in backend.get_all_keyring()
        if not isinstance(each, Keyring | ChainerBackend) and each.priority > 0
    )
    return kept.is_chosen(os.environ) or not any(others)


def _kept(service: object, username: object) -> tuple[str, str] | None:
    """Return what was kept here for a service that is not ours; KeyringError."""
    from hushkey.errors import HushkeyError
    from hushkey.system import paths

    if not isinstance(service, str) or not isinstance(username, str | None):
        return None
    try:
        # Clients ask for every host there is: where nothing was ever kept, no more
        # is loaded. The folder is that of `hushkey.store.typed_index`.
        if not os.path.isdir(os.path.join(paths.data_folder(os.environ), "stash")):
            return None
        from hushkey_helpers.keyring import kept

        return kept.find(service, username, os.environ)
    except HushkeyError as error:
        raise errors.KeyringError(f"hushkey: {error.line()}") from error


def _ask(found: Service) -> Outcome:
    """Get a token and how long it will do, or the line that says why not."""
    from hushkey import runtime
    from hushkey.errors import HushkeyError
    from hushkey_helpers import table
    from hushkey_helpers.keyring import services

    runtime.tool_of = table.tool_of
    began = time.time()
    try:
        with _Aside():
            token = found.token(os.environ, began)
    except HushkeyError as error:
        return _failed(error.about(host=found.host, identity=found.rule.identity.name))
    except Exception as error:
        # The text may quote anything, a secret included: the type must do.
        what = f"internal error ({type(error).__name__}); please report it"
        return _failed(HushkeyError(what))
    if token.expires_at is None:
        until = began + services.MIN_LIFETIME
    else:
        until = token.expires_at - services.MIN_LIFETIME
        # A server's short tokens are good for half of their life.
        until = max(until, began + (token.expires_at - began) / 2)
    return found.answer_user(token), token.value, "", until


def _failed(error: HushkeyError) -> Outcome:
    import sys

    from hushkey.trace import event

    event("failed", error=error)
    line = f"hushkey: {error.line()}"
    if any(name in sys.modules for name in _HIDES):
        _warn(error.line())
    return "", "", line, time.time() + _FAILED


def _begin_trace() -> None:
    from hushkey.system import tracefile

    if line := tracefile.begin("backend", os.environ):
        _warn(line)


def _warn(line: str) -> None:
    from hushkey.acquire import session

    session.warn(line)


class _Aside:
    """Descriptor 1 leads to stderr meanwhile: `keyring get` prints the answer there.

    Only in a process with one thread: others may be writing to it.
    """

    _saved = -1

    def __enter__(self) -> None:
        if threading.active_count() > 1:
            return
        try:
            self._saved = os.dup(1)
            os.dup2(2, 1)
        except OSError:
            self._restore()

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        if self._saved >= 0:
            os.dup2(self._saved, 1)
            os.close(self._saved)
            self._saved = -1
