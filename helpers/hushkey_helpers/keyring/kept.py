"""What clients keep in a keyring, where hushkey is the only one there is.

As git's and docker's typed credentials: one sealed file for each service and user.
"""

from __future__ import annotations

from hushkey.config import rules
from hushkey.system import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from hushkey.store.typed import TypedCredentials
    from hushkey.store.typed_index import CredentialKey

TOOL = "keyring"


def find(
    service: str, username: str | None, environ: Mapping[str, str]
) -> tuple[str, str] | None:
    """Return user name and password, of any user where *username* is None.

    Nothing kept costs no keyring. Raises HushkeyError.
    """
    slot = _slot_held(service, username, environ)
    if slot is None:
        return None
    for record in _open(environ).matching(slot):
        from hushkey.config import audited

        user = record.key.user or ""
        audited.given(environ, audited.TYPED, tool=TOOL, host=service, account=user)
        return user, record.values["password"]
    return None


def keep(
    service: str, username: str, password: str, environ: Mapping[str, str]
) -> None:
    """Keep *password*, in the place of an older one; raises HushkeyError."""
    from hushkey.store.typed import StoredCredential
    from hushkey.store.typed_index import CredentialKey

    slot = CredentialKey(TOOL, "", service, None, username)
    _open(environ).store(StoredCredential(slot, {"password": password}))


def forget(service: str, username: str, environ: Mapping[str, str]) -> bool:
    """Forget what is kept; False if nothing was. Raises HushkeyError."""
    slot = _slot_held(service, username, environ)
    return slot is not None and _open(environ).erase(slot) > 0


def _slot_held(
    service: str, username: str | None, environ: Mapping[str, str]
) -> CredentialKey | None:
    """Return where it is kept, None if nothing is; costs no keyring."""
    from hushkey.store import typed_index

    folder = paths.data_folder(environ)

    slot = typed_index.CredentialKey(TOOL, "", service, None, username)
    return slot if typed_index.holds(folder, slot) else None


def _open(environ: Mapping[str, str]) -> TypedCredentials:
    from hushkey.acquire import session
    from hushkey.store.typed import open_typed_credentials

    settings = rules.load(environ).settings
    return open_typed_credentials(settings, paths.data_folder(environ), session.warn)


def is_chosen(environ: Mapping[str, str]) -> bool:
    """Tell whether keyring was told to use hushkey and nothing else."""
    from hushkey_helpers.keyring import command

    return command.chosen_backend(environ)[0].startswith("hushkey_helpers.")
