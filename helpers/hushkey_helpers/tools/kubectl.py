"""kubectl, helm and every other client of client-go: an exec credential plugin.

kubernetes.io/docs/reference/config-api/client-authentication.v1. The cluster comes in
the variable KUBERNETES_EXEC_INFO, if the user's entry says ``provideClusterInfo``.
client-go runs the plugin again the second that ``expirationTimestamp`` is over, and
five times over where it fails.
"""

from __future__ import annotations

from hushkey_helpers.answer import Answer
from hushkey_helpers.tools import command
from hushkey_helpers.tools.command import Asked, CommandTool, Served, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_USAGE = (
    "set `provideClusterInfo: true` in the user's exec entry, or give `--host HOST`"
)
_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


def parse(
    argv: list[str], _: Callable[[], bytes], environ: Mapping[str, str]
) -> Asked | Answer:
    """Read the cluster's address, or ``--host HOST`` instead of it."""
    info = command.object_in(environ.get("KUBERNETES_EXEC_INFO", ""))
    spec = info.get("spec")
    cluster = spec.get("cluster") if isinstance(spec, dict) else None
    server = cluster.get("server") if isinstance(cluster, dict) else ""
    host = command.one_host(argv, _USAGE) or server
    if not isinstance(host, str) or not host:
        raise Usage("kubectl did not say for which cluster", hint=_USAGE)
    version = info.get("apiVersion")
    return command.asked_for(
        host, version=version if version in _VERSIONS else _VERSIONS[0]
    )


def render(served: Served) -> bytes:
    """Return the ExecCredential, in the version that was asked in."""
    status: dict[str, str] = {"token": served.token.value}
    if served.token.expires_at is not None:
        status["expirationTimestamp"] = command.rfc3339(served.token.expires_at)
    return command.json_line(
        {
            "apiVersion": served.asked.words["version"],
            "kind": "ExecCredential",
            "status": status,
        }
    )


TOOL = CommandTool(
    "hushkey-answer kubectl",
    callers={
        "kubectl": "apply create delete describe edit exec get logs run",
        "helm": "install list status uninstall upgrade",
        "k9s": "",
    },
    parse=parse,
    render=render,
)


def answer(
    argv: list[str], read: Callable[[], bytes], environ: Mapping[str, str]
) -> Answer:
    """Answer one command line."""
    return command.answer(TOOL, argv, read, environ)
