"""Any program that prints a token: gh, glab, az, gcloud, vault, a script of one's own.

It is started as the config names it, by its absolute path, without a shell, a
terminal or standard input, and has until ``silent_timeout``. What it prints is a
secret; of what it says on standard error the last line is shown, with everything that
looks like a secret taken out.
"""

from __future__ import annotations

import json
import os
import time

from hushkey import origins, runtime
from hushkey.errors import HushkeyError, Permanent, Transient, plain
from hushkey.model import Frozen, Grant
from hushkey.providers.checks import near, one_of, text
from hushkey.providers.spec import ProviderSpec
from hushkey.system import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from hushkey.model import HostRule, Identity
    from hushkey.net.http import Network
    from hushkey.providers.base import Minter

#: seconds that a token counts for whose end nobody names
ASSUMED_LIFETIME = 600
#: what is asked of a kubectl plug-in (client.authentication.k8s.io/v1)
_EXEC_INFO = (
    '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
    '"spec":{"interactive":false}}'
)


class Printed(Frozen):
    """What a program printed; ``expires_in`` is in seconds, None: it names no end."""

    _secret = ("token", "beside")
    token: str
    expires_in: float | None = None
    username: str = ""
    beside: str = ""


class Ready(Frozen):
    """A program that needs no more than its name.

    ``server`` is the host whose tokens it prints where the config names none: they are
    for nobody else. ``options`` are its command line's words for keys of ours, and for
    the scopes.
    """

    argv: tuple[str, ...]
    login: str
    server: str = ""
    options: Mapping[str, str] = {}
    environ: Mapping[str, str] = {}
    username: str = ""
    format: str = "raw"
    paths: Mapping[str, str] = {}


#: name -> program: cli.github.com/manual/gh_auth_token; docs.gitlab.com/cli/config/get;
#: learn.microsoft.com/cli/azure/account (get-access-token; `expiresOn` is local time
#: without a zone, `expires_on` epoch seconds); cloud.google.com/sdk/gcloud/reference/
#: config/config-helper
READY: Mapping[str, Ready] = {
    "gh": Ready(
        ("gh", "auth", "token"),
        "gh auth login",
        "github.com",
        {"hostname": "--hostname", "account": "--user"},
        {"GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1"},
    ),
    "glab": Ready(
        ("glab", "config", "get", "token"),
        "glab auth login",
        "gitlab.com",
        {"hostname": "--host"},
        {"NO_PROMPT": "1", "GLAB_CHECK_UPDATE": "false"},
    ),
    "az": Ready(
        ("az", "account", "get-access-token", "--output", "json"),
        "az login",
        "",
        {"tenant": "--tenant", "scopes": "--scope"},
        {"AZURE_CORE_NO_COLOR": "true", "AZURE_CORE_ONLY_SHOW_ERRORS": "true"},
        "",
        "json",
        {"token": "accessToken", "expires": "expires_on"},
    ),
    "gcloud": Ready(
        ("gcloud", "config", "config-helper", "--format=json"),
        "gcloud auth login",
        "",
        {"account": "--account"},
        {"CLOUDSDK_CORE_DISABLE_PROMPTS": "1"},
        "oauth2accesstoken",
        "json",
        {"token": "credential.access_token", "expires": "credential.token_expiry"},
    ),
}
_PATHS = ("token", "expires", "user")


# -- what the config may say -----------------------------------------------------


def command(value: Any) -> str | None:
    """Accept a program and its arguments, or the name of a ready-made one."""
    if isinstance(value, str):
        if value in READY:
            return None
        names = ", ".join(READY)
        return f'a list such as ["gh", "auth", "token"], or one of {names}' + near(
            value, READY
        )
    if not (
        isinstance(value, list)
        and value
        and all(isinstance(word, str) and word.isprintable() for word in value)
        and value[0].strip()
    ):
        return 'a list of a program and its arguments, such as ["gh", "auth", "token"]'
    if os.path.dirname(value[0]) and not os.path.isabs(value[0]):
        return "a program on PATH by its name alone, or by its absolute path"
    return None


def lifetime(value: Any) -> str | None:
    """Accept seconds."""
    good = type(value) is int and 1 <= value <= 365 * 86400
    return None if good else "a whole number of seconds from 1 to 31536000"


def path(value: Any) -> str | None:
    """Accept the way to a value in JSON: names and numbers with dots between."""
    good = isinstance(value, str) and value.isprintable() and all(value.split("."))
    return None if good else "names with dots between, such as credential.access_token"


def hostname(value: Any) -> str | None:
    """Accept the name of a host."""
    good = isinstance(value, str) and "/" not in value and "@" not in value
    found = origins.parse_origin("https", value) if good else None
    return None if found else "a host's name, such as github.example.com"


