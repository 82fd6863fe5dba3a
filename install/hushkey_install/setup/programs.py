"""Programs of forges' own that are here, and whose sign-in may be taken."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from hushkey.providers.registry import SPECS
from hushkey.providers.spec import ProviderSpec
from hushkey.providers.specs.command import READY
from hushkey.system import programs

#: whose token a program prints, and the key that names it
_SPEC = next(spec for spec in SPECS.values() if spec.runs_program)
KEY = _SPEC.required[0]
#: seconds for a program to say what it has
_PATIENCE = 10


def identity_of(program: str) -> dict[str, str]:
    """Return the keys of an identity whose token *program* prints."""
    return {"provider": _SPEC.name, KEY: program}


def signed_in(
    spec: ProviderSpec, host: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the keys of an identity that asks the forge's own program; maybe none.

    It is run as the identity would run it, and has to print a token for *host*.
    """
    ready = READY.get(spec.program)
    path = programs.find(ready.argv[0], environ) if ready else None
    if ready is None or path is None:
        return {}
    keys = identity_of(spec.program)
    if host != ready.server:
        keys["hostname"] = host
    argv = [path, *ready.argv[1:], ready.options["hostname"], host]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
            cwd="/",
            env={**environ, **ready.environ},
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return keys if done.returncode == 0 and done.stdout.strip() else {}
