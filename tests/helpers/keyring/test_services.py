import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.errors import ConfigError
from hushkey.model import Token
from hushkey_helpers.keyring import services
from hushkey_helpers.keyring.services import Service
from kit.oauth import ME, Machine, grant

MORE = """
[identity.work]
provider = "entra"
tenant = "contoso.onmicrosoft.com"
account = "me@contoso.com"

[host."pkgs.test/contoso"]
identity = "corp"
scopes = ["one"]

[host."pkgs.test/fabrikam"]
identity = "corp"
scopes = ["two"]

[host."mixed.test"]
identity = "corp"
scopes = ["git"]
username = "svc"

[host."mixed.test/own"]
identity = "corp"
scopes = ["own"]

[host."http://127.0.0.1:8080"]
identity = "corp"
scopes = ["git"]
aliases = ["team/priv"]

[host."bare.test"]
identity = "corp"
scopes = ["git"]
bare = true

[host."ci.test"]
identity = "vault"
[identity.vault]
provider = "static"
"""


@pytest.fixture
def machine(home: Path) -> Machine:
    made = Machine(home)
    made.configure(MORE)
    return made


def token(username: str = "") -> Token:
    return Token(
        "at",
        expires_at=None,
        obtained_at=0,
        scopes=(),
        account=ME,
        username=username,
    )


def find(machine: Machine, name: str, username: str = "") -> Service | None:
    return services.find(name, username, machine.environ)


# -- whose it is -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("https://git.test/simple/", "git.test"),
        ("https://git.test/simple", "git.test"),
        ("https://git.test", "git.test"),
        ("https://git.test:443/x/", "git.test"),
        ("HTTPS://GIT.test./x", "git.test"),
        ("https://me@git.test/x", "git.test"),
        ("https://me:secret@git.test/x?a=b#c", "git.test"),
        ("git.test", "git.test"),
        ("git.test:443", "git.test"),
        ("https://pkgs.test/contoso/_packaging/f/pypi/simple/", "pkgs.test/contoso"),
        ("https://pkgs.test/fabrikam/x.whl", "pkgs.test/fabrikam"),
        ("https://mixed.test/own/simple", "mixed.test/own"),
        ("https://mixed.test/other", "mixed.test"),
        ("mixed.test", "mixed.test"),
        ("http://127.0.0.1:8080/simple/", "http://127.0.0.1:8080"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("team/priv", "http://127.0.0.1:8080"),
        (
            "https://pkgs.dev.azure.com/Contoso/_packaging/f/pypi/simple/",
            "pkgs.dev.azure.com/Contoso",
        ),
        (
            "https://contoso.pkgs.visualstudio.com/_packaging/f/pypi/simple/",
            "contoso.pkgs.visualstudio.com",
        ),
        ("contoso.pkgs.visualstudio.com", "contoso.pkgs.visualstudio.com"),
    ],
)
def test_service_of_a_host_that_is_ours(machine: Machine, name: str, host: str) -> None:
    found = find(machine, name)

    assert found is not None
    assert found.host == host


@pytest.mark.parametrize(
    "name",
    [
        "",
        "other.test",
        "https://other.test/simple/",
        "https://git.test.evil.test/simple/",
        "https://evil.test/git.test/",
        "https://evil.test/?https://git.test/",
        "https://evil.test@other.test/",
        "https://git.test\\@evil.test/",
        "https://git.test:8443/simple/",
        "git.test:8443",
        "http://git.test/simple/",
        "ftp://git.test/",
        "git.test/simple",  # somebody's own entry: no client writes it
        "me@git.test",
        "gh:git.test",
        "uv:https://git.test/simple/",
        "https://pkgs.test/other/simple/",
        "https://pkgs.test/contoso/../fabrikam/",
        "https://pkgs.test/contoso-evil/",
        "pkgs.test",  # two paths have rules, the host has none
        "https://pkgs.test/",
        "pkgs.dev.azure.com",  # whose tenant?
        "https://contoso.pkgs.visualstudio.com.evil.test/_packaging/",
        "https://a.b.pkgs.visualstudio.com/_packaging/",
        "https://pkgs.dev.azure.com/",
        "ci.test",
        "python-poetry-check",
        "poetry-repository-other",
        "pdm-repository-__unknown__",
        "system",
        "http://127.0.0.1:8081/simple/",
        "line\nbreak",
        "\ud800",
    ],
)
def test_service_that_is_not_ours(machine: Machine, name: str) -> None:
    assert find(machine, name) is None
    assert find(machine, name, "me") is None


