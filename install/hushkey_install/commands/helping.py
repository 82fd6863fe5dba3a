"""`hushkey help`: the guide, page by page, without network or browser."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from hushkey.providers.checks import near
from hushkey_install.common import guide, manpage, output
from hushkey_install.register import table


def _topics(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Complete the topics of the guide."""
    return [
        CompletionItem(topic, help=guide.title(topic))
        for topic in guide.TOPICS
        if topic.startswith(typed)
    ]


@click.command("help")
@click.argument("words", nargs=-1, metavar="[TOPIC]", shell_complete=_topics)
@click.option("--man", is_flag=True, help="Print the man page, as man(7) source.")
def command(words: tuple[str, ...], man: bool) -> None:
    """Show a page of the guide, or the help of a command.

    Without TOPIC, list the pages. They are installed with hushkey; nothing is fetched.

    \b
    Examples:
      hushkey help
      hushkey help docker
      hushkey help troubleshooting | less
      hushkey help yarn                      # as `hushkey install yarn --help`
      hushkey help config add-host           # as `hushkey config add-host --help`
      hushkey help --man | man -l -          # the commands as a man page
    """
    if man:
        output.block(manpage.text())
    elif not words:
        _list()
    elif words[0] in guide.TOPICS and len(words) == 1:
        guide.show(words[0])
    else:
        _of_command(words)


def _list() -> None:
    output.say("Pages of the guide, each shown by `hushkey help TOPIC`:")
    output.say("")
    rows = [(f"  {topic}", guide.title(topic)) for topic in guide.TOPICS]
    output.say_table(("  topic", "page"), rows)
    output.say("")
    output.say("`hushkey help COMMAND` shows the help of a command.")


def _of_command(words: tuple[str, ...]) -> None:
    """Show the help of the command that *words* name; else say what is close."""
    root = click.get_current_context().find_root()
    found: click.Command = root.command
    context = root
    for word in words:
        group = found if isinstance(found, click.Group) else None
        inner = group.get_command(context, word) if group else None
        if inner is None and len(words) == 1 and word in table.WHAT:
            return _of_command(("install", word))  # a tool, by its name alone
        if inner is None:
            known = [*(group.commands if group else ()), *guide.TOPICS]
            raise click.UsageError(
                "no page of the guide and no command is called "
                f"{' '.join(words)}{near(word, known)}; `hushkey help` lists the pages"
            )
        context = click.Context(inner, parent=context, info_name=word)
        found = inner
    output.block(found.get_help(context))
