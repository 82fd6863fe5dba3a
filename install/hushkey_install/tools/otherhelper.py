"""Another credential helper of docker's, asked in docker's own protocol.

docker/docker-credential-helpers, client/client.go.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping

from hushkey.errors import Permanent
from hushkey.system import programs

#: seconds for a helper, which may ask a person to unlock its keyring
PATIENCE = 120
_NOT_FOUND = b"credentials not found in native keychain"


def find(store: str, environ: Mapping[str, str]) -> str | None:
    """Return the path of the helper that clients call *store*, None without one."""
    if not store or os.path.dirname(store):
        return None
    return programs.find(f"docker-credential-{store}", environ)


def said(
    program: str,
    verb: str,
    stdin: str,
    environ: Mapping[str, str],
    *,
    patience: float = PATIENCE,
) -> dict[str, object] | None:
    """Return what *program* answers; None: it has nothing for *stdin*.

    Raises Permanent where it fails. What it says of that may quote anything, so it is
    not repeated.
    """
    name = os.path.basename(program)
    try:
        done = subprocess.run(
            [program, verb],
            input=stdin.encode(),
            stdout=subprocess.PIPE,
            timeout=patience,
            check=False,
            env=dict(environ),
        )
        if done.returncode and done.stdout.strip() == _NOT_FOUND:
            return None
        found = json.loads(done.stdout) if not done.returncode else None
    except subprocess.TimeoutExpired as error:
        raise Permanent(f"{name} gave no answer in {patience:g} s") from error
    except (OSError, ValueError, RecursionError) as error:
        raise Permanent(
            f"{name} {verb}: the answer does not follow its protocol"
        ) from error
    if not isinstance(found, dict):
        raise Permanent(f"{name} {verb} failed")
    return found
