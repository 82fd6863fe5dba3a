"""Doctor on git: its version, whether it asks us, and who else hears the answer."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

from hushkey import origins
from hushkey.errors import HushkeyError
from hushkey.model import HostRule, Request
from hushkey.net import gitsettings
from hushkey.system import ownership, paths, programs
from hushkey_install.common import installrecord, programs_missing
from hushkey_install.common.context import Context
from hushkey_install.common.finding import FINE, NOTE, PROBLEM, Finding
from hushkey_install.register import gitdoor, gitsections
from hushkey_install.tools import githelpers, purposes
from hushkey_install.tools.gitfile import Git, exactly
from hushkey_install.tools.installation import Installation

#: the oldest git whose protocol we know (`*.` in sections needs 2.26)
_OLDEST = (2, 26)
#: the first that marks tokens as not to be kept, and carries Bearer
_EPHEMERAL = (2, 46)
_HELPER = "git-credential-hushkey"
_INSTALL = "hushkey install git"
Mend = Callable[[], object]


def check(
    installation: Installation,
    mend: Mend,
    forget: Callable[[str], object],
) -> Iterator[Finding]:
    """Yield what keeps git from asking us, and who else is handed tokens.

    *mend* registers hushkey with git, as `hushkey install git` does, and *forget* takes
    one section out again.
    """
    if installation.git is None:
        missing = _unserved(installation, lambda _: False)
        if installation.git_error is not None and missing:
            yield Finding("git-missing", NOTE, installation.git_error.line())
        return
    try:
        yield from _version(installation.git)
        yield from _reachable(installation, installation.git, mend)
        yield from _rules(installation, installation.git, mend)
        yield from _rewritten(installation, installation.git)
        yield from _wrong_socket(installation.git)
        yield from _door(installation, installation.git, mend)
        yield from _network(installation)
        yield from _short(installation, installation.git, mend)
        yield from _stale(installation, installation.git, forget)
    except HushkeyError as error:
        yield Finding("git-fails", PROBLEM, error.line())


def _network(installation: Installation) -> Iterator[Finding]:
    """Yield which of git's settings for the network count when git asks us."""
    told = gitsettings.GitConfig("", installation.environ).counts()
    unverified = [name for name in told if name.endswith("sslverify")]
    named = [name for name in told if name not in unverified]
    if named:
        yield Finding(
            "git-network",
            FINE,
            f"when git asks, its {', '.join(named)} counts after `proxy` and `ca_file`",
        )
    if unverified:
        yield Finding(
            "git-unverified",
            NOTE,
            f"git's {', '.join(unverified)} does not count for sign-ins: servers are "
            "verified; `ca_file` names a certificate to trust",
        )


def _version(git: Git) -> Iterator[Finding]:
    version = git.version()
    shown = ".".join(map(str, version))
    if version < _OLDEST:
        yield Finding(
            "git-old", PROBLEM, f"git {shown} is too old: 2.26 or newer is needed"
        )
    elif version < _EPHEMERAL:
        yield Finding(
            "git-basic",
            FINE,
            f"git {shown} cannot mark tokens as not to be kept, and replaces a "
            "refused one only at the next command; 2.46 can",
        )


def _reachable(installation: Installation, git: Git, mend: Mend) -> Iterator[Finding]:
    """Yield that git would not find the helper by its name."""
    entries = git.listing("-z", "--get-regexp", r"^credential\..*helper$").split("\0")
    values = dict.fromkeys(entry.partition("\n")[2] for entry in entries)
    for program in filter(None, map(githelpers.program_of, values)):
        if not os.access(program, os.X_OK):
            text = f"git is told to ask {program}, which is not there any more"
            if _is_missed(program, installation.environ):
                yield _missing("helper-gone", text, installation.environ)
            else:
                yield Finding("helper-gone", PROBLEM, text, _INSTALL, mend)
    if "hushkey" not in values:
        return
    environ = {**installation.environ}
    environ["PATH"] = os.pathsep.join((git.exec_path(), environ.get("PATH", "")))
    if not programs.find(_HELPER, environ):
        text = f"git is told to ask hushkey, but {_HELPER} is not on PATH"
        yield _missing("helper-not-on-path", text, installation.environ)


def _is_missed(program: str, environ: Mapping[str, str]) -> bool:
    """Tell whether *program*, which is gone, is why PATH has no helper any more."""
    folders = environ.get("PATH", "").split(os.pathsep)
    missed = programs.find(_HELPER, environ) is None
    return missed and os.path.dirname(program) in folders


