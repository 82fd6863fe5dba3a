"""The config file of docker, or of podman and its kin: where it is, what it says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from hushkey.errors import Permanent, StoreError
from hushkey.system import paths
from hushkey_helpers.docker.clientfile import HELPERS, SUFFIX, docker_file
from hushkey_install.common.filechange import read_text
from hushkey_install.tools import jsontext

__all__ = ["HELPER", "HELPERS", "STORE", "SUFFIX", "docker_file"]

#: our executable
HELPER = "docker-credential-hushkey"
STORE = "credsStore"


def podman_file(environ: Mapping[str, str]) -> str:
    """Return the auth file of podman, buildah and skopeo that outlives a session.

    containers-auth.json(5): the one they write to lies in the runtime folder, which
    is gone at the next boot; they read this one as well. A relative
    REGISTRY_AUTH_FILE counts from the working folder, as it does for them.
    """
    if named := environ.get("REGISTRY_AUTH_FILE", ""):
        return os.path.abspath(named)
    return os.path.join(paths.xdg_config(environ), "containers", "auth.json")


def used(text: str) -> list[str]:
    """Return the registries that a config file's owner has signed in to."""
    auths = jsontext.value(text, "auths")
    return list(auths) if isinstance(auths, dict) else []


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
            raise ValueError(f"{HELPERS} is not names by registry")
    except ValueError as error:
        raise Permanent(
            f"{path} is not as its owner writes it: {error}",
            hint="mend it; nothing was changed",
        ) from error
    return text
