"""Without a bus only; tests/contracts asks a real Secret Service."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from hushkey.errors import StoreError
from hushkey.store.datakey import open_data_key
from hushkey.store.keystores import ATTRIBUTES
from hushkey.store.secretservice import SecretServiceStore

SETTINGS = {"key_store": "keyring", "keyring_timeout": 5}


@pytest.fixture
def key_store() -> SecretServiceStore:
    return SecretServiceStore("the keyring", ATTRIBUTES, "run `x`")


@pytest.mark.parametrize(
    "call",
    [SecretServiceStore.get, SecretServiceStore.unlock, lambda d: d.put("text")],
    ids=["get", "unlock", "put"],
)
@pytest.mark.parametrize("address", ["unix:path=/nowhere/bus", "nonsense", ""])
def test_no_bus_is_absent(
    key_store: SecretServiceStore,
    call: Callable[[SecretServiceStore], object],
    address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)

    with pytest.raises(StoreError) as caught:
        call(key_store)

    assert caught.value.reason == "absent"
    assert caught.value.line() == "there is no OS keyring here; run `x`"


def test_vault_without_a_bus_names_the_one_command(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        open_data_key(SETTINGS, str(tmp_path), list).key()

    assert caught.value.reason == "absent"
    assert "`hushkey config set key_store file`" in caught.value.line()


def test_vault_with_a_bus_that_never_answers_is_hung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "bus"))
        listener.listen()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/bus")
        data_key = open_data_key(
            {**SETTINGS, "keyring_timeout": 0.3}, str(tmp_path), list
        )

        with pytest.raises(StoreError) as caught:
            data_key.key()

    assert caught.value.reason == "hung"
