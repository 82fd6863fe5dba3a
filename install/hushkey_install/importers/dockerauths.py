"""What docker keeps in its config.json where it has no helper: base64, no more."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping

from hushkey.errors import Permanent
from hushkey.system import paths
from hushkey_install.importers.entry import Entry

NAME = "docker"
#: the user name with which docker marks an identity token
_TOKEN = "<token>"  # noqa: S105 - a name


def places(environ: Mapping[str, str]) -> list[str]:
    """Return docker's config file, if there is one."""
    folder = environ.get("DOCKER_CONFIG", "")
    if not os.path.isabs(folder):
        folder = os.path.join(paths.home(environ), ".docker")
    path = os.path.join(folder, "config.json")
    return [path] if os.path.isfile(path) else []


def entries(environ: Mapping[str, str]) -> Iterator[Entry]:
    """Yield what lies in its ``auths``; some of those only name a host."""
    for path in places(environ):
        try:
            with open(path, "rb") as file:
                auths = json.load(file).get("auths", {})
        except OSError as error:
            raise Permanent(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, AttributeError, RecursionError) as error:
            raise Permanent(f"{path} is not docker's config") from error
        if isinstance(auths, dict):
            for host, auth in auths.items():
                if entry := parse(host, auth):
                    yield entry


def parse(host: str, auth: object) -> Entry | None:
    """Return the credential in one of the ``auths``, or None if it holds none."""
    if not isinstance(auth, dict):
        return None
    token = auth.get("identitytoken")
    if isinstance(token, str) and token:
        return Entry(NAME, "docker", host=host, user=_TOKEN, secret=token)
    try:
        text = base64.b64decode(str(auth.get("auth", "")), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    user, colon, secret = text.rstrip("\0").partition(":")
    if not (colon and user and secret):
        return None
    return Entry(NAME, "docker", host=host, user=user, secret=secret)
