"""Doctor on the agent's systemd unit: one of an older or another hushkey."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from hushkey_install.common.finding import NOTE, PROBLEM, Finding
from hushkey_install.register import systemd
from hushkey_install.tools.installation import Installation

_INSTALL = "hushkey install agent"


def check(installation: Installation) -> Iterator[Finding]:
    """Yield that systemd starts the agent as hushkey no longer does, or not at all."""
    written = systemd.written_command(installation.environ)
    if written is None:
        return
    mend = partial(systemd.AGENT.install, (), False)
    if not written.starts:
        text = f"systemd cannot start the agent: there is no {written.program}"
        yield Finding("agent-unit-broken", PROBLEM, text, _INSTALL, mend)
    elif not written.is_isolated:
        text = "systemd starts the agent in a Python that obeys PYTHON* variables"
        yield Finding("agent-unit-old", NOTE, text, _INSTALL, mend)
