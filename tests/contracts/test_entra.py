"""Microsoft Entra and Azure DevOps without any config, at a fake of their documents.

The real host names are used end to end: a CONNECT proxy leads to the fakes.
"""

import base64
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hushkey.acquire.acquirer import Acquirer
from hushkey.config import rules
from hushkey.tokenrequest import PromptOptions, Session
from kit import canary
from kit.canary import Ear, Leak, Secret
from kit.desk import BIN, Done
from servers.authority import Authority
from servers.entra import (
    ALICE,
    AZURE_CLI,
    AZURE_DEVOPS,
    BOB,
    CAROL,
    CONTOSO,
    FABRIKAM,
    GOVERNMENT,
    GRACE,
    MSA_TRANSFER_TENANT,
    PUBLIC,
    Detour,
    DetouredBrowser,
    DevOps,
    Entra,
    Grant,
    Person,
)
from servers.process import clean_environ

pytestmark = pytest.mark.contract
ORG = "protocol=https\nhost=dev.azure.com\npath={org}/_git/app\n{more}\n"


class AzureDesk:
    """A person with Azure Repos and nothing configured but the way there."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self.ca_file = authority.ca_file
        self.entra = Entra(authority)
        self.devops = DevOps(authority, self.entra)
        self.ear = Ear(folder / "ear")

    def start(self) -> None:
        self.entra.start()
        self.devops.start()
        self.detour = Detour(self.entra.routes() | self.devops.routes())
        self.detour.start()
        self.browser = DetouredBrowser(
            self.folder,
            user="alice@contoso.com",
            ca_file=self.ca_file,
            proxy=self.detour.url,
        )
        self.configure("")

    def stop(self) -> None:
        self.detour.stop()
        self.devops.stop()
        self.entra.stop()

    def configure(self, text: str) -> None:
        (self.folder / "config.toml").write_text(
            f'[settings]\nkey_store = "file"\nca_file = "{self.ca_file}"\n'
            f'proxy = "{self.detour.url}"\nsilent_timeout = 6\n{text}'
        )

    @property
    def environ(self) -> dict[str, str]:
        return clean_environ(
            HOME=str(self.folder),
            PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
            HUSHKEY_CONFIG=str(self.folder / "config.toml"),
            HUSHKEY_DATA_DIR=str(self.folder / "data"),
            HUSHKEY_RUNTIME_DIR=str(self.folder / "run"),
            **self.ear.environ,
            **self.browser.environ,
        )

    def run(self, *argv: str, stdin: str = "", **extra: str) -> Done:
        done = subprocess.run(
            [str(BIN / argv[0]), *argv[1:]],
            input=stdin.encode(),
            capture_output=True,
            env=self.environ | extra,
            cwd=self.folder,
            timeout=60,
            check=False,
        )
        self.ear.hear(" ".join(argv), done.stdout, done.stderr)
        return done

    def leaks(self) -> list[Leak]:
        """Return where a secret is that must not be there."""
        secrets = {Secret(k, value.encode()) for k, value in self.entra.secrets()}
        files = canary.below(self.folder / "data", self.folder / "data" / "key")
        return canary.leaks(secrets, [*self.ear.places(), *files])

    def get(self, org: str = "contoso", more: str = "", **extra: str) -> Done:
        text = ORG.format(org=org, more=more)
        return self.run("git-credential-hushkey", "get", stdin=text, **extra)

    def secret(self, done: Done) -> str:
        answer = done.stdout.decode().splitlines()
        lines = dict(line.split("=", 1) for line in answer)
        return lines.get("credential") or lines["password"]

    def grant(self, done: Done) -> Grant:
        """Return what Entra remembers of the token in an answer."""
        found = self.entra.token(self.secret(done))
        assert found is not None
        return found

    def age(self, seconds: int) -> None:
        """Let *seconds* pass for every token in every token file."""
        environ = self.environ
        config = rules.load(environ)
        folder = str(self.folder / "data")
        acquirer = Acquirer(
            Session(config.settings, folder, environ, PromptOptions(), print)
        )
        for identity in config.identities().values():
            file = acquirer.file_of(identity)
            if identity.provider != "entra" or not os.path.exists(file.path):
                continue
            with file.change(timeout=10) as change:
                content = json.loads(change.cache.dumps())
                for row in content["tokens"]:
                    row["obtained_at"] -= seconds
                    row["expires_at"] -= seconds
                change.cache.__init__(content)  # type: ignore[misc]
                change.save()


@pytest.fixture
def azure(tmp_path: Path, authority: Authority) -> Iterator[AzureDesk]:
    desk = AzureDesk(tmp_path, authority)
    desk.start()
    try:
        yield desk
        assert desk.leaks() == []
    finally:
        desk.stop()


def test_azure_repos_needs_no_config_and_one_sign_in(azure: AzureDesk) -> None:
    first, second = azure.get(), azure.get()

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert first.stdout == second.stdout
    grant = azure.grant(first)
    assert (grant.user, grant.resource) == (ALICE, AZURE_DEVOPS)
    assert len(azure.browser.visits()) == 1
    assert len(azure.entra.token_requests()) == 1


def test_tenant_comes_from_the_organisation_itself(azure: AzureDesk) -> None:
    done = azure.get("contoso")

    sent = {record["tenant"] for record in azure.entra.token_requests()}
    assert done.returncode == 0, done.stderr
    assert sent & {"organizations", "common"} == set()
    assert len(azure.devops.log()) == 1  # one anonymous question
    azure.get("contoso")
    assert len(azure.devops.log()) == 1  # and its answer is kept


def test_second_organisation_in_another_tenant_is_silent(azure: AzureDesk) -> None:
    first = azure.get("contoso")
    second = azure.get("fabrikam")

    assert second.returncode == 0, second.stderr
    tenants = {azure.grant(done).tenant for done in (first, second)}
    assert len(tenants) == 2
    assert len(azure.browser.visits()) == 1
    assert azure.entra.refreshes() == 1


def test_refresh_is_one_request_and_no_window(azure: AzureDesk) -> None:
    azure.get()
    azure.age(4000)
    before = len(azure.entra.log())

    done = azure.get()

    assert done.returncode == 0, done.stderr
    assert azure.entra.refreshes() == 1
    assert len(azure.entra.log()) == before + 1
    assert len(azure.browser.visits()) == 1


def test_challenge_of_git_saves_the_anonymous_question(azure: AzureDesk) -> None:
    uri = f"https://login.microsoftonline.com/{CONTOSO.id}"

    done = azure.get("contoso", f"wwwauth[]=Bearer authorization_uri={uri}\n")

    assert done.returncode == 0, done.stderr
    assert azure.devops.log() == []


@pytest.mark.parametrize(
    "challenge",
    [
        "Bearer authorization_uri=https://login.evil.example/contoso",
        "Bearer authorization_uri=https://login.microsoftonline.com.evil.example/t",
        "Bearer authorization_uri=https://evil.example@login.microsoftonline.com/t",
        "Bearer authorization_uri=http://login.microsoftonline.com/contoso",
        "Bearer authorization_uri=https://login.microsoftonline.com/a/../b",
        "Bearer authorization_uri=https://login.microsoftonline.com/t?x=1&client_id=z",
        "Bearer authorization_uri=https://login.microsoftonline.com:8443/t",
        "Bearer authorization_uri=" + "x" * 60000,
    ],
    ids=["foreign", "alike", "userinfo", "http", "climb", "injected", "port", "long"],
)
def test_hostile_challenge_is_not_believed(azure: AzureDesk, challenge: str) -> None:
    done = azure.get("contoso", f"wwwauth[]={challenge}\n")

    assert done.returncode == 0, done.stderr
    assert azure.detour.refused == []
    asked = {record["tenant"] for record in azure.entra.token_requests()}
    assert all("evil" not in str(t) and t != "z" for t in asked)


def test_tenant_that_proves_wrong_is_asked_for_again(azure: AzureDesk) -> None:
    azure.configure('[identity.azure]\nprovider = "entra"\n')
    uri = "https://login.microsoftonline.com/gone.example.com"
    wrong = azure.get(more=f"wwwauth[]=Bearer authorization_uri={uri}\n")

    healed = azure.get()

    assert wrong.stdout == b"quit=1\n"
    assert healed.returncode == 0, healed.stderr
    assert azure.grant(healed).user == ALICE


PERMANENT = [
    "invalid_client",
    "unauthorized_client",
    "invalid_request",
    "invalid_resource",
    "invalid_scope",
    "unsupported_grant_type",
    "unknown_error",
    "invalid_grant.message_only",
    "invalid_grant.client_mismatch",
    "invalid_grant.protection_policy_required",
    "interaction_required.message_only",
]
TRANSIENT = [
    "temporarily_unavailable",
    "server_error",
    "too_many_requests",
    "unavailable",
    "gateway_timeout",
    "captive",
    "captive.403",
    "drop",
]
UI_REQUIRED = [
    "invalid_grant",
    "invalid_grant.bad_token",
    "invalid_grant.token_expired",
    "invalid_grant.basic_action",
    "invalid_grant.consent_required",
    "invalid_grant.user_password_expired",
    "interaction_required",
    "login_required",
    "consent_required",
]


@pytest.mark.parametrize("name", [*PERMANENT, *TRANSIENT])
def test_failure_of_the_silent_call_opens_no_browser(
    azure: AzureDesk, name: str
) -> None:
    azure.get()
    azure.age(4000)
    azure.entra.fail(name)
    began = time.monotonic()

    done = azure.get()

    assert b"password=" not in done.stdout
    assert done.stderr.count(b"\n") == 1, done.stderr
    assert b"internal error" not in done.stderr
    assert len(azure.browser.visits()) == 1
    assert time.monotonic() - began < 12
    azure.entra.heal()


@pytest.mark.parametrize("name", UI_REQUIRED)
def test_ui_required_is_one_sign_in(azure: AzureDesk, name: str) -> None:
    azure.get()
    azure.age(4000)
    azure.entra.fail(name, times=1)

    done = azure.get()

    assert done.returncode == 0, done.stderr
    assert len(azure.browser.visits()) == 2


def test_ui_required_in_ci_names_the_number_and_the_command(azure: AzureDesk) -> None:
    azure.configure('[identity.azure]\nprovider = "entra"\n')
    azure.get()
    azure.age(4000)
    azure.entra.fail("invalid_grant")

    done = azure.get(CI="true")

    assert done.stdout == b"quit=1\n"
    assert b"hushkey login" in done.stderr
    assert b"this is a CI job" in done.stderr


def test_preset_that_nobody_asked_for_never_stops_git(azure: AzureDesk) -> None:
    done = azure.get(CI="true")

    assert done.stdout == b""
    assert azure.browser.visits() == []


def test_sovereign_cloud_and_tenant_by_config(azure: AzureDesk) -> None:
    azure.configure(
        '[identity.gov]\nprovider = "entra"\ncloud = "usgov"\n'
        f'tenant = "{GOVERNMENT.id}"\n'
        '[host."git.agency.example"]\nidentity = "gov"\n'
        'scopes = ["499b84ac-1321-427f-aa17-267ca6975798/.default"]\n'
    )
    azure.browser.user = GRACE.name

    text = "protocol=https\nhost=git.agency.example\n\n"
    done = azure.run("git-credential-hushkey", "get", stdin=text)

    assert done.returncode == 0, done.stderr
    hosts = {str(asked) for asked in azure.detour.asked}
    assert any("microsoftonline.us" in host for host in hosts)
    assert not any("microsoftonline.com" in host for host in hosts)


def test_cached_token_answers_without_any_network(azure: AzureDesk) -> None:
    azure.get()
    asked = len(azure.detour.asked)

    done = azure.get()

    assert done.returncode == 0
    assert len(azure.detour.asked) == asked


def test_login_names_tenant_account_and_client(azure: AzureDesk) -> None:
    done = azure.run("hushkey", "login", "https://dev.azure.com/contoso/_git/app")

    assert done.returncode == 0, done.stderr
    said = done.stderr.decode()
    assert "alice" in said
    assert "04b07795-8ddb-461a-bbee-02f9e1bf7b46" in said
    assert "tenant" in said


# -- claims ----------------------------------------------------------------------

CLAIMS = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'


def insufficient(claims: str) -> str:
    """Return the lines of a refusal for want of *claims*, as Azure would put it."""
    encoded = base64.b64encode(claims.encode()).decode()
    return (
        'wwwauth[]=Bearer realm="", authorization_uri="https://login.microsoft'
        'online.com/common/oauth2/authorize", error="insufficient_claims", '
        f'claims="{encoded}"\n'
    )


def test_claims_of_a_refusal_are_satisfied_by_one_sign_in(azure: AzureDesk) -> None:
    azure.get()
    azure.entra.demand(CLAIMS)

    for _ in range(2):
        done = azure.get(more=insufficient(CLAIMS))
        assert done.returncode == 0, done.stderr

    assert azure.grant(done).claims == {CLAIMS}
    assert azure.entra.refreshes() == 1
    assert len(azure.browser.visits()) == 2


def test_claims_reach_old_gits_by_their_erase(azure: AzureDesk) -> None:
    first = azure.secret(azure.get())
    azure.entra.demand(CLAIMS)

    erase = ORG.format(org="contoso", more=f"password={first}\n{insufficient(CLAIMS)}")
    azure.run("git-credential-hushkey", "erase", stdin=erase)
    done = azure.get()

    assert azure.grant(done).claims == {CLAIMS}
    assert len(azure.browser.visits()) == 2


def test_claims_that_a_sign_in_does_not_end_ask_once(azure: AzureDesk) -> None:
    azure.configure('[identity.azure]\nprovider = "entra"\n')
    azure.get()
    more = '{"access_token":{"acrs":{"essential":true,"value":"c%d"}}}'
    for number in (1, 2):
        azure.entra.demand(more % number)
    azure.get(more=insufficient(more % 1))  # signs in, and Entra still wants c2
    visits = len(azure.browser.visits())

    done = azure.get(more=insufficient(more % 1))

    assert done.stdout == b"quit=1\n"
    assert b"hushkey login" in done.stderr
    assert len(azure.browser.visits()) == visits


@pytest.mark.long
@pytest.mark.parametrize(
    "wanted",
    [CLAIMS, '{"access_token":{"capolids":{"essential":true,"values":["p1"]}}}'],
    ids=["as the host", "others than the host"],
)
def test_twenty_processes_with_claims_open_one_window(
    azure: AzureDesk, wanted: str
) -> None:
    first = azure.secret(azure.get())
    azure.entra.demand(wanted)
    text = ORG.format(org="contoso", more=insufficient(CLAIMS)).encode()

    crowd = [
        subprocess.Popen(
            [str(BIN / "git-credential-hushkey"), "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=azure.environ,
            cwd=azure.folder,
        )
        for _ in range(20)
    ]
    for process in crowd:
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
    done = [process.communicate(timeout=120) for process in crowd]

    secrets = {out for out, _ in done}
    assert [process.returncode for process in crowd] == [0] * 20, done
    assert len(secrets) == 1, done
    assert first.encode() not in secrets.pop()
    assert len(azure.browser.visits()) == 2
    assert azure.entra.refreshes() == 1


@pytest.mark.parametrize(
    "claims",
    ["x" * 60000, "[]", '{"access_token":' + "[" * 3000],
    ids=["long", "list", "deep"],
)
def test_hostile_claims_change_nothing(azure: AzureDesk, claims: str) -> None:
    first = azure.get()
    encoded = base64.b64encode(claims.encode()).decode()[:64000]

    done = azure.get(
        more=f'wwwauth[]=Bearer error="insufficient_claims", claims="{encoded}"\n'
    )

    assert done.stdout == first.stdout
    assert len(azure.browser.visits()) == 1


def test_claims_of_conditional_access_go_into_the_sign_in(azure: AzureDesk) -> None:
    azure.get()
    azure.age(4000)
    azure.entra.demand(CLAIMS)  # a refresh is told so, in its answer

    done = azure.get()

    assert done.returncode == 0, done.stderr
    assert azure.entra.log("login")[-1]["claims"] == CLAIMS


def test_claims_go_into_a_device_code_too(azure: AzureDesk) -> None:
    azure.get()
    azure.entra.demand(CLAIMS)
    said = b""
    with subprocess.Popen(
        [str(BIN / "git-credential-hushkey"), "get"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=azure.environ | {"HUSHKEY_INTERACTIVE": "device"},
        cwd=azure.folder,
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        text = ORG.format(org="contoso", more=insufficient(CLAIMS))
        process.stdin.write(text.encode())
        process.stdin.close()
        while not (
            shown := re.search(rb"(https://\S+?)[.,]?\s.*\b(\w{9})\b", said, re.S)
        ):
            piece = os.read(process.stderr.fileno(), 4096)
            assert piece, said
            said += piece
        address, code = (part.decode() for part in shown.groups())
        Person(azure.detour, azure.ca_file).enter_code(address, code)
        answer = process.stdout.read()

    done = subprocess.CompletedProcess([], process.returncode, answer, said)
    assert done.returncode == 0, said
    assert azure.grant(done).claims == {CLAIMS}


# -- accounts --------------------------------------------------------------------


def test_organisation_of_microsoft_accounts_is_silent_after_one_sign_in(
    azure: AzureDesk,
) -> None:
    azure.browser.user = CAROL.name
    first = azure.get("carols")
    azure.age(4000)

    second = azure.get("carols")

    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    grant = azure.grant(second)
    assert (grant.user, grant.tenant) == (CAROL, MSA_TRANSFER_TENANT)
    assert azure.entra.refreshes() == 1
    assert len(azure.browser.visits()) == 1


def test_two_accounts_each_serve_their_organisation(azure: AzureDesk) -> None:
    azure.get("contoso")  # Alice's
    azure.browser.user = CAROL.name
    azure.get("carols")
    azure.age(4000)

    grants = [azure.grant(azure.get(org)) for org in ("contoso", "carols", "contoso")]

    assert [grant.user for grant in grants] == [ALICE, CAROL, ALICE]
    assert len(azure.browser.visits()) == 2


def test_every_account_is_tried_before_anybody_is_asked(azure: AzureDesk) -> None:
    azure.get("contoso")  # Alice, who is a guest of fabrikam
    azure.browser.user = CAROL.name
    azure.get("carols")  # Carol signed in last, and fabrikam does not know her

    done = azure.get("fabrikam")

    assert done.returncode == 0, done.stderr
    assert azure.grant(done).user == ALICE
    assert len(azure.browser.visits()) == 2


def test_login_with_force_chooses_another_account_for_one_organisation(
    azure: AzureDesk,
) -> None:
    azure.get("contoso")
    azure.get("fabrikam")  # silently, as Alice, who is a guest there
    azure.browser.user = BOB.name

    login = azure.run("hushkey", "login", "--force", "https://dev.azure.com/fabrikam")
    grants = [azure.grant(azure.get(org)) for org in ("contoso", "fabrikam")]

    assert b"signed in to dev.azure.com/fabrikam as bob" in login.stderr
    assert [grant.user for grant in grants] == [ALICE, BOB]


def test_answer_for_another_account_is_not_handed_out(azure: AzureDesk) -> None:
    azure.configure('[identity.azure]\nprovider = "entra"\n')
    azure.get()
    azure.age(4000)
    uid, _, utid = BOB.home_account_id.partition(".")
    info = json.dumps({"uid": uid, "utid": utid}).encode()
    azure.entra.set(
        answer={"client_info": base64.urlsafe_b64encode(info).decode().rstrip("=")}
    )

    refused = azure.get()
    azure.entra.set(answer={})
    healed = azure.get()

    assert refused.stdout == b"quit=1\n"
    assert b"another account" in refused.stderr
    assert azure.grant(healed).user == ALICE
    assert len(azure.browser.visits()) == 1


def test_own_authority_that_answers_like_entra_refreshes(azure: AzureDesk) -> None:
    """Such as a custom domain: what MSAL calls the account is then client_info's."""
    azure.configure(
        '[identity.own]\nprovider = "entra"\nclient_id = '
        f'"{AZURE_CLI}"\nauthority = "https://{PUBLIC}/{CONTOSO.id}/v2.0"\n'
        '[host."git.test"]\nidentity = "own"\n'
        f'scopes = ["{AZURE_DEVOPS}/.default"]\n'
    )
    text = "protocol=https\nhost=git.test\n\n"
    first = azure.run("git-credential-hushkey", "get", stdin=text)
    azure.age(4000)

    second = azure.run("git-credential-hushkey", "get", stdin=text)

    assert first.returncode == 0, first.stderr
    assert second.returncode == 0, second.stderr
    assert (azure.entra.refreshes(), len(azure.browser.visits())) == (1, 1)


