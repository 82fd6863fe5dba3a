"""The sections of git's own file that ask hushkey: whose they are, what they say."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping

from hushkey import origins
from hushkey.errors import HushkeyError, Permanent
from hushkey.store import typed_index
from hushkey.system import paths, programs
from hushkey_helpers.git import typed
from hushkey_install.common import ownprograms
from hushkey_install.common.context import Context, shown
from hushkey_install.tools import githelpers
from hushkey_install.tools.gitfile import Git

_HELPER = "git-credential-hushkey"
#: the PATH of what a desktop starts, at the least
_DESKTOP = os.pathsep.join(("/usr/bin", "/bin"))


def url_of(pattern: origins.Pattern) -> str:
    """Return the URL of the section that serves *pattern*: its host, without a path."""
    host = f"*.{pattern.host}" if pattern.wild else pattern.host
    default = origins.DEFAULT_PORTS[pattern.scheme]
    port = "" if pattern.port == default else f":{pattern.port}"
    return f"{pattern.scheme}://{host}{port}"


def normal(section: str) -> str:
    """Return the URL of the host of *section*; of no host's, as it is written."""
    scheme, marker, rest = section.partition("://")
    origin, _, _ = rest.partition("/")
    try:
        return url_of(
            origins.parse_pattern(f"{scheme}{marker}{origin.rpartition('@')[2]}")
        )
    except ValueError:
        return section


def named(word: str) -> str:
    """Return the section's URL that a person means by *word*: a host or a URL."""
    url = normal(word if "://" in word else f"https://{word}")
    try:
        origins.parse_pattern(url)
    except ValueError as error:
        raise Permanent(f"{shown(word)!r}: {error}") from error
    return url


def kept(context: Context, git: Git) -> Iterator[str]:
    """Yield the sections of git's file that ask us for hosts of which there are rules.

    One that somebody wrote for a user or a path is theirs.
    """
    for section, _ in registered(git, git.path):
        if section and section == normal(section) and _has_rule(context, section):
            yield section


def stale(context: Context, git: Git) -> Iterator[str]:
    """Yield the sections that ask us, and nobody else, for hosts without a rule.

    A host of which something typed is kept is served.
    """
    for section, values in registered(git, git.path):
        url = normal(section)
        if not section or "" not in values or _has_rule(context, url):
            continue
        if not _has_typed(context, url):
            yield section


def _has_rule(context: Context, url: str) -> bool:
    patterns = (rule.pattern for rule in context.config.rules())
    if url in map(url_of, map(origins.parse_pattern, patterns)):
        return True
    try:
        return context.config.rule_for(githelpers.request_of(url)) is not None
    except (ValueError, HushkeyError):
        return True  # nobody's host, or several rules'


def _has_typed(context: Context, url: str) -> bool:
    request = githelpers.request_of(url)
    key = typed.key_of(request.protocol, request.host)
    return typed_index.holds(paths.data_folder(context.environ), key)


def short(git: Git, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the sections that name our helper without its path; "" is for all hosts.

    None where a program with a desktop's PATH finds it.
    """
    path = os.pathsep.join((git.exec_path(), _DESKTOP))
    if programs.find(_HELPER, {**environ, "PATH": path}):
        return
    for section, values in registered(git, git.path):
        if "hushkey" in values:
            yield section


def registered(git: Git, file: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each section of *file* with a helper of ours, and its helpers' values."""
    for key in git.keys(file):
        values = git.values(file, key)
        if any(map(githelpers.is_ours, values)):
            yield section_of(key), values


def section_of(key: str) -> str:
    """Return which section the ``credential.SECTION.helper`` of *key* is in."""
    return key.removeprefix("credential.").removesuffix("helper").removesuffix(".")


def helper(environ: Mapping[str, str]) -> str:
    """Return the helper's absolute path, as git's shell has to read it."""
    path = ownprograms.expect(_HELPER, environ)
    quoted = shlex.quote(path)
    # What begins with a quote is no path to git: `!` says that it is for the shell.
    return path if quoted == path else f"!{quoted}"
