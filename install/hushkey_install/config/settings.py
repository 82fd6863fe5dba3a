"""Finding, showing, checking and changing config.toml, one key at a time."""

import json
import os
from typing import Any

import click

from hushkey import paths, sites
from hushkey.errors import ConfigError, Permanent, plain
from hushkey_install.config import document

#: options of an identity that are never shown, only that they are there
_HIDDEN = ("client_secret",)


def print_path() -> None:
    """Print the path of the config file."""
    click.echo(paths.config_file(os.environ))


def check() -> int:
    """Print every problem, or that there is none; return the exit code."""
    source = paths.config_file(os.environ)
    try:
        sites.load(os.environ)
    except ConfigError as error:
        for problem in error.problems or (error.line(),):
            click.echo(problem, err=True)
        return 5
    if os.path.exists(source):
        click.echo(f"{source}: no problems")
    else:
        click.echo(f"{source} does not exist: only the built-in hosts count")
    return 0


def show(as_json: bool) -> None:
    """Print the config file without its secrets, or what it comes to as JSON."""
    if as_json:
        click.echo(json.dumps(_effective(sites.load(os.environ)), indent=2))
        return
    source = paths.config_file(os.environ)
    text = document.text_of(source)
    if not text:
        click.echo(f"{source} does not exist: only the built-in hosts count", err=True)
        return
    try:
        shown = document.without_secrets(text)
    except ConfigError as error:
        error.what = f"{source}: {error.what}"
        raise
    click.echo(shown.rstrip("\n"))


def _effective(config: sites.Config) -> dict[str, Any]:
    """Return settings with their defaults, identities and hosts, built-in ones too."""
    settings = dict(config.settings)
    settings["proxy"] = "***" if "@" in settings["proxy"] else settings["proxy"]
    identities = {
        name: {
            "provider": identity.provider,
            "account": identity.account,
            "client_id": identity.client_id,
            "scopes": identity.scopes,
            **{k: v for k, v in identity.options.items() if k not in _HIDDEN},
            "has_client_secret": "client_secret" in identity.options,
        }
        for name, identity in config.identities().items()
    }
    hosts = {
        site.pattern: {"identity": site.identity.name, "origin": site.origin}
        for site in config.sites()
    }
    return {
        "config": config.source,
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
    document.save(change)
    click.echo(f"set {'.'.join(path)} in {source}", err=True)


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

    document.save(document.edited(source, f"unset {plain(key)}", drop))
    click.echo(f"unset {shown} in {source}", err=True)
