"""The config file of docker, or of podman and its kin: where it is, what it says."""

from __future__ import annotations

import base64
import binascii
import os
import sys
from collections.abc import Iterator, Mapping
from hashlib import blake2s

from hushkey.errors import Permanent, StoreError
from hushkey.system import paths
from hushkey_helpers.docker.clientfile import HELPERS, SUFFIX, docker_file
from hushkey_install.common.filechange import read_text
from hushkey_install.common.installrecord import InstallRecord
from hushkey_install.tools import jsontext

__all__ = ["HELPER", "HELPERS", "STORE", "SUFFIX", "docker_file"]

#: our executable
HELPER = "docker-credential-hushkey"
STORE = "credsStore"
#: the user name with which docker marks an identity token
TOKEN = "<token>"  # noqa: S105 - a name
#: what a note about a client's file holds
SHAPE = {"existed": bool, "made": bool, "previous": dict, "empty": dict}


def podman_file(environ: Mapping[str, str]) -> str:
    """Return the auth file of podman, buildah and skopeo that outlives a session.

    containers-auth.json(5): the one they write to lies in the runtime folder, which
    is gone at the next boot; they read this one as well. A relative
    REGISTRY_AUTH_FILE counts from the working folder, as it does for them.
    """
    if named := environ.get("REGISTRY_AUTH_FILE", ""):
        return os.path.abspath(named)
    return os.path.join(paths.xdg_config(environ), "containers", "auth.json")


def podman_login_file(environ: Mapping[str, str]) -> str:
    """Return the file that `podman login` writes to; nothing if it is not known.

    containers/image, pkg/docker/config: the session's, and not the one above.
    """
    if sys.platform != "linux" or environ.get("REGISTRY_AUTH_FILE"):
        return podman_file(environ)
    runtime = paths.xdg_runtime(environ)
    return os.path.join(runtime, "containers", "auth.json") if runtime else ""


def used(text: str) -> list[str]:
    """Return the registries that a config file's owner has signed in to."""
    auths = jsontext.value(text, "auths")
    return list(auths) if isinstance(auths, dict) else []


def logins(text: str) -> dict[str, tuple[str, str]]:
    """Return user name and secret of each server whose login is in the file itself.

    docker/cli, cli/config/configfile: base64 of ``user:secret``, which may be any
    text, or an identity token. An entry without a secret only names a server: what
    belongs to it is a helper's.
    """
    auths = jsontext.value(text, "auths")
    whole = auths if isinstance(auths, dict) else {}
    return {server: found for server, a in whole.items() if (found := login(a))}


def login(auth: object) -> tuple[str, str] | None:
    """Return user name and secret in one of the ``auths``, None if it holds none."""
    if not isinstance(auth, dict):
        return None
    token = auth.get("identitytoken")
    if isinstance(token, str) and token:
        return TOKEN, token
    try:
        text = base64.b64decode(str(auth.get("auth", "")), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    user, colon, secret = text.partition(":")
    secret = secret.strip("\0")
    return (user, secret) if colon and user and secret else None


def former_store(environ: Mapping[str, str], client: str, path: str) -> str:
    """Return the helper whose place `install --all-hosts` took in *path*, if any."""
    notes = install_record(environ, client, path).about(path, SHAPE)
    former = notes["previous"].get(STORE) if notes else None
    return former if isinstance(former, str) else ""


def install_record(environ: Mapping[str, str], client: str, path: str) -> InstallRecord:
    """Return the notes about the file *path*; a client may have several."""
    name = blake2s(os.fsencode(path), digest_size=8).hexdigest()
    return InstallRecord(environ, f"{client}-{name}")


def registered(text: str) -> dict[str, str]:
    """Return the helper of each registry that has one of its own."""
    found = jsontext.value(text, HELPERS)
    whole = found if isinstance(found, dict) else {}
    return {key: name for key, name in whole.items() if isinstance(name, str)}


def store(text: str) -> str:
    """Return the helper for all other registries, or nothing."""
    found = jsontext.value(text, STORE)
    return found if isinstance(found, str) else ""


def ours(text: str) -> Iterator[tuple[str, ...]]:
    """Yield where our name stands."""
    for key, name in registered(text).items():
        if name == SUFFIX:
            yield HELPERS, key
    if store(text) == SUFFIX:
        yield (STORE,)


def text_of(path: str) -> str:
    """Return what *path* holds, nothing if it is not there.

    Raises StoreError if it cannot be read, Permanent if it is not such a file.
    """
    try:
        text = read_text(path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StoreError("denied", f"cannot read {path}: {error.strerror}") from error
    try:
        jsontext.value(text)
        if jsontext.value(text, HELPERS) not in (None, registered(text)):
            raise ValueError(f"{HELPERS} is not a table of names by registry")
    except ValueError as error:
        raise Permanent(
            f"{path} is not a config file of docker or podman: {error}",
            hint="fix it, or move it away; nothing was changed",
        ) from error
    return text