def _missing(code: str, text: str, environ: Mapping[str, str]) -> Finding:
    """Return what has one cause with other tools that miss a program of ours."""
    cause = programs_missing.cause(environ)
    command = programs_missing.command(environ)
    return Finding(code, PROBLEM, text, command, cause=cause, tool="git")


def _rules(installation: Installation, git: Git, mend: Mend) -> Iterator[Finding]:
    asked: list[str] = []

    def has_ours(rule: HostRule) -> bool:
        if ours := chains[rule.pattern].has_ours:
            asked.append(rule.pattern)
        return ours

    chains = {
        rule.pattern: githelpers.chain(git, githelpers.request_of(rule.pattern))
        for rule in _own(installation)
    }
    unregistered = _unserved(installation, has_ours)
    for rule in _own(installation):
        if rule.pattern in asked:
            chain = chains[rule.pattern]
            yield from _listeners(rule, chain, mend)
            yield from _paths(rule, chain, mend)
            request = githelpers.request_of(rule.pattern)
            yield from _repository(installation, git, rule, request)
    if asked:
        yield Finding("git-asks", FINE, f"git asks hushkey for {', '.join(asked)}")
    if unregistered:
        hosts = ", ".join(rule.pattern for rule in unregistered)
        yield Finding(
            "git-not-registered",
            PROBLEM,
            f"git does not ask hushkey for {hosts}",
            _INSTALL,
            mend,
        )
    elif not asked:
        yield from _unasked(installation, mend)


def _own(installation: Installation) -> list[HostRule]:
    """Return one of the user's rules for each pattern.

    To git the rules of one pattern, each for a user name, are one host.
    """
    if installation.context is None:
        return []
    own = (rule for rule, _ in installation.context.own_rules())
    return list(
        {rule.pattern: rule for rule in own if not rule.identity.typed}.values()
    )


def _unserved(
    installation: Installation, has_ours: Callable[[HostRule], bool]
) -> list[HostRule]:
    """Return the rules of hosts that are git's, and that it does not ask us for.

    Something has to show that one is: a host that says nothing of its purpose, and that
    git has nothing from, may be for any tool.
    """
    if installation.context is None:
        return []
    used = set(_served(installation.context, urls_in_use(installation)))

    def is_of_git(rule: HostRule) -> bool:
        kinds = purposes.of(rule)
        return purposes.GIT in kinds if kinds else rule.pattern in used

    return [r for r in _own(installation) if not has_ours(r) and is_of_git(r)]


def _unasked(installation: Installation, mend: Mend) -> Iterator[Finding]:
    """Yield hosts that may be for anything, where git asks us for no host at all.

    That git was told to once shows that one is git's; where no tool was, who has just
    set up a first host learns how it goes on.
    """
    hosts = ", ".join(r.pattern for r in _own(installation) if not purposes.of(r))
    if not hosts or installation.forwarded:
        return
    environ = installation.environ
    if installrecord.InstallRecord(environ, "git").read():
        text = f"git was told to ask hushkey, and does not any more, for {hosts}"
        yield Finding("git-not-registered", PROBLEM, text, _INSTALL, mend)
    elif not installrecord.are_there(paths.data_folder(environ)):
        text = f"no tool asks hushkey yet; if git is to, for {hosts}, it has to be told"
        yield Finding("no-tool-asks", NOTE, text, _INSTALL, mend)


def _served(context: Context, urls: Iterable[str]) -> Iterator[str]:
    """Yield the pattern of the rule that covers each of *urls*, where there is one."""
    for url in urls:
        with suppress(ValueError, HushkeyError):
            if rule := context.config.rule_for(origins.parse_url(url)):
                yield rule.pattern


def _listeners(
    rule: HostRule, chain: githelpers.Chain, mend: Mend
) -> Iterator[Finding]:
    """Yield helpers beside ours: what git stores, it stores with all of them."""
    for helper in chain.others():
        if helper.is_wrong_socket:
            continue  # has a finding of its own
        place = chain.helpers.index(helper)
        ours = next(n for n, h in enumerate(chain.helpers) if h.is_ours)
        where = "before" if place < ours else "after"
        # What another section says behind ours is reset by one that is written last.
        last = place > ours and helper.section != chain.helpers[ours].section
        keeps = helper.name in githelpers.KEEPERS
        yield Finding(
            "helper-keeps-tokens" if keeps else "helper-sees-tokens",
            PROBLEM if keeps else NOTE,
            f"for {rule.pattern} git also asks {helper.line()} {where} hushkey, and "
            f"hands it our tokens{' to keep' if keeps else ''}",
            f"hushkey uninstall git && {_INSTALL}" if last else _INSTALL,
            None if last else mend,
        )


