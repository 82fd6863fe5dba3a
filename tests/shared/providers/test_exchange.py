import base64
import json
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

import pytest

from hushkey.config import schema
from hushkey.errors import HushkeyError, Permanent, Transient
from hushkey.providers import exchange
from hushkey.providers.exchange.base import Context, Refused, Secret
from kit.oauth import Reply, Scripted, network
from servers.authority import Authority

SECRET = "entra-s3cret"
PATH = "/oauth2/exchange"
TENANT = "409520d4-8100-4d1d-ad47-72432ddcc120"
NOW = 1_700_000_000.0


def token(**claims: Any) -> str:
    parts = [{"alg": "RS256"}, claims, "signature"]
    encoded = [base64.urlsafe_b64encode(json.dumps(p).encode()) for p in parts]
    return ".".join(part.decode().rstrip("=") for part in encoded)


class Registry(Scripted):
    """A registry over TLS whose exchange answers what a test says."""

    def __init__(self, authority: Authority) -> None:
        super().__init__(authority.server_context())
        self.ca_file = str(authority.ca_file)
        self.host = urlsplit(self.url).netloc

    def ask(
        self,
        tenant: str = "",
        now: float = NOW,
        kind: str = "acr",
        value: str = SECRET,
    ) -> Secret:
        asked = Context(self.host, value, tenant)
        return exchange.perform(kind, asked, network(3, ca_file=self.ca_file), now)

    def gives(self, value: object, date: str = "") -> None:
        self.on(PATH, _Dated({"refresh_token": value}, date))

    def refusal(self, body: object, status: int, **headers: str) -> HushkeyError:
        self.on(PATH, Reply(body, status, **headers))
        with pytest.raises(HushkeyError) as caught:
            self.ask()
        assert SECRET not in caught.value.line()
        return caught.value

    @property
    def form(self) -> dict[str, str]:
        (call,) = self.calls_to(PATH)
        return call.form


class _Dated(Reply):
    """A reply by a server with a clock of its own."""

    def __init__(self, body: object, date: str) -> None:
        super().__init__(body)
        self.date = date

    def __call__(self, handler: Any) -> None:
        handler.date_time_string = lambda timestamp=None: self.date
        super().__call__(handler)


@pytest.fixture
def registry(authority: Authority) -> Iterator[Registry]:
    with Registry(authority) as server:
        yield server


def test_request_is_the_documented_one(registry: Registry) -> None:
    registry.gives(token(exp=NOW + 60))

    registry.ask()

    (call,) = registry.calls
    assert (call.method, call.path) == ("POST", PATH)
    assert call.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "Authorization" not in call.headers
    assert registry.form == {
        "grant_type": "access_token",
        "service": registry.host,
        "access_token": SECRET,
    }


@pytest.mark.parametrize(
    ("tenant", "sent"),
    [
        ("", None),
        ("organizations", None),
        ("common", None),
        ("contoso.onmicrosoft.com", None),
        ("12345678-1234-1234-1234-12345678abcg", None),
        (TENANT, TENANT),
    ],
)
def test_tenant_is_sent_where_it_is_an_id(
    registry: Registry, tenant: str, sent: str | None
) -> None:
    registry.gives(token(exp=NOW + 60))

    registry.ask(tenant)

    assert registry.form.get("tenant") == sent


def test_lifetime_is_the_tokens_own(registry: Registry) -> None:
    registry.gives(token(exp=NOW + 10800))

    assert registry.ask().lifetime == 10800


def test_lifetime_counts_by_the_servers_clock(registry: Registry) -> None:
    registry.gives(token(exp=NOW + 10800), formatdate(NOW, usegmt=True))

    assert registry.ask(now=NOW + 7200).lifetime == 10800


def test_lifetime_by_a_wrong_clock_is_the_whole_life_at_most(
    registry: Registry,
) -> None:
    value = token(iat=NOW, exp=NOW + 10800)
    registry.gives(value, formatdate(NOW - 10**8, usegmt=True))

    assert registry.ask().lifetime == 10800


@pytest.mark.parametrize(
    "value",
    [
        "opaque",
        "a.b.c",
        "a.%%.c",
        token(),
        token(exp=None),
        token(exp="soon"),
        token(exp=True),
        token(exp=-1),
        token(exp=1e300),
        "." + "x" * 5000 + ".",
    ],
)
def test_token_without_a_readable_end_has_none(registry: Registry, value: str) -> None:
    registry.gives(value)

    assert registry.ask() == Secret("<token>", value, None)


def test_token_that_has_ended_is_transient(registry: Registry) -> None:
    registry.gives(token(exp=NOW - 1))

    with pytest.raises(Transient, match="ended already"):
        registry.ask()


@pytest.mark.parametrize("value", ["", None, 7, "two words", "line\nbreak", "ü", []])
def test_answer_without_a_usable_token_is_permanent(
    registry: Registry, value: object
) -> None:
    registry.gives(value)

    with pytest.raises(Permanent, match="holds no registry token"):
        registry.ask()


