"""A support bundle that is redacted by construction.

Nothing is masked, because nothing comes in unless this file names it: versions,
the shape of the config, codes of findings, and the allow-listed facts of the
last lines of the log. Hosts and identities are numbered, unless the person asks
for their names. It is shown before it is written.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from hushkey import origins
from hushkey.errors import HushkeyError, Permanent
from hushkey.model import HostRule, Identity
from hushkey.providers import clouds
from hushkey.providers.registry import SPECS
from hushkey.store.keystores import KEY_STORES
from hushkey_install.commands import loglines
from hushkey_install.common import output as screen
from hushkey_install.common.context import Context
from hushkey_install.common.filechange import Change
from hushkey_install.doctor import run
from hushkey_install.inspect import status
from hushkey_install.tools import githelpers
from hushkey_install.tools.gitfile import Git

_LIBRARIES = ("Authlib", "click", "cryptography", "filelock", "joserfc", "keyring")
_MORE = ("msal", "platformdirs", "psutil", "requests", "SecretStorage", "truststore")
#: settings whose values say nothing about anybody
_SETTINGS = ("interactive", "agent", "silent_timeout", "sign_in_timeout")
_MORE_SETTINGS = ("keyring_timeout", "min_lifetime")
#: variables of which only "set" is told; values could name people and places
_PRESENCE = (
    "BROWSER",
    "CI",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "GIT_ASKPASS",
    "GIT_CONFIG_GLOBAL",
    "HTTPS_PROXY",
    "HUSHKEY_CONFIG",
    "HUSHKEY_DATA_DIR",
    "HUSHKEY_INTERACTIVE",
    "HUSHKEY_LOG",
    "HUSHKEY_RUNTIME_DIR",
    "HUSHKEY_UPSTREAM",
    "REQUESTS_CA_BUNDLE",
    "SSH_CONNECTION",
    "SSL_CERT_FILE",
    "WAYLAND_DISPLAY",
    "WSL_DISTRO_NAME",
    "XDG_RUNTIME_DIR",
)
_LOG_LINES = 60
_LOG_BYTES = 64 * 1024


class Names:
    """Calls hosts and identities by number, or by name where that is wished."""

    def __init__(self, kept: bool) -> None:
        self._kept = kept
        self._known: dict[tuple[str, str], str] = {}

    def of(self, kind: str, name: str) -> str:
        """Return what *name*, a *kind* of thing, is called in the report."""
        count = sum(known[0] == kind for known in self._known)
        return (
            name
            if self._kept
            else self._known.setdefault((kind, name), f"{kind}-{count + 1}")
        )


def show(output: str | None, *, with_hosts: bool, yes: bool) -> None:
    """Show the report; write it to *output* after the person has seen it."""
    text = screen.as_json(bundle(Names(with_hosts)))
    screen.block(text)
    if output is None:
        return
    path = os.path.abspath(output)
    if not yes and not screen.confirm(f"write this to {path}?"):
        raise Permanent("nothing was written")
    if os.path.lexists(path):
        raise Permanent(f"{path} exists already", hint="choose another file")
    Change(path, "", text + "\n").apply(backup=False)
    screen.say(f"written to {path}", err=True)


def bundle(names: Names) -> dict[str, Any]:
    """Return the report; every field of it is named here."""
    report: dict[str, Any] = {
        "report": 1,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": _versions(),
        "system": _system(),
        "environment": [name for name in _PRESENCE if os.environ.get(name)],
        "findings": [{"code": f.code, "level": f.level} for f in run.findings()],
        "log": _log(os.environ.get("HUSHKEY_LOG", "")),
    }
    try:
        context = Context()
    except HushkeyError as error:
        report["config"] = {"error": type(error).__name__}
        return report
    report["config"] = _config(context, names)
    report["hosts"] = [_host(context, rule, names) for rule, _ in context.own_rules()]
    return report


def _versions() -> dict[str, str]:
    found = {"hushkey": version("hushkey"), "python": platform.python_version()}
    for name in (*_LIBRARIES, *_MORE):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    try:
        found["git"] = ".".join(map(str, Git(dict(os.environ)).version()))
    except HushkeyError:
        found["git"] = "missing"
    return found


def _system() -> dict[str, Any]:
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "encoding": sys.stdout.encoding,
        "terminal": sys.stdin.isatty() and sys.stdout.isatty(),
    }


def _config(context: Context, names: Names) -> dict[str, Any]:
    settings = context.config.settings
    store = str(settings["key_store"])
    return {
        "exists": os.path.exists(context.config.source),
        "default_place": not os.environ.get("HUSHKEY_CONFIG"),
        "settings": {key: settings[key] for key in (*_SETTINGS, *_MORE_SETTINGS)},
        "key_store": store if store in KEY_STORES else "a class by name",
        "has_ca_file": bool(settings["ca_file"]),
        "has_proxy": bool(settings["proxy"]),
        "identities": [
            _identity(identity, names)
            for identity in {
                rule.identity.name: rule.identity for rule, _ in context.own_rules()
            }.values()
        ],
    }


def _identity(identity: Identity, names: Names) -> dict[str, Any]:
    cloud = identity.option("cloud")
    own_client = identity.client_id != SPECS[identity.provider].client_id
    return {
        "name": names.of("identity", identity.name),
        "provider": identity.provider,
        "own_client": bool(identity.client_id) and own_client,
        "has_account": bool(identity.account),
        "has_client_secret": bool(
            identity.option("client_secret") or identity.option("client_secret_env")
        ),
        "has_tenant": bool(identity.option("tenant")),
        "has_authority": bool(identity.option("authority")),
        "cloud": cloud if cloud in clouds.HOSTS else "",
        "flows": list(identity.options.get("flows", ())),
        "scopes": len(identity.scopes),
    }


def _host(context: Context, rule: HostRule, names: Names) -> dict[str, Any]:
    pattern = origins.parse_pattern(rule.pattern)
    row = next(iter(status.rows_of(context, rule)), {})
    return {
        "name": names.of("host", rule.pattern),
        "identity": names.of("identity", rule.identity.name),
        "wild": pattern.wild,
        "own_port": pattern.port != origins.DEFAULT_PORTS[pattern.scheme],
        "http": pattern.scheme == "http",
        "path_segments": len(pattern.path),
        "scheme": rule.scheme,
        "exchange": rule.exchange,
        "interactive": rule.interactive,
        "has_username": bool(rule.username),
        "scopes": len(rule.scopes),
        "signed_in": row.get("account") is not None,
        "renewable": row.get("renewable"),
        "seconds_left": row.get("seconds_left"),
        "obtained_by": row.get("obtained_by"),
        "readable": row.get("error") is None,
        "git_helpers": _helpers(context, rule),
    }


def _helpers(context: Context, rule: HostRule) -> list[str]:
    """Return git's helpers for *rule*, of those whose names are everybody's."""
    try:
        chain = githelpers.chain(
            Git(context.environ), githelpers.request_of(rule.pattern)
        )
    except HushkeyError:
        return []
    return [
        "hushkey" if h.is_ours else h.name if h.name in githelpers.KEEPERS else "other"
        for h in chain.helpers
    ]


# -- the log ----------------------------------------------------------------------


def _log(path: str) -> list[str]:
    """Return what is ours in the last lines of the log, without who and where."""
    root = click.get_current_context().find_root().command
    verbs = root.commands if isinstance(root, click.Group) else ()
    lines = loglines.last(path, _LOG_LINES, _LOG_BYTES)
    return [own for line in lines if (own := loglines.own(line, verbs))]
