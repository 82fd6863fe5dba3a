"""What a far machine is told, by the same rules as everybody here."""

import os

import pytest

from hushkey.model import Request, TokenKey
from hushkey.net import forwarding
from hushkey.net.forwarding import Question
from hushkey.store.tokencache import TokenCache
from hushkey.store.tokenfile import TokenFile
from hushkey.system import audit
from hushkey_helpers.agent import memory
from hushkey_helpers.forward.answers import Answers
from hushkey_helpers.forward.consent import Consent
from kit.oauth import ME, Machine, grant

RULES = """
[identity.typed]
provider = "static"

[host."typed.test"]
identity = "typed"

[host."http://plain.test"]
identity = "corp"
scopes = ["git"]

[host."named.test"]
identity = "corp"
scopes = ["git"]
username = "robot"
scheme = "bearer"

[host."paths.test/team"]
identity = "corp"
scopes = ["git"]
"""

NOBODY = """
[identity.nobody]
provider = "oidc"
issuer = "https://other.test"
client_id = "d"

[host."new.test"]
identity = "nobody"
scopes = ["git"]
"""


def answers(*only: str, **more: str) -> Answers:
    environ = {**os.environ, **more}
    return Answers("f", "me@far", environ, Consent("me@far", only, environ))


def reply(
    host: str,
    path: str = "",
    *,
    protocol: str = "https",
    tool: str = "git",
    only: str = "",
    person: bool = False,
    **more: str,
) -> tuple[str, dict[str, str]]:
    asked = Question(tool, Request(protocol, host, path), "far", "git fetch", person)
    return answers(only or host, **more).reply(asked)


@pytest.fixture(autouse=True)
def signed_in(machine: Machine) -> Machine:
    machine.configure(RULES)
    machine.has(grant("at-kept"))
    return machine


def test_token_goes_with_user_end_and_scheme() -> None:
    kind, words = reply("git.test")
    assert (kind, words["token"], words["username"]) == ("given", "at-kept", "oauth2")
    assert int(words["expires"]) > 1_700_000_000

    _, words = reply("named.test")
    assert (words["username"], words["scheme"]) == ("robot", "bearer")


def test_store_is_opened_once_and_followed(
    signed_in: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = 0
    read = TokenFile.read

    def counted(self: TokenFile) -> TokenCache:
        nonlocal opened
        opened += 1
        return read(self)

    def token() -> str:
        asked = Question("git", Request("https", "git.test"))
        return same.reply(asked)[1]["token"]

    monkeypatch.setattr(TokenFile, "read", counted)
    monkeypatch.setattr(memory, "_RACY", -1e9)
    same = answers("git.test")

    assert [token() for _ in range(3)] == ["at-kept"] * 3
    assert opened == 1
    signed_in.has(grant("at-next"))
    assert token() == "at-next"


def test_refused_token_is_set_aside_and_nobody_is_signed_out(
    signed_in: Machine,
) -> None:
    def rejects(host: str, token: str, only: str = "git.test") -> str:
        name = forwarding.named(token)
        asked = Question("git", Request("https", host), refused=name)
        return answers(only).reply(asked)[0]

    for host, token, only in (
        ("git.test", "another", "git.test"),
        ("git.test", "at-kept", "other.test"),  # not allowed
        ("other.test", "at-kept", "git.test"),
        ("evil.test@git.test", "at-kept", "git.test"),
    ):
        assert rejects(host, token, only) == "unknown"
    assert reply("git.test")[1]["token"] == "at-kept"

    assert rejects("git.test", "at-kept") == "unknown"

    cache = signed_in.token_file().read()
    assert [account.label for account in map(cache.known, cache.accounts)] == [ME.label]
    assert not cached_token(cache)
    assert audit.lines(os.environ)[-1]["outcome"] == "rejected"


def cached_token(cache: TokenCache) -> object:
    return cache.token(ME, TokenKey(("git",)))


@pytest.mark.parametrize("tool", ["git", "docker", "keyring", "token", "no such tool"])
def test_any_tool_may_ask(tool: str) -> None:
    assert reply("git.test", tool=tool)[0] == "given"


@pytest.mark.parametrize(
    ("host", "protocol"),
    [
        ("other.test", "https"),
        ("git.test.evil.test", "https"),
        ("git.test:8443", "https"),
        ("git.test", "http"),
        ("plain.test", "http"),
        ("plain.test", "https"),
        ("typed.test", "https"),  # a password that somebody typed is no token
        ("evil.test@git.test", "https"),
        ("git.test", "HTTPS"),
        ("git.t\u0435st", "https"),
        ("[::1", "https"),
    ],
)
def test_host_without_a_token_here_is_unknown(host: str, protocol: str) -> None:
    assert reply(host, protocol=protocol, only="git.test")[0] == "unknown"


@pytest.mark.parametrize(
    "path", ["other/app", "team/../other", "%2e%2e/team", "team;x/app", "team%252f.."]
)
def test_path_that_no_rule_covers_for_sure_gets_no_token(path: str) -> None:
    kind, words = reply("paths.test", path)

    assert kind in ("unknown", "error")
    assert "token" not in words


def test_host_beside_only_is_refused_and_noted() -> None:
    kind, words = reply("git.test", only="named.test")

    assert kind == "error"
    assert "me@far may have no token for git.test" in words["line"]
    (line,) = audit.lines(os.environ)
    assert (line["outcome"], line["host"]) == ("refused", "git.test")


def test_sign_in_is_only_for_who_says_that_a_person_waits(machine: Machine) -> None:
    machine.configure(RULES + NOBODY)

    assert reply("new.test")[0] == "person"
    kind, words = reply("new.test", person=True, HUSHKEY_INTERACTIVE="never")

    assert kind == "error"
    assert "HUSHKEY_INTERACTIVE is never" in words["line"]


def test_what_is_wrong_with_this_machine_s_files_stays_here(machine: Machine) -> None:
    machine.config_file.write_text("secret-key = 1\n")

    kind, words = reply("git.test")

    assert (kind, words) == (
        "error",
        {"line": "it cannot answer now; run `hushkey doctor` there"},
    )
    assert "secret-key" in audit.lines(os.environ)[-1]["why"]
