import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hushkey.errors import Permanent
from hushkey.signin import browser

URL = "https://id.example.com/authorize?client_id=a&state=b%20c"


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def soon(path: Path) -> str:
    """Return what *path* holds once it does; ten seconds at most."""
    end = time.monotonic() + 10
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < end
        time.sleep(0.01)
    return path.read_text()


def until_over(launch: browser.Launch) -> None:
    end = time.monotonic() + 10
    while launch.running():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("setting", "arguments"),
    [
        ("{p}", [URL]),
        ("{p} -new-tab", ["-new-tab", URL]),
        ("{p} 'a b' %s --x", ["a b", URL, "--x"]),
        ("{p} --app=%s", [f"--app={URL}"]),
        ("{p} %s &", [URL]),
        ("{p} %s&", [URL]),
        ("{p} &", [URL]),
        ("/nonexistent/browser:{p}", [URL]),
        ("no-such-program:./relative:'unbalanced:{p}", [URL]),
    ],
)
def test_browser_setting_is_split_as_a_shell_does(
    setting: str, arguments: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    script = f'printf "%s\\n" "$#" "$@" > {out}.part; mv {out}.part {out}'
    found = program(tmp_path, "browser", script)
    environ = {"BROWSER": setting.format(p=found), "PATH": os.defpath}

    launch = browser.launch(URL, environ)

    assert launch
    assert soon(out).splitlines() == [str(len(arguments)), *arguments]
    until_over(launch)
    assert not launch.failed()


def test_program_is_never_found_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "xdg-open", "exit 0")
    monkeypatch.chdir(tmp_path)

    for path in ("", ".", ":"):
        assert browser.launch(URL, {"DISPLAY": ":0", "PATH": path}) is None
        assert browser.launch(URL, {"BROWSER": "xdg-open", "PATH": path}) is None


def test_no_text_browser_is_started_without_a_display(tmp_path: Path) -> None:
    for name in ("w3m", "lynx", "www-browser", "xdg-open", "sensible-browser"):
        program(tmp_path, name, "exit 0")

    assert (
        browser.launch(URL, {"PATH": str(tmp_path), "TERM": "xterm"}, "linux") is None
    )


def test_desktop_launcher_is_started_with_a_display(tmp_path: Path) -> None:
    out = tmp_path / "out"
    program(tmp_path, "gio", f'echo "$@" > {out}')
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "WAYLAND_DISPLAY": "w"}
    (tmp_path / "xdg-open").mkdir()
    environ["PATH"] = str(tmp_path)

    launch = browser.launch(URL, environ, "linux")

    assert launch
    assert soon(out) == f"open {URL}\n"
    until_over(launch)


def test_wsl_prefers_its_own_launcher(tmp_path: Path) -> None:
    out = tmp_path / "out"
    program(tmp_path, "wslview", f'echo "$@" > {out}')
    program(tmp_path, "xdg-open", "exit 3")
    environ = {"PATH": str(tmp_path), "WSL_DISTRO_NAME": "U", "DISPLAY": ":0"}

    launch = browser.launch(URL, environ, "linux")

    assert launch
    assert soon(out) == f"{URL}\n"
    until_over(launch)


def test_explorer_that_ends_with_1_has_not_failed(tmp_path: Path) -> None:
    program(tmp_path, "explorer.exe", "exit 1")

    launch = browser.launch(URL, {"PATH": str(tmp_path), "WSL_INTEROP": "x"}, "linux")

    assert launch
    until_over(launch)
    assert not launch.failed()


def test_failed_browser_is_noticed_and_the_next_is_started(tmp_path: Path) -> None:
    bad, good = program(tmp_path, "bad", "exit 3"), program(tmp_path, "good", "exit 0")

    launch = browser.launch(URL, {"BROWSER": f"{bad}:{good}"})
    assert launch
    until_over(launch)
    assert launch.failed()
    second = launch.instead()

    assert second
    until_over(second)
    assert not second.failed()
    assert second.instead() is None


def test_blocking_browser_does_not_hold_us(tmp_path: Path) -> None:
    blocking = program(tmp_path, "blocking", f"echo $$ > {tmp_path}/pid; exec sleep 60")

    began = time.monotonic()
    launch = browser.launch(URL, {"BROWSER": f"{blocking}", "PATH": os.defpath})

    assert launch
    assert time.monotonic() - began < 2
    assert launch.running()
    assert not launch.failed()
    os.kill(int(soon(tmp_path / "pid")), 15)
    until_over(launch)


def test_browser_inherits_nothing_and_its_words_go_nowhere(tmp_path: Path) -> None:
    facts = tmp_path / "facts"
    talker = program(
        tmp_path,
        "talker",
        "echo Opening in existing browser session.; echo x >&2; cat\n"
        "seen=$(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2)\n"
        f"echo $PWD $seen $(ls /proc/$$/fd | wc -l) > {facts}.part\n"
        f"echo $(ps -o sid= -p $$) $$ >> {facts}.part\n"
        f"mv {facts}.part {facts}",
    )
    code = (
        "import os, sys, time\n"
        "from hushkey.signin import browser\n"
        f"launch = browser.launch({URL!r}, os.environ)\n"
        "while launch.running(): time.sleep(0.01)\n"
    )
    environ = {**os.environ, "BROWSER": str(talker)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, timeout=30
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
    lines = soon(facts).split()
    assert lines[:4] == ["/", "/dev/null", "/dev/null", "/dev/null"]
    assert int(lines[4]) <= 5  # and the shell's script and its pipe
    assert lines[5] == lines[6]  # the leader of a session of its own


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "javascript:alert(1)",
        "--version",
        "https://",
        "https://a b",
        "https://a/'; calc; '",
        'https://a/"x',
        "https://a/\n",
        "https://a/`id`",
    ],
)
def test_only_a_clean_web_address_is_opened(url: str, tmp_path: Path) -> None:
    tool = program(tmp_path, "tool", "exit 0")

    with pytest.raises(Permanent):
        browser.launch(url, {"BROWSER": str(tool)})
