"""A private D-Bus session with gnome-keyring, in every state that users meet."""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from servers.process import (
    Program,
    Server,
    clean_environ,
    find_program,
    short_folder,
    wait_until,
)

State = Literal["unlocked", "locked", "no collection", "frozen", "no service", "absent"]
STATES: tuple[State, ...] = (
    "unlocked",
    "locked",
    "no collection",
    "frozen",
    "no service",
    "absent",
)
NAME = "org.freedesktop.secrets"
LOGIN = "/org/freedesktop/secrets/collection/login"

# No service folders: nothing is started behind our back, no prompt can appear.
BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


class SecretService(Server):
    """A bus, perhaps a daemon, and their environment.

    unlocked        works
    locked          a login collection exists, nobody typed its password
    no collection   the daemon answers, there is nothing to store in
    frozen          the daemon owns the name and never answers
    no service      a bus without a Secret Service
    absent          no bus
    """

    def __init__(self, state: State = "unlocked", *, password: str = "sesame") -> None:
        self.state = state
        self.password = password
        self._folder: Path | None = None
        self._bus: Program | None = None
        self._daemon: Program | None = None

    # -- its life

    def start(self) -> None:
        if self.state != "absent":
            find_program("gnome-keyring-daemon", package="gnome-keyring")
        self._folder = folder = short_folder("keyring")
        for name in ("home", "run"):
            (folder / name).mkdir(mode=0o700)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        if self.state == "absent":
            return
        self._start_bus()
        if self.state == "no service":
            return
        if self.state != "no collection":
            self.start_daemon(unlocked=True)
        else:
            self.start_daemon(unlocked=False)
        if self.state == "locked":
            self.stop_daemon()
            self.start_daemon(unlocked=False)
        elif self.state == "frozen":
            self.freeze()

    def stop(self) -> None:
        self.stop_daemon()
        if self._bus is not None:
            self._bus.stop()
            self._bus = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    @property
    def folder(self) -> Path:
        assert self._folder is not None, "not started"
        return self._folder

    @property
    def environ(self) -> dict[str, str]:
        """What a program needs to find this keyring and no other."""
        return {
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.folder / 'run' / 'bus'}",
            "HOME": str(self.folder / "home"),
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
        }

    @property
    def bus_address(self) -> str:
        return self.environ["DBUS_SESSION_BUS_ADDRESS"]

    # -- what may happen to it

    def start_daemon(self, *, unlocked: bool) -> None:
        """Start gnome-keyring; `unlocked` types the password (and makes `login`)."""
        program = find_program("gnome-keyring-daemon", package="gnome-keyring")
        argv = [program, "--foreground", "--components=secrets"]
        argv.append(f"--control-directory={self.folder / 'run' / 'control'}")
        if unlocked:
            argv.append("--unlock")
        environ = clean_environ(**self.environ)
        environ["XDG_DATA_HOME"] = str(self.folder / "home" / ".local" / "share")
        self._daemon = Program(
            argv,
            self.folder / "daemon.log",
            environ=environ,
            stdin=self.password.encode() if unlocked else b"",
        )
        self._daemon.wait_until(self._owned, "gnome-keyring")
        if unlocked:
            self._daemon.wait_until(
                lambda: self.is_locked() is False, "the login collection"
            )

    def stop_daemon(self) -> None:
        if self._daemon is not None:
            self._daemon.stop()
            self._daemon = None
            if self._bus is not None and self._bus.running:
                wait_until(lambda: not self._owned(), "gnome-keyring to go")

    def freeze(self) -> None:
        assert self._daemon is not None
        self._daemon.send(signal.SIGSTOP)
        pid = self._daemon.pid
        wait_until(lambda: _is_stopped(pid), "gnome-keyring to stop")

    def thaw(self) -> None:
        assert self._daemon is not None
        self._daemon.send(signal.SIGCONT)

    def lock(self) -> None:
        """Lock the login collection, as a screen saver may."""
        with self._connection() as ask:
            ask(
                "/org/freedesktop/secrets",
                "org.freedesktop.Secret.Service",
                "Lock",
                "ao",
                ([LOGIN],),
            )
        assert self.is_locked() is True

    def is_locked(self) -> bool | None:
        """The login collection's Locked property; None without a collection."""
        from jeepney import MessageType

        with self._connection() as ask:
            reply = ask(
                LOGIN,
                "org.freedesktop.DBus.Properties",
                "Get",
                "ss",
                ("org.freedesktop.Secret.Collection", "Locked"),
            )
        if reply.header.message_type is MessageType.error:
            return None
        return bool(reply.body[0][1])

    # -- the bus

    def _start_bus(self) -> None:
        program = find_program("dbus-daemon", package="dbus")
        socket = self.folder / "run" / "bus"
        file = self.folder / "bus.conf"
        file.write_text(BUS.format(socket=socket))
        self._bus = Program(
            [program, "--nofork", "--nopidfile", f"--config-file={file}"],
            self.folder / "bus.log",
            environ=clean_environ(HOME=str(self.folder / "home")),
        )
        self._bus.wait_until(socket.exists, "dbus-daemon")

    def _owned(self) -> bool:
        from jeepney import DBusAddress, new_method_call
        from jeepney.io.blocking import open_dbus_connection

        bus = DBusAddress(
            "/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus"
        )
        with open_dbus_connection(bus=self.bus_address) as connection:
            message = new_method_call(bus, "NameHasOwner", "s", (NAME,))
            reply = connection.send_and_get_reply(message, timeout=5)
        return bool(reply.body[0])

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        from jeepney import DBusAddress, new_method_call
        from jeepney.io.blocking import open_dbus_connection

        with open_dbus_connection(bus=self.bus_address) as connection:

            def ask(
                path: str, interface: str, method: str, signature: str, body: Any
            ) -> Any:
                address = DBusAddress(path, NAME, interface)
                message = new_method_call(address, method, signature, body)
                return connection.send_and_get_reply(message, timeout=5)

            yield ask


def _is_stopped(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    if not status.exists():
        # Not Linux: SIGSTOP has been delivered by the time kill() returns.
        return os.getpgid(pid) > 0
    return status.read_text().rpartition(") ")[2].startswith("T")
