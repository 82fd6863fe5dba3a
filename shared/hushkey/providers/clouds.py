"""Microsoft's clouds: where each signs people in, and whose word counts.

Source: learn.microsoft.com/entra/identity-platform/authentication-national-cloud.
An authority that a server's header names is used only if its host is in here.
"""

from __future__ import annotations

#: cloud -> host of its authorities
HOSTS = {
    "public": "login.microsoftonline.com",
    "usgov": "login.microsoftonline.us",
    "china": "login.partner.microsoftonline.cn",
}
#: other names of the public cloud that Azure DevOps has been seen to send
_ALIASES = {"login.windows.net": "public", "login.microsoft.com": "public"}
#: Azure CLI's public client, as Microsoft's own azure-identity uses it by default
DEFAULT_CLIENT_ID = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
#: any work or school account; a tenant that is found replaces it
DEFAULT_TENANT = "organizations"
#: where personal Microsoft accounts live, and the tenant in which Microsoft's own
#: clients redeem their refresh tokens for Azure DevOps ("MSA pass-through", as
#: Git Credential Manager does it); both are Microsoft's, the same for everybody
PERSONAL_HOME = "9188040d-6c67-4c5b-b112-36a304b66dad"
PERSONAL = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"
#: names of no tenant in particular
ALIASES = frozenset({"common", "organizations", "consumers"})


def host_of(cloud: str) -> str:
    """Return the authority host of *cloud*; unknown names are the public one."""
    return HOSTS.get(cloud, HOSTS["public"])


def cloud_of(host: str) -> str:
    """Return the cloud that the authority *host* belongs to, or nothing."""
    by_host = {known: name for name, known in HOSTS.items()}
    return by_host.get(host, _ALIASES.get(host, ""))


def issuer_of(named: str, tenant: object) -> str:
    """Return the issuer of ID tokens of *tenant* where the metadata say *named*.

    The metadata of no tenant in particular hold ``{tenantid}``, for which the token's
    own ``tid`` is put (learn.microsoft.com/entra/identity-platform/access-tokens);
    those of one tenant hold its id. Nothing if *tenant* is not the one.
    """
    if not isinstance(tenant, str) or not is_tenant(tenant):
        return ""
    issuer = named.replace("{tenantid}", tenant)
    return issuer if f"/{tenant}/" in issuer else ""


def is_tenant(text: str) -> bool:
    """Tell whether *text* can stand for a tenant in an authority's path."""
    good = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.")
    plain = text.isascii() and good.issuperset(text.lower())
    return plain and 0 < len(text) <= 253 and ".." not in text


def tenant(value: object) -> str | None:
    """Accept a tenant id or a domain of the tenant; return what it should be."""
    good = isinstance(value, str) and is_tenant(value)
    return None if good else "a tenant id or domain, such as contoso.onmicrosoft.com"


def is_home(account: str, tenant: str) -> bool:
    """Tell whether the home account id *account* (uid.utid) is of *tenant*."""
    home, tenant = account.rpartition(".")[2].lower(), tenant.lower()
    return bool(home) and home == (PERSONAL_HOME if tenant == PERSONAL else tenant)