@pytest.mark.parametrize("info", ["!", "W10", "e30"], ids=["junk", "list", "nobody"])
def test_odd_client_info_loses_no_refresh(azure: AzureDesk, info: str) -> None:
    azure.get()
    azure.age(4000)
    azure.entra.set(answer={"client_info": info})

    done = azure.get()

    assert azure.grant(done).user == ALICE
    assert (azure.entra.refreshes(), len(azure.browser.visits())) == (1, 1)


def test_sign_in_must_say_whose_it_is(azure: AzureDesk) -> None:
    """MSAL would name the account otherwise than every refresh after it."""
    azure.configure('[identity.azure]\nprovider = "entra"\n')
    azure.entra.set(answer={"client_info": None})

    done = azure.get()

    assert done.stdout == b"quit=1\n"
    assert b"did not say who signed in" in done.stderr


OTHER = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"iss": "https://login.microsoftonline.com/v2.0"}, id="no tenant"),
        pytest.param({"iss": f"https://evil.test/{OTHER}/v2.0"}, id="another cloud"),
        pytest.param({"tid": OTHER}, id="issuer of another tenant"),
        pytest.param({"tid": None}, id="tenant unnamed"),
        pytest.param({"tid": "x/../y"}, id="tenant that is none"),
        pytest.param({"aud": "another"}, id="another client"),
        pytest.param({"exp": 1_000_000_000}, id="expired"),
        pytest.param({"nonce": "another"}, id="another nonce"),
    ],
)
def test_id_token_that_is_not_for_us_is_refused(
    azure: AzureDesk, changes: dict[str, Any]
) -> None:
    azure.configure('[identity.azure]\nprovider = "entra"\n')
    azure.entra.set(id_claims=changes)

    done = azure.get()

    assert done.stdout == b"quit=1\n"
    assert done.stderr.count(b"\n") == 2, done.stderr
    assert re.search(b"ID token is not valid|MSAL cannot read", done.stderr)


