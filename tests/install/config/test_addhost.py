import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushkey.config import rules
from hushkey.model import Request
from hushkey.origins import parse_url
from hushkey.providers.registry import SPECS
from hushkey_install.cli import main
from hushkey_install.config import addhost
from kit.desk import BIN
from kit.oauth import Machine
from servers.issuer import Issuer

OIDC = ("--issuer", "https://id.example.com/realms/dev", "--client-id", "hushkey")
KEY = '[settings]\nkey_store = "file"\n'


@pytest.fixture
def machine(home: Path) -> Machine:
    made = Machine(home)
    made.configure(text=KEY)
    return made


def add(machine: Machine, *words: str, code: int = 0, typed: str = "") -> Result:
    argv = ("config", "add-host", *words)
    result = CliRunner().invoke(main, argv, env=machine.environ, input=typed)
    assert result.exit_code == code, result.output
    return result


def added(machine: Machine, *words: str) -> str:
    """What the config holds beyond the settings after adding."""
    add(machine, *words)
    return machine.config_file.read_text().removeprefix(KEY).strip()


def test_host_and_identity_come_in_one_step(machine: Machine) -> None:
    text = added(machine, "git.example.com", *OIDC, "--scope", "git", "--scope", "x")

    assert text == (
        '[identity.example]\nprovider = "oidc"\n'
        'issuer = "https://id.example.com/realms/dev"\nclient_id = "hushkey"\n\n'
        '[host."git.example.com"]\nidentity = "example"\nscopes = ["git", "x"]'
    )


def test_no_config_at_all_is_where_one_begins(home: Path) -> None:
    machine = Machine(home)

    result = add(machine, "git.example.com", *OIDC)

    assert machine.config_file.stat().st_mode & 0o777 == 0o600
    assert "hushkey install git" in result.stderr
    assert "hushkey config set key_store file" in result.stderr


def test_second_host_takes_the_only_identity(machine: Machine) -> None:
    add(machine, "git.example.com", *OIDC)

    add(machine, "https://two.example.com/", "--username", "me", "--scheme", "basic")

    assert machine.config_file.read_text().endswith(
        '[host."two.example.com"]\nidentity = "example"\nusername = "me"\n'
        'scheme = "basic"\n'
    )


def test_address_to_clone_from_stands_for_its_host(machine: Machine) -> None:
    address = "https://me@git.example.com:8443/contoso/app.git"

    result = add(machine, address, *OIDC)

    assert '[host."git.example.com:8443"]' in machine.config_file.read_text()
    assert "for all of git.example.com:8443" in result.stderr


def test_comments_stay(machine: Machine) -> None:
    machine.configure(text=f"# mine\n{KEY}agent = false # taste\n")

    add(machine, "git.example.com", *OIDC)

    text = machine.config_file.read_text()
    assert text.startswith(f"# mine\n{KEY}agent = false # taste\n")


def test_secret_of_a_public_client_is_not_shown(machine: Machine) -> None:
    result = add(machine, "git.test", *OIDC, "--set", "client_secret=c4nary")

    assert "c4nary" in machine.config_file.read_text()
    assert "c4nary" not in result.output


def test_dry_run_changes_nothing(machine: Machine) -> None:
    result = add(machine, "git.example.com", *OIDC, "--dry-run")

    assert '+[host."git.example.com"]' in result.stdout
    assert machine.config_file.read_text() == KEY


def test_built_in_host_needs_only_its_client_id(machine: Machine) -> None:
    text = added(machine, "github.com", "--client-id", "Iv1.0")

    assert text == '[identity.github]\nprovider = "github"\nclient_id = "Iv1.0"'


def test_built_in_host_with_wishes_of_the_users(machine: Machine) -> None:
    text = added(machine, "github.com", "--client-id", "Iv1.0", "--username", "me")

    assert '[host."github.com"]\nidentity = "github"\n' in text
    assert 'scopes = ["repo", "workflow"]\nusername = "me"' in text


def test_entra_takes_the_scopes_of_the_built_in_host(machine: Machine) -> None:
    text = added(machine, "dev.azure.com", "--tenant", "contoso.onmicrosoft.com")

    assert 'provider = "entra"\ntenant = "contoso.onmicrosoft.com"' in text
    assert "499b84ac-1321-427f-aa17-267ca6975798/.default" in text


