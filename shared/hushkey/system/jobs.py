"""Which pipeline's job this process is part of, and what belongs to that job alone.

From the environment only: nothing is asked for and nothing is waited for. A variable
can be set by anybody who runs code here, so nothing secret is sent anywhere because
of what is read in this module; it names a folder and tells jobs apart.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from hashlib import blake2s

from hushkey.model import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: memory that looks like a folder: it ends with the container or the machine
_MEMORY = "/dev/shm"  # noqa: S108 - a private folder is made in it


#: seconds after which no token of a job is any good
_DAY = 24 * 3600


class Pipeline(Frozen):
    """One kind of pipeline.

    ``marker`` is the variable that says so, ``ids`` those that tell its jobs apart,
    and ``folder`` the one with a folder that is emptied when the job ends.
    """

    name: str
    marker: str
    ids: tuple[str, ...]
    folder: str = ""


PIPELINES = (
    Pipeline(
        "GitHub Actions",
        "GITHUB_ACTIONS",
        ("GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB"),
        "RUNNER_TEMP",
    ),
    Pipeline("Azure Pipelines", "TF_BUILD", ("SYSTEM_JOBID",), "AGENT_TEMPDIRECTORY"),
    Pipeline("GitLab CI", "GITLAB_CI", ("CI_JOB_ID",)),
    Pipeline("Buildkite", "BUILDKITE", ("BUILDKITE_JOB_ID",)),
    Pipeline("CircleCI", "CIRCLECI", ("CIRCLE_WORKFLOW_JOB_ID",)),
    Pipeline("Jenkins", "JENKINS_URL", ("BUILD_TAG",)),
)


def pipeline(environ: Mapping[str, str]) -> Pipeline | None:
    """Return the pipeline that this is a job of, or None."""
    return next((p for p in PIPELINES if environ.get(p.marker)), None)


def job(environ: Mapping[str, str]) -> str:
    """Return what no other job is called; empty outside of the pipelines known."""
    found = pipeline(environ)
    if found is None:
        return ""
    return "\t".join((found.name, *(environ.get(name, "") for name in found.ids)))


def marks(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that every process of this job has and no other job's."""
    found = pipeline(environ)
    names = (found.marker, *found.ids) if found else ()
    return {name: environ[name] for name in names if environ.get(name)}


def folder(environ: Mapping[str, str]) -> str:
    """Return where this job may keep what is to end with it, or nothing.

    The folder need not exist, and has to be made private.
    """
    found = pipeline(environ)
    if found is None or not hasattr(os, "geteuid"):
        return ""
    base = environ.get(found.folder, "") if found.folder else ""
    if not (os.path.isabs(base) and os.path.isdir(base)):
        # Without a name of its own a job could meet what another one left.
        if not os.path.isdir(_MEMORY) or not all(map(environ.get, found.ids[:1])):
            return ""
        base = _MEMORY
    name = blake2s(job(environ).encode("utf-8", "replace"), digest_size=8).hexdigest()
    return os.path.join(base, f"{_ours()}{name}")


def _ours() -> str:
    return f"hushkey-{os.geteuid()}-"


def sweep(now: float) -> None:
    """Delete what jobs of this user left in memory, a day ago and earlier.

    Where a runner has no folder that it empties, nobody else does: on a machine whose
    jobs share a user it would stay until the machine ends. *now* is epoch seconds.
    """
    if not hasattr(os, "geteuid"):
        return
    import shutil  # noqa: PLC0415 - after a mint only

    with suppress(OSError), os.scandir(_MEMORY) as entries:
        for entry in entries:
            with suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                mine = found.st_uid == os.geteuid() and stat.S_ISDIR(found.st_mode)
                old = now - found.st_mtime > _DAY
                if entry.name.startswith(_ours()) and mine and old:
                    shutil.rmtree(entry.path, ignore_errors=True)
