"""The real git, started by whoever waits for nothing: no window opens."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.oauth import Machine, OidcServer, Reply, Scripted

OPENED = "opened"


@pytest.fixture
def repository(home: Path) -> Iterator[tuple[Machine, Path]]:
    """Yield a machine, and a clone there of what only a sign-in gives."""
    refused = Reply(b"no", 401, WWW_Authenticate='Basic realm="x"')
    with OidcServer() as issuer, Scripted() as forge:
        forge.on("/app.git/info/refs", refused)
        machine = Machine(home, issuer.issuer)
        machine.configure(
            f'\n[host."{forge.url}"]\nidentity = "corp"\nscopes = ["git"]\n'
        )
        browser = home / "browser"
        browser.write_text(f"#!/bin/sh\necho > {home / OPENED}; exit 1\n")
        browser.chmod(0o755)
        machine.environ |= {"BROWSER": str(browser), "HUSHKEY_AGENT": "off"}
        (home / ".gitconfig").write_text("[credential]\n\thelper = hushkey\n")
        folder = home / "app"
        git(machine, home, "init", "-q", "app")
        git(machine, folder, "remote", "add", "origin", f"{forge.url}/app.git")
        yield machine, folder


def git(machine: Machine, folder: Path, *words: str, **environ: str) -> str:
    done = subprocess.run(
        ["git", *words],
        cwd=folder,
        env={**machine.environ, **environ},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        start_new_session=True,
    )
    return done.stderr


HOURLY = (
    *("-c", "maintenance.prefetch.enabled=true"),
    *("-c", "maintenance.prefetch.schedule=hourly"),
    *("maintenance", "run", "--schedule=hourly"),
)


@pytest.mark.parametrize(
    ("words", "environ", "why"),
    [
        (HOURLY, {}, "git's scheduled maintenance runs in the background"),
        (("fetch",), {"VSCODE_GIT_FETCH_SILENT": "true"}, "an editor fetches"),
        (("-c", "credential.interactive=", "fetch"), {}, "credential.interactive is"),
    ],
)
def test_nobody_is_asked(
    repository: tuple[Machine, Path],
    home: Path,
    words: tuple[str, ...],
    environ: dict[str, str],
    why: str,
) -> None:
    machine, folder = repository

    said = git(machine, folder, *words, **environ)

    assert f"nobody is signed in, but {why}" in said
    assert "run: hushkey login" in said
    assert not (home / OPENED).exists()


def test_whoever_waits_is_asked(repository: tuple[Machine, Path], home: Path) -> None:
    machine, folder = repository

    git(machine, folder, "fetch")

    assert (home / OPENED).exists()
