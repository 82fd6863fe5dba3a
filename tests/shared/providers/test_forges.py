"""Each forge's quirks, played by a forge of data, and what we make of them."""

import http.client
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from hushkey.config.identities import compiled
from hushkey.errors import Cancelled, Permanent, UiRequired
from hushkey.model import Account, CodeFlow, Grant, Identity
from hushkey.providers.base import Pending
from hushkey.providers.oidc import OAuthProvider
from hushkey.providers.registry import SPECS, client_words, methods_of
from hushkey.scopes import covers
from kit.oauth import OidcServer, network
from servers.forge import CLIENT, FORGES, GITEA_CLIENT, SECRET, Forge

REDIRECT = "http://127.0.0.1:8400/"
NEEDS_SECRET = [k for k, facts in FORGES.items() if facts.client_auth != "none"]
every_forge = pytest.mark.parametrize("kind", FORGES)


class Desk:
    """Somebody with an identity at a forge."""

    def __init__(self, forge: Forge, folder: Path, **keys: Any) -> None:
        self.forge = forge
        secret = {"client_secret": SECRET} if forge.kind in NEEDS_SECRET else {}
        table = {"provider": forge.kind, "client_id": CLIENT, **secret, **keys}
        table = {k: v for k, v in table.items() if v}
        self.identity = Identity("me", **compiled({"base_url": forge.url, **table}))
        self.spec = SPECS[forge.kind]
        self.provider = OAuthProvider(
            self.identity, network(), str(folder), {}, self.spec
        )

    def page(self, *scopes: str, hint: str = "") -> tuple[CodeFlow, int, Any]:
        """Open the page as a browser; return what it does."""
        flow = self.provider.begin_code(scopes, REDIRECT, hint)
        parts = urlsplit(flow.url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=10)
        connection.request("GET", f"{parts.path}?{parts.query}")
        response = connection.getresponse()
        response.read()
        connection.close()
        location = response.headers.get("Location", "")
        return flow, response.status, dict(parse_qsl(urlsplit(location).query))

    def sign_in(self, *scopes: str) -> Grant:
        flow, status, answer = self.page(*(scopes or self.spec.scopes))
        assert status == 302
        return self.provider.redeem_code(flow, answer)

    def sent(self, path: str, verb: str = "POST") -> dict[str, str]:
        return [form for v, p, form in self.forge.log if (v, p) == (verb, path)][-1]


# -- what all of them share ----------------------------------------------------------


@every_forge
@pytest.mark.parametrize("path", ["", "/forge/git"])
def test_code_flow_and_refresh_below_a_base_url(
    kind: str, path: str, tmp_path: Path
) -> None:
    with Forge(kind, path) as forge:
        desk = Desk(forge, tmp_path, base_url=f"{forge.url}/")
        granted = desk.sign_in()
        renewed = desk.provider.refresh(granted.refresh_token, desk.spec.scopes)

    assert covers(granted.scopes, desk.spec.scopes)
    assert covers(renewed.scopes, desk.spec.scopes)
    assert renewed.access_token in forge.live
    assert (granted.access_token in forge.live) is not forge.facts.ends_old
    if forge.facts.ends_old:
        assert not desk.identity.keeps_old  # so that nothing renews ahead of its time


@every_forge
def test_refresh_token_that_is_dead_has_ended_the_sign_in(
    kind: str, tmp_path: Path
) -> None:
    with Forge(kind) as forge:
        desk = Desk(forge, tmp_path)
        desk.sign_in()
        with pytest.raises(UiRequired) as caught:
            desk.provider.refresh("rt-long-gone", desk.spec.scopes)

    assert caught.value.ended
    assert caught.value.hint == ""


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("github", Account("583231", "alice")),
        ("gitlab", Account("7", "alice")),
        ("gitea", Account("3", "alice")),
        ("bitbucket-dc", Account("alice", "alice")),
        ("bitbucket", None),  # its API wants the scope `account`
    ],
)
def test_who_signed_in_is_looked_up_with_the_fresh_token(
    kind: str, expected: Account | None, tmp_path: Path
) -> None:
    with Forge(kind) as forge:
        granted = Desk(forge, tmp_path).sign_in()

    assert granted.account == expected
    assert granted.claims == (
        {"preferred_username": "alice"} if expected is not None else {}
    )


