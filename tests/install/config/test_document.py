import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.errors import ConfigError
from hushkey_install.config import document
from shared.oauth_fakes import CANARY

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
    ],
)
def test_secrets_are_not_shown(text: str) -> None:
    shown = document.without_secrets(text)

    assert CANARY not in shown
    assert "***" in shown


def test_all_else_is_shown_as_it_stands() -> None:
    text = '# mine\n\n[settings]   # taste\nproxy = "http://p:1"\nagent = true\n'

    assert document.without_secrets(text) == text


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
