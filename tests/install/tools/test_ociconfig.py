import os
from pathlib import Path

import pytest

from hushkey.errors import Permanent, StoreError
from hushkey_install.tools import ociconfig


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_dockers_file_is_where_docker_looks(tmp_path: Path) -> None:
    at_home = {"HOME": "/h"}

    assert ociconfig.docker_file(at_home) == "/h/.docker/config.json"
    named = at_home | {"DOCKER_CONFIG": "/elsewhere"}
    assert ociconfig.docker_file(named) == "/elsewhere/config.json"
    relative = at_home | {"DOCKER_CONFIG": "here"}
    assert ociconfig.docker_file(relative) == f"{tmp_path}/here/config.json"
    empty = at_home | {"DOCKER_CONFIG": ""}
    assert ociconfig.docker_file(empty) == "/h/.docker/config.json"


def test_podmans_file_is_one_that_outlives_the_session(tmp_path: Path) -> None:
    at_home = {"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/0"}

    assert ociconfig.podman_file(at_home) == "/h/.config/containers/auth.json"
    named = at_home | {"REGISTRY_AUTH_FILE": "/f.json"}
    assert ociconfig.podman_file(named) == "/f.json"
    relative = at_home | {"REGISTRY_AUTH_FILE": os.path.join("..", "a.json")}
    assert ociconfig.podman_file(relative) == f"{tmp_path.parent}/a.json"
    based = at_home | {"XDG_CONFIG_HOME": "/c"}
    assert ociconfig.podman_file(based) == "/c/containers/auth.json"


def test_what_a_file_says() -> None:
    text = '{"auths": {"a": {}}, "credHelpers": {"b": "hushkey", "c": "x"}}'

    assert ociconfig.used(text) == ["a"]
    assert ociconfig.registered(text) == {"b": "hushkey", "c": "x"}
    assert ociconfig.store(text) == ""
    assert list(ociconfig.ours(text)) == [("credHelpers", "b")]
    assert list(ociconfig.ours('{"credsStore": "hushkey"}')) == [("credsStore",)]


@pytest.mark.parametrize("text", ["", "{}", '{"auths": 1, "credsStore": 2}'])
def test_what_is_not_there_is_nothing(text: str) -> None:
    assert (ociconfig.used(text), ociconfig.store(text)) == ([], "")
    assert list(ociconfig.ours(text)) == []


def test_absent_file_is_empty(tmp_path: Path) -> None:
    assert ociconfig.text_of(str(tmp_path / "config.json")) == ""


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"credHelpers": []}', '{"credHelpers": {"a": 1}}']
)
def test_file_that_is_none_is_refused_whole(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)

    with pytest.raises(Permanent, match="nothing was changed"):
        ociconfig.text_of(str(file))


def test_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read"):
        ociconfig.text_of(str(tmp_path))
