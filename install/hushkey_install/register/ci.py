"""`hushkey install git --ci`: rules for the job's own token, written for the job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hushkey import origins
from hushkey.errors import Permanent
from hushkey.model import Request
from hushkey.providers.workload import jobtoken
from hushkey_install.common.context import Context
from hushkey_install.common.filechange import Change
from hushkey_install.config import document

#: the identity that is written, and what is written of it
_NAME = "job"
_TABLE = {"provider": "workload", "kind": jobtoken.JobTokens.name}


def patterns(environ: Mapping[str, str]) -> list[str]:
    """Return the patterns of the hosts that take this job's token, git's first.

    Raises Permanent outside of a job, and where the step was not given the token.
    """
    kind = jobtoken.found(environ)
    if kind is None:
        raise Permanent(
            "--ci is for a job of GitHub or Forgejo Actions, GitLab CI or Azure "
            "Pipelines, and this is none",
            hint="elsewhere: `hushkey config add-host`, then `hushkey install git`",
        )
    if not environ.get(kind.variable):
        raise Permanent(f"{kind.variable} is not set", hint=kind.absent)
    found = ["/".join((host, *path)) for host, path in jobtoken.hosts(environ)]
    if not found:
        raise Permanent(
            f"the job does not name its server ({', '.join(kind.servers)})",
            hint="let the step have the variables that the pipeline sets",
        )
    return found


def change(context: Context, wanted: list[str]) -> Change:
    """Return what gives the hosts *wanted* the job's token.

    A rule that somebody wrote for one of them stays as it is.
    """
    missing = [pattern for pattern in wanted if not _has_rule(context, pattern)]

    def write(doc: Any) -> None:
        own = doc.get("identity", {})
        name = next(n for n in _names() if own.get(n, _TABLE) == _TABLE)
        if missing and name not in own:
            document.put(doc, ["identity", name], document.new_table(dict(_TABLE)))
        for pattern in missing:
            table = document.new_table({"identity": name})
            document.put(doc, ["host", pattern], table)

    return document.edited(context.config.source, "add the job's hosts", write)


def _names() -> list[str]:
    return [_NAME, *(f"{_NAME}{number}" for number in range(2, 100))]


def _has_rule(context: Context, written: str) -> bool:
    pattern = origins.parse_pattern(written)
    host = f"{pattern.host}:{pattern.port}"
    row = context.config.row_for(Request(pattern.scheme, host, "/".join(pattern.path)))
    return row is not None and row["origin"] != "preset"
