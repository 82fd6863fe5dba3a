"""What docker and podman keep: in their own files as base64, or in a `credsStore`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from hushkey.errors import Permanent
from hushkey_helpers.docker import registries
from hushkey_install.importers.entry import Entry
from hushkey_install.tools import ociconfig, otherhelper

NAME = "docker"


def places(environ: Mapping[str, str]) -> list[str]:
    """Return the config files that are there, docker's first, and their helpers."""
    files = _files(environ)
    stores = (store for path in files if (store := _store(environ, path)))
    return [*files, *dict.fromkeys(f"docker-credential-{store}" for store in stores)]


def _files(environ: Mapping[str, str]) -> list[str]:
    named = (
        ociconfig.docker_file(environ),
        ociconfig.podman_login_file(environ),
        ociconfig.podman_file(environ),
    )
    return [path for path in dict.fromkeys(named) if path and os.path.isfile(path)]


def entries(environ: Mapping[str, str]) -> Iterator[Entry]:
    """Yield one credential for each address: what its client would take.

    Raises Permanent or StoreError for a file or a helper that cannot be read.
    """
    seen = set()
    for path in _files(environ):
        for server, user, secret in _logins(environ, path):
            registry = registries.parse(server)
            address = (
                (registry.protocols[0], registry.place, registry.path)
                if (registry)
                else ("", server, "")
            )
            if address not in seen:
                seen.add(address)
                yield Entry(NAME, "docker", host=server, user=user, secret=secret)


def _logins(environ: Mapping[str, str], path: str) -> Iterator[tuple[str, str, str]]:
    """Yield server, user name and secret, the client's own way to write it first."""
    kept = ociconfig.logins(_text(path))
    for server in sorted(kept, key=lambda name: not _is_key(name)):
        yield (server, *kept[server])
    if store := _store(environ, path):
        yield from _of_helper(store, path, environ)


def _text(path: str) -> str:
    try:
        return ociconfig.text_of(path)
    except Permanent as error:
        raise Permanent(f"{path} is not docker's config", hint="fix it") from error


def _is_key(server: str) -> bool:
    registry = registries.parse(server)
    return registry is not None and server in (registry.key, registry.place)


def _store(environ: Mapping[str, str], path: str) -> str:
    """Return the helper with all logins, also where ours has taken its place."""
    if path != ociconfig.docker_file(environ):
        return ""  # podman has none in its file
    store = ociconfig.store(_text(path))
    if store != ociconfig.SUFFIX:
        return store
    return ociconfig.former_store(environ, "docker", path)


def _of_helper(
    store: str, path: str, environ: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    program = otherhelper.find(store, environ)
    if program is None:
        name = f"docker-credential-{store}"
        raise Permanent(f"{path} names {name}, and it is not on PATH")
    for server in otherhelper.said(program, "list", "unused", environ) or ():
        given = otherhelper.said(program, "get", server, environ)
        if given is None:
            continue
        user, secret = given.get("Username"), given.get("Secret")
        if isinstance(user, str) and isinstance(secret, str) and user and secret:
            yield server, user, secret


def parse(host: str, auth: object) -> Entry | None:
    """Return the credential in one of the ``auths``, or None if it holds none."""
    found = ociconfig.login(auth)
    if found is None:
        return None
    return Entry(NAME, "docker", host=host, user=found[0], secret=found[1])
