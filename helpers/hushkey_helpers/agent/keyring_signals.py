"""Hears what the Secret Service says about itself: that something has changed.

The API has signals for changed and deleted items and for collections that are locked
(freedesktop.org Secret Service API draft 0.2: ItemChanged, ItemDeleted,
CollectionChanged, PropertiesChanged of org.freedesktop.DBus.Properties), and the bus
says when the service goes or another one comes (NameOwnerChanged). Any of them is
reason enough to forget; which one does not matter. Reading a secret sends none.
"""

from __future__ import annotations

import threading

from jeepney import MatchRule, message_bus
from jeepney.io.blocking import Proxy, open_dbus_connection

from hushkey_helpers.agent.memory import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SERVICE = "org.freedesktop.secrets"
#: seconds for the bus to take our rules
_PATIENCE = 5


class Signals(Watch):
    """Listens in a thread of its own, from the first question on.

    What is learned while nobody listens proves nothing: `number` is None until the
    bus has taken our rules, and after it has gone. Then the next question tries again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listening = False
        self._starting = False
        self._number = 0
        self._act: Callable[[], None] = _nothing

    def on_change(self, act: Callable[[], None]) -> None:
        """Let *act* be called after every change, in the listening thread."""
        self._act = act

    def number(self) -> int | None:
        """Return what rises with every change, None while nobody listens."""
        with self._lock:
            if not self._listening and not self._starting:
                self._starting = True
                threading.Thread(target=self._listen, daemon=True).start()
            return self._number if self._listening else None

    def heard(self) -> int | None:
        """Return the number, without beginning to listen."""
        with self._lock:
            return self._number if self._listening else None

    def _listen(self) -> None:
        try:
            bus = _subscribed()
        except Exception:  # whatever the bus or its absence raises
            with self._lock:
                self._starting = False
            return
        with self._lock:
            self._listening, self._starting = True, False
        try:
            while True:
                bus.receive()
                self._changed(listening=True)
        except Exception:
            self._changed(listening=False)

    def _changed(self, *, listening: bool) -> None:
        with self._lock:
            self._number += 1
            self._listening = listening
        self._act()


def _subscribed() -> Any:
    bus = open_dbus_connection(bus="SESSION")
    rules = (
        MatchRule(type="signal", sender=_SERVICE),
        MatchRule(
            type="signal",
            sender="org.freedesktop.DBus",
            interface="org.freedesktop.DBus",
            member="NameOwnerChanged",
        ),
    )
    rules[1].add_arg_condition(0, _SERVICE)
    proxy = Proxy(message_bus, bus, timeout=_PATIENCE)
    for rule in rules:
        proxy.AddMatch(rule)
    return bus


def _nothing() -> None:
    """Do nothing."""
