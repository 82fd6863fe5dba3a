"""What the shell completes: hosts, identities, keys; and the scripts that ask."""

from __future__ import annotations

import os
import shlex

import click
from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    get_completion_class,
)

from hushkey.config import rules, schema
from hushkey.errors import HushkeyError, visible
from hushkey_install.common import completionfile, output

SHELLS = ("bash", "zsh", "fish", "powershell")
#: what a person still has to do, once; holds ``{path}`` and ``{folder}``, both quoted
_NEXT = {
    "bash": "a new shell completes hushkey, if bash-completion is installed; else add "
    "to ~/.bashrc: source {path}",
    "zsh": "add to ~/.zshrc, before compinit: fpath=({folder} $fpath)",
    "fish": "a new shell completes hushkey",
    "powershell": "add to the file that $PROFILE names: . {path}",
}
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


class PowerShell(ShellComplete):
    """PowerShell 5 and newer (about_Register-ArgumentCompleter); click has none.

    The words before the cursor come in lines, so that no quoting is lost.
    """

    name = "powershell"
    source_template = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = $commandAst.CommandElements |
        Where-Object { $_.Extent.EndOffset -le $cursorPosition } |
        ForEach-Object { $_.Extent.Text }
    $env:COMP_WORDS = $words -join "`n"
    $env:COMP_CWORD = $wordToComplete
    $env:%(complete_var)s = "powershell_complete"
    try {
        %(prog_name)s | ForEach-Object {
            $value, $help = $_ -split "`t", 2
            if (-not $help) { $help = $value }
            [System.Management.Automation.CompletionResult]::new(
                $value, $value, "ParameterValue", $help)
        }
    } finally {
        Remove-Item Env:COMP_WORDS, Env:COMP_CWORD, Env:%(complete_var)s
    }
}
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        words = os.environ.get("COMP_WORDS", "").splitlines()[1:]
        typed = os.environ.get("COMP_CWORD", "")
        if typed and words and words[-1] == typed:
            words.pop()
        return words, typed

    def format_completion(self, item: CompletionItem) -> str:
        about = " ".join((item.help or "").split())
        return f"{item.value}\t{about}" if about else str(item.value)


add_completion_class(PowerShell)


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.option(
    "--install",
    is_flag=True,
    help="Write it where the shell looks; `hushkey uninstall --all` deletes it.",
)
def command(shell: str, install: bool) -> None:
    """Print the completion script for SHELL.

    \b
    Examples:
      hushkey completion fish --install                 # for new shells
      source <(hushkey completion bash)                 # in ~/.bashrc
      hushkey completion zsh > ~/.zfunc/_hushkey        # a folder of fpath
      hushkey completion powershell | Out-String | Invoke-Expression
    """
    kind = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if kind is None:  # a click without that shell
        raise click.UsageError(f"this click has no completion for {shell}")
    # Not the class's own source(): bash's would start a bash from PATH to ask
    # its version.
    script = ShellComplete.source(kind(root, {}, "hushkey", _VARIABLE))
    if not install:
        output.block(script)
        return
    path = completionfile.write(os.environ, shell, script)
    words = {"path": path, "folder": os.path.dirname(path)}
    quoted = {name: shlex.quote(word) for name, word in words.items()}
    output.say(f"wrote {path}", err=True)
    output.say(_NEXT[shell].format(**quoted), err=True)
