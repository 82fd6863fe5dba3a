import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushkey.config import schema
from hushkey.config.compile import compile_config
from hushkey.config.identities import compiled
from hushkey.errors import ConfigError, HushkeyError, Permanent, Transient
from hushkey.model import Grant, HostRule, Identity
from hushkey.providers import registry
from hushkey.providers.specs import command
from hushkey.providers.specs.command import READY, moment, without_secrets
from kit.core import ANY

SCOPES = ("499b84ac/.default",)
#: an hour from now, as programs write it
pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the programs are sh scripts"
)


class Shelf:
    """A folder on PATH with programs that a test writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {
            "PATH": f"{folder}{os.pathsep}{os.defpath}",
            "HOME": str(folder),
        }

    def has(self, name: str, *lines: str) -> str:
        path = self.folder / name
        path.write_text("\n".join(("#!/bin/sh", *lines, "")))
        path.chmod(0o700)
        return str(path)

    def prints(self, name: str, data: object) -> str:
        """Let *name* print *data*, as JSON if it is no text."""
        text = data if isinstance(data, str) else json.dumps(data)
        (self.folder / f"{name}.out").write_text(text)
        return self.has(name, f"cat '{self.folder / name}.out'")

    def get(
        self, *argv: str, timeout: float = 20, environ: Any = None, **keys: Any
    ) -> Grant:
        table = {"provider": "command", "command": [*argv], **keys}
        identity = Identity("robot", **compiled(table))
        settings = {**schema.DEFAULTS, "silent_timeout": timeout}
        minter = registry.open_minter(
            identity, settings, str(self.folder), environ or self.environ
        )
        return minter.mint(HostRule("x.test", identity, scopes=SCOPES), "x.test")

    def fails(self, *argv: str, **more: Any) -> HushkeyError:
        with pytest.raises(HushkeyError) as caught:
            self.get(*argv, **more)
        return caught.value


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    (tmp_path / "bin").mkdir()
    return Shelf(tmp_path / "bin")


# -- how it is run -----------------------------------------------------------------


def test_token_is_what_the_program_prints(shelf: Shelf) -> None:
    shelf.has("tell", 'echo "$1-$2"')

    granted = shelf.get("tell", "one", "two")

    assert granted.access_token == "one-two"
    assert granted.scopes == SCOPES


def test_no_shell_reads_the_words(shelf: Shelf) -> None:
    shelf.has("tell", 'printf %s "$1"')

    assert shelf.get("tell", "$HOME;`id`&&*").access_token == "$HOME;`id`&&*"


def test_program_has_no_input_no_terminal_and_is_not_in_our_folder(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    shelf.has(
        "look",
        "read -r line && exit 3",
        "( : </dev/tty ) 2>/dev/null && exit 4",
        "pwd",
    )

    assert shelf.get("look").access_token == "/"


@pytest.mark.parametrize("path", ["", ".", "bin", "./bin"])
def test_relative_path_entries_are_no_place_for_it(
    shelf: Shelf, path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shelf.has("tell", "echo stolen")
    monkeypatch.chdir(shelf.folder if path in ("", ".") else tmp_path)

    error = shelf.fails("tell", environ={"PATH": f"{path}:/usr/bin"})

    assert isinstance(error, Permanent)
    assert "tell" in error.what and "PATH" in error.what


def test_program_that_never_ends_is_ended_with_its_children(shelf: Shelf) -> None:
    shelf.has("hang", f"sleep 300 & echo $! > '{shelf.folder}/child'", "wait")
    began = time.monotonic()

    error = shelf.fails("hang", timeout=2)

    assert isinstance(error, Transient)
    assert time.monotonic() - began < 10
    child = (shelf.folder / "child").read_text().strip()
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", child], capture_output=True, check=False, text=True
    ).stdout.strip()
    assert state in ("",) or state.startswith("Z")


def test_child_that_holds_the_output_open_is_not_waited_for(shelf: Shelf) -> None:
    shelf.has("leave", "sleep 300 &", "echo token-1")
    began = time.monotonic()

    assert shelf.get("leave").access_token == "token-1"
    assert time.monotonic() - began < 10


def test_endless_output_ends_at_the_limit(shelf: Shelf) -> None:
    shelf.has("flood", "exec yes secretsecret")
    began = time.monotonic()

    error = shelf.fails("flood", timeout=60)

    assert "more than 64 kB" in error.what
    assert "secretsecret" not in error.line()
    assert time.monotonic() - began < 30


def test_endless_errors_do_not_stop_it(shelf: Shelf) -> None:
    shelf.has("chat", "yes chatter | head -c 300000 >&2", "echo token-1")

    assert shelf.get("chat").access_token == "token-1"


def test_program_that_cannot_start_is_named(shelf: Shelf) -> None:
    path = Path(shelf.has("broken"))
    path.write_text("#!/no/such/interpreter\n")

    assert "cannot start" in shelf.fails(str(path)).what


# -- what is said when it fails ----------------------------------------------------


def test_exit_code_and_last_line_are_told(shelf: Shelf) -> None:
    shelf.has("fail", "echo one >&2", "echo 'no login for x.test' >&2", "exit 7")

    error = shelf.fails("fail", "--profile", "work")

    assert isinstance(error, Permanent)
    assert error.what == "fail exited with 7: no login for x.test"


def test_signal_is_told(shelf: Shelf) -> None:
    shelf.has("die", "kill -9 $$")

    assert shelf.fails("die").what == "die was ended by signal 9"


SECRETS = [
    "ghp_abcdEFGH1234",
    "glpat-xyz_123456",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln",
    "0123456789abcdef0123456789abcdef",
    "https://me:hunter2@git.test/x",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_secret_in_the_last_line_is_not_told(shelf: Shelf, secret: str) -> None:
    shelf.has("fail", f"echo 'bad credential {secret} given' >&2", "exit 1")

    line = shelf.fails("fail").line()

    assert "bad credential" in line
    assert "given" in line
    for part in (secret, "hunter2"):
        assert part not in line


def test_what_it_printed_was_told_or_has_in_the_environment_is_not_told(
    shelf: Shelf,
) -> None:
    shelf.has("fail", 'echo pr1nted; echo "no: pr1nted $1 $MY_TOKEN" >&2', "exit 1")
    environ = {**shelf.environ, "MY_TOKEN": "v4riable"}

    line = shelf.fails("fail", "--key=4rgument", environ=environ).line()

    assert "no: *** --key=*** ***" in line or "no: *** *** ***" in line
    assert not [w for w in ("pr1nted", "4rgument", "v4riable") if w in line]


@given(ANY, st.lists(ANY, max_size=3))
def test_masking_takes_any_text(line: str, known: list[str]) -> None:
    assert isinstance(without_secrets(line, known), str)


def test_what_administrators_ask_for_stays() -> None:
    told = "AADSTS700082: expired. Trace 1b671a64-40d5-491e-99b0-da01ff1f3341 hostname"

    assert without_secrets(told, ["expired", "login"]) == told


# -- what it printed ---------------------------------------------------------------


@pytest.mark.parametrize(
    "output", ["", "\n", "two words", "a\nb", "tok\u00e9n", "a\x07b", "a\x00b"]
)
def test_raw_output_that_is_no_token_is_refused(shelf: Shelf, output: str) -> None:
    shelf.prints("tell", output)

    error = shelf.fails("tell")

    assert isinstance(error, Permanent)
    assert "[identity.robot]" in error.hint
    assert not output.strip() or output.strip() not in error.line()


def test_bytes_that_are_no_text_are_refused(shelf: Shelf) -> None:
    shelf.has("tell", "printf '\\377\\376'")

    assert "not text" in shelf.fails("tell").what


JSON: dict[str, Any] = {
    "token": "data.0.access",
    "expires": "data.0.until",
    "user": "who.name",
    "format": "json",
}


def test_json_is_read_by_its_paths(shelf: Shelf) -> None:
    end = int(time.time()) + 1800
    data = {"data": [{"access": "t-1", "until": end}], "who": {"name": "robot"}}
    shelf.prints("tell", data)

    granted = shelf.get("tell", **JSON)

    assert (granted.access_token, granted.username) == ("t-1", "robot")
    assert granted.expires_in == pytest.approx(1800, abs=60)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, "no data.0.access"),
        ({"data": "x"}, "no data.0.access"),
        ({"data": [{"access": 5}]}, "a bad data.0.access"),
        ({"data": [{"access": "t", "until": "2026-01-01T00:00:00"}]}, "with a zone"),
        ({"data": [{"access": "t", "until": "soon"}]}, "not a time"),
        ({"data": [{"access": "t", "until": 1}]}, "ended already"),
        ({"data": [{"access": "t"}], "who": {"name": "a b"}}, "a bad who.name"),
        ("{", "no JSON"),
        ("[" * 5000, "no JSON"),
    ],
)
def test_json_that_holds_no_token_is_refused(
    shelf: Shelf, data: object, told: str
) -> None:
    shelf.prints("tell", data)

    assert told in shelf.fails("tell", **JSON).what


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (1_800_000_000, 1_800_000_000),
        ("1800000000", 1_800_000_000),
        (1_800_000_000_000, 1_800_000_000),
        ("2027-01-15T08:00:00Z", 1_800_000_000),
        ("2027-01-15T10:00:00.000+02:00", 1_800_000_000),
        ("2027-01-15T08:00:00", None),
        ("", None),
        (True, None),
        ([], None),
        (-5, None),
    ],
)
def test_times_are_epoch_seconds_or_iso_with_a_zone(
    written: object, seconds: float | None
) -> None:
    assert moment(written) == seconds


def in_an_hour() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def test_exec_credential_is_read_and_asked_for(shelf: Shelf) -> None:
    shelf.has(
        "plugin",
        'case "$KUBERNETES_EXEC_INFO" in',
        '  *\'"kind":"ExecCredential"\'*) ;; *) exit 9 ;;',
        "esac",
        f"cat '{shelf.folder}/answer'",
    )
    status = {"token": "t-1", "expirationTimestamp": in_an_hour()}
    answer = {"kind": "ExecCredential", "status": status}
    (shelf.folder / "answer").write_text(json.dumps(answer))

    granted = shelf.get("plugin", format="execcredential")

    assert granted.access_token == "t-1"
    assert granted.expires_in == pytest.approx(3600, abs=60)


def test_exec_credential_without_a_token_is_refused(shelf: Shelf) -> None:
    shelf.prints("plugin", {"kind": "ExecCredential", "status": {}})

    told = shelf.fails("plugin", format="execcredential").what
    assert told == "plugin printed no status.token"


def test_credential_process_gives_keys(shelf: Shelf) -> None:
    keys = {
        "Version": 1,
        "AccessKeyId": "AKIAEXAMPLE",
        "SecretAccessKey": "s3cret",
        "SessionToken": "sess",
        "Expiration": in_an_hour(),
    }
    shelf.prints("aws", keys)

    granted = shelf.get("aws", format="credential_process")

    assert (granted.username, granted.access_token) == ("AKIAEXAMPLE", "s3cret")
    assert granted.beside == "sess"
    assert granted.expires_in == pytest.approx(3600, abs=60)


def test_lifetime_counts_where_the_output_names_no_end(shelf: Shelf) -> None:
    shelf.prints("tell", "t-1")

    assert shelf.get("tell").expires_in == command.ASSUMED_LIFETIME
    assert shelf.get("tell", lifetime=60).expires_in == 60


# -- ready-made ones ---------------------------------------------------------------

#: what each prints, by its documents
OUTPUT: Mapping[str, object] = {
    "gh": "gho_1",
    "glab": "glpat-1",
    "az": {
        "accessToken": "eyJ.1",
        "expiresOn": "2020-01-01 00:00:00.000000",  # local time: not to be read
        "expires_on": int(time.time()) + 3000,
        "tokenType": "Bearer",
    },
    "gcloud": {
        "configuration": {},
        "credential": {"access_token": "ya29.1", "token_expiry": in_an_hour()},
    },
}
ARGUMENTS = {
    "gh": "auth token --hostname github.com",
    "glab": "config get token --host gitlab.com",
    "az": f"account get-access-token --output json --scope {SCOPES[0]}",
    "gcloud": "config config-helper --format=json",
}


@pytest.mark.parametrize("name", READY)
def test_ready_made_program_is_asked_by_its_document(shelf: Shelf, name: str) -> None:
    shelf.prints(name, OUTPUT[name])
    path = shelf.folder / name
    path.write_text(path.read_text() + f"\necho \"$*\" > '{shelf.folder}/argv'\n")

    granted = shelf.get(command=name)

    assert (shelf.folder / "argv").read_text().strip() == ARGUMENTS[name]
    expected = json.dumps(OUTPUT[name])
    assert granted.access_token in expected
    assert len(granted.access_token) > 4
    assert granted.expires_in is not None
    assert granted.username == READY[name].username


@pytest.mark.parametrize("name", READY)
def test_ready_made_program_that_fails_names_its_login(shelf: Shelf, name: str) -> None:
    shelf.has(name, "echo 'not logged in' >&2", "exit 1")

    error = shelf.fails(command=name)

    assert error.what == f"{name} exited with 1: not logged in"
    assert error.hint == f"run: {READY[name].login}"


def test_ready_made_program_takes_its_keys(shelf: Shelf) -> None:
    shelf.has("gh", 'echo "$*" | tr " " _')

    granted = shelf.get(command="gh", hostname="ghe.test", account="me")

    assert granted.access_token == "auth_token_--hostname_ghe.test_--user_me"


@pytest.mark.skipif(shutil.which("gh") is None, reason="needs gh")
def test_real_gh_is_asked(shelf: Shelf) -> None:
    folder = shelf.folder / ".config" / "gh"
    folder.mkdir(parents=True)
    hosts = "github.com:\n    oauth_token: gho_made-up\n    user: me\n"
    (folder / "hosts.yml").write_text(hosts)
    environ = {"HOME": str(shelf.folder), "PATH": os.environ["PATH"]}

    assert shelf.get(command="gh", environ=environ).access_token == "gho_made-up"
    (folder / "hosts.yml").unlink()
    assert "gh auth login" in shelf.fails(command="gh", environ=environ).hint


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="needs gcloud")
def test_real_gcloud_is_asked(shelf: Shelf) -> None:
    (shelf.folder / "token").write_text("ya29.made-up\n")
    environ = {
        "HOME": str(shelf.folder),
        "PATH": os.environ["PATH"],
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(shelf.folder / "token"),
    }

    granted = shelf.get(command="gcloud", environ=environ, timeout=60)

    assert (granted.access_token, granted.username) == (
        "ya29.made-up",
        "oauth2accesstoken",
    )


# -- the config --------------------------------------------------------------------


def problems(*lines: str, host: str = "x.test") -> str:
    text = "\n".join(("[identity.robot]", 'provider = "command"', *lines))
    with pytest.raises(ConfigError) as caught:
        compile_config(f'{text}\n[host."{host}"]\nidentity = "robot"\n', "c.toml")
    return "\n".join(caught.value.problems)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ((), "command: is required for provider command"),
        (('command = "gclod"',), "did you mean gcloud?"),
        (('command = "echo x"',), "a list such as"),
        (("command = []",), "a list of a program"),
        (('command = [""]',), "a list of a program"),
        (('command = ["./tell"]',), "by its absolute path"),
        (('command = ["bin/tell"]',), "by its absolute path"),
        (('command = ["tell", "a\\nb"]',), "a list of a program"),
        (('command = ["tell"]', 'fromat = "raw"'), "did you mean format?"),
        (('command = ["tell"]', 'format = "jsno"'), "did you mean json?"),
        (('command = ["tell"]', 'format = "json"'), "token: is required"),
        (('command = ["tell"]', 'expires = "a"'), 'is for format = "json" alone'),
        (('command = ["tell"]', 'hostname = "a.b"'), "for ready-made commands"),
        (('command = ["tell"]', "lifetime = 0"), "a whole number of seconds"),
        (('command = ["tell"]', 'client_id = "c"'), "has no effect on a program"),
        (('command = ["tell"]', 'redirect_uri = "c"'), "unknown key"),
        (('command = "gh"', 'tenant = "t"'), "has no effect on the ready-made gh"),
        (('command = "az"', 'format = "raw"'), "has no effect on the ready-made az"),
        (('command = "gh"',), "signed in at github.com, whose tokens are not for"),
        (('command = "gh"', 'hostname = "https://x"'), "a host's name"),
    ],
)
def test_wrong_keys_are_told(lines: tuple[str, ...], told: str) -> None:
    assert told in problems(*lines)


def test_token_of_a_ready_made_program_is_for_its_server_alone() -> None:
    lines = 'provider = "command"\ncommand = "gh"\n'
    host = '[host."ghe.test"]\nidentity = "robot"\n'

    compile_config(f'[identity.robot]\n{lines}hostname = "ghe.test"\n{host}', "c")
    for port, other in ((":8443", ""), (":8443", ":9443"), ("", ":8443")):
        own = f'[identity.robot]\n{lines}hostname = "ghe.test{port}"\n'
        compile_config(own + host.replace("ghe.test", f"ghe.test{port}"), "c")
        if port:
            with pytest.raises(ConfigError, match="whose tokens are not for"):
                compile_config(own + host.replace("ghe.test", f"ghe.test{other}"), "c")
    assert "a hostname of its own" in problems('command = "gh"', host="ghe.test")
