import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hushkey_install.cli import main
from kit.oauth import CANARY, Machine, grant

WRITTEN = """# my config

[settings]   # taste
interactive = "auto"  # ask me

[identity.corp]
provider = "oidc"
issuer = "https://id.test"
client_id = "c"

[host."git.test"]
identity = "corp"
# scopes = []
"""


@pytest.fixture
def machine(home: Path) -> Machine:
    return Machine(home)


def hushkey(machine: Machine, *words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, words, env=machine.environ)
    assert result.exit_code == code, result.output
    return result


def after_set(machine: Machine, key: str, value: str, before: str = WRITTEN) -> str:
    machine.configure(text=before)
    hushkey(machine, "config", "set", key, value)
    return machine.config_file.read_text()


# -- the key's place -------------------------------------------------------------


def test_key_stays_where_it_is_while_files_need_it(machine: Machine) -> None:
    machine.configure()
    machine.has(grant("at"))
    before = machine.config_file.read_text()

    for words in (("set", "key_store", "keyring"), ("unset", "key_store")):
        result = hushkey(machine, "config", *words, code=1)
        assert "hushkey reset" in result.stderr
        assert machine.config_file.read_text() == before

    hushkey(machine, "config", "set", "key_store", "file")  # where it is
    hushkey(machine, "reset", "--yes")
    hushkey(machine, "config", "set", "key_store", "keyring")


def test_key_file_that_opens_everything_may_be_chosen(machine: Machine) -> None:
    machine.configure()
    machine.has(grant("at"))
    text = machine.config_file.read_text().replace('"file"', '"keyring"')
    machine.configure(text=text)

    hushkey(machine, "config", "set", "settings.key_store", "file")
    assert 'key_store = "file"' in machine.config_file.read_text()


def test_key_file_with_another_key_may_not(machine: Machine) -> None:
    machine.configure()
    machine.has(grant("at"))
    text = machine.config_file.read_text().replace('"file"', '"keyring"')
    machine.configure(text=text)
    (machine.data / "key").write_text("A" * 43 + "=")

    hushkey(machine, "config", "set", "key_store", "file", code=1)
    assert machine.config_file.read_text() == text


def test_wrong_place_for_the_key_is_the_config_s_own_error(machine: Machine) -> None:
    machine.configure()
    machine.has(grant("at"))

    result = hushkey(machine, "config", "set", "key_store", "flie", code=5)
    assert "expected" in result.stderr


# -- path and check --------------------------------------------------------------


def test_path_needs_no_config(machine: Machine) -> None:
    result = hushkey(machine, "config", "path")

    assert result.stdout == f"{machine.config_file}\n"
    assert not machine.config_file.exists()


def test_check_of_no_config_is_fine(machine: Machine) -> None:
    assert "does not exist" in hushkey(machine, "config", "check").stdout


def test_check_of_a_good_config(machine: Machine) -> None:
    machine.configure()

    assert "no problems" in hushkey(machine, "config", "check").stdout


def test_check_names_a_ca_file_that_others_can_change(
    machine: Machine, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.touch()
    file.chmod(0o666)
    machine.configure(text=f'[settings]\nca_file = "{file}"\n')

    result = hushkey(machine, "config", "check", code=5)

    assert "[settings] ca_file: " in result.stderr
    assert f"chmod go-w {file}" in result.stderr


def test_check_prints_every_problem(machine: Machine) -> None:
    machine.configure(text='[settings]\nagnt = true\n[host."a.b"]\nidentity = "x"\n')

    result = hushkey(machine, "config", "check", code=5)

    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert f"{machine.config_file}:2: [settings] agnt" in lines[0]
    assert "did you mean agent?" in lines[0]
    assert result.stdout == ""


@pytest.mark.parametrize("data", [b"\xff", b"[", b'a = "' + b"x" * 100])
def test_check_of_what_is_no_toml(machine: Machine, data: bytes) -> None:
    machine.configure()
    machine.config_file.write_bytes(data)

    assert len(hushkey(machine, "config", "check", code=5).stderr.splitlines()) == 1


# -- set -------------------------------------------------------------------------


def test_set_keeps_comments_and_the_rest(machine: Machine) -> None:
    text = after_set(machine, "interactive", "never")

    expected = WRITTEN.replace('interactive = "auto"', 'interactive = "never"')
    assert text == expected


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("silent_timeout", "60", "silent_timeout = 60"),
        ("settings.silent_timeout", "60", "silent_timeout = 60"),
        ("agent", "false", "agent = false"),
        ("key_store", "file", 'key_store = "file"'),
        ("key_store", '"file"', 'key_store = "file"'),
        ("identity.corp.account", "me@test", 'account = "me@test"'),
        ('host."git.test".username', "me", 'username = "me"'),
        ("host.'git.test'.min_lifetime", "5", "min_lifetime = 5"),
        ('host."git.test".scopes', '["a", "b"]', 'scopes = ["a", "b"]'),
        ("identity.corp.client_id", '"12"', 'client_id = "12"'),
    ],
)
def test_set_writes_one_line(machine: Machine, key: str, value: str, line: str) -> None:
    text = after_set(machine, key, value)

    assert text.splitlines().count(line) == 1
    assert "# taste" in text
    hushkey(machine, "config", "check")


