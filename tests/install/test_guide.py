"""The guide and the README name what there is; `hushkey help` shows it."""

import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from conftest import do_without
from hushkey.config import schema
from hushkey.errors import visible
from hushkey.providers import exchange
from hushkey.providers.registry import SPECS
from hushkey_helpers import ANSWERS
from hushkey_install import cli
from hushkey_install.commands import exitcodes
from hushkey_install.common import guide, manpage
from hushkey_install.running import variables
from kit.oauth import BIN
from servers.process import Missing

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "install" / "guide"
PAGES = {
    "README.md": ROOT / "README.md",
    **{path.name: path for path in sorted(GUIDE.glob("*.md"))},
}
each_page = pytest.mark.parametrize("page", PAGES)
each_topic = pytest.mark.parametrize("topic", guide.TOPICS)


def text_of(page: str) -> str:
    return PAGES[page].read_text("utf-8")


def fenced(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.M | re.S)


def prose(page: str) -> str:
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.M | re.S)


def rows(page: str, title: str) -> dict[str, list[str]]:
    """Return the table of *page* whose first title is *title*: name -> other cells."""
    head = re.search(rf"^\| {title} \|.*\n\|---.*\n", text_of(page), re.M)
    assert head
    table = text_of(page)[head.end() :].partition("\n\n")[0]
    found = (re.split(r"(?<!\\)\|", row)[1:-1] for row in table.splitlines())
    return {first.strip(): [c.strip() for c in rest] for first, *rest in found}


def codes(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


# -- the pages ------------------------------------------------------------------------


def test_every_page_is_a_topic_and_in_the_readme() -> None:
    readme = text_of("README.md")

    assert {f"{topic}.md" for topic in guide.TOPICS} == PAGES.keys() - {"README.md"}
    assert [
        t for t in guide.TOPICS if f"[{t}](install/guide/{t}.md)" not in readme
    ] == []


def test_readme_is_short_and_begins_with_the_two_commands() -> None:
    lines = text_of("README.md").splitlines()

    assert len(lines) <= 150
    first = "\n".join(lines[:15])
    assert "./install/demo" in first
    assert "./tests/run" in first


def anchors(path: Path) -> set[str]:
    """Return the anchors that a forge gives to the headings of *path*."""
    titles = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}


def test_azure_s_start_uses_each_tool_that_it_installs() -> None:
    _, _, start = text_of("README.md").partition("**Azure:")
    lines = start.split("```")[1].splitlines()
    installed = re.findall(r"hushkey install (\w+)", lines[1])

    assert installed == ["git", "docker", "pip"]
    assert [line.split()[0] for line in lines[2:]] == installed


@each_page
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    lost = []
    for link in (each for each in links if not each.startswith("https://")):
        name, _, anchor = link.partition("#")
        target = (PAGES[page].parent / name).resolve() if name else PAGES[page]
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)

    assert lost == []


# -- commands -------------------------------------------------------------------------


