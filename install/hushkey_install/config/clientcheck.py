"""Whether a client that somebody pasted is known to its server, asked at once.

Nothing of it is kept: the question is asked before anything is changed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from hushkey.config import identities, rules, schema
from hushkey.errors import HushkeyError, Permanent, Transient, Unheard
from hushkey.model import Identity
from hushkey.providers.registry import SPECS
from hushkey.signin import redirect
from hushkey_install.common import output
from hushkey_install.common.filechange import temporary_folder

#: the port of the redirect address where any free one would do: nobody comes there
_PORT = 8400


def words(error: HushkeyError) -> str:
    """Return *error* for whom is asked once more: nothing is in a config yet."""
    return error.line().replace(" in config.toml", "")


def fault(provider: str, table: Mapping[str, object]) -> HushkeyError | None:
    """Return why the server of the identity *table* takes no such client, if it says.

    None, too, where something is missing or wrong that the config's own check tells,
    and where the server cannot be asked now, which is said. Raises Unheard where it
    never can be: no other client would help.
    """
    spec = SPECS.get(provider)
    if spec is None:
        return None
    filled = {"provider": provider, **table}
    if any(key not in filled for key in spec.required_of(filled)):
        return None
    if any(k not in filled and f"{k}_env" not in filled for k in spec.client_keys):
        return None
    keys = schema.identity_keys(provider)
    if any(key not in keys or keys[key](filled[key]) for key in table):
        return None
    environ = dict(os.environ)
    identity = Identity("new", **identities.compiled(filled))
    back = redirect.parse(identity.option("redirect_uri") or spec.redirect_uri)
    try:
        from hushkey.net.http import Network  # noqa: PLC0415 - only now is it due

        network = Network(rules.load(environ).settings, environ, whole=True)
        with temporary_folder() as folder:
            uri = back.uri(back.port or _PORT)
            spec.check_client(identity, network, folder, environ, uri)
    except Transient as error:
        output.say(f"note: the client could not be checked: {error.line()}", err=True)
    except Unheard:
        raise
    except Permanent as error:
        return error
    return None
