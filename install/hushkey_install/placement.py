"""Where a site stands, by what is known already: its organisation, its tenant.

No network: `hushkey status` and `explain` say what was found before.
"""

from collections.abc import Iterator

from hushkey import hosts, paths
from hushkey.model import Request, Site, placed
from hushkey.tenants import Directory, organisation
from hushkey_install.context import Context


def known(context: Context, site: Site, request: Request) -> tuple[Site, str]:
    """Return *site* in the tenant known for *request*, and the organisation."""
    found = organisation(request) if site.identity.provider == "entra" else ""
    tenant = _directory(context).known(found) if found and _is_open(site) else ""
    return (placed(site, tenant) if tenant else site), found


def everywhere(context: Context, site: Site) -> Iterator[tuple[Site, str]]:
    """Yield *site* in each organisation that it is known to serve, with the host.

    A site that is for one organisation, or for none, is yielded as it is.
    """
    here = _request(site.pattern)
    if not _is_open(site) or ("*" not in site.pattern and organisation(here)):
        there, _ = known(context, site, here)
        yield there, site.pattern
        return
    served = [
        name
        for name in _directory(context).organisations()
        if _serves(context, site, name)
    ]
    for name in served:
        yield known(context, site, _request(name))[0], name
    if not served:
        yield site, site.pattern


def _serves(context: Context, site: Site, name: str) -> bool:
    rule = context.config.rule_for(_request(name))
    return rule is not None and rule["pattern"] == site.pattern


def _is_open(site: Site) -> bool:
    """Tell whether the config leaves the tenant of *site* to be found."""
    identity = site.identity
    fixed = identity.option("tenant") or identity.option("authority")
    return identity.provider == "entra" and not fixed


def _request(pattern: str) -> Request:
    return hosts.parse_url(pattern.replace("*.", ""))


def _directory(context: Context) -> Directory:
    return Directory(paths.data_folder(context.environ))
