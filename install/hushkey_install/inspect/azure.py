"""What a rule is for, by what is known already: its organisation, its tenant.

No network: `hushkey status` and `explain` say what was found before.
"""

from __future__ import annotations

from collections.abc import Iterator

from hushkey import origins
from hushkey.model import HostRule, Request
from hushkey.providers.azure_devops import Directory, organisation
from hushkey.system import paths
from hushkey_install.common.context import Context


def known(context: Context, rule: HostRule, request: Request) -> tuple[HostRule, str]:
    """Return *rule* in the tenant known for *request*, and the organisation."""
    found = organisation(request) if rule.identity.tenants else ""
    tenant = _directory(context).known(found) if found and _is_open(rule) else ""
    return (rule.with_tenant(tenant) if tenant else rule), found


def unproven(context: Context, rule: HostRule, request: Request) -> str:
    """Return the organisation of *request* if it was asked, and named no tenant."""
    found = organisation(request) if _is_open(rule) else ""
    asked = bool(found) and bool(_directory(context).known(found))
    return found if asked and not _directory(context).found(found) else ""


def absent(context: Context, rule: HostRule, request: Request) -> str:
    """Return the organisation of *request* if it was asked, and is not there."""
    found = organisation(request) if _is_open(rule) else ""
    return found if found and _directory(context).absent(found) else ""


def everywhere(context: Context, rule: HostRule) -> Iterator[tuple[HostRule, str]]:
    """Yield *rule* in each organisation that it is known to serve, with the host.

    A rule that is for one organisation, or for none, is yielded as it is.
    """
    here = _request(rule.pattern)
    if not _is_open(rule) or ("*" not in rule.pattern and organisation(here)):
        there, _ = known(context, rule, here)
        yield there, rule.pattern
        return
    served = [
        name
        for name in _directory(context).organisations()
        if _serves(context, rule, name)
    ]
    for name in served:
        yield known(context, rule, _request(name))[0], name
    if not served:
        yield rule, rule.pattern


def _serves(context: Context, rule: HostRule, name: str) -> bool:
    row = context.config.row_for(_request(name))
    return row is not None and row["pattern"] == rule.pattern


def _is_open(rule: HostRule) -> bool:
    """Tell whether the config leaves the tenant of *rule* to be found."""
    identity = rule.identity
    fixed = identity.option("tenant") or identity.option("authority")
    return identity.tenants and not fixed


def _request(pattern: str) -> Request:
    return origins.request_for(pattern, label="")


def _directory(context: Context) -> Directory:
    return Directory(paths.data_folder(context.environ))
