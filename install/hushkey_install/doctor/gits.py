"""Doctor on git: its version, whether it asks us, and who else hears the answer."""

import os
import shlex
from collections.abc import Iterator
from functools import partial

from hushkey import hosts, programs
from hushkey.errors import HushkeyError
from hushkey.model import Request, Site
from hushkey_install import gitchain, gitconfig
from hushkey_install.doctor.finding import NOTE, PROBLEM, Finding, Patient
from hushkey_install.gitfile import Git

#: the oldest git whose protocol we know (`*.` in sections needs 2.26)
_OLDEST = (2, 26)
#: the first that marks tokens as not to be kept, and carries Bearer
_EPHEMERAL = (2, 46)
_HELPER = "git-credential-hushkey"
_INSTALL = "hushkey install git"


def check(patient: Patient) -> Iterator[Finding]:
    """Yield what keeps git from asking us, and who else is handed tokens."""
    if patient.git is None:
        if patient.git_error is not None:
            yield Finding("git-missing", NOTE, patient.git_error.line())
        return
    try:
        yield from _version(patient.git)
        yield from _reachable(patient, patient.git)
        yield from _sites(patient, patient.git)
        yield from _door(patient.git)
    except HushkeyError as error:
        yield Finding("git-fails", PROBLEM, error.line())


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
            NOTE,
            f"git {shown} cannot mark tokens as not to be kept, and replaces a "
            "refused one only at the next command; 2.46 can",
        )


def _reachable(patient: Patient, git: Git) -> Iterator[Finding]:
    """Yield that git would not find the helper by its name."""
    values = git.listing("-z", "--get-regexp", r"^credential\..*helper$").split("\0")
    if not any(entry.partition("\n")[2] == "hushkey" for entry in values):
        return
    environ = {**patient.environ}
    environ["PATH"] = os.pathsep.join((git.exec_path(), environ.get("PATH", "")))
    if not programs.find(_HELPER, environ):
        yield Finding(
            "helper-not-on-path",
            PROBLEM,
            f"git is told to ask hushkey, but {_HELPER} is not on PATH",
            "pipx ensurepath",
        )


def _sites(patient: Patient, git: Git) -> Iterator[Finding]:
    if patient.context is None:
        return
    sites = [
        site
        for site, _ in patient.context.own_sites()
        if site.identity.provider != "static"
    ]
    unregistered = []
    for site in sites:
        request = gitchain.request_of(site.pattern)
        chain = gitchain.chain(git, request)
        if not chain.has_ours:
            unregistered.append(site.pattern)
            continue
        yield from _listeners(site, chain)
        yield from _paths(site, chain)
        yield from _repository(patient, git, site, request)
    if unregistered:
        yield Finding(
            "git-not-registered",
            PROBLEM,
            f"git does not ask hushkey for {', '.join(unregistered)}",
            _INSTALL,
            partial(gitconfig.install, (), False),
        )


def _listeners(site: Site, chain: gitchain.Chain) -> Iterator[Finding]:
    """Yield helpers beside ours: what git stores, it stores with all of them."""
    for helper in chain.others():
        if helper.is_wrong_door:
            continue  # has a finding of its own
        place = chain.helpers.index(helper)
        ours = next(n for n, h in enumerate(chain.helpers) if h.is_ours)
        where = "before" if place < ours else "after"
        keeps = helper.name in gitchain.KEEPERS
        yield Finding(
            "helper-keeps-tokens" if keeps else "helper-sees-tokens",
            PROBLEM if keeps else NOTE,
            f"for {site.pattern} git also asks {helper.line()} {where} hushkey, and "
            f"hands it our tokens{' to keep' if keeps else ''}",
            _INSTALL,
            partial(gitconfig.install, (), False),
        )


def _paths(site: Site, chain: gitchain.Chain) -> Iterator[Finding]:
    if chain.sends_path or not hosts.parse_pattern(site.pattern).path:
        return
    yield Finding(
        "git-sends-no-path",
        PROBLEM,
        f"the rule {site.pattern} goes by path, but git sends none (useHttpPath)",
        _INSTALL,
        partial(gitconfig.install, (), False),
    )


def _repository(
    patient: Patient, git: Git, site: Site, request: Request
) -> Iterator[Finding]:
    """Yield helpers that the repository in the working directory brings along."""
    here = gitchain.chain(git, request, patient.folder)
    own = [helper for helper in here.others() if helper.of_repository]
    if not own:
        return
    old = git.version() < _EPHEMERAL
    name = own[0].section
    key = f"credential.{name}.helper" if name else "credential.helper"
    yield Finding(
        "repository-helper",
        PROBLEM if old and here.has_ours else NOTE,
        f"for {site.pattern} this repository's own settings add {own[0].name}, "
        + ("which is handed our tokens" if here.has_ours else "in place of hushkey"),
        f"git config --local --unset-all {shlex.quote(key)}",
    )


def _door(git: Git) -> Iterator[Finding]:
    """Yield a `cache --socket` on our socket: git's own daemon would keep tokens.

    `store` with nobody listening starts that daemon on our socket, and a frozen
    listener hangs git (design 8; tried with git 2.39).
    """
    found = git.listing("-z", "--get-regexp", r"^credential\..*helper$").split("\0")
    for entry in found:
        key, _, value = entry.partition("\n")
        if gitchain.is_wrong_door(value):
            yield Finding(
                "cache-on-our-socket",
                PROBLEM,
                f"{key} lets git-credential-cache store and hang on hushkey's socket",
                f"git config --global --unset-all {shlex.quote(key)} cache "
                f"&& {_INSTALL}",
            )