@pytest.mark.parametrize(
    ("name", "unproven"),
    [
        ("git.test", True),
        ("git.test:443", True),
        ("GIT.TEST.", True),
        ("https://git.test/", False),
        ("bare.test", False),
        ("127.0.0.1:8080", False),  # http:// is what the rule says
        ("team/priv", False),
    ],
)
def test_name_without_a_scheme_wants_a_proof_or_the_config_s_word(
    machine: Machine, name: str, unproven: bool
) -> None:
    found = find(machine, name)

    assert found is not None
    assert found.unproven is unproven


@given(st.text(max_size=60))
def test_any_name_is_told_without_an_error(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    environ = {"HOME": str(tmp_path_factory.getbasetemp())}

    assert services.find(name, "", environ) is None


@pytest.mark.parametrize("url", ["pkgs.dev.azure.com", "https://pkgs.dev.azure.com"])
def test_bare_azure_host_answers_where_the_config_names_the_tenant(
    machine: Machine, url: str
) -> None:
    machine.configure(MORE + '[host."pkgs.dev.azure.com"]\nidentity = "work"\n')

    found = find(machine, url, "VssSessionToken")

    assert found is not None
    assert found.host == "pkgs.dev.azure.com"
    assert found.request.username == ""  # it is no organisation


def test_wrong_config_is_an_error_for_every_service(machine: Machine) -> None:
    machine.configure("[nonsense]\n")

    with pytest.raises(ConfigError):
        find(machine, "https://other.test/")


# -- plain http ------------------------------------------------------------------


def unproven(machine: Machine, name: str) -> bool:
    found = find(machine, name)
    assert found is not None
    return found.unproven


def test_bare_host_is_not_believed_after_plain_http(machine: Machine) -> None:
    assert find(machine, "http://bare.test/simple/") is None

    assert unproven(machine, "bare.test")
    assert unproven(machine, "BARE.TEST")
    assert not unproven(machine, "https://bare.test/simple/")


@pytest.mark.parametrize(
    "url",
    [
        *("http://bare.test/a\x01b", "http://bare.test/a b", "http://bare.test./x"),
        *("http://bare.test:80/x", "http://bare.test:080/x", "http://bare.test:81/"),
        *("http:bare.test/", "http:/bare.test/", "http:///bare.test", "HtTp:Bare.Test"),
        *("http://a\uff03b@bare.test/x", "http://u:p w@bare.test/", "http:"),
        *("http://ba\\re@bare.test/", "http:\\\\bare.test/", " http://bare.test/"),
        *("http://b%61re.test/", "http://bare.test?x", "http://bare.test#@other.test/"),
        *("ht\ttp://bare.test/", "http://bare.test:99999/", "http://\udc80@bare.test"),
    ],
)
@pytest.mark.parametrize("bare", ["bare.test", "bare.test:443", "Bare.test."])
def test_bare_host_is_not_believed_after_plain_http_in_any_form(
    machine: Machine, url: str, bare: str
) -> None:
    assert find(machine, url) is None

    assert unproven(machine, bare)


def test_bare_host_of_a_wildcard_or_a_port_is_not_believed_after_plain_http(
    machine: Machine,
) -> None:
    own = 'identity = "corp"\nbare = true\nscopes = ["git"]\n'
    machine.configure(f'[host."*.wild.test"]\n{own}[host."port.test:8443"]\n{own}')
    for url in ("http://a.wild.test/x y", "http://port.test/"):
        assert find(machine, url) is None

    assert unproven(machine, "a.wild.test")
    assert unproven(machine, "port.test:8443")


def test_host_that_can_be_read_is_noted_alone(machine: Machine) -> None:
    for url in ("http://other.test/a b", "http:other.test/", "https://http:x/"):
        assert find(machine, url) is None

    assert not unproven(machine, "bare.test")


def test_notes_stay_few_and_none_is_lost_in_a_flood(machine: Machine) -> None:
    machine.configure(
        '[host."*.wild.test"]\nidentity = "corp"\nbare = true\nscopes = ["git"]\n'
    )
    for number in range(600):
        find(machine, f"http://h{number}.wild.test/")

    assert len(list(machine.data.glob("state/plain-*"))) <= 257
    for number in (0, 300, 599):
        assert unproven(machine, f"h{number}.wild.test")


def test_bare_host_is_believed_again_later(machine: Machine) -> None:
    find(machine, "http://bare.test/simple/")
    (note,) = (machine.data / "state").glob("plain-*")
    then = note.stat().st_mtime - 601
    os.utime(note, (then, then))

    assert not unproven(machine, "bare.test")
    assert not unproven(machine, "bare.test")
    assert find(machine, "http://bare.test/simple/") is None
    assert unproven(machine, "bare.test")


@pytest.mark.parametrize("fails", ["open", "utime"])
@pytest.mark.parametrize("before", [False, True])
def test_bare_host_is_not_believed_where_no_note_can_be_kept(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, before: bool, fails: str
) -> None:
    """A full disk, or a state folder that is read-only: also from now on only."""
    if before:
        assert not unproven(machine, "bare.test")

    def fail(path: str, *words: object) -> object:
        if "plain-" in path:
            raise OSError(28, "No space left on device")
        return real(path, *words)

    real = getattr(os, fails)
    monkeypatch.setattr(os, fails, fail)

    assert find(machine, "http://bare.test/simple/") is None
    assert unproven(machine, "bare.test")


def test_bare_host_is_not_believed_without_a_state_folder(
    machine: Machine,
) -> None:
    machine.data.mkdir(parents=True)
    (machine.data / "state").write_text("in the way")

    assert unproven(machine, "bare.test")


@pytest.mark.parametrize("host", ["other.test", "git.test"])
def test_plain_http_leaves_no_note_that_nobody_needs(
    machine: Machine, host: str
) -> None:
    find(machine, f"http://{host}/simple/")

    assert not list(machine.data.glob("state/plain-*"))


# -- the answer ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given_name", "answered"),
    [
        ("https://git.test/", "me", "me"),
        ("https://git.test/", "", "oauth2"),
        ("https://you@git.test/", "", "you"),
        ("https://you@git.test/", "me", "me"),
        ("https://mixed.test/", "", "svc"),
        ("https://mixed.test/", "__token__", "svc"),
        ("https://pkgs.dev.azure.com/contoso/", "", "VssSessionToken"),
        ("https://contoso@pkgs.dev.azure.com/contoso/", "", "VssSessionToken"),
    ],
)
def test_user_name_is_the_configs_the_providers_or_the_clients(
    machine: Machine, name: str, given_name: str, answered: str
) -> None:
    found = find(machine, name, given_name)

    assert found is not None
    assert found.answer_user(token()) == answered


def test_user_name_that_came_with_the_token_is_answered(machine: Machine) -> None:
    found = find(machine, "https://git.test/")

    assert found is not None
    assert found.answer_user(token("robot")) == "robot"


@pytest.mark.parametrize(
    ("rule", "left", "good"),
    [
        ("", 630, True),
        ("", 599, False),
        ("min_lifetime = 60\n", 90, True),
        ("min_lifetime = 900\n", 899, False),
    ],
)
def test_token_must_outlive_an_install(
    machine: Machine, rule: str, left: int, good: bool
) -> None:
    text = f'[host."idx.test"]\nidentity = "corp"\nscopes = ["idx"]\n{rule}'
    machine.configure(text)
    kept = grant("at-idx", scopes=("idx",), refresh_token="")
    machine.has(kept, ("idx",), age=3600 - left)
    found = find(machine, "https://idx.test/simple/")
    assert found is not None

    environ = {**machine.environ, "HUSHKEY_INTERACTIVE": "never"}
    if good:
        assert found.token(environ, 2e9).value == "at-idx"
    else:
        with pytest.raises(Exception, match=r"a sign-in for these scopes is needed"):
            found.token(environ, 2e9)
