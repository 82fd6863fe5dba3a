"""docker's own config file: where it is, and which registries it gives to us."""

from __future__ import annotations

import json
import os

from hushkey.system import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: what clients call our executable
SUFFIX = "hushkey"
HELPERS = "credHelpers"
_MAX_BYTES = 4 * 1024 * 1024


def docker_file(environ: Mapping[str, str]) -> str:
    """Return the path of docker's config file (docker/cli, cli/config/config.go).

    A relative DOCKER_CONFIG counts from the working folder, as it does for docker.
    """
    named = environ.get("DOCKER_CONFIG") or os.path.join(paths.home(environ), ".docker")
    return os.path.abspath(os.path.join(named, "config.json"))


def ours(environ: Mapping[str, str]) -> list[str]:
    """Return the keys of ``credHelpers`` that lead to us; none if there is no file."""
    try:
        with open(docker_file(environ), "rb") as file:
            helpers = json.loads(file.read(_MAX_BYTES))[HELPERS]
        return [key for key, name in helpers.items() if name == SUFFIX]
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ):
        return []  # docker itself says what is wrong with it