def test_user_name_in_the_url_of_visual_studio_is_no_account(azure: AzureDesk) -> None:
    azure.get()
    text = "protocol=https\nhost=contoso.visualstudio.com\nusername=contoso\n\n"

    done = azure.run("git-credential-hushkey", "get", stdin=text)

    assert done.returncode == 0, done.stderr
    assert azure.grant(done).user == ALICE
    assert b"username=contoso\n" in done.stdout
    assert len(azure.browser.visits()) == 1


def test_offline_asks_for_the_tenant_once_a_minute(azure: AzureDesk) -> None:
    azure.devops.fail("drop")
    azure.get("contoso", CI="true")
    asked = len(azure.devops.log())
    assert asked

    azure.get("contoso", CI="true")

    assert len(azure.devops.log()) == asked


# -- the end of a sign-in --------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("authorize.admin_approval", "approve client ID"),
        ("authorize.consent_required", "approve client ID"),
        ("authorize.blocked_redirect", "Conditional Access"),
        ("authorize.device_not_compliant_redirect", "a managed device"),
    ],
)
def test_refused_sign_in_ends_in_one_line_with_the_next_step(
    azure: AzureDesk, answer: str, sentence: str
) -> None:
    azure.configure('[identity.azure]\nprovider = "entra"\n')
    azure.entra.set(authorize=answer)

    done = azure.run("hushkey", "login", "https://dev.azure.com/contoso")

    said = done.stderr.decode().splitlines()
    assert done.returncode != 0
    assert sentence in said[-1]
    assert "AADSTS" in said[-1]
    assert "correlation id" in said[-1]
    assert "Trace ID" not in said[-1]


