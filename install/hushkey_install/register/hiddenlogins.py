"""Logins that a client has, and no longer finds once hushkey is its helper.

docker/cli and containers/image ask a registry's own helper and nothing else: neither
``auths`` of the same file nor the helper for all other registries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from hushkey.errors import HushkeyError
from hushkey.model import Frozen
from hushkey.store import typed_index
from hushkey.system import paths
from hushkey_helpers.docker import registries, typed
from hushkey_install.common.context import Context
from hushkey_install.tools import ociconfig


class HiddenLogin(Frozen):
    """A login to ``server``, as the client writes it, that is kept in ``place``.

    ``identity`` signs in to the server instead; empty: what was typed is missed.
    ``in_file`` tells that the secret itself lies in the client's file.
    """

    server: str
    place: str
    identity: str
    in_file: bool

    def line(self, client: str) -> str:
        """Return what a person is to know, without the command that fixes it."""
        what = f"{client}'s login to {self.server} in {self.place} is no longer used"
        if self.identity:
            return f"{what}: identity {self.identity} signs in instead"
        return what


def find(
    context: Context,
    path: str,
    text: str,
    store: str,
    keys: Iterable[str] | None,
    listed: Iterable[str] = (),
) -> Iterator[HiddenLogin]:
    """Yield what *text*, the file at *path*, hides if *keys* are ours.

    *store* is the helper for all others, that of before where ours took its place;
    no *keys*: every registry without a helper of another's is ours. docker marks in
    its file what that helper holds; *listed* is what the helper itself says.
    """
    places = (
        None if keys is None else {r.place for k in keys if (r := registries.parse(k))}
    )
    others = {
        registry.place
        for key, name in ociconfig.registered(text).items()
        if name != ociconfig.SUFFIX and (registry := registries.parse(key))
    }
    kept = ociconfig.logins(text)
    for server in dict.fromkeys((*ociconfig.used(text), *listed)):
        registry = registries.parse(server)
        in_file = server in kept
        if registry is None or not (in_file or store):
            continue
        place = registry.place
        if place not in places if places is not None else place in others:
            continue
        identity = "" if registry.holds_token else _identity(context, registry)
        if not identity and _is_kept(context.environ, registry):
            continue
        where = path if in_file else f"docker-credential-{store}"
        yield HiddenLogin(server, where, identity, in_file)


def _identity(context: Context, registry: registries.Registry) -> str:
    for request in registry.requests():
        try:
            rule = context.config.rule_for(request)
        except HushkeyError:
            continue
        if rule and not rule.identity.typed:
            return rule.identity.name
    return ""


def _is_kept(environ: Mapping[str, str], registry: registries.Registry) -> bool:
    keys = typed.keys_of(registry)
    return typed_index.holds(paths.data_folder(environ), *keys, exact=True)
