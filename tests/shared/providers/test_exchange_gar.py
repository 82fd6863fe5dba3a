import json
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from hushkey.errors import HushkeyError, Permanent, Transient
from hushkey.providers import exchange
from hushkey.providers.exchange.base import Context, Refused, Secret
from kit.oauth import Reply, Scripted, network, signed

HOST = "europe-docker.pkg.dev"
POOL = (
    "//iam.googleapis.com/projects/12/locations/global/workloadIdentityPools/p/"
    "providers/x"
)
ACCOUNT = "ci@proj.iam.gserviceaccount.com"
IMPERSONATE = f"/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"
NOW = 1_700_000_000.0
ASSERTION = signed({"iss": "https://id.test", "sub": "repo:a/b", "aud": "gcp"})


class Dated(Reply):
    """A reply at NOW by the server's clock."""

    def __call__(self, handler: Any) -> None:
        handler.date_time_string = lambda timestamp=None: formatdate(NOW, usegmt=True)
        super().__call__(handler)


class Google(Scripted):
    """STS and IAM credentials, shaped by their documents."""

    def __init__(self) -> None:
        super().__init__()
        self.gives()
        answer = {"accessToken": "ya29.sa", "expireTime": "2023-11-14T23:03:20Z"}
        self.on(IMPERSONATE.replace("@", "%40"), Dated(answer))

    def gives(self, **changes: Any) -> None:
        answer = {
            "access_token": "ya29.fed",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": 3599,
        }
        self.on("/v1/token", Reply(answer | changes))

    def ask(self, service_account: str = "", **context: Any) -> Secret:
        options = {
            "audience": POOL,
            "sts_endpoint": self.url,
            "iam_endpoint": self.url,
        }
        if service_account:
            options["service_account"] = service_account
        asked = Context(HOST, **{"token": ASSERTION, "options": options, **context})
        return exchange.perform("gar", asked, network(5), NOW)

    def fails(self, **context: Any) -> HushkeyError:
        with pytest.raises(HushkeyError) as caught:
            self.ask(**context)
        assert ASSERTION not in caught.value.line()
        assert "ya29" not in caught.value.line()
        return caught.value


@pytest.fixture
def google() -> Iterator[Google]:
    with Google() as server:
        yield server


def test_request_is_the_documented_one(google: Google) -> None:
    assert google.ask() == Secret("oauth2accesstoken", "ya29.fed", 3599)
    (call,) = google.calls
    assert "Authorization" not in call.headers
    assert call.form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": POOL,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": ASSERTION,
    }


def test_id_token_is_what_is_exchanged(google: Google) -> None:
    google.ask(token="access", beside="id.to.ken")

    assert google.calls[0].form["subject_token"] == "id.to.ken"


def test_service_account_is_impersonated_with_the_federated_token(
    google: Google,
) -> None:
    given = google.ask(ACCOUNT)

    assert given == Secret("oauth2accesstoken", "ya29.sa", 3000)
    call = google.calls[1]
    assert call.headers["Authorization"] == "Bearer ya29.fed"
    assert json.loads(call.body) == {
        "scope": ["https://www.googleapis.com/auth/cloud-platform"],
        "lifetime": "3600s",
    }
    assert ASSERTION not in str(call)


def refusal(code: str, words: str) -> dict[str, str]:
    return {"error": code, "error_description": f"{words}: {ASSERTION}"}


def test_expired_assertion_asks_for_a_newer_one(google: Google) -> None:
    body = refusal("invalid_grant", "ID Token issued at 1 is stale: token has expired")
    google.on("/v1/token", Reply(body, 400))

    assert isinstance(google.fails(), Refused)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("invalid_grant", "The audience in ID Token does not match"),
        ("unauthorized_client", "The given credential is rejected by the condition"),
        ("invalid_target", "The target service indicated by the audience is invalid"),
    ],
)
def test_refusal_names_whose_token_it_was(
    google: Google, code: str, words: str
) -> None:
    google.on("/v1/token", Reply(refusal(code, words), 400))

    error = google.fails()

    assert type(error) is Permanent
    assert "iss https://id.test, sub repo:a/b, aud gcp" in error.what
    assert words in error.what
    assert error.code == code


def test_account_that_may_not_be_acted_as_is_named(google: Google) -> None:
    body = {"error": {"code": 403, "message": "no ya29.fed", "status": "DENIED"}}
    google.on(IMPERSONATE.replace("@", "%40"), Reply(body, 403))

    error = google.fails(service_account=ACCOUNT)

    assert isinstance(error, Permanent)
    assert ACCOUNT in error.what
    assert error.code == "DENIED"


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("path", ["/v1/token", IMPERSONATE.replace("@", "%40")])
def test_server_that_fails_is_transient(google: Google, status: int, path: str) -> None:
    google.on(path, Reply(b"<html>", status))

    assert isinstance(google.fails(service_account=ACCOUNT), Transient)


@pytest.mark.parametrize("value", ["", "a b", "t\u00f6", 5, None])
def test_answer_without_a_token_is_no_token(google: Google, value: object) -> None:
    google.gives(access_token=value)

    assert isinstance(google.fails(), Permanent | Transient)


def test_token_that_is_no_bearer_is_refused(google: Google) -> None:
    google.gives(token_type="N_A")

    assert "no Bearer" in google.fails().what
