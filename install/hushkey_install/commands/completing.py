"""What the shell completes: hosts, identities, keys; and the scripts that ask."""

from __future__ import annotations

import os

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from hushkey.config import rules, schema
from hushkey.errors import HushkeyError, visible
from hushkey_install.common import output

SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_HUSHKEY_COMPLETE"


def targets(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Complete identities and hosts of the config."""
    return [
        CompletionItem(name, help=about)
        for name, about in {**_identities(), **_hosts()}.items()
        if name.startswith(typed)
    ]


def urls(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Complete hosts of the config and built-in ones."""
    return [CompletionItem(host) for host in _hosts() if host.startswith(typed)]


def identities(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Complete identities of the config."""
    found = _identities().items()
    return [CompletionItem(n, help=about) for n, about in found if n.startswith(typed)]


def keys(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Complete the keys of [settings], and identities to write a key of."""
    names = [*schema.SETTINGS, *(f"identity.{name}." for name in _identities())]
    return [CompletionItem(name) for name in names if name.startswith(typed)]


def _identities() -> dict[str, str]:
    """Return identities that can serve; a wrong config completes nothing."""
    try:
        found = [rule.identity for rule in rules.load(os.environ).rules()]
    except HushkeyError:
        return {}
    return _typeable({i.name: f"identity ({i.provider})" for i in found})


def _hosts() -> dict[str, str]:
    try:
        found = rules.load(os.environ).rules()
    except HushkeyError:
        return {}
    return _typeable({s.pattern: f"host, identity {s.identity.name}" for s in found})


def _typeable(found: dict[str, str]) -> dict[str, str]:
    """Return names that can be seen and typed, each with its help.

    The shell puts them on the screen as they are; any other would be another name.
    """
    return {n: visible(about) for n, about in found.items() if visible(n) == n}


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    Examples:
      source <(hushkey completion bash)                 # in ~/.bashrc
      hushkey completion zsh > ~/.zfunc/_hushkey        # a folder of fpath
      hushkey completion fish > ~/.config/fish/completions/hushkey.fish
    """
    kind = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if kind is None:  # a click without that shell
        raise click.UsageError(f"this click has no completion for {shell}")
    # Not the class's own source(): bash's would start a bash from PATH to ask
    # its version.
    script = ShellComplete.source(kind(root, {}, "hushkey", _VARIABLE))
    output.block(script)
