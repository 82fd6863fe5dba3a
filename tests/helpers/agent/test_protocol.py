"""Frames take any bytes and believe none; the folder is the one that paths knows."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.errors import ConfigError
from hushkey.system import paths
from hushkey_helpers.agent import protocol

FIELDS = st.lists(st.binary(max_size=200), max_size=20)
PLACES = st.sampled_from(["", "relative", "/a", "/a b/ü", " /spaced "])


@given(FIELDS)
def test_frame_gives_back_its_fields(fields: list[bytes]) -> None:
    data = protocol.frame(*fields)

    assert protocol.size(data[: protocol.HEADER]) == len(data)
    assert protocol.fields(data) == fields


@given(st.binary(max_size=400))
def test_any_bytes_are_a_frame_or_garbage(data: bytes) -> None:
    try:
        found = protocol.fields(data)
    except protocol.Garbage:
        return
    assert protocol.frame(*found) == data


@given(FIELDS, st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_frame_with_changed_bytes_is_a_frame_or_garbage(
    fields: list[bytes], at: int, other: bytes
) -> None:
    data = bytearray(protocol.frame(*fields))
    at %= len(data)
    data[at : at + len(other)] = other

    try:
        found = protocol.fields(bytes(data))
    except protocol.Garbage:
        return
    assert protocol.frame(*found) == data


@given(FIELDS, st.data())
def test_half_a_frame_is_garbage(fields: list[bytes], data: st.DataObject) -> None:
    whole = protocol.frame(*fields)
    cut = data.draw(st.integers(0, len(whole) - 1))

    with pytest.raises(protocol.Garbage):
        protocol.fields(whole[:cut])


def test_length_that_nobody_sends_is_garbage_from_the_header_on() -> None:
    head = protocol.frame()[:3] + (protocol.MAX + 1).to_bytes(4, "big")

    with pytest.raises(protocol.Garbage, match="too long"):
        protocol.size(head)


def test_other_version_is_garbage_from_its_byte_on() -> None:
    head = b"hk" + bytes([protocol.VERSION + 1])

    with pytest.raises(protocol.Garbage, match="another version"):
        protocol.size(head)


def test_thousand_fields_are_garbage() -> None:
    with pytest.raises(protocol.Garbage):
        protocol.fields(protocol.frame(*[b""] * 1000))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: PLACES
            for name in (
                "HOME",
                "HUSHKEY_DATA_DIR",
                "HUSHKEY_RUNTIME_DIR",
                "XDG_DATA_HOME",
                "XDG_RUNTIME_DIR",
            )
        },
    )
)
def test_folder_is_the_one_of_paths(environ: dict[str, str]) -> None:
    found = protocol.folder(environ)

    try:
        expected = paths.runtime_folder(environ)
    except ConfigError:
        expected = ""
    # Without a home in the environment it is not worth a look at the user database.
    assert found == expected or (not found and environ.get("HOME", "")[:1] != "/")


def test_folder_is_below_the_session_s(tmp_path: Path) -> None:
    environ = {"HOME": "/h", "XDG_RUNTIME_DIR": str(tmp_path)}

    assert protocol.folder(environ) == paths.runtime_folder(environ)


class TestIsSafe:
    """The socket and its folder belong to this user alone."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        tmp_path.chmod(0o700)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.fspath(tmp_path / "s"))
        (tmp_path / "s").chmod(0o600)
        return tmp_path

    def test_own_and_private(self, place: Path) -> None:
        assert protocol.is_safe(str(place), str(place / "s"))

    @pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
    def test_folder_that_others_enter(self, place: Path, mode: int) -> None:
        place.chmod(mode)

        assert not protocol.is_safe(str(place), str(place / "s"))

    @pytest.mark.parametrize("mode", [0o660, 0o602])
    def test_socket_that_others_use(self, place: Path, mode: int) -> None:
        (place / "s").chmod(mode)

        assert not protocol.is_safe(str(place), str(place / "s"))

    def test_plain_file(self, place: Path) -> None:
        (place / "f").touch(0o600)

        assert not protocol.is_safe(str(place), str(place / "f"))

    def test_link_to_a_socket(self, place: Path) -> None:
        (place / "l").symlink_to(place / "s")

        assert not protocol.is_safe(str(place), str(place / "l"))

    def test_nothing_there(self, place: Path) -> None:
        assert not protocol.is_safe(str(place), str(place / "none"))

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    @pytest.mark.parametrize("what", ["", "s"])
    def test_another_user_s(self, place: Path, what: str) -> None:
        os.chown(place / what, 65534, 65534)

        assert not protocol.is_safe(str(place), str(place / "s"))
