"""``job-token``: the token that a pipeline gives its jobs, for its own server alone.

It is no identity elsewhere: which server it opens is what the pipeline itself names,
and a host of another name never gets it, whatever rule or submodule asks.
"""

from __future__ import annotations

from hushkey import origins
from hushkey.errors import Permanent
from hushkey.model import Frozen, Grant
from hushkey.providers.workload.kind import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.model import Identity
    from hushkey.providers.workload.kind import Context
    from hushkey.system.proofs import Needs


class JobToken(Frozen):
    """One pipeline's: its ``marker``, the ``variable`` with the token and its user.

    ``servers`` are the variables with the server's address; ``beside`` maps a server
    of the vendor's to its other hosts that take the token. ``absent`` says how a job
    gets the token.
    """

    marker: str
    variable: str
    user: str
    servers: tuple[str, ...]
    absent: str
    beside: Mapping[str, tuple[str, ...]]


_TOKENS = (
    # docs.github.com, "Use GITHUB_TOKEN for authentication in workflows"
    JobToken(
        "GITHUB_ACTIONS",
        "GITHUB_TOKEN",
        "x-access-token",
        ("GITHUB_SERVER_URL",),
        "add `env: GITHUB_TOKEN: ${{ github.token }}` to the step",
        {
            "github.com": (
                "ghcr.io",
                "npm.pkg.github.com",
                "maven.pkg.github.com",
                "nuget.pkg.github.com",
                "rubygems.pkg.github.com",
            )
        },
    ),
    # docs.gitlab.com/ci/jobs/ci_job_token
    JobToken(
        "GITLAB_CI",
        "CI_JOB_TOKEN",
        "gitlab-ci-token",
        ("CI_SERVER_URL", "CI_REGISTRY"),
        "the runner sets it: pass it on to the container or program",
        {},
    ),
    # learn.microsoft.com/azure/devops/pipelines/build/variables, System.AccessToken
    JobToken(
        "TF_BUILD",
        "SYSTEM_ACCESSTOKEN",
        "job",
        ("SYSTEM_COLLECTIONURI",),
        "add `env: SYSTEM_ACCESSTOKEN: $(System.AccessToken)` to the step",
        {"dev.azure.com": ("pkgs.dev.azure.com",)},
    ),
)


class JobTokens(Kind):
    """The token of the job itself."""

    name = "job-token"
    kept = False

    def proof(self, table: Mapping[str, Any]) -> Needs:
        hints = tuple(token.marker for token in _TOKENS)
        return hints, tuple((token.marker, token.variable) for token in _TOKENS)

    def words(self, identity: Identity) -> str:
        names = ", ".join(token.variable for token in _TOKENS[:-1])
        return f"the job's own token ({names} or {_TOKENS[-1].variable})"

    def handed(self, identity: Identity, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return the variable with the job's token."""
        kind = found(environ)
        return (kind.variable,) if kind else ()

    def mint(self, context: Context) -> Grant:
        kind = found(context.environ)
        if kind is None:
            raise Permanent(
                "this is not a job of a pipeline that gives its jobs a token",
                hint="it works in GitHub and Forgejo Actions, GitLab CI and Azure "
                "Pipelines",
            )
        servers = [server for server, _ in hosts(context.environ)]
        if not any(_covers(server, context.host) for server in servers):
            shown = ", ".join(servers) or "none"
            raise Permanent(
                f"{kind.variable} is for the pipeline's own server alone ({shown}), "
                f"and {context.host} is another",
                hint="give this host another identity",
            )
        token = context.environ.get(kind.variable, "")
        if not token:
            raise Permanent(f"{kind.variable} is not set", hint=kind.absent)
        return Grant(token, scopes=context.rule.scopes, username=kind.user)


def found(environ: Mapping[str, str]) -> JobToken | None:
    """Return the token that this job's pipeline gives, there or not; None: no job."""
    return next((token for token in _TOKENS if environ.get(token.marker)), None)


def hosts(environ: Mapping[str, str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the origins that take this job's token, each with a path.

    That is of the organisation or collection, where the address has one.
    """
    kind = found(environ)
    named: list[tuple[str, tuple[str, ...]]] = []
    for variable in kind.servers if kind else ():
        address = environ.get(variable, "")
        if not address:
            continue
        if "://" not in address:
            address = f"https://{address}"
        parsed = _place(address)
        if parsed:
            host, path = parsed
            others = kind.beside.get(host, ()) if kind else ()
            named += [(each, path) for each in (host, *others)]
    return list(dict.fromkeys(named))


def _place(address: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the origin and the path of *address*, if it is one over https.

    Plain http counts on this machine alone.
    """
    scheme, _, rest = address.partition("://")
    authority, _, path = rest.partition("/")
    origin = origins.parse_origin(scheme, authority)
    if origin is None or "@" in authority:
        return None
    if scheme != "https" and not (scheme == "http" and origins.is_loopback(origin[0])):
        return None
    segments = origins.split_path(path.strip("/"))
    text = origins.origin_text(scheme, *origin)
    return None if segments is None else (text, tuple(segments))


def _covers(server: str, host: str) -> bool:
    """Tell whether the origin *host* is *server*, or a part of it."""
    return host == server or host.startswith(f"{server}/")
