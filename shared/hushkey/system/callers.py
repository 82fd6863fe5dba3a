"""Who is asking: `git fetch` in which repository, and what it has been told.

Looked at only when a person is about to be asked, so that the question can say
what it is for. Command lines may hold secrets (URLs with passwords): only the
program's name and a known subcommand are taken from them.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress

from hushkey import runtime
from hushkey.system import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psutil import Process

_DEPTH = 12
#: seconds for `git config`
_PATIENCE = 3
#: docker's own options, before the subcommand, that take a value
_VALUES = "-c --context --config -H --host -l --log-level"
_VALUED = frozenset(f"{_VALUES} --tlscacert --tlscert --tlskey".split(" "))
_EVERY_KEY = "--use-api-socket"
#: who starts jobs at their time; a terminal multiplexer started by one leaves it
_CLOCKS = frozenset(("cron", "crond", "anacron", "atd", "fcron"))
#: set for a service that a timer has started (systemd.exec(5), since 252)
_TIMERS = ("TRIGGER_TIMER_REALTIME_USEC", "TRIGGER_TIMER_MONOTONIC_USEC")
#: what may stand in a registry's name, so that it is not a piece of a longer one
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


def command_of(tool: str) -> str:
    """Return for example ``git fetch in /src/app``, or nothing if unknown."""
    runtime.ensure_in_caller()
    import psutil

    best = ""
    with suppress(psutil.Error, OSError):
        for process in psutil.Process().parents()[:_DEPTH]:
            if found := _described(process, tool):
                best = found  # the outermost one is what the person typed
    return best


def ended(tool: str, *, inside: bool = False) -> Callable[[], bool]:
    """Return what tells whether the command that *tool* answers has ended.

    That is any process from the one that started us up to the outermost that a
    person may have typed: a killed one leaves those below it waiting for us. Nobody
    above it counts, such as a shell that is closed. *inside*: the client may be this
    very process, and then nobody else counts.
    """
    runtime.ensure_in_caller()
    import psutil

    from hushkey.system import python_callers

    known = runtime.programs_of(tool)
    line: list[Process] = []
    watched = 0 if inside else 1
    with suppress(psutil.Error, OSError):
        for process in psutil.Process().parents()[:_DEPTH]:
            line.append(process)
            words = process.cmdline()
            if {_program(words), python_callers.named(words)[0]} & set(known):
                watched = len(line)
    return lambda: any(_is_over(process) for process in line[:watched])


def step(
    marks_of: Callable[[Mapping[str, str]], Mapping[str, str]],
    environ: Mapping[str, str],
) -> int:
    """Return the process that the step of a job is, 0 if this is part of none.

    That is the outermost process above this one that was started with the job's own
    variables, which *marks_of* finds in an environment. A runner starts a step with
    them and has none itself; tox and `env -i` take them from what runs below. Where
    a script has set them, it is the process that started us.
    """
    runtime.ensure_in_caller()
    import psutil

    marks, found = marks_of(environ), 0
    with suppress(psutil.Error, OSError):
        for process in psutil.Process().parents():
            with suppress(psutil.Error, OSError):  # another user's is no step of ours
                theirs = process.environ()
                marks = marks or marks_of(theirs)
                if marks and all(theirs.get(n) == value for n, value in marks.items()):
                    found = process.pid
    return found or (os.getppid() if marks else 0)


def starter() -> int:
    """Return the process that started the helper which asks, 0 if it is unknown."""
    here = runtime.current()
    if here is None:
        return os.getppid()
    import psutil

    try:
        return psutil.Process(here.asker).ppid() if here.asker else 0
    except psutil.Error:
        return 0


def watched(pid: int) -> Callable[[], bool]:
    """Return what tells whether the process *pid* has ended, also before this call."""
    import psutil

    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return lambda: True
    return lambda: _is_over(process)


def _is_over(process: Process) -> bool:
    import psutil

    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OSError):
        return False


def _described(process: Process, tool: str) -> str:
    words = process.cmdline()
    program = _program(words)
    known = runtime.programs_of(tool).get(program, "").split()
    subcommand = next((word for word in words[1:] if word in known), "")
    return f"{program} {subcommand} in {process.cwd()}" if subcommand else ""


def _program(words: list[str]) -> str:
    return os.path.basename(words[0]).removesuffix(".exe") if words else ""


def needs_registry(host: str, environ: Mapping[str, str]) -> bool | None:
    """Tell whether docker asks for the registry *host* because of what was typed.

    Its classic builder asks for every key of `credHelpers`, and so does
    --use-api-socket (docker/cli, GetAllCredentials); BuildKit, pull, push and the
    other clients ask for what they need. None: no client that we know asks, and so
    perhaps for every key (docker-py). Who cannot be looked at has typed nothing.
    """
    asker = runtime.asker()
    import psutil

    try:
        line = psutil.Process(asker).parents()[:_DEPTH]
    except (psutil.Error, OSError):
        return False
    for process in line:
        try:
            words = process.cmdline()
        except (psutil.Error, OSError):
            if process is line[0]:
                return False
            continue  # another user's, as macOS's login is above every terminal
        program = _program(words)
        if program in ("docker", "docker-compose"):
            return _needs(words, host, environ)
        plugin = program.startswith("docker-")
        helper = program.startswith("docker-credential-")
        if program in runtime.programs_of("docker") or (plugin and not helper):
            return True
    return None


def _needs(words: list[str], host: str, environ: Mapping[str, str]) -> bool:
    """Tell whether the docker command *words* asks for *host* itself."""
    buildkit = environ.get("DOCKER_BUILDKIT", "")
    if _program(words) == "docker-compose":
        return buildkit.lower() not in ("0", "false", "f")
    commands = _commands(words[1:])
    if "build" in commands:
        # BuildKit comes from the plugin docker-buildx, or was asked for by name.
        return buildkit.lower() in ("1", "true", "t")
    if any(word.partition("=")[0] == _EVERY_KEY for word in words):
        return any(names_host(word, host) for word in words[1:])
    return True


def _commands(words: list[str]) -> list[str]:
    """Return docker's subcommand, and the one below it (``image build``)."""
    found: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in _VALUED and not found:
            next(rest, None)
        elif not word.startswith("-"):
            found.append(word)
        if len(found) == 2:
            break
    groups = ("image", "builder", "container")
    return found if found[:1] and found[0] in groups else found[:1]