def test_entra_takes_them_for_one_organisation_too(machine: Machine) -> None:
    text = added(machine, "dev.azure.com/contoso", "--tenant", "contoso.com")

    assert '[host."dev.azure.com/contoso"]' in text
    assert "499b84ac-1321-427f-aa17-267ca6975798/.default" in text


DEVOPS = "499b84ac-1321-427f-aa17-267ca6975798/.default"


def served(machine: Machine, url: str) -> tuple[str, str, tuple[str, ...]]:
    """Identity, tenant and scopes that *url* gets."""
    rule = rules.load(machine.environ).rule_for(parse_url(url))
    assert rule is not None
    return rule.identity.name, rule.tenant, rule.scopes


@pytest.mark.parametrize("other", ["pkgs.dev.azure.com/contoso", "contoso.azurecr.io"])
def test_one_organisation_has_an_identity_of_its_own(
    machine: Machine, other: str
) -> None:
    add(machine, "dev.azure.com/contoso", "--tenant", "contoso.com")
    add(machine, "dev.azure.com/fabrikam", "--tenant", "fabrikam.com")

    contoso = served(machine, "https://dev.azure.com/contoso/a/_git/a")
    fabrikam = served(machine, "https://dev.azure.com/Fabrikam/a/_git/a")
    assert contoso == ("contoso", "contoso.com", (DEVOPS,))
    assert fabrikam == ("fabrikam", "fabrikam.com", (DEVOPS,))
    for url in ("https://dev.azure.com/third/a", f"https://{other}/a"):
        assert served(machine, url)[:2] == ("azure", "")


def test_registry_of_another_tenant_takes_the_same_exchange(machine: Machine) -> None:
    add(machine, "fabrikam.azurecr.io", "--tenant", "fabrikam.com")

    rule = rules.load(machine.environ).rule_for(
        parse_url("https://fabrikam.azurecr.io")
    )
    assert rule is not None
    assert (rule.identity.name, rule.tenant) == ("azurecr", "fabrikam.com")
    assert rule.exchange == "acr"


def test_exchange_is_not_kept_for_another_provider(machine: Machine) -> None:
    who = ("--issuer", "https://id.example.com", "--client-id", "x")

    text = added(machine, "fabrikam.azurecr.io", *who)

    assert "exchange" not in text


@pytest.mark.parametrize(
    ("host", "issuer", "name"),
    [
        ("dev.azure.com", "", "azure2"),
        ("contoso.azurecr.io", "", "azurecr"),
        ("*.visualstudio.com", "", "visualstudio"),
        ("dev.azure.com/azure", "", "azure2"),
        ("git.example.com", "https://login.gitlab.com", "gitlab2"),
        ("git.example.com/team", "https://id.example.com", "example"),
        ("git.github.org", "https://id.github.org", "github2"),
    ],
)
def test_new_identity_takes_no_built_in_name(
    machine: Machine, host: str, issuer: str, name: str
) -> None:
    who = ["--issuer", issuer, "--client-id", "x"] if issuer else ["--tenant", "a.com"]

    text = added(machine, host, *who)

    assert f"[identity.{name}]\n" in text
    assert f'identity = "{name}"' in text


def test_built_in_identity_that_is_named_is_told_whom_it_serves(
    machine: Machine,
) -> None:
    asked = ("dev.azure.com/contoso", "--identity", "azure", "--tenant", "contoso.com")

    told = add(machine, *asked).stderr
    add(machine, "dev.azure.com/fabrikam", "--tenant", "b.com", "--account", "me@b.com")

    assert "azure is a built-in identity, so this is also for dev.azure.com" in told
    assert served(machine, "https://dev.azure.com/fabrikam")[2] == (DEVOPS,)


