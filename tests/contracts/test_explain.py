"""What `explain --probe` makes of a real identity server and a real git host."""

import pytest

from kit.desk import Desk

pytestmark = pytest.mark.contract


def test_probe_names_what_issuer_and_host_offer(desk: Desk) -> None:
    done = desk.hushkey("explain", "--probe", desk.apache.url_of("contoso/app"))

    shown = done.stdout.decode()
    assert done.returncode == 0, done.stderr
    assert "offers sign-in" in shown
    assert "HTTP 401, WWW-Authenticate: Basic, Bearer" in shown
    assert "git:       " in shown
    assert "git-credential-hushkey (global: " in shown
