"""What shows itself in a repr, walked over every class that there is."""

import importlib
import inspect
import re
from collections.abc import Iterator

import pytest

from hushkey.model import Frozen
from test_architecture import DEMO, MODULES

SECRET = "s3cr3t-value"
#: names of fields that can only hold a secret
TELLING = re.compile(
    r"(^|_)(value|secret|password|token|code|verifier|state|key|form|data)$"
)
#: fields that look like it, and why they are none
HARMLESS = {"user_code"}  # a person reads it aloud, and it redeems nothing
#: types that hold none, whatever the field is called
HARMLESS_TYPES = {"CredentialKey"}  # for whom something is kept, not what


def _classes() -> Iterator[type]:
    for name in MODULES:
        if name.startswith(DEMO):
            continue
        module = importlib.import_module(name)
        for found in vars(module).values():
            if inspect.isclass(found) and found.__module__ == name:
                yield found


#: what shows itself, and holds nothing but what a person may read: click's groups
#: by their name, the findings and facts of the command's own screens
SHOWN = {"Group", "Finding", "Given", "Plan", "Helper", "Chain", "Issuer"}
SHOWN |= {"Host", "Client", "WrittenCommand", "_Split"}
SHOWN |= {"Server", "Target", "Found", "_Way", "Next", "_Answer", "Broken"}

CLASSES = list(_classes())
FROZEN = [c for c in CLASSES if issubclass(c, Frozen) and c is not Frozen]
every_frozen = pytest.mark.parametrize("frozen", FROZEN, ids=lambda c: c.__qualname__)


def test_only_frozen_values_show_their_fields() -> None:
    """A dataclass or a named tuple would print what it holds."""
    showing = {
        found.__qualname__
        for found in CLASSES
        if not issubclass(found, Frozen | BaseException)
        and found.__repr__ is not object.__repr__
    }

    assert showing == SHOWN


@every_frozen
def test_field_that_can_only_be_a_secret_is_named_as_one(frozen: type[Frozen]) -> None:
    kinds = frozen.__annotations__
    named = {n for n in frozen._names() if TELLING.search(n)} - HARMLESS
    telling = {n for n in named if kinds[n] not in HARMLESS_TYPES}

    assert telling <= set(frozen._secret)


@every_frozen
def test_secret_field_never_shows(frozen: type[Frozen]) -> None:
    assert set(frozen._secret) <= set(frozen._names())
    for secret in (SECRET, {"client_secret": SECRET}, (SECRET,)):
        value = object.__new__(frozen)
        vars(value).update(
            (n, secret if n in frozen._secret else "x") for n in frozen._names()
        )

        assert SECRET not in f"{value!r} {value} {[value]}"
        assert all(f"{name}=" in repr(value) for name in frozen._names())


def test_every_kind_of_secret_was_walked() -> None:
    assert {"Token", "Grant", "CodeFlow", "DeviceCode", "Identity"} <= {
        found.__name__ for found in FROZEN if found._secret
    }
