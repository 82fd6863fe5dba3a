"""Every way to sign in, with a real server: browser, paste-back, device code."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hushkey_install.demo.idserver import IdentityServer
from kit.desk import BIN, Desk
from servers.browser import Browser
from servers.issuer import Issuer

pytestmark = pytest.mark.contract


class Person:
    """Somebody at a terminal, with `hushkey login` running in it."""

    def __init__(self, master: int, process: "subprocess.Popen[bytes]") -> None:
        self._master = master
        self.process = process
        self.seen = ""

    def read_until(self, pattern: str, seconds: float = 20) -> "re.Match[str]":
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := re.search(pattern, self.seen):
                return found
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self._master, 65536).decode("utf-8", "replace")
                except OSError:
                    break
        raise AssertionError(f"never saw {pattern}: {self.seen}")

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def leave(self, seconds: float = 20) -> int:
        return self.process.wait(seconds)


@contextmanager
def at_terminal(
    desk: Desk, *words: str, program: str = str(BIN / "hushkey"), **extra: str
) -> Iterator[Person]:
    """Run `hushkey WORDS` as the foreground job of a terminal of its own."""
    master, slave = pty.openpty()
    # The shell's part: a session whose terminal this is, and then the job.
    starter = (
        "import fcntl, os, sys, termios\n"
        "os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", starter, program, *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=desk.environ | {"BROWSER": "", "TERM": "xterm"} | extra,
        cwd=desk.folder,
    )
    os.close(slave)
    try:
        person = Person(master, process)
        yield person
        desk.ear.hear("terminal", b"", person.seen.encode())
    finally:
        process.kill()
        process.wait()
        os.close(master)


def visit(desk: Desk, url: str) -> str:
    """Send the scripted visitor to *url*; return what it says."""
    done = subprocess.run(
        [*desk.visitor.argv, url],
        env=desk.environ,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.stdout.decode() + done.stderr.decode()


def test_printed_address_opened_elsewhere_comes_back_by_itself(desk: Desk) -> None:
    with at_terminal(desk, "login", "corp") as person:
        address = person.read_until(r"(https://[^\s\x1b]+/auth\?[^\s\x1b]+)")[1]
        visit(desk, address)
        person.read_until("signed in to")
        assert person.leave() == 0


def test_pasted_redirect_signs_in_and_is_not_echoed(desk: Desk) -> None:
    with at_terminal(desk, "login", "corp") as person:
        address = person.read_until(r"(https://[^\s\x1b]+/auth\?[^\s\x1b]+)")[1]
        redirect = last_redirect(desk, address)
        person.read_until("paste")
        person.type(redirect + "\n")
        person.read_until("signed in to")
        code = re.search(r"code=([^&]+)", redirect)
        assert code
        assert code[1] not in person.seen
        assert person.leave() == 0


def last_redirect(desk: Desk, address: str) -> str:
    """Sign in with a visitor whose loopback is another machine's."""
    script = (
        "import sys, urllib.error\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import visitor\n"
        "class Elsewhere(visitor.urllib.request.HTTPRedirectHandler):\n"
        "    def redirect_request(self, req, fp, code, msg, headers, newurl):\n"
        "        if newurl.startswith('http://127.0.0.1:') and 'code=' in newurl:\n"
        "            print('AT', newurl); sys.exit(0)\n"
        "        return super().redirect_request(req, fp, code, msg, headers, newurl)\n"
        "visitor.urllib.request.HTTPRedirectHandler = Elsewhere\n"
        "sys.argv = ['visitor', sys.argv[2]]\n"
        "visitor.main()\n"
    )
    folder = Path(desk.visitor.argv[1]).parent
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), address],
        env=desk.environ,
        capture_output=True,
        timeout=60,
        check=False,
    )
    found = re.search(r"AT (\S+)", done.stdout.decode())
    assert found, done.stdout + done.stderr
    return found[1]


def test_device_code_on_a_terminal_signs_in(desk: Desk) -> None:
    with at_terminal(desk, "login", "corp", "--method", "device") as person:
        address = person.read_until(r"(https://\S+/device)\b")[1]
        code = person.read_until(r"(?:m|\s)([A-Z]{4}-[A-Z]{4})\b")[1]
        desk.visitor.code = code
        visit(desk, address)
        person.read_until("signed in to", 30)
        assert person.leave() == 0
    assert desk.issuer.token_requests(status=200)[-1]["grant_type"].endswith(
        "device_code"
    )


