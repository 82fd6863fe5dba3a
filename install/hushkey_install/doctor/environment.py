"""Doctor on the environment: BROWSER, switches, and a second hushkey on PATH."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import version

from hushkey.signin import policy
from hushkey.system import programs
from hushkey_install.common.finding import NOTE, PROBLEM, Finding
from hushkey_install.tools.installation import Installation

_PROGRAMS = ("hushkey", "git-credential-hushkey")
#: seconds for `hushkey --version` of another installation
_PATIENCE = 10


def browser(installation: Installation) -> Iterator[Finding]:
    """Yield a BROWSER that starts nothing, and a switch that means nothing."""
    chosen = installation.environ.get("BROWSER", "").strip()
    commands = [text for text in chosen.split(os.pathsep) if text.strip()]
    if commands and not any(_starts(text, installation.environ) for text in commands):
        yield Finding(
            "browser-wrong",
            PROBLEM,
            "BROWSER names no program on PATH, so no sign-in page can open",
            "unset BROWSER",
        )
    switch = installation.environ.get("HUSHKEY_INTERACTIVE", "").strip().lower()
    if switch and switch not in policy.MODES:
        yield Finding(
            "switch-wrong",
            PROBLEM,
            f"HUSHKEY_INTERACTIVE must be one of {', '.join(policy.MODES)}",
            "unset HUSHKEY_INTERACTIVE",
        )


def _starts(text: str, environ: Mapping[str, str]) -> bool:
    try:
        words = shlex.split(text)
    except ValueError:
        return False
    return bool(words) and programs.find(words[0], environ) is not None


def twice(installation: Installation) -> Iterator[Finding]:
    """Yield a second installation on PATH, if it is of another version."""
    lacking = [p for p in _PROGRAMS if not _all_on_path(p, installation.environ)]
    broken = [link for p in _PROGRAMS for link in _broken(p, installation.environ)]
    if broken:
        leads = "leads" if len(broken) == 1 else "lead"
        yield Finding(
            "link-broken",
            PROBLEM,
            f"{', '.join(broken)} {leads} to a hushkey that is gone: install it again",
            "pipx reinstall hushkey",
        )
    elif lacking:
        are = "is" if len(lacking) == 1 else "are"
        yield Finding(
            "not-on-path",
            PROBLEM,
            f"{' and '.join(lacking)} {are} not on PATH",
            "pipx ensurepath",
        )
    installed = _all_on_path("hushkey", installation.environ)
    if len(installed) < 2:
        return
    versions = {path: _version(path, installation.environ) for path in installed}
    if len(set(versions.values())) > 1:
        listed = ", ".join(f"{path} ({v})" for path, v in versions.items())
        yield Finding(
            "installed-twice",
            PROBLEM,
            f"PATH holds several versions of hushkey, the first is used: {listed}",
            "pipx uninstall hushkey",
        )
    elif len(installed) > 1:
        yield Finding(
            "installed-copies",
            NOTE,
            f"hushkey {version('hushkey')} is on PATH {len(installed)} times",
        )


def _all_on_path(name: str, environ: Mapping[str, str]) -> list[str]:
    """Return every executable *name* on absolute PATH entries, the first one first."""
    found: dict[str, str] = {}
    for folder in environ.get("PATH", "").split(os.pathsep):
        path = programs.find(name, {**environ, "PATH": folder})
        if path is not None:
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _broken(name: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the links called *name* on PATH that lead nowhere."""
    for folder in dict.fromkeys(environ.get("PATH", "").split(os.pathsep)):
        path = os.path.join(folder, name)
        if os.path.isabs(path) and os.path.islink(path) and not os.path.exists(path):
            yield path


def _version(path: str, environ: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
            cwd="/",
            env=dict(environ),
        )
    except (OSError, subprocess.SubprocessError):
        return "does not start"
    return (
        done.stdout.decode("utf-8", "replace").strip().rpartition(" ")[2] or "unknown"
    )
