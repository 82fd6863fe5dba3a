"""Servers that nobody can sign in to for git, and what serves there instead.

Sources: man.sr.ht/git.sr.ht (pushes go over ssh; its OAuth is for the GraphQL API);
learn.microsoft.com "Authenticate with personal access tokens" for Azure DevOps Server.
"""

from __future__ import annotations

from hushkey import origins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey.model import Request

_SOURCEHUT = (
    "sourcehut takes pushes over ssh only, and its OAuth is only for its API: there is "
    "nothing to sign in to"
)
_AZURE_SERVER = (
    "if this is Azure DevOps Server: it has no OAuth for git. Make a personal access "
    "token at https://{host}/{collection}/_usersSettings/tokens, give the host an "
    'identity with provider = "static", and type the token as the password'
)


def words(request: Request) -> str:
    """Return what to say about a host that no rule covers; nothing for most."""
    host = request.host.lower().rstrip(".")
    if host == "sr.ht" or host.endswith(".sr.ht"):
        return _SOURCEHUT
    path = origins.split_path(request.path) or ()
    if "_git" in path[1:]:
        collection = "/".join(path[: min(path.index("_git"), 1)])
        return _AZURE_SERVER.format(host=host, collection=collection)
    return ""
