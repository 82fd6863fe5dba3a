"""Doctor on the config: missing, wrong, somebody else's, or incomplete."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from functools import partial

from hushkey import origins
from hushkey.config.rules import Config
from hushkey.errors import ConfigError, HushkeyError, Permanent, StoreError
from hushkey.model import Request
from hushkey.net import trust
from hushkey.providers.registry import SPECS
from hushkey.system import ownership, paths
from hushkey_install.common.finding import FINE, NOTE, PROBLEM, Finding
from hushkey_install.register import table
from hushkey_install.tools.installation import Installation


def check(installation: Installation) -> Iterator[Finding]:
    """Yield what is wrong with the config file itself."""
    try:
        source = paths.config_file(installation.environ)
        status = ownership.check_trusted(source)
    except StoreError as error:
        yield from _untrusted(error)
        return
    except (OSError, ConfigError):
        status = None  # told by the config's own error
    if installation.config_error is not None:
        problems = installation.config_error.problems or (
            installation.config_error.what,
        )
        told = "; ".join(problems)
        if not status or not stat.S_ISREG(status.st_mode):  # nothing to edit
            told, command = installation.config_error.line(), ""
        else:
            command = "hushkey config edit"
        if installation.config_error.hint.startswith("unset "):
            told, command = (
                installation.config_error.what,
                installation.config_error.hint,
            )
        yield Finding("config-wrong", PROBLEM, told, command)
    elif installation.forwarded and not _is_in_use(installation):
        text = "tools here are answered by `hushkey forward` on another machine"
        yield Finding("forwarded", FINE, text)
    elif status is None and not _is_in_use(installation):
        yield Finding(
            "config-missing",
            NOTE,
            f"{source} does not exist, and nobody is signed in to a built-in host",
            "hushkey setup HOST",
        )
    elif status is not None:
        yield Finding("config-right", FINE, f"config: {source}")
    if installation.config is not None:
        try:
            trust.check(str(installation.config.settings["ca_file"]))
        except StoreError as error:
            command = f"chmod go-w {shlex.quote(error.path)}"
            yield Finding(
                "ca-file-untrusted",
                PROBLEM,
                f"`ca_file`: {error.what}",
                command if error.reason == "open" else "",
            )
        else:
            yield from _certificates(installation, installation.config)


def _is_in_use(installation: Installation) -> bool:
    """Tell whether somebody is signed in, or a host has a rule of an administrator."""
    if installation.context is None:
        return False
    return installation.context.is_in_use()


def _certificates(installation: Installation, config: Config) -> Iterator[Finding]:
    """Yield that the chosen certificates cannot be read: no server can be asked."""
    chosen, where = trust.chosen(str(config.settings["ca_file"]), installation.environ)
    if not chosen:
        return
    try:
        trust.context(str(config.settings["ca_file"]), installation.environ)
    except Permanent as error:
        named = where == "ca_file"
        yield Finding(
            "ca-file-unreadable",
            PROBLEM,
            f"`{where}`: {error.what}: no server can be asked",
            f"hushkey config unset {where}" if named else f"unset {where}",
        )


def _untrusted(error: StoreError) -> Iterator[Finding]:
    """Yield why a config that others could have written does not count."""
    if error.reason != "open":
        text = f"{error.what}; {error.hint}" if error.hint else error.what
        yield Finding("config-foreign", PROBLEM, text)
        return
    path = error.path
    yield Finding(
        "config-writable",
        PROBLEM,
        f"{path} can be changed by others, who could redirect your tokens: the config "
        "does not count",
        f"chmod go-w {shlex.quote(path)}",
        partial(_close, path),
    )


def _close(path: str) -> None:
    place = paths.check_owner(path)
    os.chmod(place, stat.S_IMODE(os.stat(place).st_mode) & ~0o022)


def incomplete(installation: Installation) -> Iterator[Finding]:
    """Yield hosts that the user uses, and that wait for a setting."""
    if installation.config is None:
        return
    for host in dict.fromkeys(_used(installation)):
        try:
            missing = installation.config.missing_for(Request("https", host))
        except HushkeyError:
            continue  # hosts that go by path have their rules
        if not missing:
            continue
        command = f"hushkey config add-host {host} --client-id CLIENT_ID"
        yield Finding(
            "host-incomplete",
            NOTE,
            f"{host} is built in, but lacks {missing}: other helpers answer for it"
            + _registered(installation.config, host, missing),
            command if missing.endswith(" client_id") else "hushkey config edit",
        )


def _registered(config: Config, host: str, missing: str) -> str:
    """Return where the client is registered that is *missing*, if it is that."""
    row = config.row_for(Request("https", host))
    if row is None or not missing.endswith(" client_id"):
        return ""
    identity = config.identity(row["identity"])
    found = SPECS[identity.provider].registration(identity.options)
    return f"; register a client at {found.page}: {found.fields}" if found else ""


def _used(installation: Installation) -> Iterator[str]:
    """Yield the hosts that tools ask for here, us or others."""
    for tool in table.REGISTRATIONS:
        for url in tool.urls_in_use(installation):
            yield from _host(url)


def _host(url: str) -> Iterator[str]:
    """Yield the host of an https *url*; of nothing else."""
    if not url.startswith("https://"):
        return
    try:
        request = origins.parse_url(url)
    except ValueError:
        return
    if origin := origins.parse_origin(request.protocol, request.host):
        yield origins.origin_text(request.protocol, *origin)
