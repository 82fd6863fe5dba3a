"""`hushkey install git --ci`: rules for the job's own token, written for the job."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hushkey import origins
from hushkey.config.schema import TOOLS
from hushkey.errors import Permanent
from hushkey.model import Request
from hushkey.providers.workload import jobtoken
from hushkey_install.common.context import Context
from hushkey_install.common.filechange import Change
from hushkey_install.config import document
from hushkey_install.register import gitsections
from hushkey_install.tools import githelpers
from hushkey_install.tools.gitfile import Git

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
            "Pipelines, and this is not one",
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


def served(context: Context, git: Git, pattern: str) -> str:
    """Return the helper that answers git for *pattern* everywhere here, or nothing.

    That is one which somebody registered for this very host, in git's global or system
    file. A rule for git that is in the config already counts more.
    """
    row = _row(context, pattern)
    is_for_git = row is not None and "git" in row.get("tools", TOOLS)
    if row is not None and row["origin"] != "preset" and is_for_git:
        return ""
    others = githelpers.chain(git, origins.request_for(pattern)).others()
    return next((helper.line() for helper in others if helper.section), "")


def in_repository(git: Git, pattern: str, folder: str) -> str:
    """Return what the runner gave the repository at *folder* for *pattern*, or nothing.

    GitLab's runner writes a helper for its job token, actions/checkout a header. The
    value of either may be the token, so nothing of it is shown.
    """
    others = githelpers.chain(git, origins.request_for(pattern), folder).others()
    if any(helper.section and helper.of_repository for helper in others):
        return "a helper of its own"
    url = gitsections.url_of(origins.parse_pattern(pattern))
    found = git.listing("--get-urlmatch", "http.extraheader", url, folder=folder)
    sent = found.strip().lower().startswith("authorization:")
    return "http.extraheader" if sent else ""


def change(context: Context, wanted: list[str], left: Collection[str] = ()) -> Change:
    """Return what gives the hosts *wanted* the job's token; git has that of *left*.

    A rule that somebody wrote for one of them stays as it is.
    """
    missing = [pattern for pattern in wanted if not _has_rule(context, pattern)]

    def write(doc: Any) -> None:
        own = doc.get("identity", {})
        name = next(n for n in _names() if own.get(n, _TABLE) == _TABLE)
        if missing and name not in own:
            document.put(doc, ["identity", name], document.new_table(dict(_TABLE)))
        for pattern in missing:
            words: dict[str, Any] = {"identity": name}
            if pattern in left:
                words["tools"] = [tool for tool in TOOLS if tool != "git"]
            table = document.new_table(words)
            document.put(doc, ["host", pattern], table)

    return document.edited(context.config.source, "add the job's hosts", write)


def _names() -> list[str]:
    return [_NAME, *(f"{_NAME}{number}" for number in range(2, 100))]


def _has_rule(context: Context, pattern: str) -> bool:
    row = _row(context, pattern)
    return row is not None and row["origin"] != "preset"


def _row(context: Context, written: str) -> Mapping[str, Any] | None:
    pattern = origins.parse_pattern(written)
    host = f"{pattern.host}:{pattern.port}"
    return context.config.row_for(Request(pattern.scheme, host, "/".join(pattern.path)))
