"""Finding, showing, checking and changing config.toml, one key at a time."""

from __future__ import annotations

import os
import shlex
from typing import Any

from hushkey.config import layers, rules
from hushkey.config.schema import DEFAULTS
from hushkey.errors import ConfigError, Permanent, StoreError, plain
from hushkey.system import paths
from hushkey_install.common import output
from hushkey_install.config import document, keymove, masking

_KEY_STORE = ["settings", "key_store"]


def print_path() -> None:
    """Print the path of the config file."""
    output.say(paths.config_file(os.environ))


def check() -> int:
    """Print every problem, or that there is none; return the exit code."""
    from hushkey.net import trust  # noqa: PLC0415 - `config path` needs no ssl

    source = paths.config_file(os.environ)
    try:
        system, below = rules.system_text(os.environ)
        ca_file = str(rules.load(os.environ).settings["ca_file"])
        trust.check(ca_file)
        if ca_file:
            trust.context(ca_file, os.environ)
    except ConfigError as error:
        for problem in error.problems or (error.line(),):
            output.say(problem, err=True)
        return 5
    except (StoreError, Permanent) as error:
        output.say(f"{source}: [settings] ca_file: {error.line()}", err=True)
        return 5
    if system:
        output.say(f"{below}: no problems")
    if os.path.exists(source):
        output.say(f"{source}: no problems")
    elif system:
        output.say(f"{source} does not exist: only your administrator's hosts count")
    else:
        output.say(f"{source} does not exist: only the built-in hosts count")
    return 0


def show(as_json: bool) -> None:
    """Print the config file without its secrets, or what it comes to as JSON."""
    if as_json:
        output.say_json(_effective(rules.load(os.environ)))
        return
    source = paths.config_file(os.environ)
    text = document.text_of(source)
    system, below = rules.system_text(os.environ)
    if not text and not system:
        output.say(f"{source} does not exist: only the built-in hosts count", err=True)
        return
    if system:
        both = document.parsed(system, below), document.parsed(text, source)
        output.say(f"# {below}: what your administrator wrote")
        for name in layers.replaced(*both):
            output.say(f"# {name}: yours counts instead")
        _show(system, below)
        output.say(f"# {source}: what you wrote")
    if text:
        _show(text, source)


def _show(text: str, source: str) -> None:
    try:
        shown = document.without_secrets(text)
    except ConfigError as error:
        error.what = f"{source}: {error.what}"
        raise
    output.block(shown.rstrip("\n"))


def _effective(config: rules.Config) -> dict[str, Any]:
    """Return settings with their defaults, identities and hosts, built-in ones too."""
    settings = {
        key: masking.safe(("settings", key), value)
        for key, value in config.settings.items()
    }
    identities = {
        name: {
            "provider": identity.provider,
            "account": identity.account,
            "client_id": identity.client_id,
            "scopes": identity.scopes,
            **{
                key: masking.safe(("identity", name, key), value)
                for key, value in identity.options.items()
                if key not in masking.SECRET_KEYS
            },
            "has_client_secret": "client_secret" in identity.options,
            "origin": config.origin_of(name),
        }
        for name, identity in config.identities().items()
    }
    hosts = {
        rule.pattern: {"identity": rule.identity.name, "origin": rule.origin}
        for rule in config.rules()
    }
    return {
        "config": config.source,
        "system_config": config.system,
        "settings": settings,
        "identities": identities,
        "hosts": hosts,
    }


def set_value(key: str, value: str) -> None:
    """Set one key of the config file, if the result is a valid config."""
    source = paths.config_file(os.environ)
    path = document.keys_of(key)
    what = f"set {plain(key)}"
    change = document.edited(
        source, what, lambda doc: document.put(doc, path, document.value_of(value))
    )
    if path == _KEY_STORE:
        keymove.check(document.value_of(value), os.environ)
    document.save(change)
    output.say(f"set {'.'.join(path)} in {source}", err=True)


def unset(key: str) -> None:
    """Take one key or table out of the config file, if a valid config is left."""
    source = paths.config_file(os.environ)
    path = document.keys_of(key)
    shown = ".".join(path)

    def drop(doc: Any) -> str:
        try:
            return document.drop(doc, path)
        except KeyError as error:
            raise Permanent(
                f"{plain(shown)} is not set in {source}",
                hint="see `hushkey config show`",
            ) from error

    change = document.edited(source, f"unset {plain(key)}", drop)
    if path == _KEY_STORE:
        keymove.check(DEFAULTS["key_store"], os.environ)
    document.save(change)
    output.say(f"unset {shown} in {source}", err=True)
    if path[0] == "host" and len(path) == 2:
        host = shlex.quote(path[1])
        output.say(
            f"if git was registered for it: `hushkey uninstall git {plain(host)}`",
            err=True,
        )
