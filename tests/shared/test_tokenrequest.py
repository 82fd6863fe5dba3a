from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hushkey.tokenrequest import PromptOptions, Session

SECRET = "s3cr3t-value"


def session(settings: Mapping[str, Any] | None = None, **fields: Any) -> Session:
    environ = fields.pop("environ", {})
    return Session(settings or {}, "/data", environ, PromptOptions(), print, **fields)


@pytest.mark.parametrize(
    ("given", "began"),
    [
        pytest.param({}, 7.0, id="now"),
        pytest.param({"began": 0.0}, 7.0, id="unknown: now"),
        pytest.param({"began": 5.0}, 5.0, id="given"),
    ],
)
def test_session_began_now_unless_it_is_said(
    given: dict[str, Any], began: float
) -> None:
    assert session(clock=lambda: 7.0, **given).began == began


def test_session_shows_neither_environment_nor_settings() -> None:
    shown = repr(
        session(
            {"proxy": f"http://me:{SECRET}@proxy.test"},
            environ={"HUSHKEY_TEST_SECRET": SECRET},
        )
    )

    assert SECRET not in shown
    assert "folder='/data'" in shown