def _paths(rule: HostRule, chain: githelpers.Chain, mend: Mend) -> Iterator[Finding]:
    if chain.sends_path or not origins.parse_pattern(rule.pattern).path:
        return
    yield Finding(
        "git-sends-no-path",
        PROBLEM,
        f"the rule {rule.pattern} goes by path, but git sends none (useHttpPath)",
        _INSTALL,
        mend,
    )


def _repository(
    installation: Installation, git: Git, rule: HostRule, request: Request
) -> Iterator[Finding]:
    """Yield helpers that the repository in the working directory brings along."""
    here = githelpers.chain(git, request, installation.folder)
    own = [helper for helper in here.others() if helper.of_repository]
    if own:
        told = f"add {own[0].name}, " + (
            "which is handed our tokens" if here.has_ours else "in place of hushkey"
        )
    elif here.emptied and here.emptied.of_repository and not here.has_ours:
        told, own = "empty git's list of helpers: hushkey is not asked", [here.emptied]
    else:
        return
    old = git.version() < _EPHEMERAL
    name = own[0].section
    key = f"credential.{name}.helper" if name else "credential.helper"
    yield Finding(
        "repository-helper",
        PROBLEM if old and here.has_ours else NOTE,
        f"for {rule.pattern} this repository's own settings {told}",
        f"git config --local --unset-all {shlex.quote(key)}",
    )


def _wrong_socket(git: Git) -> Iterator[Finding]:
    """Yield a `cache --socket` on our socket: git's own daemon would keep tokens.

    `store` with nobody listening starts that daemon on our socket, and a frozen
    listener hangs git (tried with git 2.39).
    """
    found = git.listing("-z", "--get-regexp", r"^credential\..*helper$").split("\0")
    for entry in found:
        key, _, value = entry.partition("\n")
        if githelpers.is_wrong_socket(value):
            yield Finding(
                "cache-on-our-socket",
                PROBLEM,
                f"{key} lets git-credential-cache store and hang on hushkey's socket",
                f"git config --global --unset-all {shlex.quote(key)} cache "
                f"&& {_INSTALL}",
            )


def _door(installation: Installation, git: Git, mend: Mend) -> Iterator[Finding]:
    """Yield that git's lines to the agent are not what install would write now.

    One is said of this hushkey, these programs and this environment, and says nothing
    to any other: git goes on to the helper behind it, which takes its time.
    """
    if installation.context is None or _is_foreign(installation.environ):
        return  # the line cannot be made, so the one that is there may be right
    found = git.listing("-z", "--get-regexp", r"^credential\..*helper$").split("\0")
    values = {entry.partition("\n")[2] for entry in found}
    line = gitdoor.line(installation.environ)
    if set(filter(gitdoor.is_door, values)) - {line}:
        what = "was written for another hushkey, program, folder or environment"
    elif line and any(_without_door(installation.context, git)):
        what = "is missing"
    else:
        return
    yield Finding(
        "agent-line-old",
        NOTE,
        f"git's line to the agent {what}: fetches take longer",
        _INSTALL,
        mend,
    )


def _without_door(context: Context, git: Git) -> Iterator[str]:
    """Yield the sections that install keeps up to date, without a line to the agent."""
    for section in gitsections.kept(context, git):
        values = git.values(git.path, f"credential.{section}.helper")
        if not any(map(githelpers.is_socket, values)):
            yield section


def _is_foreign(environ: Mapping[str, str]) -> bool:
    """Tell whether the agent's folder is another user's, which has its own finding."""
    try:
        ownership.check_owner(paths.runtime_folder(environ))
    except HushkeyError:
        return True
    return False


