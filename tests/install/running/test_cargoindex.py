"""Where cargo finds a registry, and whether that is where the token is for."""

from pathlib import Path

import pytest

from hushkey_install.running import cargoindex


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "home/code/project"
    folder.mkdir(parents=True)
    return folder


def config(folder: Path, name: str, key: str, index: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f'[registries."{key}"]\nindex = "{index}"\n')


def found(project: Path, name: str = "my-reg", **environ: str) -> str:
    home = str(project.parents[1])
    return cargoindex.find(name, str(project), {"HOME": home, **environ})


def test_nearest_file_counts_as_for_cargo(project: Path) -> None:
    assert found(project) == ""
    for number, folder in enumerate(
        (project.parents[1] / ".cargo", project.parent / ".cargo", project / ".cargo")
    ):
        config(folder, "config.toml", "my-reg", f"sparse+https://h{number}/")
        assert found(project) == f"sparse+https://h{number}/"
    # cargo takes the one without an ending, if both are there
    config(project / ".cargo", "config", "my-reg", "sparse+https://old/")
    assert found(project) == "sparse+https://old/"
    variable = {"CARGO_REGISTRIES_MY_REG_INDEX": "sparse+https://v/"}
    assert found(project, **variable) == "sparse+https://v/"


def test_home_of_cargo_may_be_elsewhere(project: Path, tmp_path: Path) -> None:
    config(tmp_path / "cargo", "config.toml", "my-reg", "sparse+https://h/")
    assert found(project, CARGO_HOME=str(tmp_path / "cargo")) == "sparse+https://h/"


@pytest.mark.parametrize("key", ["my_reg", "MY-REG", "My_Reg"])
def test_name_that_shares_the_variable_is_the_same_registry(
    project: Path, key: str
) -> None:
    config(project / ".cargo", "config.toml", key, "sparse+https://h/")
    assert found(project) == "sparse+https://h/"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"registries = 1",
        b"[registries]\nmy-reg = 1",
        b"[registries.my-reg]\nindex = 1",
        b"[registries.my-reg]\ntoken = 'x'",
        b"\xff",
        b"[",
        b"a = " + b"[" * 100_000,
    ],
)
def test_file_that_says_nothing_is_passed_by(project: Path, text: bytes) -> None:
    config(project.parent / ".cargo", "config.toml", "my-reg", "sparse+https://h/")
    (project / ".cargo").mkdir()
    (project / ".cargo/config.toml").write_bytes(text)
    assert found(project) == "sparse+https://h/"


@pytest.mark.parametrize(
    ("index", "host", "path", "expected"),
    [
        ("sparse+https://h.test/cargo/", "h.test", "", True),
        ("https://h.test/index.git", "h.test", "", True),
        ("sparse+https://H.test:443/cargo/", "h.test", "/cargo", True),
        ("sparse+https://h.test/cargo/index/", "h.test", "/cargo", True),
        ("sparse+https://h.test:8443/c/", "h.test:8443", "/c", True),
        ("sparse+https://h.test/my%20team/x", "h.test", "/my team", True),
        ("sparse+https://h.test/cargo2/", "h.test", "/cargo", False),
        ("sparse+https://h.test/cargo/../other/", "h.test", "/cargo", False),
        ("sparse+https://h.test/cargo/.%2E/other/", "h.test", "/cargo", False),
        ("sparse+https://h.test/cargo\\..\\other/", "h.test", "/cargo", False),
        ("sparse+https://h.test/cargo/x\\..\\..\\other/", "h.test", "/cargo", False),
        ("sparse+https://h.test/", "h.test", "/cargo", False),
        ("sparse+https://h.test:8443/", "h.test", "", False),
        ("sparse+http://h.test/cargo/", "h.test", "", False),
        ("sparse+https://h.test.evil/", "h.test", "", False),
        ("sparse+https://h.test@evil/", "h.test", "", False),
        ("ssh://git@h.test/x", "h.test", "", False),
        ("sparse+https://evil/h.test/", "h.test", "", False),
        ("file:///etc", "h.test", "", False),
        ("", "h.test", "", False),
    ],
)
def test_index_is_at_the_host_that_the_token_is_for(
    index: str, host: str, path: str, expected: bool
) -> None:
    assert cargoindex.is_at(index, host, path) is expected