def test_set_makes_the_file_and_its_folder(machine: Machine) -> None:
    hushkey(machine, "config", "set", "key_store", "file")

    assert machine.config_file.read_text() == '[settings]\nkey_store = "file"\n'
    assert machine.config_file.stat().st_mode & 0o777 == 0o600
    assert machine.config_file.parent.stat().st_mode & 0o777 == 0o700


def test_set_makes_tables_that_are_not_there(machine: Machine) -> None:
    machine.configure(text="")
    for key, value in (
        ("identity.work.provider", "entra"),
        ("identity.work.tenant", "contoso"),
        ('host."git.test".identity', "work"),
    ):
        hushkey(machine, "config", "set", key, value)

    assert machine.config_file.read_text() == (
        '[identity.work]\nprovider = "entra"\ntenant = "contoso"\n\n'
        '[host."git.test"]\nidentity = "work"\n'
    )


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        pytest.param("interactive", "sometimes", "expected one of", id="value"),
        pytest.param("silent_timeout", "soon", "whole number", id="kind"),
        pytest.param("silent_timeout", "0", "whole number", id="range"),
        pytest.param("agnt", "true", "did you mean agent?", id="key"),
        pytest.param("identity.corp.issuer", "http://a.b", "https", id="http issuer"),
        pytest.param('host."git.test".identity', "x", "no [identity.x]", id="identity"),
        pytest.param('host."*".identity', "corp", "not a host name", id="pattern"),
    ],
)
def test_set_refuses_what_makes_the_config_wrong(
    machine: Machine, key: str, value: str, words: str
) -> None:
    machine.configure(text=WRITTEN)

    result = hushkey(machine, "config", "set", key, value, code=5)

    assert words in result.stderr
    assert machine.config_file.read_text() == WRITTEN
    assert [p.name for p in machine.config_file.parent.iterdir()] == ["config.toml"]


@pytest.mark.parametrize(
    ("before", "key", "value"),
    [
        ("", "keystore", "file"),
        (WRITTEN, "keystore", "file"),
        (WRITTEN, "interactive", "sometimes"),
        (WRITTEN, "identity.corp.issuer", "http://a.b"),
        (WRITTEN, "identity.new.tenant", "x"),
        (WRITTEN, 'host."git.test".colour', "red"),
    ],
)
def test_fault_that_is_not_in_the_file_has_no_line_of_it(
    machine: Machine, before: str, key: str, value: str
) -> None:
    machine.configure(text=before)

    told = hushkey(machine, "config", "set", key, value, code=5).stderr

    assert told.startswith(f"hushkey: cannot set {key}: [")
    assert str(machine.config_file) not in told
    assert told.rstrip().endswith("nothing was changed")


def test_fault_that_is_in_the_file_is_named_by_its_line(machine: Machine) -> None:
    wrong = WRITTEN + "colour = 1\n"
    machine.configure(text=wrong)

    both = hushkey(machine, "config", "set", "agnt", "true", code=5).stderr
    old = hushkey(machine, "config", "set", "agent", "true", code=5).stderr

    assert "cannot set agnt: [settings] agnt: unknown key" in both
    assert "(and 1 more)" in both
    assert f"{machine.config_file}:14: " in old  # and not where it would be then
    assert machine.config_file.read_text() == wrong


