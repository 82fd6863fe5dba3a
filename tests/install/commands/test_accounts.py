import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushkey.model import TokenKey
from hushkey.providers.azure_devops import Directory
from hushkey.providers.clouds import DEFAULT_TENANT
from hushkey_install.cli import main
from hushkey_install.common.context import Context
from kit.oauth import (
    ME,
    WELL_KNOWN,
    Machine,
    OidcServer,
    Reply,
    claims,
    grant,
    signed,
)

TWO = """
[host."hub.test"]
identity = "corp"
scopes = ["hub"]

[host."mirror.test"]
identity = "corp"
scopes = ["git"]
"""
OTHER = """
[identity.other]
provider = "oidc"
issuer = "https://other.id.test"
client_id = "gh"

[host."other.test"]
identity = "other"
"""


@pytest.fixture
def server() -> Iterator[OidcServer]:
    """An issuer whose device codes are approved at once."""
    with OidcServer() as running:
        running.publishes(revocation_endpoint=f"{running.url}/revoke")
        running.on("/revoke", Reply())
        running.offers_devices(interval=0.001)
        running.grants(
            access_token="at-signed-in",
            id_token=signed(claims(running.issuer, time.time(), nonce=None)),
        )
        yield running


@pytest.fixture
def machine(home: Path, server: OidcServer) -> Machine:
    made = Machine(home, server.issuer)
    made.configure()
    return made


def hushkey(machine: Machine, *words: str, code: int = 0, **environ: str) -> Result:
    result = CliRunner().invoke(main, words, env={**machine.environ, **environ})
    assert result.exit_code == code, result.output
    return result


def login(machine: Machine, *words: str, code: int = 0) -> Result:
    return hushkey(machine, "login", "--method", "device", *words, code=code)


# -- login -----------------------------------------------------------------------


def test_login_signs_in(machine: Machine) -> None:
    result = login(machine, "git.test")

    assert "signed in to git.test as me@example.com" in result.stderr
    assert f"identity corp, client c at {machine.issuer}" in result.stderr
    assert result.stdout == ""
    assert machine.stored() == ["at-signed-in"]


@pytest.mark.parametrize("name", ["me", "me%40example.com"])
def test_login_signs_in_whom_the_url_names(machine: Machine, name: str) -> None:
    login(machine, f"{name}@git.test")

    again = hushkey(machine, "login", f"https://{name}@git.test/", HUSHKEY_AGENT="off")

    assert "already signed in to git.test as me@example.com" in again.stderr


def test_login_stores_nobody_but_whom_the_url_names(machine: Machine) -> None:
    machine.has(grant("at-me"))

    result = login(machine, "bob@git.test", code=1)

    assert "me@example.com signed in, but bob was asked for" in result.stderr
    assert machine.stored() == ["at-me"]


@pytest.mark.parametrize("target", [[], ["corp"], ["https://git.test/app.git"]])
def test_login_knows_what_is_meant(machine: Machine, target: list[str]) -> None:
    assert "signed in to git.test" in login(machine, *target).stderr


def test_login_again_says_so_and_asks_nobody(
    machine: Machine, server: OidcServer
) -> None:
    machine.has(grant("at-old"))

    result = login(machine, "git.test")

    assert "already signed in to git.test" in result.stderr
    assert server.forms == []


def test_login_with_force_asks_anew(machine: Machine) -> None:
    machine.has(grant("at-old"))

    assert "hushkey: " not in login(machine, "git.test", "--force").stdout
    assert machine.stored() == ["at-signed-in"]


def test_login_serves_every_set_of_scopes_of_an_identity(
    machine: Machine, server: OidcServer
) -> None:
    machine.configure(TWO)

    result = login(machine, "corp")

    assert len(result.stderr.splitlines()) == 2  # mirror.test wants what git.test has
    assert [form["grant_type"].rpartition(":")[2] for form in server.forms] == [
        "device_code",
        "refresh_token",
    ]


def test_login_without_target_asks_which(machine: Machine) -> None:
    machine.configure(OTHER)

    result = login(machine, code=1)

    assert "which identity or host? (corp, other)" in result.stderr


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nowhere.test", "no rule covers it"),
        ("github.com", "it lacks [identity.github] client_id"),
        ("ftp://git.test", "not a scheme that hushkey serves"),
        ("a b", "spaces only in its path"),
        ("", "names no host"),
        ("github", "serves no host yet: it lacks [identity.github] client_id"),
    ],
)
def test_login_to_what_is_not_ours(machine: Machine, target: str, words: str) -> None:
    assert words in login(machine, target, code=1).stderr


