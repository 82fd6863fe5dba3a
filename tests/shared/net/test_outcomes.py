import pytest
import requests

from hushkey.errors import (
    Cancelled,
    HushkeyError,
    Permanent,
    Transient,
    UiRequired,
    Unheard,
)
from hushkey.net import outcomes
from hushkey.providers.workload import asking
from hushkey.system.deadline import Expired

SERVER = "id.example.com"

# The table of the reference, section 1.6, written once more: a row that is
# changed in the code alone fails here.
CODES = {
    "invalid_grant": UiRequired,
    "interaction_required": UiRequired,
    "login_required": UiRequired,
    "consent_required": UiRequired,
    "account_selection_required": UiRequired,
    "access_denied": Cancelled,
    "authorization_declined": Cancelled,
    "expired_token": Cancelled,
    "temporarily_unavailable": Transient,
    "server_error": Transient,
    "slow_down": Transient,
    "invalid_client": Permanent,
    "unauthorized_client": Permanent,
    "unsupported_grant_type": Permanent,
    "unsupported_response_type": Permanent,
    "invalid_request": Permanent,
    "invalid_scope": Permanent,
    "invalid_resource": Permanent,
    "invalid_target": Permanent,
    "device_authentication_failed": Permanent,
}
SUBERRORS = {
    "client_mismatch": Permanent,
    "protection_policy_required": Permanent,
    "message_only": Permanent,
    "device_authentication_failed": Permanent,
    "consent_required": UiRequired,
    "user_password_expired": UiRequired,
    "additional_action": UiRequired,
    "basic_action": UiRequired,
    "bad_token": UiRequired,
    "token_expired": UiRequired,
    "never heard of": UiRequired,
}


def outcome(status: int = 400, data: object = None, **headers: str) -> HushkeyError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return outcomes.from_answer(status, data, named, SERVER)


def test_the_tables_here_name_every_row() -> None:
    assert CODES.keys() == outcomes.BY_CODE.keys()
    assert SUBERRORS.keys() >= outcomes.BY_SUBERROR.keys()


@pytest.mark.parametrize(("code", "kind"), CODES.items())
def test_error_code_decides_the_outcome(code: str, kind: type[HushkeyError]) -> None:
    found = outcome(data={"error": code})

    assert type(found) is kind
    assert found.code == code
    assert SERVER in found.line()


@pytest.mark.parametrize(("suberror", "kind"), SUBERRORS.items())
def test_suberror_of_invalid_grant_decides(
    suberror: str, kind: type[HushkeyError]
) -> None:
    found = outcome(data={"error": "invalid_grant", "suberror": suberror})

    assert type(found) is kind


def test_suberror_of_another_code_is_ignored() -> None:
    data = {"error": "login_required", "suberror": "client_mismatch"}

    assert type(outcome(data=data)) is UiRequired


AT_SIGN_IN = {
    "consent_required": (Permanent, "approve client ID app-1"),
    "interaction_required": (Permanent, "Conditional Access"),
    "login_required": (Permanent, "Conditional Access"),
    "access_denied": (Cancelled, "approve client ID app-1"),
}


def test_the_table_of_sign_ins_names_every_row() -> None:
    assert AT_SIGN_IN.keys() == outcomes.AT_SIGN_IN.keys()


@pytest.mark.parametrize("code", AT_SIGN_IN)
def test_end_of_a_sign_in_says_what_to_do_next(code: str) -> None:
    kind, words = AT_SIGN_IN[code]

    found = outcomes.from_answer(400, {"error": code}, {}, SERVER, client_id="app-1")

    assert type(found) is kind
    assert words in found.line()


@pytest.mark.parametrize("code", ["invalid_grant", "account_selection_required"])
def test_end_of_a_sign_in_never_asks_for_another_one(code: str) -> None:
    found = outcomes.from_answer(400, {"error": code}, {}, SERVER, client_id="app-1")

    assert type(found) is Permanent


def test_claims_of_the_answer_are_kept_for_the_sign_in() -> None:
    wanted = '{"access_token": {"polids": {"essential": true}}}'
    data = {"error": "interaction_required", "claims": wanted}

    assert outcome(data=data).claims == wanted.replace(" ", "")
    assert outcome(data=data | {"claims": "[]"}).claims == ""


def test_policy_that_blocks_is_permanent_under_interaction_required_too() -> None:
    """Public reports: 53003, blocked by Conditional Access; no sign-in helps."""
    data = {"error": "interaction_required", "suberror": "message_only"}

    assert type(outcome(data=data)) is Permanent


def test_number_of_entra_is_shown_with_its_page() -> None:
    data = {"error": "consent_required", "error_codes": [65001]}

    assert outcome(data=data).hint.endswith("error?code=65001")


