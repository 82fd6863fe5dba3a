import datetime
import json
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, urlsplit

import moto
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from hushkey.errors import HushkeyError, Permanent, Transient
from hushkey.providers import exchange
from hushkey.providers.exchange import aws, ecr
from hushkey.providers.exchange.base import Context, Refused, Secret
from kit.oauth import Reply, Scripted, network, signed

ECR = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
ARTIFACTS = "team-x-111122223333.d.codeartifact.eu-west-1.amazonaws.com"
ROLE = "arn:aws:iam::111122223333:role/ci"
NOW = 1_700_000_000.0
ASSERTION = signed({"iss": "https://id.test", "sub": "repo:a/b", "aud": "sts"})
KEYS = aws.Keys("AKIAEXAMPLE", "s3cr3t+/x", "")

STS_ANSWER = """<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>a/b+c=</SecretAccessKey>
<SessionToken>se/ss+ion==</SessionToken><Expiration>x</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


def sts_error(code: str, message: str) -> bytes:
    return (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
        f"<Message>{message}</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
    ).encode()


# -- signatures --------------------------------------------------------------------


@given(
    path=st.sampled_from(["", "/", "/v1/authorization-token"]),
    query=st.dictionaries(
        st.sampled_from(["domain", "domain-owner", "a"]),
        st.text("aZ09-_.~ /+=&\u00e9", min_size=1, max_size=8),
    ),
    body=st.binary(max_size=64),
    session=st.sampled_from(["", "se/ss+ion=="]),
    now=st.integers(0, 2**32),
    extra=st.dictionaries(
        st.sampled_from(["Content-Type", "X-Amz-Target"]),
        st.sampled_from(["application/json", "a  b", "Target.Do"]),
    ),
)
def test_signature_is_botocore_s(
    path: str,
    query: dict[str, str],
    body: bytes,
    session: str,
    now: int,
    extra: dict[str, str],
) -> None:
    url = f"https://api.ecr.eu-west-1.amazonaws.com{path}"
    if query:
        url += f"?{aws.query(**query)}"
    keys = aws.Keys("AKIAEXAMPLE", "s3cr3t+/x", session)
    there = SigV4Auth(
        Credentials(keys.id, keys.secret, session or None), "ecr", "eu-west-1"
    )
    request = AWSRequest("POST", url, data=body, headers=dict(extra))
    stamp = datetime.datetime.fromtimestamp(now, datetime.UTC)
    request.context["timestamp"] = stamp.strftime("%Y%m%dT%H%M%SZ")
    # What `add_auth` does, at a time of ours.
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    if session:
        request.headers["X-Amz-Security-Token"] = session
    text = there.string_to_sign(request, there.canonical_request(request))
    expected = there.signature(text, request)

    ours = aws.sign(url, body, extra, keys, "ecr", "eu-west-1", now)

    assert ours["Authorization"].endswith(f"Signature={expected}")
    named = there.signed_headers(there.headers_to_sign(request))
    assert f"SignedHeaders={named}," in ours["Authorization"]
    assert f"Credential={there.scope(request)}," in ours["Authorization"]


# -- against moto, at the real names -----------------------------------------------


@pytest.fixture
def clouds() -> Iterator[None]:
    with moto.mock_aws():
        yield


def ask(kind: str, host: str, now: float = NOW, **context: Any) -> Secret:
    options = {"role": ROLE, **context.pop("options", {})}
    asked = Context(host, **{"token": ASSERTION, "options": options, **context})
    return exchange.perform(kind, asked, network(5), now)


def test_ecr_gives_the_registry_s_password(
    clouds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # moto's password has always ended in 2015, and its clock is today's
    monkeypatch.setattr(aws, "server_time", lambda headers, now: now)
    before = datetime.datetime(2014, 12, 31, 12, tzinfo=datetime.UTC).timestamp()

    given = ask("ecr", ECR, before)

    assert given.username == "AWS"
    assert given.value.endswith("-auth-token")
    assert given.lifetime == 12 * 3600


def test_password_that_has_ended_is_not_given(clouds: None) -> None:
    with pytest.raises(Transient, match="has ended already"):
        ask("ecr", ECR)


# -- against a double shaped by the documents --------------------------------------


class Aws(Scripted):
    """STS, ECR and CodeArtifact in one; each answers what a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.on("/", self._root)
        self.sts: Any = Reply(STS_ANSWER.encode(), Content_Type="text/xml")
        self.gives({"authorizationData": [data(NOW + 43200)]})
        self.on(
            "/v1/authorization-token",
            Dated({"authorizationToken": "ca-1", "expiration": NOW + 3600.5}),
        )

    def gives(self, body: object, status: int = 200, **headers: str) -> None:
        self.ecr = Dated(body, status, **headers)

    def _root(self, handler: Any) -> None:
        answer = self.ecr if handler.headers.get("X-Amz-Target") else self.sts
        answer(handler)

    def ask(self, kind: str = "ecr", host: str = ECR, **context: Any) -> Secret:
        more = context.pop("options", {})
        options = {"endpoint": self.url, "sts_endpoint": self.url, **more}
        return ask(kind, host, options=options, **context)

    def fails(self, **context: Any) -> HushkeyError:
        with pytest.raises(HushkeyError) as caught:
            self.ask(**context)
        assert ASSERTION not in caught.value.line()
        return caught.value


