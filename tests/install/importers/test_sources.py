"""What each source's format holds; shaped by the sources' own documents and code."""

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.errors import StoreError
from hushkey_install.importers import dockerauths, gitstore, libsecret
from hushkey_install.importers.entry import Entry
from kit.oauth import CANARY

#: git refuses line breaks itself (credential.protectProtocol)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0"))


def fields(entry: Entry | None) -> tuple[str, ...]:
    assert entry is not None
    return entry.protocol, entry.host, entry.path, entry.user, entry.secret


# -- git-credential-store ------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("https://me:pw@git.test", ("https", "git.test", "", "me", "pw")),
        ("https://me:pw@git.test:8443", ("https", "git.test:8443", "", "me", "pw")),
        (
            "https://me:p%40%3a%2f@git.test/a/b.git",
            ("https", "git.test", "a/b.git", "me", "p@:/"),
        ),
        ("HTTP://m%C3%A9:x@git.test", ("http", "git.test", "", "mé", "x")),
        ("https://:pw@git.test", ("https", "git.test", "", "", "pw")),
        ("https://me:@git.test", ("https", "git.test", "", "me", "")),
        ("cert://:pw@/etc/key", ("cert", "", "etc/key", "", "pw")),
    ],
)
def test_line_of_git_store(line: str, expected: tuple[str, ...]) -> None:
    assert fields(gitstore.parse(line)) == expected


@pytest.mark.parametrize(
    "line",
    ["", "# comment", "git.test", "https://git.test", "https://me@git.test", "@"],
)
def test_line_that_is_none(line: str) -> None:
    assert gitstore.parse(line) is None


@given(TEXT, TEXT)
def test_any_user_and_secret_come_through(user: str, secret: str) -> None:
    line = f"https://{quote(user, safe='')}:{quote(secret, safe='')}@git.test"

    assert fields(gitstore.parse(line))[3:] == (user, secret)


@given(st.text())
def test_garbage_is_none_or_whole(line: str) -> None:
    entry = gitstore.parse(line)

    assert entry is None or entry.host or entry.path


def test_both_files_of_the_real_helper_are_read(home: Path) -> None:
    """git's own credential-store writes what is read here."""
    environ = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    (home / ".config" / "git").mkdir(parents=True)
    (home / ".config" / "git" / "credentials").write_text("https://a:b@one.test\n")
    for words in ("username=mé\npassword=p:/@ %\n", "username=you\npassword=x\n"):
        subprocess.run(
            [
                "git",
                "credential-store",
                "--file",
                str(home / ".git-credentials"),
                "store",
            ],
            input=f"protocol=https\nhost=two.test:8443\n{words}".encode(),
            env=environ,
            check=True,
        )

    found = [fields(entry) for entry in gitstore.entries(environ)]

    assert sorted(found) == [
        ("https", "one.test", "", "a", "b"),
        ("https", "two.test:8443", "", "mé", "p:/@ %"),
        ("https", "two.test:8443", "", "you", "x"),
    ]


# -- docker ----------------------------------------------------------------------------


def auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (auth("me:pw"), ("me", "pw")),
        (auth("me:p:w"), ("me", "p:w")),
        (auth("me:pw\0\0"), ("me", "pw")),  # as docker itself trims it
        ({**auth("me:"), "identitytoken": "t"}, ("<token>", "t")),
    ],
)
def test_auth_of_docker(value: object, expected: tuple[str, str]) -> None:
    assert fields(dockerauths.parse("r.test", value))[3:] == expected


@pytest.mark.parametrize(
    "value", [{}, None, [], "x", {"auth": "%"}, auth("me"), auth(":x"), {"auth": 1}]
)
def test_auth_that_is_none(value: object) -> None:
    assert dockerauths.parse("r.test", value) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"auths": []}', '{"auths": {"a": 1}}']
)
def test_config_of_docker_that_is_odd(home: Path, text: str) -> None:
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(text)

    try:
        assert list(dockerauths.entries({"HOME": str(home)})) == []
    except Exception as error:
        assert "not docker's config" in str(error)


def test_config_of_docker_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {"r.test": auth("m:p")}})
    )

    (entry,) = dockerauths.entries({"HOME": "/nowhere", "DOCKER_CONFIG": str(tmp_path)})

    assert (entry.tool, entry.host) == ("docker", "r.test")


# -- libsecret ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "secret", "expected"),
    [
        (
            {"protocol": "https", "server": "git.test", "user": "me", "object": ""},
            b"pw",
            ("https", "git.test", "", "me", "pw"),
        ),
        (
            {"protocol": "https", "server": "git.test", "port": "8443", "object": "a"},
            b"pw\npassword_expiry_utc=1\noauth_refresh_token=x",
            ("https", "git.test:8443", "a", "", "pw"),
        ),
    ],
)
def test_item_of_libsecret(
    attributes: dict[str, str], secret: bytes, expected: tuple[str, ...]
) -> None:
    assert fields(libsecret.parse(attributes, secret)) == expected


def test_item_without_a_host_is_none() -> None:
    assert libsecret.parse({"protocol": "cert"}, b"x") is None


def test_no_keyring_holds_nothing() -> None:
    assert list(libsecret.entries({})) == []


@pytest.mark.contract
@pytest.mark.parametrize("state", ["unlocked", "locked"])
def test_real_secret_service(
    make_secret_service: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    state: str,
) -> None:
    import secretstorage

    server = make_secret_service("unlocked")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", server.bus_address)
    attributes = {
        "xdg:schema": "org.git.Password",
        "protocol": "https",
        "server": "git.test",
        "user": "me",
    }
    bus = secretstorage.dbus_init()
    collection = secretstorage.get_default_collection(bus)
    collection.create_item("Git: https://git.test/", attributes, b"pw")
    collection.create_item("other", {"server": "other.test", "user": "me"}, b"no")
    if state == "locked":
        collection.lock()
    bus.close()

    if state == "locked":
        with pytest.raises(StoreError) as caught:
            list(libsecret.entries({}))
        assert caught.value.reason == "locked"
    else:
        (entry,) = libsecret.entries({})
        assert fields(entry) == ("https", "git.test", "", "me", "pw")


def test_secret_is_not_in_a_repr() -> None:
    entry = Entry("x", "git", host="git.test", user="me", secret=CANARY)

    assert CANARY not in repr(entry) + entry.shown()
