"""Makes a plan true; where nobody gets signed in, the config is as it was before."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping

from hushkey.errors import HushkeyError
from hushkey_install.common import output
from hushkey_install.common.filechange import Change, drop_backup, remove
from hushkey_install.config import document
from hushkey_install.importers import entry
from hushkey_install.setup.plan import Plan
from hushkey_install.setup.questions import Secret
from hushkey_install.setup.target import Target


def run(
    plan: Plan, sign_in: Callable[[str], object], environ: Mapping[str, str]
) -> list[HushkeyError]:
    """Change the config, sign in, register; return what failed of the last, all told.

    Tools are registered last: nothing that works is silenced before somebody is
    signed in. Raises what keeps anybody from that.
    """
    existed = os.path.lexists(plan.change.path)
    if plan.change:
        document.save(plan.change)
    try:
        if plan.secret:
            _keep(plan.target, plan.secret, environ)
        if plan.signs_in:
            sign_in(plan.host)
    except BaseException:
        if plan.change:
            _take_back(plan.change, existed=existed)
        raise
    failed: list[HushkeyError] = []
    for tool in plan.tools:
        try:
            tool.install(plan.hosts(tool, environ), False, sure=True, yes=True)
        except HushkeyError as error:
            output.say(f"hushkey: {tool.name}: {error.line()}", err=True)
            failed.append(error)
    return failed


def say_done(plan: Plan, environ: Mapping[str, str]) -> None:
    """Say what can be done now, and how all of it is taken back."""
    host = plan.target.host
    if plan.target.ssh:
        # The path of a remote is what it is for ssh, too.
        address = plan.target.url.removesuffix("/")
        output.say(
            f"note: {plan.target.ssh} goes by ssh, which asks nobody; to use the "
            f"sign-in: git remote set-url origin {shlex.quote(address)}",
            err=True,
        )
    trials = [tool.trial for tool in plan.registered if tool.trial]
    for trial in trials:
        own = plan.target.path and not plan.target.ssh and trial.startswith("git ")
        filled = trial.format(host=host, origin=plan.target.origin)
        words = f"git clone {plan.target.url}" if own else filled
        output.say(f"done; try: {words}", err=True)
    if not trials:
        output.say("done", err=True)
    output.say(f"to leave: {'; '.join(_leaving(plan, environ))}", err=True)


def _leaving(plan: Plan, environ: Mapping[str, str]) -> Iterator[str]:
    for tool in plan.registered:
        hosts = " ".join(map(shlex.quote, plan.hosts(tool, environ)))
        yield f"hushkey uninstall {tool.name} {hosts}".rstrip()
    if plan.typed:
        words = f"protocol={plan.target.scheme}\\nhost={plan.target.host}\\n\\n"
        yield f"printf '{words}' | git credential reject"
    elif not plan.machine:
        yield f"hushkey logout {shlex.quote(plan.identity)}"
    if f'[host."{plan.pattern}"]' in plan.change.after:
        key = f'host."{plan.pattern}"'
        yield f"hushkey config unset {shlex.quote(key)}"


def _keep(target: Target, secret: Secret, environ: Mapping[str, str]) -> None:
    """Keep the token, in the way of every secret that is typed."""
    record = entry.Entry(
        "setup",
        "git",
        host=target.host,
        user=secret.user,
        secret=secret.value,
        protocol=target.scheme,
    )
    entry.confirm(record, entry.store(record, environ), environ)


def _take_back(change: Change, *, existed: bool) -> None:
    """Let the config be what it was; what somebody else wrote meanwhile stays."""
    if document.text_of(change.path) != change.after:
        return
    if existed:
        Change(change.path, change.after, change.before).apply(backup=False)
    else:
        remove(change.path)
    drop_backup(change.path)
    output.say(f"{change.path} is as it was", err=True)