class Dated(Reply):
    """A reply at NOW by the server's clock."""

    def __call__(self, handler: Any) -> None:
        handler.date_time_string = lambda timestamp=None: formatdate(NOW, usegmt=True)
        super().__call__(handler)


def data(end: object, token: str = "QVdTOnB3") -> dict[str, object]:
    return {"authorizationToken": token, "expiresAt": end}


@pytest.fixture
def server() -> Iterator[Aws]:
    with Aws() as made:
        yield made


def test_requests_are_the_documented_ones(server: Aws) -> None:
    given = server.ask()

    assert given == Secret("AWS", "pw", 43200)
    sts, ecr = server.calls
    assert "Authorization" not in sts.headers
    assert sts.form == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": "hushkey",
        "DurationSeconds": "900",
        "WebIdentityToken": ASSERTION,
    }
    assert (ecr.method, ecr.body) == ("POST", b"{}")
    assert ecr.headers["X-Amz-Security-Token"] == "se/ss+ion=="
    scope = "ASIAX/20231114/eu-west-1/ecr/aws4_request"
    assert ecr.headers["Authorization"].startswith(
        f"AWS4-HMAC-SHA256 Credential={scope}, "
    )
    assert ASSERTION not in str(ecr)


def test_id_token_is_what_is_exchanged(server: Aws) -> None:
    server.ask(token="access", beside="id.to.ken")

    assert server.calls[0].form["WebIdentityToken"] == "id.to.ken"


def test_codeartifact_gives_the_domain_s_token(server: Aws) -> None:
    given = server.ask("codeartifact", ARTIFACTS)

    assert given == Secret("aws", "ca-1", 3600.5)
    call = server.calls[1]
    assert call.method == "POST"
    assert parse_qs(urlsplit(call.path).query) == {
        "domain": ["team-x"],
        "domain-owner": ["111122223333"],
    }
    assert "/eu-west-1/codeartifact/aws4_request" in call.headers["Authorization"]


def test_identity_with_keys_signs_at_once(server: Aws) -> None:
    asked = Context(ECR, "s3cret", username="AKIAX", options={"endpoint": server.url})

    given = exchange.perform("ecr", asked, network(5), NOW)

    (call,) = server.calls
    assert given.value == "pw"
    assert "Credential=AKIAX/" in call.headers["Authorization"]
    assert "s3cret" not in str(call)


def test_keys_take_no_role_and_a_token_needs_one(server: Aws) -> None:
    assert "take no `role`" in server.fails(username="AKIAX").what
    with pytest.raises(Permanent, match="no `role` is set"):
        exchange.perform("ecr", Context(ECR, ASSERTION), network(5), NOW)


@pytest.mark.parametrize(
    ("code", "kind", "told"),
    [
        ("ExpiredTokenException", Refused, "has ended"),
        ("AccessDenied", Permanent, "iss https://id.test, sub repo:a/b, aud sts"),
        ("InvalidIdentityToken", Permanent, "sub repo:a/b"),
        ("IDPRejectedClaim", Permanent, "sub repo:a/b"),
        ("IDPCommunicationError", Transient, "IDPCommunicationError"),
        ("Throttling", Transient, "Throttling"),
        ("RegionDisabledException", Permanent, "RegionDisabledException"),
    ],
)
def test_refusal_of_sts_is_told(
    server: Aws, code: str, kind: type[HushkeyError], told: str
) -> None:
    server.sts = Reply(sts_error(code, f"no: {ASSERTION}"), 400)

    error = server.fails()

    assert type(error) is kind
    assert told in error.line()
    assert "127.0.0.1" in error.line()


@pytest.mark.parametrize("body", [b"", b"<html>sign in</html>", b"{}"])
def test_answer_of_sts_that_holds_no_keys_is_transient_or_permanent(
    server: Aws, body: bytes
) -> None:
    server.sts = Reply(body)

    assert isinstance(server.fails(), Transient | Permanent)
    assert len(server.calls) == 1


