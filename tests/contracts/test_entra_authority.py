"""MSAL against a real server that is not Microsoft's: `authority = "https://..."`."""

import sys

import pytest

from contracts.test_sign_in import at_terminal, visit
from kit.desk import Desk
from servers.gits import Git

pytestmark = pytest.mark.contract


@pytest.fixture
def msal_desk(desk: Desk) -> Desk:
    """The desk's identity goes through MSAL instead of Authlib."""
    (desk.folder / "config.toml").write_text(
        f'[settings]\nkey_store = "file"\nca_file = "{desk.ca_file}"\n'
        f'[identity.corp]\nprovider = "entra"\nauthority = "{desk.issuer.url}"\n'
        f'client_id = "hushkey"\nredirect_uri = "http://127.0.0.1/"\n'
        f'[host."{desk.apache.host}"]\nidentity = "corp"\nscopes = ["git"]\n'
        '[host."packages.test"]\nidentity = "corp"\nscopes = ["packages"]\n'
    )
    assert desk.hushkey("install", "git").returncode == 0
    return desk


def test_browser_sign_in_then_silence(msal_desk: Desk, git: Git) -> None:
    first = msal_desk.clone(git, "contoso/app", "first")
    second = msal_desk.clone(git, "fabrikam/app", "second")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert len(msal_desk.visitor.visits()) == 1
    assert len(msal_desk.issuer.token_requests()) == 1


def test_refresh_rotates_with_one_request_and_one_process(
    msal_desk: Desk, old_git: Git
) -> None:
    clones = msal_desk.clones(old_git, 8)
    for count in (1, 2, 3):
        msal_desk.age(3601)
        before = len(msal_desk.issuer.log())

        done = msal_desk.fetch_at_once(old_git, clones)

        assert [d.returncode for d in done] == [0] * 8, done[0].stderr
        assert msal_desk.issuer.refreshes() == count
        assert len(msal_desk.issuer.log()) == before + 1
    assert len(msal_desk.visitor.visits()) == 1


def test_second_resource_needs_no_second_sign_in(msal_desk: Desk) -> None:
    assert msal_desk.get().returncode == 0

    other = msal_desk.helper("get", "protocol=https\nhost=packages.test\n\n")

    assert other.returncode == 0, other.stderr
    assert len(msal_desk.visitor.visits()) == 1
    assert len(set(msal_desk.tokens())) == 2


def test_device_code_signs_in(msal_desk: Desk) -> None:
    with at_terminal(msal_desk, "login", "corp", "--method", "device") as person:
        address = person.read_until(r"(https://\S+/device)\b")[1]
        msal_desk.visitor.code = person.read_until(r"(?:m|\s)([A-Z]{4}-[A-Z]{4})\b")[1]
        visit(msal_desk, address)
        person.read_until("signed in to", 30)
        assert person.leave() == 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "status", "status": 503}, b"HTTP 503"),
        ({"kind": "status", "status": 429, "retry_after": 9}, b"HTTP 429"),
        ({"kind": "captive"}, b"captive portal"),
        ({"kind": "drop"}, b"cannot be reached"),
        ({"kind": "error", "error": "invalid_client"}, b"rejects the client"),
    ],
)
def test_fault_of_the_server_opens_no_browser(
    msal_desk: Desk, fault: dict[str, str], words: bytes
) -> None:
    assert msal_desk.get().returncode == 0
    msal_desk.age(3601)
    msal_desk.issuer.fail(**fault)  # type: ignore[arg-type]

    done = msal_desk.get()

    assert words in done.stderr
    assert done.stdout == b"quit=1\n"
    assert len(msal_desk.visitor.visits()) == 1


def test_revoked_grant_is_dropped_and_asked_for_once(msal_desk: Desk) -> None:
    assert msal_desk.get().returncode == 0
    msal_desk.age(3601)
    msal_desk.issuer.forget()

    refused = msal_desk.get(CI="true")
    done = msal_desk.get()

    assert b"this is a CI job" in refused.stderr
    assert done.returncode == 0, done.stderr
    assert msal_desk.issuer.refreshes() == 1
    assert len(msal_desk.visitor.visits()) == 2


def test_cached_token_imports_no_msal_and_asks_nobody(msal_desk: Desk) -> None:
    assert msal_desk.get().returncode == 0
    before = len(msal_desk.issuer.log())
    script = (
        "import sys\nsys.argv = ['git-credential-hushkey', 'get']\n"
        "import hushkey_helpers.process as serve\n"
        "def finish(result, out, after_work):\n"
        "    print('msal' in sys.modules, 'requests' in sys.modules, file=sys.stderr)\n"
        "serve._finish = finish\n"
        "from hushkey_helpers.git.helper import main\nmain()\n"
    )
    text = f"protocol=https\nhost={msal_desk.apache.host}\n\n"
    done = msal_desk.start(sys.executable, "-c", script, stdin=text.encode())

    assert b"False False" in done.stderr
    assert len(msal_desk.issuer.log()) == before
