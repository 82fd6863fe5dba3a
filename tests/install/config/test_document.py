import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.config import schema
from hushkey.errors import ConfigError
from hushkey.providers.registry import SPECS
from hushkey_install.config import document, masking
from kit.oauth import CANARY

SECRET = f"cs-{CANARY}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f'[identity.a]\nclient_secret = "{SECRET}"\n', id="plain"),
        pytest.param(f"identity.a.client_secret = '{SECRET}'\n", id="dotted"),
        pytest.param(f'identity.a = {{client_secret = "{SECRET}"}}\n', id="inline"),
        pytest.param(f'[identity.a]\nclient_secret = """\n{SECRET}"""\n', id="lines"),
        pytest.param(f'[identity."a"]\n"client_secret" = "{SECRET}"\n', id="quoted"),
        pytest.param(f'# client_secret = "{SECRET}"\n', id="turned off"),
        pytest.param(f'a = 1 # was client_secret="{SECRET}"\n', id="beside a value"),
        pytest.param(f'[settings]\nproxy = "http://u:{SECRET}@p:1"\n', id="proxy"),
        pytest.param(f'# proxy = "http://u:{SECRET}@p:1"\n', id="proxy turned off"),
        pytest.param(f"a = 1 # was http://u:{SECRET}@p:1\n", id="URL beside a value"),
        pytest.param(f'\ufeff[identity.a]\nclient_secret = "{SECRET}"\n', id="BOM"),
        pytest.param(f'# token = "{SECRET}"\n', id="token turned off"),
        pytest.param(f"#pat: {SECRET}\n", id="noted"),
        pytest.param(f"# the token is {SECRET}\n", id="told"),
        pytest.param(f"# {SECRET}-0123456789\n", id="alone, opaque"),
        pytest.param(f'# api_key = "{SECRET}"\r\n', id="CRLF"),
        pytest.param(f'# foo = "{SECRET}"\n', id="unknown key turned off"),
        pytest.param(f'# account = "me" # pin {SECRET}\n', id="comment in a comment"),
        pytest.param(
            f"# client_secret = [\n#   {SECRET}\n# ]\nx = 1\n", id="over lines"
        ),
        pytest.param(f'# password:\n#\n#   "{SECRET}"\n', id="below its name"),
        pytest.param(f'[identity.a]\nclient_secert = "{SECRET}"\n', id="misspelt key"),
        pytest.param(f'client_secret = "{SECRET}"\n', id="at the top"),
        pytest.param(f'[other]\nclient_id = "{SECRET}"\n', id="unknown table"),
        pytest.param(f'[[identity]]\nclient_id = "{SECRET}"\n', id="array of tables"),
        pytest.param(f'[settings]\nx = [{{a = "{SECRET}"}}]\n', id="table in a list"),
        pytest.param(
            f'[settings]\nx = [1, [{{a = "{SECRET}"}}, "{SECRET}"]]\n', id="deeper"
        ),
        pytest.param(
            f'[settings]\nagent = {{client_secret = "{SECRET}"}}\n',
            id="table for a known key",
        ),
        pytest.param(
            f'[settings]\nagent = [{{client_secret = "{SECRET}"}}]\n',
            id="list for a known key",
        ),
        pytest.param(
            f'[identity.a]\naccount = "x"\n[host.b]\n[identity.c]\npin = "{SECRET}"\n',
            id="table in two places",
        ),
        pytest.param(f'[settings]\nproxy = "http://u:{SECRET}/@p"\n', id="slash in it"),
        pytest.param(
            f'[settings]\nproxy = "http://u:\'{SECRET}@p"\n', id="quote in it"
        ),
        pytest.param(f'[host."https://u:{SECRET}@h"]\n', id="in a header"),
        pytest.param(f'[host."u:{SECRET}@h"]\n', id="in a header, no scheme"),
        pytest.param(
            f'[identity.a]\naccount = """\n#"""\npin = "{SECRET}"\n', id="hash in lines"
        ),
    ],
)
def test_secrets_are_not_shown(text: str) -> None:
    shown = document.without_secrets(text)

    assert CANARY not in shown
    assert "***" in shown


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85"])
@pytest.mark.parametrize("before", ["", "a = 1 ", "# account = 'x'\n"])
def test_comment_ends_where_toml_ends_it(end: str, before: str) -> None:
    text = f'{before}# plain note{end}client_secret = "{SECRET}"\n'

    assert CANARY not in document.without_secrets(text)