def said(code: str, message: object) -> dict[str, Any]:
    return {"errors": [{"code": code, "message": message}]}


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, Permanent, "rejects the exchange (HTTP 400)"),
        (401, Refused, "refuses this sign-in (HTTP 401)"),
        (403, Permanent, "a firewall or network rule (HTTP 403)"),
        (404, Permanent, "this registry has no token exchange (HTTP 404)"),
        (407, Permanent, "a proxy wants a password (HTTP 407)"),
        (418, Permanent, "the server said no (HTTP 418)"),
        (429, Transient, "too many requests (HTTP 429)"),
        (500, Transient, "the server failed (HTTP 500)"),
        (503, Transient, "the server failed (HTTP 503)"),
    ],
)
def test_each_status_is_an_outcome_of_its_own(
    registry: Registry, status: int, kind: type[HushkeyError], words: str
) -> None:
    error = registry.refusal(said("DENIED", f"not with {SECRET}"), status)

    assert type(error) is kind
    assert words in error.line()
    assert "not with ***" in error.line()


OTHER = "5f1d3a52-7c0e-4b7f-9c25-3b1c5a7e2d10"
ISSUED_BY = "https://sts.windows.net"
AT = "https://login.microsoftonline"


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize(
    ("message", "challenge", "tenant"),
    [
        ("no", f'Bearer authorization_uri="{AT}.com/{OTHER}"', OTHER),
        ("no", f'Bearer authorization_uri="{AT}.us/{OTHER}", realm="x"', OTHER),
        ("no", f'Bearer authorization_uri="{AT}.com.evil.test/{OTHER}"', ""),
        (
            f"The issuer '{ISSUED_BY}/{TENANT}/' is wrong. Please use the authority "
            f"(URL) 'https://login.windows.net/{OTHER}' to get the token.",
            "",
            OTHER,
        ),
        (f"ask {AT}.com/{TENANT}, or {AT}.com/{OTHER}", "", OTHER),
        (f"ask {AT}.com/{TENANT}", "", ""),
        (f"ask {AT}.com/common", "", ""),
        (f"ask http://login.microsoftonline.com/{OTHER}", "", ""),
        ("no", 'Bearer realm="https://x/oauth2/token"', ""),
    ],
)
def test_refusal_names_the_fix_for_another_tenant(
    registry: Registry, status: int, message: str, challenge: str, tenant: str
) -> None:
    headers = {"WWW_Authenticate": challenge} if challenge else {}
    registry.on(PATH, Reply(said("UNAUTHORIZED", message), status, **headers))

    with pytest.raises(Permanent) as caught:
        registry.ask(value=token(tid=TENANT))

    fix = f"hushkey setup {registry.host} --tenant {tenant or 'TENANT'}"
    shown = tenant or status != 403  # a network rule has nothing to do with tenants
    assert (fix in caught.value.hint) == bool(shown)
    assert ("of another tenant (HTTP" in caught.value.what) == bool(tenant)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(
    registry: Registry, authority: Authority, status: int
) -> None:
    with Registry(authority) as elsewhere:
        error = registry.refusal("", status, Location=f"{elsewhere.url}{PATH}")

        assert elsewhere.calls == []
    assert type(error) is Transient
    assert f"a redirect instead of an answer (HTTP {status})" in error.line()


def test_page_instead_of_an_answer_is_transient(registry: Registry) -> None:
    error = registry.refusal(b"<html>welcome</html>", 200)

    assert type(error) is Transient
    assert "web page" in error.line()


def test_retry_after_and_correlation_are_kept(registry: Registry) -> None:
    error = registry.refusal(
        said("TOOMANYREQUESTS", "slow"),
        429,
        Retry_After="30",
        X_Ms_Correlation_Request_Id="c-1",
    )

    assert error.retry_after == 30
    assert error.correlation == "c-1"


@pytest.mark.parametrize(
    "body",
    [[], {"errors": []}, {"errors": "x"}, {"errors": [7]}, said("X", 7), said("X", "")],
)
def test_odd_error_is_told_without_words(registry: Registry, body: object) -> None:
    text = json.dumps(body).encode()

    assert "(HTTP 403)" in registry.refusal(text, 403).line()


def test_host_without_tls_gets_nothing() -> None:
    asked = Context("http://127.0.0.1:1", SECRET)

    with pytest.raises(Permanent, match="over https only"):
        exchange.perform("acr", asked, network(1), NOW)


def test_secrets_stay_out_of_repr() -> None:
    shown = repr((Context("h", SECRET), Secret("<token>", SECRET, 1)))

    assert SECRET not in shown


def test_config_knows_every_kind() -> None:
    assert all(schema.HOST["exchange"](kind) is None for kind in exchange.KINDS)
    assert schema.HOST["exchange"]("arc") is not None


def test_clock_of_this_machine_serves_without_a_date(registry: Registry) -> None:
    registry.gives(token(exp=time.time() + 100), "never")

    lifetime = registry.ask(now=time.time()).lifetime

    assert lifetime is not None
    assert 90 < lifetime <= 101