def test_page_that_never_leads_back_ends_in_one_line(azure: AzureDesk) -> None:
    azure.configure('sign_in_timeout = 5\n[identity.azure]\nprovider = "entra"\n')
    azure.entra.set(authorize="authorize.blocked")

    done = azure.run("hushkey", "login", "https://dev.azure.com/contoso")

    last = done.stderr.decode().splitlines()[-1]
    assert done.returncode == 3
    assert "ask yours about client ID" in last
    assert last.endswith("run: hushkey login dev.azure.com/contoso")


# -- what is known of it ---------------------------------------------------------


def test_status_and_explain_know_each_organisation_without_asking(
    azure: AzureDesk,
) -> None:
    url = "https://dev.azure.com/contoso/_git/app"
    before = azure.run("hushkey", "explain", url).stdout.decode()
    azure.get("contoso")
    azure.get("fabrikam")
    asked = len(azure.detour.asked)

    status = azure.run("hushkey", "status", "--json")
    after = azure.run("hushkey", "explain", url).stdout.decode()

    rows = {row["host"]: row for row in json.loads(status.stdout)["hosts"]}
    for name, tenant in (("contoso", CONTOSO), ("fabrikam", FABRIKAM)):
        row = rows[f"dev.azure.com/{name}"]
        assert (row["tenant"], row["account"]) == (tenant.id, ALICE.name)
        assert row["seconds_left"] > 0
    assert "not known yet" in before
    assert f"{CONTOSO.id}, found for dev.azure.com/contoso" in after
    assert f"the cached token, as {ALICE.name}: no network" in after
    assert len(azure.detour.asked) == asked