@pytest.mark.parametrize("end", ["?client_secret=", "?code=x&p=", "#"])
def test_query_of_an_address_may_hold_a_secret(end: str) -> None:
    text = f'[identity.a]\ntoken_endpoint = "https://id.test/token{end}{SECRET}"\n'

    shown = document.without_secrets(text)

    assert CANARY not in shown
    assert "***" in shown


def test_all_else_is_shown_as_it_stands() -> None:
    text = '# mine\n\n[settings]   # taste\nproxy = "http://p:1"\nagent = true\n'

    assert document.without_secrets(text) == text


def test_comments_and_strings_without_a_secret_stay() -> None:
    text = (
        "# who signs you in\n#\n"
        '# [identity.old]\n# client_id = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"\n'
        "# client_secret_env = 'SECRET'\n\n"
        '[identity.a]\nclient_id = "0a#b" # see https://wiki.example/hushkey#id\n'
        'client_secret_env = \'MY_SECRET\'\naccount = """\nme # you\n"""\n'
        'token_endpoint = "https://id.test/token"\n'
        'scopes = [ # two\n "a", # one\n "b"]\n'
        '[host."git.test"]\nidentity = "a"\n'
    )

    assert document.without_secrets(text) == text


@pytest.mark.parametrize("comment", ["mine: hunter", "# mine :hunter"])
def test_comment_that_is_a_name_and_a_word_is_masked(comment: str) -> None:
    assert document.without_secrets(f"# {comment}\n").count("***") == 1


def test_comment_below_a_masked_block_stays() -> None:
    shown = document.without_secrets(f"# pin: {SECRET}\n# x\n\n# mine\n")

    assert shown.endswith("\n\n# mine\n")
    assert shown.count("***") == 2


def test_every_key_that_can_hold_a_secret_is_named_as_one() -> None:
    telling = re.compile(r"(^|_)(secret|password|token|key|assertion|pin)$")
    keys = [*schema.SETTINGS, *schema.HOST]
    keys += [key for p in SPECS for key in schema.identity_keys(p)]

    assert {key for key in keys if telling.search(key)} == masking.SECRET_KEYS


def test_what_is_no_toml_is_not_shown_at_all() -> None:
    with pytest.raises(ConfigError) as caught:
        document.without_secrets(f'[identity.a\nclient_secret = "{SECRET}"\n')

    assert CANARY not in caught.value.line()


@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=4, unique=True))
def test_what_is_put_is_found_and_dropped_again(names: list[str]) -> None:
    import tomlkit

    doc = tomlkit.parse("# kept\n")
    document.put(doc, names, 7)

    found = tomllib.loads(tomlkit.dumps(doc))
    for name in names:
        found = found[name]
    assert found == 7  # type: ignore[comparison-overlap]
    document.drop(doc, names)
    assert tomllib.loads(tomlkit.dumps(doc)) == {}
    assert "# kept" in tomlkit.dumps(doc)


def test_a_table_without_keys_goes_with_its_last_key(tmp_path: Path) -> None:
    source = tmp_path / "config.toml"
    source.write_text('[settings]\nagent = true\n[host]\n["x"]\n')

    with pytest.raises(ConfigError):
        document.edited(str(source), "look", lambda doc: None)
    source.write_text("[settings]\nagent = true\n")
    path = document.keys_of("agent")
    change = document.edited(
        str(source), "unset agent", lambda doc: document.drop(doc, path)
    )

    assert change.after.strip() == ""


def test_arguments_of_a_command_are_not_shown() -> None:
    text = f'[identity.a]\nprovider = "command"\ncommand = ["x", "--key", "{CANARY}"]\n'

    assert CANARY not in document.without_secrets(text)