class Command(ProviderSpec):
    """What a program prints."""

    name = "command"
    keys = {  # noqa: RUF012 - read only
        "command": command,
        "format": one_of(*("raw", "json", "execcredential", "credential_process")),
        "token": path,
        "expires": path,
        "user": path,
        "lifetime": lifetime,
        "hostname": hostname,
        "tenant": text,
        "account": text,
    }
    required = ("command",)
    mixed = ("command",)
    machine = True
    runs_program = True
    #: what a program printed before is not ended by its next output
    keeps_old = True
    server_key = "hostname"

    def faults(self, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield the keys that say nothing to this command; see ProviderSpec."""
        ready = READY.get(_name(table))
        if "client_id" in table:
            yield "client_id", "has no effect on a program"
        if ready is None:
            own = [key for key in ("hostname", "tenant", "account") if key in table]
            for key in own:
                yield key, "is for ready-made commands: write it among the arguments"
            is_json = table.get("format") == "json"
            if is_json and "token" not in table:
                yield "token", 'is required for format = "json"'
            for key in () if is_json else _PATHS:
                if key in table:
                    yield key, 'is for format = "json" alone'
            return
        taken = {"provider", "command", "scopes", "lifetime", "client_id"}
        taken |= ready.options.keys()
        what = f"has no effect on the ready-made {_name(table)}"
        for key in table:
            if key not in taken:
                yield key, what

    def server(self, table: Mapping[str, Any]) -> str:
        """Return the server of a ready-made program; see ProviderSpec."""
        ready = READY.get(_name(table))
        if ready is None or not ready.server:
            return ""
        host = table.get("hostname", ready.server)
        return "" if hostname(host) else f"https://{host}"

    def words(self, identity: Identity) -> str:
        """Name the program; its arguments may be secrets."""
        return f"what {_program(identity)} prints"

    def minter(
        self,
        identity: Identity,
        network: Callable[..., Network],
        folder: str,
        environ: Mapping[str, str],
    ) -> Minter:
        """Return what runs the program; see ProviderSpec."""
        return Runs(identity, lambda: network().left(), environ)


def _name(table: Mapping[str, Any]) -> str:
    """Return the name of a ready-made command, nothing for a list."""
    found = table.get("command")
    return found if isinstance(found, str) else ""


def _program(identity: Identity) -> str:
    found = identity.options["command"]
    return os.path.basename(found if isinstance(found, str) else found[0])


# -- one call --------------------------------------------------------------------


class Runs:
    """Runs the program of *identity*, for as many seconds as are *left*."""

    def __init__(
        self,
        identity: Identity,
        left: Callable[[], float],
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._identity = identity
        self._left_over = left
        self._environ = environ
        self._clock = clock
        self._program = _program(identity)
        self._ready = READY.get(_name(identity.options))
        self._format = self._ready.format if self._ready else "raw"
        self._format = identity.option("format", self._format)

    def mint(self, rule: HostRule, host: str) -> Grant:
        """Return what the program prints, as a grant for the scopes of *rule*."""
        try:
            printed = self._printed(self._run(rule.scopes))
        except HushkeyError:
            # It may need more of the caller's environment than came along.
            if (here := runtime.current()) and here.counts:
                runtime.ensure_in_caller()
            raise
        ends = printed.expires_in
        if ends is None:
            ends = float(self._identity.options.get("lifetime", ASSUMED_LIFETIME))
        fixed = self._ready.username if self._ready else ""
        return Grant(
            printed.token,
            expires_in=ends,
            scopes=rule.scopes,
            username=printed.username or fixed,
            beside=printed.beside,
        )

    def _run(self, scopes: tuple[str, ...]) -> str:
        from hushkey.providers.program import MAX_BYTES, Run  # noqa: PLC0415 - rare

        argv = self._argv(scopes)
        found = programs.find(argv[0], self._environ)
        if found is None:
            raise Permanent(
                f"there is no program {plain(argv[0])} on PATH",
                hint="install it, or write its absolute path in config.toml",
            )
        extra = {"NO_COLOR": "1", "HUSHKEY_INTERACTIVE": "never"}
        if self._ready:
            extra |= self._ready.environ
        if self._format == "execcredential":
            extra["KUBERNETES_EXEC_INFO"] = _EXEC_INFO
        seconds = round(self._left_over(), 1)
        run = Run([found, *argv[1:]], {**self._environ, **extra})
        code = run.wait(seconds)
        if run.over:
            raise self._wrong(f"printed more than {MAX_BYTES // 1024} kB")
        if code is None:
            raise Transient(
                f"{self._program} gave no token within {seconds:g} s",
                hint="does it ask a person? Run it yourself, or raise `silent_timeout`",
            )
        if code != 0:
            how = f"exited with {code}" if code > 0 else f"was ended by signal {-code}"
            said = run.last_line(argv, self._environ)
            hint = f"run: {self._ready.login}" if self._ready else "run it yourself"
            raise Permanent(
                f"{self._program} {how}" + (f": {said}" if said else ""), hint=hint
            )
        try:
            return run.output.decode().strip()
        except UnicodeDecodeError:
            raise self._wrong("printed something that is not text") from None

    def _argv(self, scopes: tuple[str, ...]) -> list[str]:
        if self._ready is None:
            return list(self._identity.options["command"])
        argv = list(self._ready.argv)
        defaults = {"hostname": self._ready.server}
        for key, option in self._ready.options.items():
            value = self._identity.option(key, defaults.get(key, ""))
            value = self._identity.account if key == "account" else value
            values = scopes if key == "scopes" else tuple(filter(None, (value,)))
            if values:
                argv += [option, *values]
        return argv

    # -- what it printed ---------------------------------------------------------

    def _printed(self, output: str) -> Printed:
        if self._format == "raw":
            if len(output.split()) > 1:
                raise self._wrong("printed more than a token")
            return Printed(self._word(output, "token"))
        try:
            data = json.loads(output)
        except (ValueError, RecursionError):
            raise self._wrong("printed no JSON") from None
        return _READERS[self._format](self, data)

    def _json(self, data: Any) -> Printed:
        ready = self._ready.paths if self._ready else {}
        places = {key: self._identity.option(key, ready.get(key, "")) for key in _PATHS}
        found = {key: _at(data, place) for key, place in places.items()}
        user = found["user"]
        return Printed(
            self._word(found["token"], places["token"]),
            expires_in=self._left(found["expires"], places["expires"]),
            username="" if user is None else self._word(user, places["user"]),
        )

    def _exec_credential(self, data: Any) -> Printed:
        """Read a kubectl plug-in's answer (client.authentication.k8s.io)."""
        if _at(data, "kind") != "ExecCredential":
            raise self._wrong("printed no ExecCredential")
        end = _at(data, "status.expirationTimestamp")
        return Printed(
            self._word(_at(data, "status.token"), "status.token"),
            expires_in=self._left(end, "status.expirationTimestamp"),
        )

    def _aws_keys(self, data: Any) -> Printed:
        """Read AWS's keys (docs.aws.amazon.com "Sourcing credentials")."""
        if _at(data, "Version") != 1:
            raise self._wrong("printed no credentials of Version 1")
        session = _at(data, "SessionToken")
        return Printed(
            self._word(_at(data, "SecretAccessKey"), "SecretAccessKey"),
            expires_in=self._left(_at(data, "Expiration"), "Expiration"),
            username=self._word(_at(data, "AccessKeyId"), "AccessKeyId"),
            beside="" if session is None else self._word(session, "SessionToken"),
        )

    def _word(self, value: Any, name: str) -> str:
        """Return *value*, which is what a header or a line of git can carry."""
        good = isinstance(value, str) and value and value.isascii()
        if not good or not value.isprintable() or " " in value:
            raise self._wrong(f"printed no {name}" if not value else f"a bad {name}")
        return str(value)

    def _left(self, value: Any, name: str) -> float | None:
        """Return the seconds until *value*: epoch seconds, or ISO 8601 with a zone."""
        if value is None or value == "":
            return None
        end = moment(value)
        if end is None:
            what = f"printed a {name} that is not a time: epoch seconds, or ISO 8601 "
            raise self._wrong(f"{what}with a zone")
        left = end - self._clock()
        if left <= 0:
            raise Transient(
                f"{self._program} printed a token that has ended already",
                hint="try again; check this machine's clock",
            )
        return left

    def _wrong(self, what: str) -> Permanent:
        return Permanent(
            f"{self._program} {what}",
            hint=f"check `command` and `format` of [identity.{self._identity.name}]",
        )


_READERS: Mapping[str, Callable[[Runs, Any], Printed]] = {
    "json": Runs._json,
    "execcredential": Runs._exec_credential,
    "credential_process": Runs._aws_keys,
}


def _at(data: Any, place: str) -> Any:
    """Return what is at the dotted *place* of *data*, None if nothing is."""
    if not place:
        return None
    for name in place.split("."):
        if isinstance(data, dict):
            data = data.get(name)
        elif isinstance(data, list) and name.isdigit() and int(name) < len(data):
            data = data[int(name)]
        else:
            return None
    return data


def moment(value: Any) -> float | None:
    """Return *value* as epoch seconds: a number, or ISO 8601 with a zone; else None."""
    from datetime import datetime  # noqa: PLC0415 - for a new token alone

    if isinstance(value, str) and value.strip().isdigit() and len(value) < 16:
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = value / 1000 if value > 10**11 else float(value)
        return value if 0 < value < 10**11 else None
    try:
        found = datetime.fromisoformat(value)
        return found.timestamp() if found.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None