def names_host(word: str, host: str) -> bool:
    """Tell whether *word* of a command line names the registry *host*, whole."""
    text, wanted = word.lower(), host.lower().rpartition("://")[2]
    start = text.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        end += 4 * text.startswith(":443", end)
        before, after = text[max(0, start - 1) : start], text[end : end + 1]
        if before not in _NAME and (not after or after in "/,@"):
            return True
        start = text.find(wanted, start + 1)
    return False


def unattended(environ: Mapping[str, str]) -> str:
    """Return by what is known that nobody waits for this call, or nothing.

    VS Code marks the fetches that nobody asked for (its git extension, git.ts); git
    before 2.47 says of scheduled maintenance only on its command line that it is
    (git-maintenance(1), ``run --schedule``). cron's jobs are below cron.
    """
    runtime.ensure_in_caller()
    if environ.get("VSCODE_GIT_FETCH_SILENT"):
        return "an editor fetches in the background"
    if any(environ.get(name) for name in _TIMERS):
        return "a timer of systemd started this"
    import psutil

    try:
        line = psutil.Process().parents()
    except (psutil.Error, OSError):
        return ""
    for process in line:
        with suppress(psutil.Error, OSError):
            if process.name().lower() in _CLOCKS:
                return f"{process.name().lower()} started this"
            words = process.cmdline()
            if _program(words) == "git" and _is_scheduled(words):
                return "git's scheduled maintenance runs in the background"
    return ""


def _is_scheduled(words: list[str]) -> bool:
    return "maintenance" in words and any(w.startswith("--schedule") for w in words)


def git_interactive(environ: Mapping[str, str]) -> str:
    """Return git's credential.interactive as the calling git has it, or nothing.

    git hands its own ``-c`` options on in the environment, so asking git is
    exact; background maintenance sets it to false (git 2.47). Empty is false, and
    a key without a value true (git-config(1), "Values").
    """
    runtime.ensure_in_caller()
    git = programs.find("git", environ)
    if git is None:
        return ""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            [git, "config", "-z", "--get-regexp", r"^credential\.interactive$"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
            env=dict(environ),
        )
        said = done.stdout.decode("utf-8", "replace").split("\0")[:-1]
        _, equals, value = said[-1].partition("\n") if said else ("", "", "")
        return (value.strip() or "false") if equals else "true" if said else ""
    return ""