def commands_in(page: str) -> Iterator[list[str]]:
    """Yield the words of each `hushkey` command in the page's shell blocks."""
    for block in fenced(page, "sh") + fenced(page, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            for part in split_at(words, {"&", "&&", "|", "<"}):
                if part[:1] == ["hushkey"]:
                    yield part[1:]


def split_at(words: list[str], marks: set[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for word in words:
        if word in marks:
            yield part
            part = []
        else:
            part.append(word)
    yield part


@each_page
def test_every_command_to_paste_is_one_that_hushkey_understands(page: str) -> None:
    for words in commands_in(page):
        command: click.Command = cli.main
        context = command.make_context("hushkey", list(words))
        while isinstance(command, click.Group):
            left = [*context._protected_args, *context.args]
            if not left:
                assert command.invoke_without_command, words
                break
            name, inner, args = command.resolve_command(context, left)
            assert inner is not None, words
            command = inner
            context = command.make_context(name, args, parent=context)


def named_in(page: str) -> Iterator[str]:
    """Yield what the text of *page* calls a command of ours."""
    for code in codes(prose(page)):
        for part in re.split(r"\\?\||&&|;|#| -- ", code):
            if part.strip().startswith("hushkey ") and "…" not in code:
                yield part.strip()


@each_page
def test_every_command_and_option_in_the_text_exists(page: str) -> None:
    unknown = []
    for part in named_in(page):
        command: click.Command = cli.main
        for word in part.split()[1:]:
            inner = isinstance(command, click.Group) and re.fullmatch("[a-z-]+", word)
            if command.context_settings.get("ignore_unknown_options"):
                break  # what follows is another program's
            if word.startswith("-"):
                if word.partition("=")[0] not in options(command):
                    unknown.append(f"{part}: {word}")
            elif isinstance(command, click.Group) and inner:
                found = command.commands.get(word)
                if found is None:
                    unknown.append(f"{part}: {word}")
                    break
                command = found

    assert unknown == []


def options(command: click.Command) -> set[str]:
    """Return the options of *command* and of all below it."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    own = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
    return own.union({"--help", "-h"}, *map(options, below))


def test_every_command_is_in_the_table_of_commands() -> None:
    table = " ".join(
        line for line in text_of("commands.md").splitlines() if "|" in line
    )
    words = set(re.findall(r"[\w-]+", table))

    assert cli.main.commands.keys() - words == set()
    for group in (cli.main.commands["config"], cli.main.commands["agent"]):
        assert isinstance(group, click.Group)
        assert group.commands.keys() - words == set()


def test_every_option_in_the_table_of_commands_exists() -> None:
    lines = [x for x in text_of("commands.md").splitlines() if x.startswith("| `hush")]
    unknown = []
    for line in lines:
        words = re.findall(r"`hushkey ([a-z-]+)", line)
        known = {o for p in cli.main.params for o in p.opts}
        known = known.union(*(options(cli.main.commands[w]) for w in words))
        flags = re.findall(r"--[a-z-]+", line)
        unknown += [f"{words}: {flag}" for flag in flags if flag not in known]

    assert len(lines) > 15
    assert unknown == []


def test_help_lists_every_command_once() -> None:
    listed = [name for names in cli.SECTIONS.values() for name in names]

    assert sorted(listed) == sorted(cli.main.commands)


def test_command_without_a_section_is_listed_all_the_same() -> None:
    group = exitcodes.Group("toy", commands=[click.Command("one", help="Do one.")])

    shown = group.get_help(click.Context(group, info_name="toy"))
    assert re.search(r"^More:\n  one +Do one\.", shown, re.M)


def leaves(command: click.Command, words: str = "hushkey") -> Iterator[tuple[str, str]]:
    """Yield each command below *command*, and its help."""
    if not isinstance(command, click.Group):
        yield (
            words,
            command.get_help(
                click.Context(
                    command, info_name=words, help_option_names=["-h", "--help"]
                )
            ),
        )
        return
    for name, inner in command.commands.items():
        yield from leaves(inner, f"{words} {name}")


@pytest.mark.parametrize(("words", "text"), list(leaves(cli.main)))
def test_help_of_what_takes_words_has_an_example(words: str, text: str) -> None:
    """Each on a line of its own, that can be copied."""
    takes = len(re.findall(r"^  -", text, re.M)) > 1 or "[OPTIONS] [" in text
    examples = re.findall(rf"^    .*({words}\b.*)", text, re.M)

    assert examples or not takes
    assert "\\b" not in text


# -- the man page ---------------------------------------------------------------------


def test_man_page_is_the_one_that_the_guide_makes_today() -> None:
    """If not: `hushkey help --man > install/man/hushkey.1`."""
    assert (ROOT / "install" / "man" / "hushkey.1").read_text() == manpage.text()


def test_man_page_has_every_command_and_exit_code() -> None:
    page = CliRunner().invoke(cli.main, ["help", "--man"]).stdout

    bold = set(re.findall(r"\\fBhushkey ([a-z-]+)", page.replace("\\-", "-")))
    assert cli.main.commands.keys() - bold - {"uninstall"} == set()
    codes_of = page.partition(".SH EXIT CODES")[2]
    assert re.findall(r"^\.TP\n(\d)$", codes_of, re.M) == list("0123456")
    assert "\\fBHUSHKEY_CONFIG\\fR" in page
    assert page.isascii()


@pytest.mark.contract
@pytest.mark.parametrize(
    "words", [("mandoc", "-Tlint"), ("groff", "-man", "-ww", "-z"), ("man", "-l")]
)
def test_man_page_is_read_without_a_complaint(words: tuple[str, ...]) -> None:
    program = shutil.which(words[0])
    if program is None:
        do_without(Missing(f"{words[0]} is not there: run tests/prepare"))

    done = subprocess.run(
        [str(program), *words[1:], str(ROOT / "install" / "man" / "hushkey.1")],
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert words[0] == "man" or done.stdout == b""


# -- the config -----------------------------------------------------------------------


def test_every_setting_is_in_the_guide_with_its_default() -> None:
    found = rows("config.md", "key")

    assert set().union(*map(codes, found)) == schema.SETTINGS.keys()
    for name, row in found.items():
        default = schema.DEFAULTS[name.strip("`")]
        spelled = str(default).lower() if isinstance(default, bool) else str(default)
        assert row[0].strip('`"') == spelled, name


def keys_of_section(title: str) -> set[str]:
    section = text_of("config.md").partition(f"\n## {title}")[2].partition("\n\n## ")[0]
    table = section.partition("| key |")[2].partition("\n\n")[0]
    return set().union(*(codes(row.split(" | ")[0]) for row in table.splitlines()[2:]))


def test_every_key_of_an_identity_is_in_the_guide() -> None:
    assert keys_of_section("[identity.NAME]") == schema.identity_keys(None).keys()


def test_every_key_of_a_host_is_in_the_guide() -> None:
    assert keys_of_section('[host."PATTERN"]') == schema.HOST.keys()


def test_every_provider_is_in_the_guide_with_its_keys() -> None:
    listed = rows("config.md", "`provider`")

    assert {name.strip("`"): codes(row[0]) for name, row in listed.items()} == {
        name: set(spec.keys) for name, spec in SPECS.items()
    }


def test_every_exchange_is_in_the_guide_with_its_keys() -> None:
    listed = rows("config.md", "`exchange`")

    assert {name.strip("`"): codes(row[0]) for name, row in listed.items()} == {
        name: set(kind.keys) for name, kind in exchange.KINDS.items()
    }


@each_page
def test_every_config_in_the_page_has_keys_that_exist(page: str) -> None:
    for block in fenced(page, "toml"):
        for kind, tables in tomllib.loads(block).items():
            if kind == "settings":
                assert tables.keys() <= schema.SETTINGS.keys()
                continue
            assert kind in ("identity", "host")
            for table in tables.values():
                known = (schema.keys_of if kind == "identity" else schema.host_keys)(
                    table
                )
                assert table.keys() <= known.keys(), block


@each_page
def test_every_variable_of_ours_in_the_page_is_read_somewhere(page: str) -> None:
    source = "".join(
        path.read_text("utf-8")
        for folder in ("shared", "helpers", "install")
        for path in (ROOT / folder).rglob("*.py")
    )
    named = set(re.findall(r"\bHUSHKEY_[A-Z_]+", text_of(page))) - {"HUSHKEY_TOKEN"}

    assert {name for name in named if name not in source} == set()


# -- messages -------------------------------------------------------------------------

#: what other programs say
FOREIGN = {"Username for 'https://…'", "User for HOST:", "Missing credentials"}


def source_text() -> str:
    """Return our programs' text, with adjacent strings joined as Python joins them."""
    paths = [
        p for f in ("shared", "helpers", "install") for p in ROOT.glob(f"{f}/**/*.py")
    ]
    paths += (ROOT / "helpers" / "scripts").iterdir()
    text = "\n".join(path.read_text("utf-8") for path in paths)
    return re.sub(r"[\"']\s*\n\s*f?[\"']", "", text)


def test_messages_in_troubleshooting_are_ours() -> None:
    """Most of the runs of three words, since names and numbers stand between."""
    text = source_text()
    for first in rows("troubleshooting.md", "you see"):
        for message in codes(first) - FOREIGN:
            runs = [
                " ".join(words[i : i + 3])
                for piece in re.split(r"…|\b[XY]\b|HOST|\d+|\(|\[|:", message)
                for words in [piece.strip(" ,").split()]
                for i in range(len(words) - 2)
            ]
            known = [run for run in runs if run in text]
            assert len(known) * 2 >= len(runs), message


def test_keys_of_json_in_the_guide_are_ours() -> None:
    text = source_text()
    found = rows("exit-codes.md", "command")

    for name in ("`hushkey status --json`", "`hushkey doctor --json`"):
        keys = set(re.findall(r"`(\w+)`", found[name][0]))
        assert {k for k in keys if not re.search(rf"\b{k}\b", text)} == set()


# -- tools ----------------------------------------------------------------------------


def test_every_tool_that_takes_a_command_is_in_the_guide() -> None:
    text = text_of("tools.md") + text_of("commands.md")

    assert {
        n for n in ANSWERS if not re.search(rf"answer\W+{n}\b|`{n}`", text)
    } == set()


def test_every_tool_that_reads_a_variable_is_in_the_guide() -> None:
    assert variables.VARIABLES.keys() - codes(prose("tools.md")) == set()


# -- `hushkey help` -------------------------------------------------------------------


def shown(*words: str, columns: int = 80) -> str:
    done = CliRunner().invoke(cli.main, ["help", *words], env={"COLUMNS": str(columns)})
    assert done.exit_code == 0, done.output
    return done.stdout


@each_topic
@pytest.mark.parametrize("columns", [40, 80])
def test_page_loses_no_word_and_fits_the_terminal(topic: str, columns: int) -> None:
    out = shown(topic, columns=columns)
    page = guide.page(topic)
    code = [x for b in fenced(f"{topic}.md", r"\w*") for x in b.splitlines()]
    words = re.sub(
        r"^!\[.*$|^\|[-|: ]+\|$|^```.*$|\]\([^)]*\)|<br>", " ", page, flags=re.M
    )

    assert set(re.findall(r"\w+", words)) - set(re.findall(r"\w+", out)) == set()
    assert [line for line in code if line.rstrip() not in out] == []
    for line in out.splitlines():
        assert visible(line) == line
        can_wrap = " " in re.sub("`[^`]*`", "", line.strip()) and line[4:] not in code
        assert len(line) <= columns or not can_wrap


def test_without_a_topic_every_page_is_listed_with_its_title() -> None:
    out = shown()

    assert [t for t in guide.TOPICS if not re.search(rf"^ +{t} +\S", out, re.M)] == []


def test_links_say_which_page_to_ask_for() -> None:
    line = "see [the agent](agent.md#x), [above](#y) and [RFC](https://rfc.test/1)"

    shown = next(guide.lines(line, 200))[0]
    assert shown == (
        "see the agent (`hushkey help agent`), above and RFC (https://rfc.test/1)"
    )


def test_table_that_does_not_fit_is_shown_row_by_row() -> None:
    table = (
        "| a | b | c |\n|---|---|---|\n| one \\| two | `x y` | " + "word " * 30 + "|"
    )

    found = [line for line, _ in guide.lines(table, 40)]

    assert found[:3] == ["a / b / c", "one | two", "    b: `x y`"]
    assert found[3].startswith("    c: word word")
    assert max(map(len, found)) <= 40


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["confg"], "config"),
        (["dokcer"], "docker"),
        (["config", "add-hosts"], "add-host"),
    ],
)
def test_unknown_topic_names_the_nearest(words: list[str], near: str) -> None:
    done = CliRunner().invoke(cli.main, ["help", *words])

    assert done.exit_code == 2
    assert f"did you mean {near}?" in done.output
    assert "hushkey help" in done.output


def test_help_of_a_command_is_its_help() -> None:
    own = CliRunner().invoke(cli.main, ["config", "add-host", "--help"])

    assert shown("config", "add-host").split() == own.stdout.split()


def test_topic_comes_before_the_command_of_the_same_name() -> None:
    assert shown("config").startswith("config.toml")


@pytest.mark.parametrize("word", ["version", "-v", "--version"])
def test_version_is_told_in_three_ways(word: str) -> None:
    done = CliRunner().invoke(cli.main, [word])

    assert (done.exit_code, done.stdout.split()[0]) == (0, "hushkey,")
    assert re.search(r"\d+\.\d+\.\d+$", done.stdout.strip())


def test_installed_program_finds_the_guide() -> None:
    done = subprocess.run(
        [BIN / "hushkey", "help", "agent"], capture_output=True, timeout=30, check=True
    )

    assert done.stdout.decode().startswith("The agent")
    assert done.stderr == b""


def test_guide_is_in_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    package = Path(guide.__file__).parents[1].name

    assert wheel["force-include"]["install/guide"] == f"{package}/guide"