def test_login_where_nobody_can_be_asked(machine: Machine) -> None:
    result = hushkey(machine, "login", "git.test", code=3, HUSHKEY_INTERACTIVE="never")

    assert "nobody is signed in" in result.stderr


def test_declined_login_is_3(machine: Machine, server: OidcServer) -> None:
    server.refuses("access_denied")

    assert "declined" in login(machine, "git.test", code=3).stderr


def test_method_beats_the_environment(machine: Machine) -> None:
    words = ["login", "git.test", "--method", "device"]

    hushkey(machine, *words, HUSHKEY_INTERACTIVE="never")


def test_login_says_that_an_organisation_named_no_tenant(machine: Machine) -> None:
    context = Context(machine.environ)
    rule, _ = context.rule("https://dev.azure.com/no-such")
    key = TokenKey(rule.scopes, DEFAULT_TENANT)
    with context.acquirer.file_of(rule.identity).change(5) as change:
        change.cache.keep(grant("at"), ME, key, int(time.time()))
        change.save()
    directory = Directory(str(machine.data))
    directory.tenant("dev.azure.com/no-such", [], "public", lambda url: [])

    told = hushkey(machine, "login", "https://dev.azure.com/no-such/_git/a").stderr

    note = "dev.azure.com/no-such named no tenant when it was asked"
    assert "already signed in to dev.azure.com/no-such" in told
    assert note in told


# -- logout ----------------------------------------------------------------------


def test_logout_forgets_and_revokes(machine: Machine, server: OidcServer) -> None:
    machine.has(grant("at-old", refresh_token="rt-old"))

    result = hushkey(machine, "logout", "git.test")

    assert result.stderr == "signed out of corp and revoked\n"
    assert machine.stored() == []
    assert machine.token_file().read().refresh_tokens(ME.id) == []
    assert [c.form["token"] for c in server.calls_to("/revoke")] == ["rt-old"]


def test_local_logout_tells_nobody(machine: Machine, server: OidcServer) -> None:
    machine.has(grant("at-old"))

    result = hushkey(machine, "logout", "corp", "--local")

    assert "the server was not told (--local)" in result.stderr
    assert machine.stored() == []
    assert server.calls == []


def test_logout_without_sign_in_says_so(machine: Machine, server: OidcServer) -> None:
    result = hushkey(machine, "logout")

    assert "there was no sign-in to revoke" in result.stderr
    assert server.calls == []


@pytest.mark.parametrize("path", [WELL_KNOWN, "/revoke"])
def test_logout_while_the_server_fails_still_signs_out(
    machine: Machine, server: OidcServer, path: str
) -> None:
    machine.has(grant("at-old"))
    server.on(path, Reply(status=503))

    result = hushkey(machine, "logout", "corp")

    assert "signed out of corp here; the server" in result.stderr
    assert machine.stored() == []


def test_logout_of_all_takes_every_identity_that_was_used(machine: Machine) -> None:
    machine.configure(OTHER + '[identity.work]\nprovider = "static"\n')
    machine.has(grant("at-old"))

    result = hushkey(machine, "logout", "--all")
    again = hushkey(machine, "logout", "--all")

    assert result.stderr == "signed out of corp and revoked\n"
    assert again.stderr == "nobody is signed in\n"


WORDS = ["azure", "azure-usgov", "corp", "git.test", "https://git.test/a.git"]


@pytest.mark.parametrize("word", [*WORDS, "dev.azure.com/contoso", "x.azurecr.io"])
def test_login_and_logout_take_the_same_words(machine: Machine, word: str) -> None:
    never = {"HUSHKEY_INTERACTIVE": "never", "https_proxy": "http://127.0.0.1:9"}

    asked = hushkey(machine, "login", word, code=3, **never)
    left = hushkey(machine, "logout", word)

    assert "nobody is signed in" in asked.stderr
    assert "there was no sign-in to revoke" in left.stderr