def test_sts_that_fails_is_transient(server: Aws) -> None:
    server.sts = Reply(b"<html>", 503)

    assert isinstance(server.fails(), Transient)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"authorizationData": []},
        {"authorizationData": ["x"]},
        {"authorizationData": [{"authorizationToken": 5}]},
        {"authorizationData": [{"authorizationToken": "!!"}]},
        {"authorizationData": [data(NOW + 1, "Zm9vOnB3")]},
        {"authorizationData": [data(NOW + 1, "QVdTOmEgYg==")]},
    ],
)
def test_answer_of_ecr_without_a_password_is_permanent(
    server: Aws, body: object
) -> None:
    server.gives(body)

    assert "holds no password" in server.fails().what


def test_refusal_of_ecr_names_code_and_request(server: Aws) -> None:
    body = {"__type": "com.amazon#AccessDeniedException", "message": "not allowed"}
    server.gives(body, 400, **{"x_amzn_RequestId": "r-7"})

    error = server.fails()

    assert isinstance(error, Permanent)
    assert "AccessDeniedException" in error.what
    assert "not allowed" in error.what
    assert error.correlation == "r-7"


def test_ecr_that_fails_or_throttles_is_transient(server: Aws) -> None:
    server.gives(b"<html>", 502)
    assert isinstance(server.fails(), Transient)
    server.gives({"__type": "ThrottlingException"}, 429)
    assert isinstance(server.fails(), Transient)


@pytest.mark.parametrize(
    ("host", "endpoint", "sts"),
    [
        (ECR, "api.ecr.eu-west-1.amazonaws.com", "sts.eu-west-1.amazonaws.com"),
        (
            "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "api.ecr.cn-north-1.amazonaws.com.cn",
            "sts.cn-north-1.amazonaws.com.cn",
        ),
        (
            "111122223333.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            "ecr-fips.us-gov-west-1.amazonaws.com",
            "sts.us-gov-west-1.amazonaws.com",
        ),
        (
            "111122223333.dkr-ecr.eu-west-1.on.aws",
            "ecr.eu-west-1.api.aws",
            "sts.eu-west-1.amazonaws.com",
        ),
    ],
)
def test_places_are_in_the_registry_s_own_region(
    host: str, endpoint: str, sts: str
) -> None:
    there = ecr._place(Context(host, "t"))

    assert (there.endpoint, there.sts) == (f"https://{endpoint}", f"https://{sts}")


# -- the keys themselves ------------------------------------------------------------

STS = "sts.eu-west-1.amazonaws.com"


@pytest.fixture
def sts(server: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """The double in place of the STS of that name."""
    real = aws.assumed

    def assumed(asked: Context, role: str, url: str, *more: Any) -> Any:
        assert url == f"https://{STS}"
        return real(asked, role, server.url, *more)

    monkeypatch.setattr(aws, "assumed", assumed)
    return server


def test_sts_gives_the_keys_of_the_role(clouds: None) -> None:
    import time

    given = ask("sts", STS, time.time())

    keys = json.loads(given.value)
    assert keys.keys() == {"AccessKeyId", "SecretAccessKey", "SessionToken"}
    assert given.username == keys["AccessKeyId"]
    assert given.lifetime is not None
    assert 3500 < given.lifetime < 3602


@pytest.mark.parametrize(
    ("end", "lifetime"),
    [
        ("2023-11-14T22:43:20Z", 1800.0),
        ("2023-11-14T23:43:20.5+01:00", 1800.5),
        ("2023-11-14T22:43:20", 3600),  # in no zone: as long as was asked for
        ("soon", 3600),
    ],
)
def test_keys_end_when_sts_says(sts: Aws, end: str, lifetime: float) -> None:
    sts.sts = says(end)

    assert ask("sts", STS).lifetime == lifetime
    (call,) = sts.calls
    assert (call.form["RoleArn"], call.form["DurationSeconds"]) == (ROLE, "3600")


def test_keys_that_have_ended_are_not_given(sts: Aws) -> None:
    sts.sts = says("2023-11-14T22:13:19Z")

    with pytest.raises(Transient, match="has ended already"):
        ask("sts", STS)


def says(end: str) -> Dated:
    text = STS_ANSWER.replace("<Expiration>x<", f"<Expiration>{end}<")
    return Dated(text.encode(), Content_Type="text/xml")


def test_identity_with_keys_gets_no_others() -> None:
    with pytest.raises(Permanent, match="this identity has AWS keys"):
        ask("sts", STS, username="AKIAX")