@pytest.mark.parametrize("kind", ["github", "gitea", "gitlab", "bitbucket-dc"])
def test_look_up_that_fails_leaves_the_account_unknown(
    kind: str, tmp_path: Path
) -> None:
    with Forge(kind, user="/elsewhere") as forge:
        granted = Desk(forge, tmp_path).sign_in()

    assert granted.account is None
    assert granted.access_token in forge.live


def test_look_up_needs_a_scope_that_was_granted(tmp_path: Path) -> None:
    with Forge("gitlab") as forge:
        Desk(forge, tmp_path).sign_in("read_repository")

    asked = [path for verb, path, _ in forge.log if verb == "GET"]
    assert "/oauth/userinfo" not in asked
    assert asked[-1] == "/oauth/token/info"


@pytest.mark.parametrize(
    ("kind", "parameter"), [("github", "login"), ("gitea", ""), ("gitlab", "")]
)
def test_account_that_is_meant_goes_where_the_forge_reads_it(
    kind: str, parameter: str, tmp_path: Path
) -> None:
    with Forge(kind) as forge:
        Desk(forge, tmp_path).page(hint="bob")
        asked = forge.log[-1][2]

    assert [k for k, v in asked.items() if v == "bob"] == (
        [parameter] * bool(parameter)
    )


def test_github_lets_a_person_choose_only_where_one_is_meant(tmp_path: Path) -> None:
    with Forge("github") as forge:
        desk = Desk(forge, tmp_path)
        desk.page(hint="bob")
        meant = desk.sent(forge.facts.authorize, "GET")
        desk.page()
        anybody = desk.sent(forge.facts.authorize, "GET")

    assert meant["prompt"] == "select_account"
    assert "prompt" not in anybody


# -- GitHub --------------------------------------------------------------------------


def test_github_without_a_secret_is_by_device_alone(tmp_path: Path) -> None:
    with Forge("github") as forge:
        desk = Desk(forge, tmp_path, client_secret="")
        flow, _, answer = desk.page("repo")
        with pytest.raises(Permanent, match="rejects the client") as caught:
            desk.provider.redeem_code(flow, answer)

    assert "--method device" in caught.value.hint
    assert methods_of(desk.identity) == ("device",)
    assert methods_of(Desk(forge, tmp_path).identity) == ()


def test_github_tells_scopes_by_commas_and_leaves_out_what_they_include(
    tmp_path: Path,
) -> None:
    with Forge("github") as forge:
        granted = Desk(forge, tmp_path).sign_in("repo", "public_repo", "gist")

    assert covers(granted.scopes, ("repo", "public_repo", "gist", "repo:status"))
    assert not covers(granted.scopes, ("workflow",))


def test_github_device_sign_in_of_an_oauth_app_never_ends(tmp_path: Path) -> None:
    with Forge("github", expires_in=None, gives_refresh_token=False) as forge:
        desk = Desk(forge, tmp_path, client_secret="")
        forge.device_answers = ["authorization_pending", "slow_down", ""]
        code = desk.provider.begin_device(desk.spec.scopes)
        assert code is not None
        with pytest.raises(Pending):
            desk.provider.poll_device(code)
        with pytest.raises(Pending) as slow:
            desk.provider.poll_device(code)
        granted = desk.provider.poll_device(code)

    assert slow.value.slow_down
    assert (granted.expires_in, granted.refresh_token) == (None, "")
    assert granted.account == Account("583231", "alice")


@pytest.mark.parametrize("code", ["token_expired", "expired_token"])
def test_github_has_two_names_for_a_device_code_that_is_too_old(
    code: str, tmp_path: Path
) -> None:
    with Forge("github") as forge:
        desk = Desk(forge, tmp_path)
        device = desk.provider.begin_device(("repo",))
        assert device is not None
        forge.device_answers = [code]
        with pytest.raises(Cancelled):
            desk.provider.poll_device(device)


