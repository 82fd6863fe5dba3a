"""Faults of network, server, trust and clock: no browser, the right words, in time."""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.desk import Desk
from servers.authority import Authority
from servers.issuer import Issuer

pytestmark = pytest.mark.contract

FAULTS = [
    pytest.param({"kind": "status", "status": 503}, "HTTP 503", id="503"),
    pytest.param(
        {"kind": "status", "status": 429, "retry_after": 7}, "HTTP 429", id="429"
    ),
    pytest.param({"kind": "captive"}, "captive portal", id="portal"),
    pytest.param({"kind": "drop"}, "cannot be reached", id="dropped"),
    pytest.param({"kind": "hang"}, "no answer in time", id="hang"),
    pytest.param(
        {"kind": "error", "error": "invalid_client"}, "rejects the client", id="client"
    ),
    pytest.param({"kind": "error", "error": "invalid_scope"}, "scopes", id="scope"),
]


def signed_in(desk: Desk, settings: str = "") -> None:
    desk.configure(settings=settings)
    done = desk.get()
    assert done.returncode == 0, done.stderr


def expire(desk: Desk) -> None:
    desk.age(3601)


@pytest.mark.parametrize(("fault", "words"), FAULTS)
def test_faulty_token_endpoint_opens_no_browser(
    desk: Desk, fault: dict[str, Any], words: str
) -> None:
    signed_in(desk, "silent_timeout = 3")
    expire(desk)
    desk.issuer.fail(**fault)
    began = time.monotonic()

    done = desk.get()

    assert words in done.stderr.decode()
    assert done.stdout == b"quit=1\n"
    assert done.stderr.count(b"\n") == 1
    assert time.monotonic() - began < 9
    assert len(desk.visitor.visits()) == 1
    desk.issuer.heal()
    if "retry_after" not in fault:
        assert desk.get().returncode == 0  # the grant is alive


def test_retry_after_is_obeyed(desk: Desk) -> None:
    signed_in(desk)
    expire(desk)
    desk.issuer.fail("status", status=429, retry_after=300)

    done = [desk.get() for _ in range(5)]

    assert all(b"HTTP 429" in d.stderr for d in done)
    assert desk.issuer.refreshes() == 1


def test_server_that_is_down_opens_no_browser(
    desk: Desk, make_issuer: Callable[..., Issuer], authority: Authority
) -> None:
    desk.issuer = make_issuer(authority=authority, path="/oidc")
    signed_in(desk)
    expire(desk)
    desk.issuer.halt()

    done = desk.get()

    assert b"cannot be reached" in done.stderr
    assert len(desk.visitor.visits()) == 1
    # Nor does it help that it is known where the server used to be.
    assert desk.hushkey("logout", "--local", "corp").returncode == 0
    assert b"cannot be reached" in desk.get().stderr
    assert len(desk.visitor.visits()) == 1
    # One who never signed in is not sent to a browser that cannot help, either.
    shutil.rmtree(desk.folder / "data")
    assert b"cannot be reached" in desk.get().stderr
    assert len(desk.visitor.visits()) == 1


def test_cached_token_needs_no_server_at_all(
    desk: Desk, make_issuer: Callable[..., Issuer], authority: Authority
) -> None:
    desk.issuer = make_issuer(authority=authority, path="/oidc")
    signed_in(desk)
    requests = len(desk.issuer.log())
    desk.issuer.halt()

    done = desk.get()

    assert done.returncode == 0
    assert b"password=" in done.stdout
    assert len(desk.issuer.log()) == requests


def test_untrusted_certificate_is_named_and_opens_no_browser(
    desk: Desk, tmp_path: Path
) -> None:
    signed_in(desk)
    expire(desk)
    other = Authority(tmp_path / "other", name="another CA")
    config = desk.folder / "config.toml"
    config.write_text(config.read_text().replace(str(desk.ca_file), str(other.ca_file)))

    done = desk.get(REQUESTS_CA_BUNDLE=str(desk.ca_file))

    assert b"certificate is not trusted" in done.stderr
    assert b"ca_file" in done.stderr
    assert len(desk.visitor.visits()) == 1


def test_token_that_is_old_but_alive_serves_while_the_server_fails(desk: Desk) -> None:
    signed_in(desk)
    desk.age(3600 - 120)  # below min_lifetime, two minutes left
    desk.issuer.fail("status", status=503)

    done = desk.get()

    assert done.returncode == 0, done.stderr
    assert b"password=" in done.stdout