def test_host_may_use_a_built_in_identity(machine: Machine) -> None:
    text = added(machine, "dev.azure.com/contoso", "--identity", "azure")

    assert text.startswith('[host."dev.azure.com/contoso"]\nidentity = "azure"\n')


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["git.example.com"], "--provider is needed; for example: hushkey config"),
        (["git.example.com", "--issuer", "https://a.test"], "--client-id is needed"),
        (["git.example.com", "--client-id", "x"], "--provider is needed"),
        (["a b", *OIDC], "not a host name"),
        (["ftp://a.test", *OIDC], "not a scheme"),
        (["g.test", "--provider", "entra"], "--scope is needed"),
        (["*.g.test", "--provider", "gitlab", "--client-id", "x"], "is many"),
        (["g.test", "--provider", "gitlab"], "https://g.test/-/user_settings/app"),
        (["github.com", "--provider", "gitlab", "--client-id", "x"], "built in with"),
        (["g.test", *OIDC, "--set", "nonsense"], "expected KEY=VALUE"),
        (["g.test", *OIDC, "--set", "nonsense=1"], "unknown key"),
        (["g.test", *OIDC, "--set", "redirect_uri=https://x"], "expected an http"),
        (["g.test", "--issuer", "http://a.test", "--client-id", "x"], "https"),
        (["g.test", "--provider", "static", "--probe"], "issuer only"),
    ],
)
def test_what_cannot_be_is_one_line(
    machine: Machine, words: list[str], complaint: str
) -> None:
    argv = ["config", "add-host", *words]
    result = CliRunner().invoke(main, argv, env=machine.environ)

    (line,) = result.stderr.splitlines()
    assert complaint in line
    assert result.exit_code in (1, 5)
    assert machine.config_file.read_text() == KEY


def test_what_is_there_is_not_overwritten(machine: Machine) -> None:
    add(machine, "git.example.com", *OIDC)
    before = machine.config_file.read_text()

    host = add(machine, "git.example.com", "--identity", "example", code=1)
    identity = add(machine, "b.test", "--identity", "example", *OIDC, code=1)

    assert "config set" in host.stderr
    assert "exists already" in identity.stderr
    assert machine.config_file.read_text() == before


def test_of_several_identities_one_is_named(machine: Machine) -> None:
    add(machine, "a.test", *OIDC)
    add(machine, "b.test", "--issuer", "https://id.other.org", "--client-id", "x")

    result = add(machine, "c.test", code=1)
    add(machine, "c.test", "--identity", "other")

    assert "which identity? (example, other)" in result.stderr


def test_names_of_new_identities_differ(machine: Machine) -> None:
    add(machine, "a.test", *OIDC)
    add(machine, "b.test", "--issuer", "https://login.example.com", "--client-id", "x")

    assert "[identity.example2]" in machine.config_file.read_text()


# -- with a person -----------------------------------------------------------------


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addhost, "is_person", lambda: True)


@pytest.mark.usefixtures("person")
def test_person_is_asked_for_what_is_missing(machine: Machine) -> None:
    typed = "\nhttps://id.example.com\nhushkey\ngit more\n"

    result = add(machine, "git.example.com", typed=typed)

    assert "who signs you in [oidc]: " in result.output
    text = machine.config_file.read_text()
    assert 'issuer = "https://id.example.com"\nclient_id = "hushkey"' in text
    assert 'scopes = ["git", "more"]' in text


@pytest.mark.usefixtures("person")
def test_wrong_answer_is_asked_for_again(machine: Machine) -> None:
    typed = "\nid.example.com\nhttps://id.example.com\nhushkey\n\n"

    result = add(machine, "git.example.com", typed=typed)

    assert "expected an https:// URL" in result.output
    assert 'issuer = "https://id.example.com"' in machine.config_file.read_text()


@pytest.mark.usefixtures("person")
def test_person_chooses_among_identities(machine: Machine) -> None:
    add(machine, "a.test", *OIDC, typed="\n")

    result = add(machine, "b.test", typed="\n\n")

    assert "identity (example, or a new name) [example]: " in result.output
    assert '[host."b.test"]\nidentity = "example"' in machine.config_file.read_text()


@pytest.mark.usefixtures("person")
def test_person_who_stops_changes_nothing(machine: Machine) -> None:
    add(machine, "git.example.com", typed="", code=1)

    assert machine.config_file.read_text() == KEY


# -- with a server -----------------------------------------------------------------


@pytest.mark.contract
def test_probe_asks_the_issuer_before_anything_is_written(
    machine: Machine, make_issuer: Callable[..., Issuer]
) -> None:
    issuer = make_issuer()
    words = ["git.test", "--client-id", "hushkey", "--probe"]

    wrong = add(machine, *words, "--issuer", f"{issuer.url}/nowhere", code=1)
    assert "404" in wrong.stderr
    assert machine.config_file.read_text() == KEY
    right = add(machine, *words, "--issuer", issuer.url, "--scope", "unheard-of")

    assert "offers sign-in" in right.stderr
    assert "does not list the scope unheard-of" in right.stderr
    assert f'issuer = "{issuer.url}"' in machine.config_file.read_text()


def test_real_program_adds_without_a_terminal(machine: Machine) -> None:
    done = subprocess.run(
        [BIN / "hushkey", "config", "add-host", "git.example.com"],
        env=machine.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )

    assert done.returncode == 1
    assert b"--provider is needed" in done.stderr