@pytest.mark.parametrize(
    ("status", "data", "kind"),
    [
        pytest.param(429, {"error": "invalid_grant"}, Transient, id="429 beats code"),
        pytest.param(429, None, Transient, id="429 as a page"),
        pytest.param(500, {"error": "invalid_grant"}, Transient, id="5xx beats code"),
        pytest.param(503, None, Transient, id="503 as a page"),
        pytest.param(407, None, Permanent, id="407: the proxy wants a password"),
        pytest.param(302, None, Transient, id="302: a portal"),
        pytest.param(307, None, Transient, id="307: a portal"),
        pytest.param(200, None, Transient, id="HTML 200: a portal"),
        pytest.param(403, None, Transient, id="HTML 403: a proxy's page"),
        pytest.param(401, None, Transient, id="HTML 401"),
        pytest.param(200, {}, Permanent, id="JSON 200 without a token"),
        pytest.param(400, {}, Permanent, id="JSON 400 without a code"),
        pytest.param(400, {"error": "odd"}, Permanent, id="unknown code"),
        pytest.param(400, {"error": {"a": 1}}, Permanent, id="code is an object"),
        pytest.param(400, {"error": 7}, Permanent, id="code is a number"),
        pytest.param(400, ["invalid_grant"], Transient, id="JSON that is no object"),
    ],
)
def test_status_decides_where_no_code_does(
    status: int, data: object, kind: type[HushkeyError]
) -> None:
    assert type(outcome(status, data)) is kind


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 60.0),
        ("-3", 60.0),
        ("²", 60.0),
        ("", None),
    ],
)
def test_retry_after_is_read(value: str, seconds: float | None) -> None:
    assert outcome(429, Retry_After=value).retry_after == seconds


def test_retry_after_is_none_without_the_header() -> None:
    assert outcome(503).retry_after is None


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        ({"correlation_id": "c-1"}, {}),
        ({}, {"x_ms_request_id": "c-1"}),
        ({}, {"x_request_id": "c-1"}),
        ({"correlation_id": 5}, {"x_correlation_id": "c-1"}),
    ],
)
def test_correlation_id_is_shown(
    data: dict[str, object], headers: dict[str, str]
) -> None:
    found = outcome(400, {"error": "invalid_client", **data}, **headers)

    assert found.correlation == "c-1"
    assert "correlation id c-1" in found.line()


def test_description_is_shown_and_never_decides() -> None:
    data = {"error": "invalid_client", "error_description": "AADSTS50076: MFA"}

    found = outcome(data=data)

    assert type(found) is Permanent
    assert "AADSTS50076: MFA" in found.line()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a\nhushkey: all is well", id="second line"),
        pytest.param("\x1b]0;owned\x07\x1b[2J", id="terminal escape"),
        pytest.param("\u202etxt.exe\u2028next", id="bidi and line separator"),
        pytest.param("x" * 100_000, id="100 kB"),
    ],
)
def test_hostile_text_becomes_one_short_line(text: str) -> None:
    data = {"error": text, "error_description": text, "correlation_id": text}

    line = outcome(data=data).line()

    assert len(line) < 1000
    assert line.isprintable()


@pytest.mark.parametrize("odd", [None, 3, [], {"a": "b"}, True, ""])
def test_fields_that_are_no_strings_are_passed_over(odd: object) -> None:
    data = {"error": odd, "error_description": odd, "correlation_id": odd}

    found = outcome(data={**data, "suberror": odd})

    assert type(found) is Permanent
    assert found.correlation is None


@pytest.mark.parametrize("odd", [None, 3, [], {"a": "b"}, True])
def test_suberror_that_is_no_string_is_passed_over(odd: object) -> None:
    assert type(outcome(data={"error": "invalid_grant", "suberror": odd})) is UiRequired


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        # SSLError and ProxyError are ConnectionErrors, and must be seen first.
        (requests.exceptions.SSLError("bad certificate"), Unheard),
        (requests.exceptions.ProxyError("407"), Unheard),
        (requests.exceptions.InvalidURL("?"), Unheard),
        (requests.exceptions.InvalidSchema("?"), Unheard),
        (requests.exceptions.MissingSchema("?"), Unheard),
        (requests.exceptions.InvalidProxyURL("?"), Unheard),
        (requests.exceptions.ConnectionError("refused"), Transient),
        (requests.exceptions.ConnectTimeout("slow"), Transient),
        (requests.exceptions.ReadTimeout("slow"), Transient),
        (requests.exceptions.ChunkedEncodingError("cut"), Transient),
        (requests.exceptions.ContentDecodingError("gzip"), Transient),
        (Expired("no answer"), Transient),
        (OSError("network is down"), Transient),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_failure_without_answer(error: Exception, kind: type[HushkeyError]) -> None:
    found = outcomes.from_failure(error, SERVER)

    assert type(found) is kind
    assert SERVER in found.line()


def test_failure_never_quotes_the_library() -> None:
    error = requests.exceptions.ConnectionError("https://id/?token=s3cret")

    assert "s3cret" not in outcomes.from_failure(error, SERVER).line()