def _rewritten(installation: Installation, git: Git) -> Iterator[Finding]:
    """Yield a `url.BASE.insteadOf` that leads git away from us (git-config(1))."""
    words = ("--show-scope", "-z", "--get-regexp", r"^url\..*\.insteadof$")
    fields = iter(git.listing(*words).split("\0")[:-1])
    bases: dict[str, tuple[str, str]] = {}
    for scope, entry in zip(fields, fields, strict=False):
        key, _, prefix = entry.partition("\n")
        bases[prefix] = (scope, key.removeprefix("url.").removesuffix(".insteadof"))
    told: dict[str, list[str]] = {}
    for rule in _own(installation):
        request = githelpers.request_of(rule.pattern)
        url = f"{request.protocol}://{request.host}/{request.path}"
        fitting = [prefix for prefix in bases if prefix and url.startswith(prefix)]
        if fitting:
            told.setdefault(max(fitting, key=len), []).append(rule.pattern)
    for prefix, patterns in told.items():
        scope, base = bases[prefix]
        if why := _leads_away(base):
            key = f"url.{base}.insteadOf"
            names = f"the URLs of {', '.join(patterns)}"
            taken = ["--unset-all", key]
            if sum(base == other for _, other in bases.values()) > 1:
                taken.append(exactly(prefix))
            # Not in a file that this one includes, nor a program's own.
            there = scope == "global" and prefix in git.values(git.path, key)
            command = shlex.join(["git", "config", f"--{scope}", *taken])
            if not there and scope != "system":
                command = "git config --show-origin --get-regexp insteadof"
            secret = "@" in base and base.startswith("http")
            # Who goes by ssh has mostly chosen to.
            kept = secret or not there or why == _SSH
            yield Finding(
                "git-rewritten",
                NOTE if why == _SSH else PROBLEM,
                f"git's insteadOf rewrites {names} to {_public(base)}, {why}",
                "git config --global --edit" if secret else command,
                None if kept else partial(_unset, git, taken),
            )


_SSH = "which goes by ssh and asks nobody for a password"


def _leads_away(base: str) -> str:
    """Return why git asks us no more for URLs that begin with *base*, or nothing."""
    scheme, marker, rest = base.partition("://")
    if marker and scheme == "https":
        user, at, _ = rest.partition("/")[0].rpartition("@")
        return "which holds a password of its own" if at and ":" in user else ""
    if marker and scheme == "http":
        return "where hushkey gives no token, since it is not https"
    is_ssh = scheme.endswith("ssh") if marker else ":" in base
    return _SSH if is_ssh else "for which git asks no helper"


def _public(base: str) -> str:
    """Return *base* without what may be a password."""
    scheme, marker, rest = base.partition("://")
    return f"{scheme}{marker}{rest.rpartition('@')[2]}" if marker else base


def _unset(git: Git, words: Sequence[str]) -> None:
    change = git.edited(lambda copy: git.run(copy, *words))
    change.apply(backup=False)


def _short(installation: Installation, git: Git, mend: Mend) -> Iterator[Finding]:
    """Yield lines with our helper's name, as hushkey 0.1.0 wrote them."""
    sections = list(gitsections.short(git, installation.environ))
    what = "names hushkey without its path: what a desktop starts may not find it"
    if named := ", ".join(filter(None, sections)):
        text = f"for {named} git's file {what}"
        yield Finding("helper-without-path", PROBLEM, text, _INSTALL, mend)
    if "" in sections:
        path = shlex.quote(gitsections.helper(installation.environ))
        command = "git config --global --replace-all credential.helper"
        command = f"{command} {path} '^hushkey$'"
        text = f"credential.helper {what}"
        yield Finding("helper-without-path", PROBLEM, text, command)


def _stale(
    installation: Installation, git: Git, forget: Callable[[str], object]
) -> Iterator[Finding]:
    """Yield hosts that left the config, for which git asks nobody but us.

    Not where another machine answers for them.
    """
    if installation.context is None or installation.forwarded:
        return
    for section in gitsections.stale(installation.context, git):
        yield Finding(
            "git-stale",
            PROBLEM,
            f"git asks nobody but hushkey for {section}, which no rule covers any more",
            f"hushkey uninstall git {shlex.quote(section)}",
            partial(forget, section),
        )


def urls_in_use(installation: Installation) -> Iterator[str]:
    """Yield the remotes of this repository, and what git asks us for."""
    if installation.git is None:
        return
    words = ("-z", "--get-regexp")
    remotes = installation.git.listing(
        *words, r"^remote\..*\.url$", folder=installation.folder
    )
    for entry in remotes.split("\0")[:-1]:
        yield entry.partition("\n")[2]
    sections = installation.git.listing(*words, r"^credential\.https://.*\.helper$")
    for entry in sections.split("\0")[:-1]:
        key, _, value = entry.partition("\n")
        if githelpers.is_ours(value):
            yield key.removeprefix("credential.").removesuffix(".helper")
