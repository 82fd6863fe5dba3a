"""Doctor on the environment: BROWSER, switches, and a second hushkey on PATH."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version

from hushkey.errors import HushkeyError
from hushkey.signin import policy
from hushkey.system import paths, programs
from hushkey_install.common import programs_missing
from hushkey_install.common.finding import NOTE, PROBLEM, Finding
from hushkey_install.tools import ociconfig
from hushkey_install.tools.installation import Installation

_PROGRAMS = ("hushkey", "git-credential-hushkey")
#: seconds for another program to say one thing
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
        cause = programs_missing.cause(installation.environ)
        command = programs_missing.command(installation.environ)
        yield Finding("not-on-path", PROBLEM, cause, command, cause=cause)
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
            f"hushkey {version('hushkey')} is on PATH {len(installed)} times, and the "
            f"first is used: {', '.join(installed)}",
        )


def desktop(installation: Installation) -> Iterator[Finding]:
    """Yield that what the desktop starts (an editor) does not find docker's helper.

    docker and podman start it by its name. Desktops start programs with the PATH of
    systemd's user manager (systemd.environment-generator(7)), not with a shell's.
    """
    environ = installation.environ
    helper = programs.find(ociconfig.HELPER, environ)
    if helper is None or not _is_asked_by_name(environ):
        return
    path = _desktop_path(environ)
    if path and programs.find(ociconfig.HELPER, {**environ, "PATH": path}) is None:
        yield Finding(
            "desktop-path",
            NOTE,
            f"programs that the desktop starts do not find {ociconfig.HELPER}: "
            f"{os.path.dirname(helper)} is not on their PATH; log out and in, or pass "
            "this shell's PATH on",
            "systemctl --user import-environment PATH",
        )


def _is_asked_by_name(environ: Mapping[str, str]) -> bool:
    for file in (ociconfig.docker_file, ociconfig.podman_file):
        with suppress(HushkeyError):
            if any(ociconfig.ours(ociconfig.text_of(file(environ)))):
                return True
    return False


def _desktop_path(environ: Mapping[str, str]) -> str:
    """Return the PATH of what the desktop starts, or nothing if nobody can tell."""
    manager = os.path.join(paths.xdg_runtime(environ) or "/nowhere", "systemd")
    program = programs.find("systemctl", environ)
    if program is None or not os.path.isdir(manager):
        return ""
    told = _output([program, "--user", "show-environment"], environ)
    lines = [line for line in (told or "").splitlines() if line.startswith("PATH=")]
    return lines[-1].removeprefix("PATH=") if lines else ""


def _output(words: list[str], environ: Mapping[str, str]) -> str | None:
    """Return what a program prints, or None if it does not start or end in time."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
            cwd="/",
            env=dict(environ),
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")


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
    told = _output([path, "--version"], environ)
    if told is None:
        return "does not start"
    return told.strip().rpartition(" ")[2] or "unknown"