# -- the grant that was sent decides ---------------------------------------------

#: what a refresh is told with any 4xx (and GitHub's 200) once a sign-in has worked
ENDED = [
    pytest.param(400, {"error": "invalid_grant"}, id="RFC 6749"),
    pytest.param(400, {"error": "unauthorized_client"}, id="Gitea, Forgejo"),
    pytest.param(200, {"error": "bad_refresh_token"}, id="GitHub Apps"),
    pytest.param(401, {"error": "invalid_token"}, id="of RFC 6750"),
    pytest.param(400, {"error": "invalid_request"}, id="malformed"),
    pytest.param(400, {"error": "expired_token"}, id="no device code was sent"),
    pytest.param(400, {"error": "unsupported_grant_type"}, id="not any more"),
    pytest.param(403, {"error": "never heard of"}, id="any other code"),
    pytest.param(422, {"error": {"code": 1}}, id="an object"),
    pytest.param(200, {"error": {"code": 1}}, id="an object, with 200"),
    pytest.param(401, {"message": "bad credentials"}, id="no code"),
    pytest.param(400, {}, id="nothing"),
]
#: what says nothing on the sign-in
ALIVE = [
    pytest.param(400, {"error": "interaction_required"}, UiRequired, id="more"),
    pytest.param(400, {"error": "access_denied"}, UiRequired, id="declined"),
    pytest.param(401, {"error": "invalid_client"}, Permanent, id="client"),
    pytest.param(
        200, {"error": "incorrect_client_credentials"}, Permanent, id="GitHub's client"
    ),
    pytest.param(400, {"error": "invalid_scope"}, Permanent, id="scopes"),
    pytest.param(400, {"error": "invalid_target"}, Permanent, id="resource"),
    pytest.param(429, {"error": "invalid_grant"}, Transient, id="429"),
    pytest.param(400, {"error": "slow_down"}, Transient, id="patience"),
    pytest.param(400, {"error": "temporarily_unavailable"}, Transient, id="busy"),
    pytest.param(503, {"error": "invalid_grant"}, Transient, id="5xx"),
    pytest.param(408, {}, Transient, id="408"),
    pytest.param(407, {}, Permanent, id="a proxy"),
    pytest.param(401, None, Transient, id="a page"),
    pytest.param(404, {"message": "Not Found"}, Permanent, id="wrong endpoint"),
    pytest.param(200, {}, Permanent, id="no error at all"),
]


def refreshed(status: int, data: object, **headers: str) -> HushkeyError:
    return outcomes.from_answer(status, data, headers, SERVER, grant="refresh_token")


@pytest.mark.parametrize(("status", "data"), ENDED)
def test_refresh_that_is_refused_means_that_the_sign_in_has_ended(
    status: int, data: object
) -> None:
    found = refreshed(status, data)

    assert type(found) is UiRequired
    assert found.ended
    assert "the sign-in has ended at the server" in found.line()


@pytest.mark.parametrize(("status", "data", "kind"), ALIVE)
def test_refresh_that_fails_otherwise_leaves_the_sign_in_alone(
    status: int, data: object, kind: type[HushkeyError]
) -> None:
    found = refreshed(status, data)

    assert type(found) is kind
    assert not found.ended


def test_refresh_that_is_throttled_with_403_is_tried_later() -> None:
    found = refreshed(403, {"message": "rate limit"}, **{"Retry-After": "30"})

    assert (type(found), found.retry_after) == (Transient, 30.0)


@pytest.mark.parametrize(
    ("kind", "outcome_"), [("text/plain", UiRequired), ("text/html", Transient)]
)
def test_refresh_that_is_refused_without_json(
    kind: str, outcome_: type[HushkeyError]
) -> None:
    assert type(refreshed(401, None, **{"Content-Type": kind})) is outcome_


@pytest.mark.parametrize("code", [*CODES, "bad_verification_code"])
@pytest.mark.parametrize("grant", ["refresh_token", "authorization_code"])
def test_only_a_device_code_is_called_one(grant: str, code: str) -> None:
    found = outcomes.from_answer(400, {"error": code}, {}, SERVER, grant=grant)

    assert "device code" not in found.line()


def test_code_that_is_refused_is_no_sign_in_that_has_ended() -> None:
    found = outcomes.from_answer(
        400, {"error": "invalid_grant"}, {}, SERVER, grant="authorization_code"
    )

    assert "ended" not in found.line()
    assert not found.ended


def test_machine_s_assertion_is_no_sign_in_that_has_ended() -> None:
    sent = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange"}
    answer = requests.Response()
    answer.status_code, answer.url = 400, f"https://{SERVER}/token"
    answer._content = b'{"error": "invalid_grant"}'

    line = asking.Reply(answer).refusal(sent).line()

    assert "the server refuses the assertion" in line