def test_revoked_grant_is_one_new_sign_in(desk: Desk) -> None:
    signed_in(desk)
    expire(desk)
    desk.issuer.forget()

    done = desk.get()

    assert done.returncode == 0, done.stderr
    assert len(desk.visitor.visits()) == 2
    assert desk.issuer.refreshes() == 1


def test_revoked_grant_without_anybody_to_ask_says_what_to_run(desk: Desk) -> None:
    signed_in(desk)
    expire(desk)
    desk.issuer.forget()

    first, second = desk.get(CI="true"), desk.get(CI="true")

    for done in (first, second):
        assert done.stdout == b"quit=1\n"
        assert b"this is a CI job" in done.stderr
        assert f"hushkey login {desk.apache.host}".encode() in done.stderr
    assert desk.issuer.refreshes() == 1  # the dead grant was dropped


def test_no_display_and_no_terminal_fails_at_once(desk: Desk) -> None:
    began = time.monotonic()

    done = desk.get(BROWSER="")

    assert b"there is no display" in done.stderr
    assert b"hushkey login" in done.stderr
    assert time.monotonic() - began < 5
    assert desk.issuer.log() == []


def test_lost_answer_to_a_rotation_is_a_clean_new_sign_in(desk: Desk) -> None:
    """The server rotated, and its answer never arrived: nobody can save that grant."""
    signed_in(desk)
    expire(desk)
    desk.issuer.fail("lose", times=1)

    lost, after = desk.get(), desk.get()

    assert b"cannot be reached" in lost.stderr
    assert after.returncode == 0, after.stderr
    assert len(desk.visitor.visits()) == 2


def test_clock_that_is_an_hour_ahead_is_named(desk: Desk) -> None:
    desk.issuer.set(id_ttl=60)
    script = desk.folder / "later.py"
    script.write_text(
        "import time\nreal = time.time\ntime.time = lambda: real() + 3600\n"
        "import sys; sys.argv = ['git-credential-hushkey', 'get']\n"
        "from hushkey_helpers.git.helper import main\nmain()\n"
    )
    text = f"protocol=https\nhost={desk.apache.host}\n\n"

    done = desk.start(sys.executable, str(script), stdin=text.encode())

    assert b"clock" in done.stderr
    assert b"ahead of the server's" in done.stderr
    assert done.stdout == b"quit=1\n"


def test_narrower_grant_is_refused_aloud(desk: Desk) -> None:
    desk.issuer.set(answer={"scope": "openid"})

    done = desk.get()

    assert b"granted less than the scopes asked for" in done.stderr
    assert done.stdout == b"quit=1\n"
    assert desk.get().stdout == b"quit=1\n"
    assert len(desk.visitor.visits()) == 1  # not again within the minute


def test_refresh_without_an_id_token_or_scope_stays_silent(desk: Desk) -> None:
    desk.issuer.set(id_token_on_refresh=False)
    signed_in(desk)
    desk.issuer.set(answer={"scope": None})
    for count in (1, 2):
        expire(desk)
        assert desk.get().returncode == 0
        assert desk.issuer.refreshes() == count
    assert desk.get().returncode == 0
    assert desk.issuer.refreshes() == 2


@pytest.mark.parametrize(
    ("every_audience", "sign_ins"),
    [
        pytest.param(True, 1, id="one sign-in for all"),
        pytest.param(False, 2, id="one sign-in each"),
    ],
)
def test_second_audience_needs_what_the_server_demands(
    desk: Desk, every_audience: bool, sign_ins: int
) -> None:
    desk.issuer.set(every_audience=every_audience)
    desk.configure(
        hosts=f'[host."{desk.apache.host}"]\nidentity = "corp"\nscopes = ["git"]\n'
        '[host."packages.test"]\nidentity = "corp"\nscopes = ["packages"]\n'
    )
    assert desk.get().returncode == 0
    for _ in range(2):
        other = desk.helper("get", "protocol=https\nhost=packages.test\n\n")
        assert other.returncode == 0, other.stderr
        assert desk.get().returncode == 0
    assert len(desk.visitor.visits()) == sign_ins
    values = set(desk.tokens())
    assert len(values) == 2


def test_refresh_is_one_network_request(desk: Desk) -> None:
    signed_in(desk)
    expire(desk)
    before = len(desk.issuer.log())

    assert desk.get().returncode == 0

    assert len(desk.issuer.log()) == before + 1