@pytest.mark.parametrize(
    "key",
    [
        "",
        " ",
        "a b",
        "settings.",
        ".agent",
        "[settings]",
        "a\nb",
        "a = 1\nb",
        'host."x',
    ],
)
def test_set_refuses_what_is_no_key(machine: Machine, key: str) -> None:
    machine.configure(text=WRITTEN)

    result = hushkey(machine, "config", "set", key, "1", code=1)

    assert "is not a key" in result.stderr
    assert machine.config_file.read_text() == WRITTEN


@pytest.mark.parametrize("key", ["settings.interactive.deeper", "identity.corp.a.b"])
def test_set_refuses_a_key_below_a_value(machine: Machine, key: str) -> None:
    machine.configure(text=WRITTEN)

    result = CliRunner().invoke(main, ["config", "set", key, "1"], env=machine.environ)

    assert result.exit_code in (1, 5)
    assert isinstance(result.exception, SystemExit)
    assert machine.config_file.read_text() == WRITTEN


def test_value_cannot_smuggle_in_another_line(machine: Machine) -> None:
    machine.configure(text=WRITTEN)

    hushkey(machine, "config", "set", "interactive", '"never"\nagent = false', code=5)

    assert machine.config_file.read_text() == WRITTEN


def test_set_can_mend_a_wrong_file(machine: Machine) -> None:
    before = WRITTEN.replace('"auto"', '"sometimes"')

    assert after_set(machine, "interactive", "auto", before) == WRITTEN


def test_set_of_broken_toml_changes_nothing(machine: Machine) -> None:
    machine.configure(text="[settings\n")

    hushkey(machine, "config", "set", "agent", "true", code=1)

    assert machine.config_file.read_text() == "[settings\n"


def test_line_ends_stay_as_they_are(machine: Machine) -> None:
    machine.configure()
    machine.config_file.write_bytes(b'# mine\r\n[settings]\r\nkey_store = "file"\r\n')

    hushkey(machine, "config", "set", "agent", "false")

    assert machine.config_file.read_bytes() == (
        b'# mine\r\n[settings]\r\nkey_store = "file"\r\nagent = false\n'
    )


def test_byte_order_mark_stays(machine: Machine) -> None:
    machine.configure()
    machine.config_file.write_bytes(b'\xef\xbb\xbf[settings]\nkey_store = "file"\n')

    hushkey(machine, "config", "set", "key_store", "keyring")

    written = machine.config_file.read_bytes()
    assert written == b'\xef\xbb\xbf[settings]\nkey_store = "keyring"\n'


def test_symbolic_link_stays_one(machine: Machine, tmp_path: Path) -> None:
    machine.configure(text=WRITTEN)
    real = tmp_path / "dotfiles.toml"
    machine.config_file.rename(real)
    machine.config_file.symlink_to(real)

    hushkey(machine, "config", "set", "agent", "false")

    assert machine.config_file.is_symlink()
    assert "agent = false" in real.read_text()


def test_the_file_before_stays_as_a_backup(machine: Machine) -> None:
    after_set(machine, "agent", "false")

    backup = machine.config_file.with_name("config.toml.hushkey-backup")
    assert backup.read_text() == WRITTEN


# -- show and unset --------------------------------------------------------------


def test_show_prints_the_file(machine: Machine) -> None:
    machine.configure(text=WRITTEN)

    assert hushkey(machine, "config", "show").stdout == WRITTEN


def test_show_of_no_config_says_so(machine: Machine) -> None:
    assert "does not exist" in hushkey(machine, "config", "show").stderr


def test_show_of_what_is_no_toml_shows_nothing_of_it(machine: Machine) -> None:
    machine.configure(text='client_secret = "c4nary\n')

    result = hushkey(machine, "config", "show", code=5)

    assert str(machine.config_file) in result.stderr
    assert "c4nary" not in result.output


def test_show_for_programs_knows_defaults_and_built_in_hosts(machine: Machine) -> None:
    machine.configure(
        text=WRITTEN.replace("[host", 'client_secret = "c4nary"\n[host', 1)
    )

    result = hushkey(machine, "config", "show", "--json")

    found = json.loads(result.stdout)
    assert "c4nary" not in result.stdout
    assert found["identities"]["corp"]["has_client_secret"] is True
    assert found["settings"]["silent_timeout"] == 30
    assert found["hosts"]["git.test"] == {"identity": "corp", "origin": "user"}
    assert found["hosts"]["dev.azure.com"]["origin"] == "preset"