def test_github_app_without_device_flow_names_the_box_and_the_page(
    tmp_path: Path,
) -> None:
    with Forge("github") as forge:
        forge.device_answers = ["device_flow_disabled"]
        with pytest.raises(Permanent) as caught:
            Desk(forge, tmp_path).provider.begin_device(("repo",))

    assert '"Enable Device Flow"' in caught.value.hint
    assert f"{forge.url}/settings/developers" in caught.value.hint


@pytest.mark.parametrize(
    ("base", "api", "revocation"),
    [
        ("https://github.com", "https://api.github.com", True),
        ("https://corp.ghe.com", "https://api.corp.ghe.com", True),
        ("https://git.example.com", "https://git.example.com/api/v3", False),
        ("https://example.com/gh", "https://example.com/gh/api/v3", False),
        ("https://notghe.com", "https://notghe.com/api/v3", False),
        ("https://x.ghe.com.evil.test", "https://x.ghe.com.evil.test/api/v3", False),
        ("https://evil.test/.ghe.com", "https://evil.test/.ghe.com/api/v3", False),
    ],
)
def test_github_api_is_that_of_the_very_server(
    base: str, api: str, revocation: bool
) -> None:
    spec = SPECS["github"]

    assert spec.api_of(base) == api
    expected = f"{api}/credentials/revoke" if revocation else ""
    assert spec.credential_revocation(base) == expected