@pytest.mark.parametrize(
    ("provider", "host", "base"),
    [
        ("gitlab", "g.test:8443", "https://g.test:8443"),
        ("github", "corp.ghe.com", "https://corp.ghe.com"),
        ("bitbucket-dc", "code.test/team", "https://code.test"),
    ],
)
def test_forge_of_one_s_own_is_at_the_host_and_no_other_server(
    machine: Machine, provider: str, host: str, base: str
) -> None:
    added(machine, host, "--provider", provider, "--client-id", "x")

    name, _, path = host.partition("/")
    rule = rules.load(machine.environ).rule_for(Request("https", name, path))
    assert rule
    found = {k: v for k, v in rule.identity.options.items() if k.endswith("endpoint")}
    assert len(found) > 1
    assert all(v.startswith(f"{base}/") for v in found.values())
    assert rule.identity.option("base_url") == base
    assert rule.scopes == tuple(SPECS[provider].scopes)


def test_gitea_of_one_s_own_needs_its_name_alone(machine: Machine) -> None:
    text = added(machine, "git.test.example", "--provider", "forgejo")

    assert 'base_url = "https://git.test.example"' in text
    rule = rules.load(machine.environ).rule_for(Request("https", "git.test.example"))
    assert rule
    assert rule.identity.client_id == SPECS["gitea"].client_id
    assert rule.scopes == ()


def test_client_of_one_s_own_replaces_the_one_that_all_share(machine: Machine) -> None:
    added(machine, "codeberg.org", "--client-id", "mine")

    rule = rules.load(machine.environ).rule_for(Request("https", "codeberg.org"))
    assert rule
    assert (rule.identity.client_id, rule.origin) == ("mine", "user")
    assert rule.identity.issuer.startswith("https://codeberg.org/")


def test_host_without_a_sign_in_is_told_so(machine: Machine) -> None:
    result = add(machine, "git.sr.ht", "--provider", "static")

    assert "note: sourcehut takes pushes over ssh only" in result.stderr


@pytest.mark.parametrize(
    ("provider", "page"),
    [
        ("github", "https://g.test/settings/applications/new"),
        ("gitlab", "https://g.test/-/user_settings/applications"),
        ("bitbucket-dc", "https://g.test/plugins/servlet/applinks"),
        ("google", "https://console.cloud.google.com/auth/clients"),
        ("huggingface", "https://huggingface.co/settings/applications/new"),
    ],
)
def test_client_that_is_missing_leads_to_the_page_that_makes_one(
    machine: Machine, provider: str, page: str
) -> None:
    result = add(machine, "g.test", "--provider", provider, code=1)

    assert "--client-id is needed; register a client at " + page in result.stderr


@pytest.mark.parametrize(
    ("more", "words", "reused"),
    [
        ("", OIDC, True),
        ("", ("--issuer", f"{OIDC[1]}/", *OIDC[2:]), True),
        ('account = "me"\n', OIDC, True),
        ("", (*OIDC[:3], "other"), False),
        ("", (*OIDC, "--identity", "second"), None),
    ],
)
def test_second_host_of_one_client_needs_no_second_identity(
    machine: Machine, more: str, words: tuple[str, ...], reused: bool | None
) -> None:
    add(machine, "git.example.com", *OIDC)
    text = machine.config_file.read_text()
    client = 'client_id = "hushkey"\n'
    machine.config_file.write_text(text.replace(client, client + more))

    # Two of one client would have to be told apart by their accounts.
    code = 5 if reused is None else 0
    said = add(machine, "registry.example.com", *words, "--no-probe", code=code)

    told = "identity example signs in as that client" in said.output
    assert told == bool(reused)
    if code == 0:
        request = Request("https", "registry.example.com")
        rule = rules.load(machine.environ).rule_for(request)
        assert rule
        assert (rule.identity.name == "example") == reused


def test_new_identity_stands_apart_from_the_hosts_below_it(machine: Machine) -> None:
    add(machine, "git.example.com", *OIDC)
    add(machine, "other.example.com", *OIDC[:3], "second", "--no-probe")

    text = machine.config_file.read_text()

    assert "\n\n[identity.example2]\n" in text
    assert 'client_id = "second"\n\n[host."git.example.com"]\n' in text
    assert not text.endswith("\n\n")
    assert "\n\n\n" not in text
