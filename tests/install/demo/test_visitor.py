"""The scripted visitor does what a person would, and says what it did."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hushkey_install.demo.visitor import VISITS, Form

from .conftest import Receiver

if TYPE_CHECKING:
    from .conftest import Person


def visit(url: str, visits: Path) -> tuple[int, list[dict[str, str]]]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "hushkey_install.demo.visitor", url],
        env={**os.environ, VISITS: str(visits)},
        timeout=60,
    )
    lines = visits.read_text().splitlines()
    return done.returncode, [json.loads(line) for line in lines]


def test_form_keeps_what_the_page_filled_in() -> None:
    """Fields outside the first form are not sent."""
    form = Form(
        '<input name="search"><form action="/in"><input name="user" value="demo">'
        '<input type="submit"></form><form action="/out"><input name="x"></form>'
    )

    assert (form.action, form.fields) == ("/in", {"user": "demo"})


@pytest.mark.contract
def test_visitor_signs_in(person: "Person", tmp_path: Path) -> None:
    """Run as a browser, it ends at the redirect address with a code."""
    receiver = Receiver()
    url = person.authorize_url(receiver.uri, "state", "v" * 48)
    code, visits = visit(url, tmp_path / "visits")
    receiver.close()

    assert code == 0
    assert [entry["event"] for entry in visits] == ["opened", "done"]
    assert receiver.query["state"] == "state"
    assert receiver.query["code"] not in (tmp_path / "visits").read_text()


def test_visitor_admits_defeat(tmp_path: Path) -> None:
    """Where nobody answers, it says so and fails."""
    code, visits = visit("http://127.0.0.1:1/", tmp_path / "visits")

    assert code == 1
    assert [entry["event"] for entry in visits] == ["opened", "failed"]