def test_github_takes_a_token_back_without_authentication(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Forge("github") as forge:
        desk = Desk(forge, tmp_path)
        monkeypatch.setattr(
            type(desk.spec),
            "credential_revocation",
            lambda _, base: f"{base}/credentials/revoke",
        )
        assert desk.provider.revoke("gho_1")

    assert forge.revoked == ["gho_1"]


@pytest.mark.parametrize("kind", [k for k, s in SPECS.items() if s.refusal_hint])
def test_refusal_leads_to_the_forge_s_own_page_and_to_no_other(kind: str) -> None:
    spec = SPECS[kind]
    own = {"base_url": "https://git.corp.test"} if "base_url" in spec.keys else {}
    table = {"provider": kind, "client_id": CLIENT, **own}
    identity = Identity("me", **compiled(table))
    base = own.get("base_url") or identity.issuer

    said = spec.refusal(identity, "acme/app.git")
    hostile = [
        spec.refusal(identity, path)
        for path in ("@evil.test/x", "evil.test:1/x", "{base}/x", "a%2fb/x", "a b/x")
    ]

    assert f"{base}/" in said
    assert len(said) < 300
    if "ORG" in spec.refusal(identity):
        assert "acme" in said
    assert {*hostile} == {spec.refusal(identity)}
    if own:
        below = {**table, "base_url": "https://git.corp.test/acme/code"}
        there = Identity("me", **compiled(below))
        assert (
            spec.refusal(there, "acme/code/acme/app").replace("/acme/code", "") == said
        )


@pytest.mark.parametrize("kind", ["github", "gitlab"])
@pytest.mark.parametrize("field", ["verification_uri", "verification_uri_complete"])
@pytest.mark.parametrize(
    "page",
    [
        "https://github.com/login/device",
        "{origin}.evil.test/device",
        "{origin}@evil.test/device",
        "{origin}1/device",
    ],
)
def test_device_code_of_another_server_is_shown_to_nobody(
    kind: str, field: str, page: str, tmp_path: Path
) -> None:
    with Forge(kind) as forge:
        forge.device_page = {field: page.format(origin=forge.origin)}
        desk = Desk(forge, tmp_path)
        with pytest.raises(Permanent):
            desk.provider.begin_device(())
        forge.device_page = {field: f"{forge.origin.upper()}/login/device"}
        assert desk.provider.begin_device(())


def test_server_without_device_codes_is_no_captive_portal(tmp_path: Path) -> None:
    with (
        Forge("github", device="/elsewhere") as forge,
        pytest.raises(Permanent, match=r"no device codes \(HTTP 404\)"),
    ):
        Desk(forge, tmp_path).provider.begin_device(())


# -- GitLab --------------------------------------------------------------------------


def test_gitlab_application_that_is_confidential_says_what_to_untick(
    tmp_path: Path,
) -> None:
    with Forge("gitlab", client_auth="post") as forge:
        desk = Desk(forge, tmp_path)
        flow, _, answer = desk.page(*desk.spec.scopes)
        with pytest.raises(Permanent) as caught:
            desk.provider.redeem_code(flow, answer)

    assert 'untick "Confidential"' in caught.value.hint
    assert f"{forge.url}/-/user_settings/applications" in caught.value.hint


def test_gitlab_shows_a_page_for_a_scope_that_it_does_not_know(tmp_path: Path) -> None:
    with Forge("gitlab") as forge:
        desk = Desk(forge, tmp_path)
        _, status, answer = desk.page("read_repository", "nonsense")
        words = desk.spec.filled(desk.spec.given_up_hint, desk.identity)

    assert (status, answer) == (400, {})
    assert "if GitLab's page showed an error" in words
    assert f"{forge.url}/-/user_settings/applications" in words


@pytest.mark.parametrize("group", [112, "112"])
def test_gitlab_group_s_single_sign_on_is_named_to_the_page(
    group: object, tmp_path: Path
) -> None:
    # docs.gitlab.com/api/oauth2 (18.5); gitlab-org/gitlab issue 461212
    with Forge("gitlab") as forge:
        led = Desk(forge, tmp_path, root_namespace_id=group).provider
        usual = Desk(forge, tmp_path).provider
        pages = [p.begin_code(("openid",), REDIRECT, "").url for p in (led, usual)]

    asked = [dict(parse_qsl(urlsplit(page).query)) for page in pages]
    assert [form.get("root_namespace_id") for form in asked] == ["112", None]


@pytest.mark.parametrize("value", ["112&a=b", "-1", "٣", "", True, 1.5, "9" * 30])
def test_gitlab_group_is_a_number(value: object) -> None:
    assert SPECS["gitlab"].keys["root_namespace_id"](value)


def test_gitlab_revokes_for_a_public_client(tmp_path: Path) -> None:
    with Forge("gitlab") as forge:
        desk = Desk(forge, tmp_path)
        granted = desk.sign_in()
        assert desk.provider.revoke(granted.refresh_token)

    assert forge.revoked == [granted.refresh_token]


# -- Gitea, Forgejo --------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["gitea", "forgejo"])
def test_gitea_needs_no_client_and_is_sent_no_scope_with_the_one_that_all_share(
    provider: str, tmp_path: Path
) -> None:
    asked = ("write:repository", "read:user")
    with Forge("gitea", device="/login/device") as forge:
        desk = Desk(forge, tmp_path, client_id="", provider=provider)
        granted = desk.sign_in(*asked)
        renewed = desk.provider.refresh(granted.refresh_token, asked)
        desk.provider.begin_device(asked)

    assert desk.identity.client_id == GITEA_CLIENT
    named = client_words(provider, GITEA_CLIENT)
    assert GITEA_CLIENT in named
    assert "git-credential-oauth" in named
    assert covers(granted.scopes, asked)
    assert covers(renewed.scopes, asked)
    assert [form for _, _, form in forge.log if "scope" in form] == []


def test_gitea_client_of_one_s_own_counts_and_asks_for_its_scopes(
    tmp_path: Path,
) -> None:
    with Forge("gitea") as forge:
        desk = Desk(forge, tmp_path)
        desk.page("write:repository")
        asked = desk.sent("/login/oauth/authorize", "GET")

    assert (asked["client_id"], asked["scope"]) == (CLIENT, "write:repository")
    assert client_words("gitea", CLIENT) == CLIENT


def test_gitea_grant_with_another_scope_names_the_cure(tmp_path: Path) -> None:
    with Forge("gitea") as forge:
        desk = Desk(forge, tmp_path)
        desk.sign_in("read:repository")
        flow, _, answer = desk.page("write:repository")
        with pytest.raises(Permanent, match="a grant exists with diff") as caught:
            desk.provider.redeem_code(flow, answer)

    assert f"{forge.url}/user/settings/applications" in caught.value.hint


def test_gitea_refresh_token_serves_again(tmp_path: Path) -> None:
    with Forge("gitea") as forge:
        desk = Desk(forge, tmp_path)
        granted = desk.sign_in()
        for _ in range(2):
            desk.provider.refresh(granted.refresh_token, ())


def test_gitea_with_oauth_turned_off_opens_no_page(tmp_path: Path) -> None:
    with Forge("gitea") as forge:
        forge.off = True
        desk = Desk(forge, tmp_path)
        with pytest.raises(Permanent, match="OAuth is turned off"):
            desk.provider.begin_code((), REDIRECT, "")


@pytest.mark.parametrize(
    ("device", "announced"), [("/login/device", True), ("", False)]
)
def test_gitea_has_a_device_flow_where_it_says_so(
    device: str, announced: bool, tmp_path: Path
) -> None:
    with Forge("gitea", device=device) as forge:
        found = Desk(forge, tmp_path).provider.begin_device(())

    assert (found is not None) is announced


# -- Bitbucket -------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["scope", "scopes"])
def test_bitbucket_leaves_out_what_a_scope_includes_in_either_field(
    field: str, tmp_path: Path
) -> None:
    with Forge("bitbucket", scope_field=field) as forge:
        granted = Desk(forge, tmp_path).sign_in("repository", "repository:write")

    assert covers(granted.scopes, ("repository", "repository:write"))
    assert not covers(granted.scopes, ("account",))


@pytest.mark.parametrize("kind", ["bitbucket", "bitbucket-dc"])
def test_bitbucket_has_no_device_flow(kind: str, tmp_path: Path) -> None:
    with Forge(kind) as forge:
        desk = Desk(forge, tmp_path)
        assert desk.provider.begin_device(()) is None

    assert "device" not in methods_of(desk.identity)


# -- Google, Hugging Face: OpenID Connect with facts of their own ----------------------


def open_id(kind: str, server: OidcServer, folder: Path) -> OAuthProvider:
    options = {"issuer": server.issuer, "client_secret": SECRET}
    identity = Identity("me", kind, client_id="c", options=options)
    return OAuthProvider(identity, network(), str(folder), {}, SPECS[kind])


def test_google_gives_a_refresh_token_only_if_asked_for_offline_access(
    tmp_path: Path,
) -> None:
    with OidcServer() as server:
        flow = open_id("google", server, tmp_path).begin_code(
            SPECS["google"].scopes, REDIRECT, "me@example.com"
        )

    asked = dict(parse_qsl(urlsplit(flow.url).query))
    assert (asked["access_type"], asked["prompt"]) == ("offline", "consent")
    assert asked["login_hint"] == "me@example.com"
    assert "gerritcodereview" in asked["scope"]


@pytest.mark.parametrize("kind", ["google", "huggingface"])
def test_one_issuer_is_the_only_one(kind: str) -> None:
    spec = SPECS[kind]
    identity = Identity("me", **compiled({"provider": kind, "client_id": "c"}))

    assert identity.issuer.startswith("https://")
    assert "issuer" not in spec.keys
    assert spec.registration({}) is not None


# -- scopes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "granted", "asked", "covered"),
    [
        ("gitlab", ("api",), ("read_repository", "write_repository"), True),
        ("gitlab", ("read_api",), ("write_repository",), False),
        ("github", ("public_repo",), ("repo",), False),
        ("github", ("admin:org",), ("read:org",), True),
        ("bitbucket", ("pullrequest:write",), ("repository",), True),
        ("bitbucket-dc", ("REPO_ADMIN",), ("PUBLIC_REPOS",), True),
        ("oauth2", ("repo",), ("public_repo",), False),
    ],
)
def test_what_includes_what(
    provider: str,
    granted: tuple[str, ...],
    asked: tuple[str, ...],
    covered: bool,
    tmp_path: Path,
) -> None:
    keys = {"client_id": "c", "token_endpoint": "https://a.test/t"}
    identity = Identity("me", **compiled({"provider": provider, **keys}))
    opened = OAuthProvider(identity, network(), str(tmp_path), {}, SPECS[provider])

    found = opened._granted({"scope": " ".join(granted)}, ())

    assert covers(found, asked) is covered
