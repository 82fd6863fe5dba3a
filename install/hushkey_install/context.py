"""What every verb needs: the config, an acquirer, and which site is meant."""

import os
import time
from collections.abc import Iterator, Mapping

from hushkey import answering, hosts, sites
from hushkey.acquire import Acquirer
from hushkey.errors import Permanent, plain
from hushkey.model import Identity, Request, Site
from hushkey.sites import Config
from hushkey.want import Manners, Want


def shown(url: str) -> str:
    """Return *url* for an error line: short, without user info, query or fragment."""
    scheme, marker, rest = url.partition("://")
    rest = (rest if marker else scheme).partition("#")[0].partition("?")[0]
    origin, slash, path = rest.partition("/")
    where = f"{origin.rpartition('@')[2]}{slash}{path}"
    return plain(f"{scheme}{marker}{where}" if marker else where, 80)


class Context:
    """One run of the command, in one environment."""

    def __init__(
        self, environ: Mapping[str, str] | None = None, *, login: bool = False
    ) -> None:
        self.environ = dict(os.environ if environ is None else environ)
        self.config: Config = sites.load(self.environ)
        manners = Manners(login=login, command=str)
        self.acquirer: Acquirer = answering.acquirer(
            self.environ, time.time(), manners=manners
        )

    def request(self, url: str) -> Request:
        """Return the request for *url*; raises Permanent for what is no URL."""
        try:
            return hosts.parse_url(url)
        except ValueError as error:
            raise Permanent(f"{shown(url)!r}: {error}") from error

    def want(self, site: Site, host: str, url: str = "") -> Want:
        """Return the need for a token of *site*; *url* may name an organisation."""
        return self.acquirer.want(site, host, request=self.request(url or host))

    def site(self, url: str) -> tuple[Site, str]:
        """Return the site for *url* and its origin; raises Permanent if not ours."""
        request = self.request(url)
        site = self.config.site_for(request)
        origin = hosts.parse_origin(request.protocol, request.host)
        if site is None or origin is None:
            missing = self.config.missing_for(request)
            what = f"it lacks {missing}" if missing else "no rule covers it"
            raise Permanent(
                f"{shown(url)} is not served by hushkey: {what}",
                hint=f"run `hushkey config add-host {plain(request.host, 80)}`",
            )
        return site, hosts.origin_text(request.protocol, *origin)

    def sites_of(self, target: str | None) -> list[tuple[Site, str]]:
        """Return the sites that *target* means: a host, a URL, or an identity.

        No target means the only identity, if the config has just one.
        """
        own = list(self.own_sites())
        names = list(dict.fromkeys(site.identity.name for site, _ in own))
        if target is None and len(names) != 1:
            if not names:
                raise Permanent(
                    "no host has an identity yet",
                    hint="run `hushkey config add-host HOST`, or name a built-in host",
                )
            raise Permanent(f"which identity or host? ({', '.join(names)})")
        wanted = names[0] if target is None else target
        if wanted in names:
            return [(site, host) for site, host in own if site.identity.name == wanted]
        if wanted in self.config.identities():
            raise Permanent(
                f"identity {wanted} serves no host yet",
                hint=f'add a [host."..."] table to {self.config.source}',
            )
        return [self.site(wanted)]

    def own_sites(self) -> Iterator[tuple[Site, str]]:
        """Yield the sites that the user configured, with their patterns."""
        for site in self.config.sites():
            if site.origin == "user":
                yield site, site.pattern

    def identity(self, target: str | None) -> Identity:
        """Return the identity that *target* means."""
        if target is not None and target in self.config.identities():
            return self.config.identity(target)
        return self.sites_of(target)[0][0].identity
