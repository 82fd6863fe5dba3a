"""Doctor on what goes before hushkey: netrc, askpass programs, a broken proxy."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping

from hushkey import origins
from hushkey.config import schema
from hushkey.errors import plain
from hushkey.system import paths, programs
from hushkey_install.common.finding import FINE, NOTE, PROBLEM, Finding
from hushkey_install.tools import purposes
from hushkey_install.tools.installation import Installation

_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
#: what an editor sets in its own terminal, for its own windows
_EDITORS = ("vscode",)


def netrc(installation: Installation) -> Iterator[Finding]:
    """Yield logins in netrc files, which curl (in git) and pip take first."""
    hosts = dict.fromkeys(_hosts(installation))
    if not hosts:
        return
    for path in _netrc_files(installation.environ):
        known = _machines(path)
        if named := [host for host in hosts if host in known]:
            yield Finding(
                "netrc-first",
                PROBLEM,
                f"{path} has a login for {', '.join(named)}, which git and pip take "
                "without asking hushkey; take that entry out",
                f"${{EDITOR:-vi}} {shlex.quote(path)}",
            )
        elif "default" in known:
            yield Finding(
                "netrc-first",
                NOTE,
                f"{path} has a login for every host (`default`), which git and pip "
                "take without asking hushkey; take that entry out",
                f"${{EDITOR:-vi}} {shlex.quote(path)}",
            )


def _hosts(installation: Installation) -> Iterator[str]:
    """Yield the hosts, without ports, that git or Python tools are to ask us for."""
    if installation.context is None:
        return
    for rule, written in installation.context.own_rules():
        pattern = origins.parse_pattern(written)
        kinds = (purposes.GIT, purposes.PYTHON)
        asked = any(purposes.may_be_for(rule, kind) for kind in kinds)
        if asked and not rule.identity.typed and not pattern.wild:
            yield pattern.host


def _netrc_files(environ: Mapping[str, str]) -> Iterator[str]:
    named = environ.get("NETRC", "")
    home = paths.home(environ)
    own = (os.path.join(home, name) for name in (".netrc", "_netrc"))
    every = (named, *own) if os.path.isabs(named) else tuple(own)
    yield from dict.fromkeys(every)


def _machines(path: str) -> frozenset[str]:
    """Return which hosts the file at *path* names; none that cannot be read."""
    from netrc import NetrcParseError  # noqa: PLC0415 - only where there is a file
    from netrc import netrc as parse  # noqa: PLC0415

    try:
        return frozenset(parse(path).hosts) if os.path.isfile(path) else frozenset()
    except (OSError, ValueError, NetrcParseError):
        return frozenset()


def askpass(installation: Installation) -> Iterator[Finding]:
    """Yield a GIT_ASKPASS: git asks it for a password where we give no answer."""
    chosen = installation.environ.get("GIT_ASKPASS", "").strip()
    if not chosen or not list(_hosts(installation)):
        return
    if programs.find(chosen, installation.environ) is None:
        text = f"GIT_ASKPASS names {plain(chosen)}, which cannot be started"
        yield Finding("askpass-gone", PROBLEM, text, "unset GIT_ASKPASS")
        return
    editors = installation.environ.get("TERM_PROGRAM", "") in _EDITORS
    yield Finding(
        "askpass",
        FINE if editors else NOTE,
        f"GIT_ASKPASS names {plain(chosen)}: git asks it for a password where hushkey "
        "has no answer",
        "" if editors else "unset GIT_ASKPASS",
    )


def proxy(installation: Installation) -> Iterator[Finding]:
    """Yield a proxy of the environment that cannot be one, if it counts."""
    environ = installation.environ
    if installation.config is None or installation.config.settings["proxy"]:
        return
    for name in _PROXIES:
        value = environ.get(name, "")
        whole = value if "://" in value else f"http://{value}"
        if value and (expected := schema.proxy_url(whole)):
            yield Finding(
                "proxy-wrong",
                PROBLEM,
                f"{name} is not {expected}: no server can be asked",
                f"unset {name}",
            )
            return  # a name in capitals says the same as a rule


TOPICS = (netrc, askpass, proxy)