def test_device_code_declined_ends_at_once(desk: Desk) -> None:
    with at_terminal(desk, "login", "corp", "--method", "device") as person:
        address = person.read_until(r"(https://\S+/device)\b")[1]
        desk.visitor.code = person.read_until(r"(?:m|\s)([A-Z]{4}-[A-Z]{4})\b")[1]
        desk.visitor.mode = "decline"
        visit(desk, address)
        person.read_until("declined", 30)
        assert person.leave() == 3


def test_ctrl_c_restores_the_terminal_and_says_so(desk: Desk) -> None:
    with at_terminal(desk, "login", "corp") as person:
        person.read_until(r"(https://[^\s\x1b]+/auth\?[^\s\x1b]+)")
        person.type("\x03")
        person.read_until("cancelled")
        assert person.leave() == 3


def test_hanging_browser_meets_the_sign_in_timeout(desk: Desk) -> None:
    desk.configure(settings="sign_in_timeout = 5")
    desk.visitor.mode = "hang"
    began = time.monotonic()

    done = desk.get()

    assert b"no answer within 5 s" in done.stderr
    assert time.monotonic() - began < 12
    assert len(desk.visitor.visits()) == 1


@pytest.mark.parametrize("redirect", ["http://localhost", "http://127.0.0.1/callback"])
def test_other_redirect_addresses_work(desk: Desk, redirect: str) -> None:
    desk.configure(identity=f'redirect_uri = "{redirect}"')

    done = desk.get()

    assert done.returncode == 0, done.stderr


def test_issuer_at_the_root_over_http_on_loopback(
    desk: Desk, plain_issuer: Issuer
) -> None:
    desk.issuer = plain_issuer
    desk.configure()

    done = desk.get()

    assert done.returncode == 0, done.stderr
    assert plain_issuer.sign_ins() == 1


def test_strict_server_gives_offline_access_for_prompt_consent(desk: Desk) -> None:
    desk.issuer.set(strict_offline=True)
    assert desk.get().returncode == 0
    desk.age(3601)

    assert desk.get().returncode == 0
    assert len(desk.visitor.visits()) == 1
    assert desk.issuer.refreshes() == 1


def test_another_account_than_configured_is_not_kept(desk: Desk) -> None:
    desk.configure(identity='account = "bob@corp.test"')

    done = desk.get()

    assert b"alice@corp.test signed in, but bob@corp.test was asked for" in done.stderr
    assert desk.tokens() == []


def test_second_real_server_signs_in_refreshes_and_rotates(
    desk: Desk, tmp_path: Path
) -> None:
    """django-oauth-toolkit: opaque tokens, no offline_access, strict rotation."""
    folder = tmp_path / "second"
    folder.mkdir()
    server = IdentityServer(folder, access_seconds=3600)
    server.start()
    try:
        (desk.folder / "config.toml").write_text(
            '[settings]\nkey_store = "file"\n[identity.corp]\nprovider = "oidc"\n'
            f'issuer = "{server.issuer}"\nclient_id = "{server.client_id}"\n'
            'redirect_uri = "http://127.0.0.1/callback"\n'
            f'[host."{desk.apache.host}"]\nidentity = "corp"\n'
            'scopes = ["openid", "git"]\n'
        )
        browser = f"{sys.executable} -m hushkey_install.demo.visitor"
        for count in range(3):
            done = desk.get(BROWSER=browser)
            assert done.returncode == 0, done.stderr
            log = server.log()
            grants = [line["grant_type"] for line in log if "grant_type" in line]
            assert grants == ["authorization_code", *["refresh_token"] * count]
            desk.age(3601)
    finally:
        server.stop()


def test_real_browser_signs_in_and_shows_the_page(
    desk: Desk, chromium_browser: Browser
) -> None:
    desk.visitor = chromium_browser

    done = desk.get()

    assert done.returncode == 0, done.stderr + chromium_browser.troubles().encode()
    assert done.stdout.startswith(b"username=oauth2\npassword=")
    assert len(chromium_browser.visits()) == 1


def test_helper_shows_no_request_and_says_who_signed_in(desk: Desk) -> None:
    done = desk.get()

    assert done.returncode == 0, done.stderr
    (visit,) = desk.visitor.visits()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{20,}", visit["url"])
    asks, said = done.stderr.decode().splitlines()
    assert f"if not, open {visit['url']} " in asks
    assert said == f"hushkey: signed in to {desk.apache.host} as alice@corp.test"
    again = desk.get()
    assert again.stderr == b""