def test_logout_without_target_means_the_built_in_identity_that_is_used(
    machine: Machine, server: OidcServer
) -> None:
    machine.configure(text='[settings]\nkey_store = "file"\n')
    context = Context(machine.environ)
    identity = context.config.identity("azure")
    with context.acquirer.file_of(identity).change(5) as change:
        change.cache.keep(grant("at"), ME, TokenKey(("s",)), int(time.time()))
        change.save()

    result = hushkey(machine, "logout", "--local")

    assert "signed out of azure here" in result.stderr
    assert "no host has an identity yet" in hushkey(machine, "logout", code=1).stderr


def test_sign_out_names_every_identity_that_shared_it(
    machine: Machine, server: OidcServer
) -> None:
    """A tenant's own identity uses the same client, and the same sign-in."""
    machine.configure(
        text='[settings]\nkey_store = "file"\n[identity.b]\nprovider = "entra"\n'
        'tenant = "b.test"\n[host."b.azurecr.io"]\nidentity = "b"\nscopes = ["x"]\n'
    )
    context = Context(machine.environ)
    for words in (("--all",), ("b",)):
        identity = context.config.identity("azure")
        with context.acquirer.file_of(identity).change(5) as change:
            change.cache.keep(grant("at"), ME, TokenKey(("s",)), int(time.time()))
            change.save()

        said = hushkey(machine, "logout", "--local", *words).stderr

        assert said.count("signed out of") == 1
        assert "signed out of b (with it of azure) here" in said


@pytest.mark.parametrize(
    "words",
    [
        ("login", "typed.test"),
        ("login", "work"),
        ("login", "--force", "https://typed.test/app"),
        ("logout", "work"),
        ("logout", "typed.test"),
    ],
)
def test_nobody_signs_in_to_what_is_typed(
    machine: Machine, words: tuple[str, ...]
) -> None:
    machine.configure(
        '[identity.work]\nprovider = "static"\n[host."typed.test"]\nidentity = "work"\n'
    )

    result = CliRunner().invoke(main, list(words), env=machine.environ)

    assert result.exit_code == 1
    assert 'identity work is provider = "static"' in result.stderr
    assert "docker login" in result.stderr


# -- token -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ([], "at-old\n"),
        (["--format", "raw"], "at-old\n"),
        (["--format", "bearer"], "Bearer at-old\n"),
        (["--format", "header"], "Authorization: Bearer at-old\n"),
    ],
)
def test_token_is_printed_in_its_form(
    machine: Machine, form: list[str], shown: str
) -> None:
    machine.has(grant("at-old"))

    result = hushkey(machine, "token", "git.test", *form)

    assert (result.stdout, result.stderr) == (shown, "")


def test_token_as_json_says_all_about_it(machine: Machine) -> None:
    machine.has(grant("at-old", refresh_token="rt-old"))

    result = hushkey(machine, "token", "https://git.test/a", "--format", "json")

    found = json.loads(result.stdout)
    assert found.pop("expires_at") > time.time()
    assert found == {
        "host": "git.test",
        "token": "at-old",
        "account": "me@example.com",
        "source": "cache",
    }


def test_token_is_renewed_silently(machine: Machine, server: OidcServer) -> None:
    machine.has(grant("at-old"), age=7200)
    server.grants(access_token="at-2", scope="git")

    assert hushkey(machine, "token", "git.test").stdout == "at-2\n"


def test_token_that_needs_a_sign_in_prints_nothing(machine: Machine) -> None:
    result = hushkey(machine, "token", "git.test", code=3, HUSHKEY_INTERACTIVE="never")

    assert result.stdout == ""
    assert "run: hushkey login git.test" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("login", "https://me:CANARY@nope.test/x?a=CANARY"),
        ("token", "https://me:CANARY@nope.test/x"),
        ("explain", "ftp://me:CANARY@nope.test/x"),
        ("login", "me:CANARY@nope.test"),
        ("config", "add-host", "http://me:CANARY@nope.test", "--identity", "corp"),
    ],
)
def test_password_of_a_url_is_in_no_error(home: Path, words: tuple[str, ...]) -> None:
    machine = Machine(home)
    machine.configure()

    result = CliRunner().invoke(main, words, env=machine.environ)

    assert result.exit_code == 1
    assert "nope.test" in result.output
    assert "CANARY" not in result.output