def test_unset_takes_one_line_out(machine: Machine) -> None:
    machine.configure(text=WRITTEN)

    hushkey(machine, "config", "unset", "identity.corp.issuer", code=5)
    hushkey(machine, "config", "unset", 'host."git.test"')

    text = machine.config_file.read_text()
    assert "# taste" in text
    assert "git.test" not in text
    hushkey(machine, "config", "check")


def test_unset_of_what_is_not_set_is_an_error(machine: Machine) -> None:
    machine.configure(text=WRITTEN)

    result = hushkey(machine, "config", "unset", "agent", code=1)

    assert "settings.agent is not set" in result.stderr


@pytest.mark.parametrize("gap", ["\n", ""])
def test_unset_of_a_table_leaves_what_stands_above_the_next(
    machine: Machine, gap: str
) -> None:
    more = f'{gap}# about the hub\n[host."hub.test"]\nidentity = "corp"\n'
    machine.configure(text=WRITTEN.replace("# scopes = []\n", "") + more)

    hushkey(machine, "config", "unset", 'host."git.test"')

    text = machine.config_file.read_text()
    assert "git.test" not in text
    assert '# about the hub\n[host."hub.test"]\n' in text


def test_unset_of_a_table_takes_its_own_comments_along(machine: Machine) -> None:
    machine.configure(text=WRITTEN + '\n# hub\n[host."hub.test"]\nidentity = "corp"\n')

    hushkey(machine, "config", "unset", 'host."git.test"')

    text = machine.config_file.read_text()
    assert "# scopes" not in text
    assert '# hub\n[host."hub.test"]\n' in text


# -- beside the administrator's file ---------------------------------------------


@pytest.fixture
def company(machine: Machine) -> Machine:
    """A machine whose administrator has set up a host."""
    file = machine.home / "system.toml"
    file.write_text(
        '[settings]\nmin_lifetime = 60\nkey_store = "file"\n[identity.corp]\n'
        'provider = "oidc"\nissuer = "https://id.corp"\nclient_id = "company"\n'
        f'client_secret = "{CANARY}"\n[host."git.corp"]\nidentity = "corp"\n'
    )
    machine.environ["HUSHKEY_SYSTEM_CONFIG"] = str(file)
    return machine


def test_show_prints_the_administrator_s_file_and_what_yours_replaces(
    company: Machine,
) -> None:
    company.configure(
        text='[settings]\nmin_lifetime = 9\n[host."GIT.corp"]\nidentity = "corp"\n'
    )
    output = hushkey(company, "config", "show").output
    assert CANARY not in output
    system = company.environ["HUSHKEY_SYSTEM_CONFIG"]
    lines = output.splitlines()
    assert lines[:3] == [
        f"# {system}: what your administrator wrote",
        "# settings.min_lifetime: yours counts instead",
        '# [host."git.corp"]: yours counts instead',
    ]
    assert lines.index('issuer = "https://id.corp"') < lines.index(
        f"# {company.config_file}: what you wrote"
    )


def test_show_json_says_where_each_identity_and_host_is_from(company: Machine) -> None:
    shown = json.loads(hushkey(company, "config", "show", "--json").output)
    assert shown["system_config"] == company.environ["HUSHKEY_SYSTEM_CONFIG"]
    assert shown["identities"]["corp"]["origin"] == "system"
    assert shown["identities"]["azure"]["origin"] == "preset"
    assert shown["hosts"]["git.corp"]["origin"] == "system"
    assert CANARY not in str(shown)


def test_check_names_both_files(company: Machine) -> None:
    output = hushkey(company, "config", "check").output
    assert f"{company.environ['HUSHKEY_SYSTEM_CONFIG']}: no problems" in output
    assert "only your administrator's hosts count" in output


def test_set_may_lean_on_the_administrator_s_identity(company: Machine) -> None:
    hushkey(company, "config", "set", 'host."two.corp".identity', "corp")
    assert "two.corp" in hushkey(company, "config", "show", "--json").output