def test_organisation_that_does_not_exist_is_said_before_any_window(
    azure: AzureDesk,
) -> None:
    done = azure.run("hushkey", "login", "https://dev.azure.com/no-such/_git/app")

    assert done.returncode == 1
    assert done.stdout == b""
    assert b"there is no dev.azure.com/no-such: it answers with HTTP 404" in done.stderr
    assert azure.browser.visits() == []
    assert azure.entra.token_requests() == []


def test_organisation_that_does_not_exist_has_no_row(azure: AzureDesk) -> None:
    azure.get("contoso")
    for _ in range(2):
        azure.get("no-such")  # the tool that asks may know better

    status = azure.run("hushkey", "status", "--json")
    explained = azure.run("hushkey", "explain", "https://dev.azure.com/no-such/a")

    hosts = [row["host"] for row in json.loads(status.stdout)["hosts"]]
    assert "dev.azure.com/contoso" in hosts
    assert "dev.azure.com/no-such" not in hosts
    assert b"dev.azure.com/no-such named none, and may not exist" in explained.stdout
    asked = [record["path"] for record in azure.devops.log()]
    assert sum("no-such" in path for path in asked) == 1


def test_built_in_identity_is_signed_in_by_its_name(azure: AzureDesk) -> None:
    first = azure.run("hushkey", "login", "azure")
    again = azure.run("hushkey", "login", "azure")
    out = azure.run("hushkey", "logout", "azure")

    assert b"signed in to dev.azure.com as" in first.stderr
    assert b"already signed in to dev.azure.com as" in again.stderr
    assert b"signed out of azure" in out.stderr
    assert len(azure.browser.visits()) == 1
