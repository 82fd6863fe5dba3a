import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hushkey import runtime
from hushkey.acquire import session
from hushkey.errors import Permanent, StoreError
from hushkey.model import Request, TokenKey
from hushkey.providers.exchange import KINDS
from hushkey.store.typed import StoredCredential
from hushkey.store.typed_index import CredentialKey
from hushkey.system import callers
from hushkey.tokenrequest import PromptOptions
from hushkey_helpers import REQUEST_BYTES
from hushkey_helpers.answer import Answer
from hushkey_helpers.docker import helper as docker_helper
from hushkey_helpers.docker import told
from kit.core import config_of, rule
from kit.oauth import ME, Machine, grant

NOT_FOUND = b"credentials not found in native keychain\n"
TWO_PLACES = """
[host."team.test/a"]
identity = "corp"
scopes = ["a"]
[host."team.test/b"]
identity = "corp"
scopes = ["b"]
[host."http://localhost:5000"]
identity = "corp"
scopes = ["git"]
[identity.typed]
provider = "static"
[host."typed.test"]
identity = "typed"
"""


@pytest.fixture
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the caller be docker, on its way to the registry."""
    monkeypatch.setattr(callers, "needs_registry", lambda host, environ: True)


@pytest.fixture
def machine(home: Path) -> Machine:
    made = Machine(home)
    made.configure(TWO_PLACES)
    made.settle()
    return made


def test_one_command_is_told_the_same_failure_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, needed: None
) -> None:
    """docker asks its helper more than once; another command, or place, is told."""
    (machine.data / "state").mkdir(parents=True)
    parent, seconds = [4000], [1000.0]
    monkeypatch.setattr(os, "getppid", lambda: parent[0])
    monkeypatch.setattr(time, "time", lambda: seconds[0])

    def lines(host: str = "git.test") -> int:
        answer = call(machine, "get", stdin=host)
        assert answer.code == 1
        assert answer.out != b""
        return len(answer.lines)

    machine.environ["CI"] = "true"
    assert [lines(), lines(), lines()] == [1, 0, 0]
    assert lines("http://localhost:5000") == 1
    parent[0] = 4001
    assert lines() == 1
    seconds[0] += 11
    assert [lines(), lines()] == [1, 0]


def test_in_the_agent_it_is_the_command_of_who_asks(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is unknown is told each time."""
    (machine.data / "state").mkdir(parents=True)
    asker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = runtime.AgentContext(cast(Any, None), 0, quick=False, asker=asker.pid)
    monkeypatch.setattr(runtime, "current", lambda: here)
    error = Permanent("no", hint="do this")
    try:
        assert [told.again(error, machine.environ) for _ in "ab"] == [False, True]
        here.asker = 0
        assert [told.again(error, machine.environ) for _ in "ab"] == [False, False]
    finally:
        asker.communicate(b"\n")


def call(machine: Machine, *argv: str, stdin: bytes | str = b"") -> Answer:
    data = stdin if isinstance(stdin, bytes) else stdin.encode()
    return docker_helper.answer(list(argv), lambda: data, machine.environ)


def get(machine: Machine, server: str) -> Answer:
    return call(machine, "get", stdin=server)


def store(machine: Machine, server: str, user: str, secret: str) -> Answer:
    request = {"ServerURL": server, "Username": user, "Secret": secret}
    return call(machine, "store", stdin=json.dumps(request))


def quiet(found: Answer) -> bool:
    """Tell whether *found* succeeds and says nothing."""
    return (found.out, found.lines, found.code) == (b"", (), 0)


def unread() -> bytes:
    raise AssertionError("the request is not read for this verb")


# -- the protocol ------------------------------------------------------------------


@pytest.mark.parametrize("argv", [[], ["get", "more"], ["a", "b", "c"]])
def test_wrong_number_of_arguments_is_usage_and_failure(
    machine: Machine, argv: list[str]
) -> None:
    found = docker_helper.answer(argv, unread, machine.environ)

    assert found.out.startswith(b"Usage: docker-credential-hushkey <store|get|")
    assert found.code == 1


@pytest.mark.parametrize("verb", ["-h", "--help"])
def test_help_is_usage(machine: Machine, verb: str) -> None:
    assert docker_helper.answer([verb], unread, machine.environ).code == 0


@pytest.mark.parametrize("verb", ["version", "--version", "-v"])
def test_version_has_gos_three_words(machine: Machine, verb: str) -> None:
    found = docker_helper.answer([verb], unread, machine.environ)

    assert found.out.split()[:2] == [b"docker-credential-hushkey", b"(hushkey)"]
    assert len(found.out.split()) == 3
    assert found.code == 0


@pytest.mark.parametrize("verb", ["frob", "GET", "", "get "])
def test_unknown_verb_fails_on_stdout(machine: Machine, verb: str) -> None:
    found = docker_helper.answer([verb], unread, machine.environ)

    said = f"docker-credential-hushkey: unknown action: {verb}\n"
    assert (found.out, found.code) == (said.encode(), 1)


@pytest.mark.parametrize("verb", ["get", "erase"])
@pytest.mark.parametrize("stdin", [b"", b"\n", b" \r\n "])
def test_empty_server_has_its_own_words(
    machine: Machine, verb: str, stdin: bytes
) -> None:
    found = call(machine, verb, stdin=stdin)

    assert (found.out, found.code) == (b"no credentials server URL\n", 1)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (b'{"Username":"u","Secret":"s"}', b"no credentials server URL\n"),
        (b'{"ServerURL":"","Username":"u"}', b"no credentials server URL\n"),
        (b'{"ServerURL":"r.test","Secret":"s"}', b"no credentials username\n"),
    ],
)
def test_store_without_a_part_has_its_own_words(
    machine: Machine, request_: bytes, words: bytes
) -> None:
    found = call(machine, "store", stdin=request_)

    assert (found.out, found.code) == (words, 1)


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"ServerURL":1,"Username":"u"}',
        b"[" * 100_000,
    ],
)
def test_store_of_nonsense_is_one_line(machine: Machine, request_: bytes) -> None:
    found = call(machine, "store", stdin=request_)

    assert found.out.startswith(b"docker-credential-hushkey: ")
    assert found.out.count(b"\n") == 1
    assert found.code == 1
    assert found.out.decode() == f"docker-credential-hushkey: {found.lines[0]}\n"


@pytest.mark.parametrize(
    "names",
    [
        ("serverurl", "username", "secret"),
        ("SERVERURL", "USERNAME", "SECRET"),
        ("ServerUrl", "userName", "\u017fecret"),
    ],
)
def test_names_count_in_any_case_as_for_go(
    machine: Machine, names: tuple[str, str, str]
) -> None:
    request = dict(zip(names, ("r.test", "me", "s3cret"), strict=True))

    assert quiet(call(machine, "store", stdin=json.dumps(request)))
    assert json.loads(get(machine, "r.test").out)["Secret"] == "s3cret"


@pytest.mark.parametrize(
    "request_",
    [
        '{"Secret":"old","ServerURL":"r.test","Username":"me","Secret":"new"}',
        '{"Secret":"old","ServerURL":"r.test","Username":"me","secret":"new"}',
        '{"secret":"old","ServerURL":"r.test","Username":"me","Secret":"new"}',
        '{"ServerURL":"r.test","Username":"me","Secret":"new","SECRET":null}',
        '{"ServerURL":"r.test","Username":"me","Secret":"new","Note":[{"Secret":1}]}',
        ' {"ServerURL":"r.test","Username":"me","Secret":"new"} and more',
    ],
)
def test_last_of_the_same_name_counts_as_for_go(
    machine: Machine, request_: str
) -> None:
    assert quiet(call(machine, "store", stdin=request_))
    assert json.loads(get(machine, "r.test").out)["Secret"] == "new"


@pytest.mark.parametrize("verb", ["get", "erase"])
def test_address_on_the_command_line_learns_where_it_goes(
    machine: Machine, verb: str
) -> None:
    found = docker_helper.answer([verb, "r.test"], unread, machine.environ)

    assert found.code == 1
    assert b"comes on standard input" in found.out
    assert f"echo HOST | docker-credential-hushkey {verb}" in found.lines[0]


@pytest.mark.parametrize("verb", ["get", "store", "erase"])
def test_endless_request_is_refused(machine: Machine, verb: str) -> None:
    found = call(machine, verb, stdin=b"x" * (REQUEST_BYTES + 1))

    assert found.out.endswith(b"too long\n")
    assert found.code == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.binary(max_size=200))
def test_binary_server_is_not_found(machine: Machine, data: bytes) -> None:
    found = call(machine, "get", stdin=data)

    assert found.code == 1
    assert found.out in (NOT_FOUND, b"no credentials server URL\n")


def test_lines_of_a_server_are_one(machine: Machine) -> None:
    store(machine, "long.test", "u", "s")

    assert get(machine, "lo\nng.te\r\nst\n").code == 0


def test_error_nobody_thought_of_is_a_line_without_its_text(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(environ: Mapping[str, str]) -> None:
        raise RuntimeError("with s3cret")

    monkeypatch.setattr("hushkey.config.rules.load", fail)

    found = get(machine, "r.test")

    assert found.out == b"hushkey: internal error (RuntimeError); please report it\n"
    assert found.code == 1


def test_wrong_config_is_not_found_and_says_why_on_stderr(machine: Machine) -> None:
    machine.configure("nonsense = 1")

    found = get(machine, "git.test")

    assert (found.out, found.code) == (NOT_FOUND, 1)
    assert "nonsense" in found.lines[0]


def test_wrong_config_is_the_reason_that_store_and_erase_give(
    machine: Machine,
) -> None:
    machine.configure("nonsense = 1")

    for found in (
        store(machine, "r.test", "me", "s3cret"),
        call(machine, "erase", stdin="r.test"),
    ):
        assert found.code == 1
        assert b"nonsense" in found.out
        assert "nonsense" in found.lines[0]
        assert b"s3cret" not in found.out


def test_wrong_config_leaves_list_empty_and_says_why(machine: Machine) -> None:
    machine.configure("nonsense = 1")

    found = call(machine, "list")

    assert (found.out, found.code) == (b"{}\n", 0)
    assert "nonsense" in found.lines[0]


# -- what a person typed -------------------------------------------------------------


def test_host_that_is_not_ours_is_not_found(machine: Machine) -> None:
    found = get(machine, "other.test")

    assert (found.out, found.lines, found.code) == (NOT_FOUND, (), 1)


def test_login_is_kept_found_listed_and_erased(machine: Machine) -> None:
    assert quiet(store(machine, "https://r.test/v2/", "me", "s3cret"))
    assert json.loads(get(machine, "r.test:443").out) == {
        "ServerURL": "r.test:443",
        "Username": "me",
        "Secret": "s3cret",
    }
    assert call(machine, "list").out == b'{"r.test":"me"}\n'
    assert quiet(call(machine, "erase", stdin="http://r.test"))
    assert get(machine, "r.test").out == NOT_FOUND
    assert call(machine, "list").out == b"{}\n"


def test_second_user_of_a_registry_replaces_the_first(machine: Machine) -> None:
    store(machine, "r.test", "one", "1")
    store(machine, "r.test", "two", "2")

    assert json.loads(get(machine, "r.test").out)["Username"] == "two"
    assert call(machine, "list").out == b'{"r.test":"two"}\n'


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("r.test/one", "r.test/two"),
        ("https://r.test/one/", "r.test"),
        ("r.test:5000/group/sub", "r.test:5000/group"),
        ("docker.io/me", "https://index.docker.io/v1/"),
        ("http://r.test/one", "http://r.test/two"),
    ],
)
def test_paths_of_one_registry_do_not_overwrite_each_other(
    machine: Machine, one: str, two: str
) -> None:
    store(machine, one, "me", "1")
    store(machine, two, "you", "2")

    assert json.loads(get(machine, one).out)["Secret"] == "1"
    assert json.loads(get(machine, two).out)["Secret"] == "2"
    assert sorted(json.loads(call(machine, "list").out).values()) == ["me", "you"]
    for key, user in json.loads(call(machine, "list").out).items():
        assert json.loads(get(machine, key).out)["Username"] == user

    assert quiet(call(machine, "erase", stdin=two))

    assert json.loads(get(machine, one).out)["Secret"] == "1"
    assert list(json.loads(call(machine, "list").out).values()) == ["me"]


def test_path_without_a_password_of_its_own_takes_the_registrys(
    machine: Machine,
) -> None:
    store(machine, "r.test/group", "me", "group's")
    assert get(machine, "r.test").out == NOT_FOUND
    assert get(machine, "r.test/group/app").out == NOT_FOUND

    store(machine, "r.test", "me", "host's")

    assert json.loads(get(machine, "r.test/other/app").out)["Secret"] == "host's"
    assert json.loads(get(machine, "r.test/group/").out)["Secret"] == "group's"


HUB = "https://index.docker.io/v1/"


def test_three_keys_of_a_hub_sign_in_are_three(machine: Machine) -> None:
    """docker/cli, internal/oauth/manager: the password is stored before the tokens."""
    for part in ("", "access-token", "refresh-token"):
        store(machine, HUB + part, "me", f"secret {part}")

    listed = json.loads(call(machine, "list").out)
    assert listed == dict.fromkeys(
        [HUB, f"{HUB}access-token", f"{HUB}refresh-token"], "me"
    )
    for part in ("", "access-token", "refresh-token"):
        assert json.loads(get(machine, HUB + part).out)["Secret"] == f"secret {part}"
    assert json.loads(get(machine, "docker.io").out)["Secret"] == "secret "

    for part in ("access-token", "refresh-token"):
        call(machine, "erase", stdin=HUB + part)
        assert get(machine, HUB + part).out == NOT_FOUND  # never the password

    assert json.loads(get(machine, HUB).out)["Secret"] == "secret "


def test_hubs_token_keys_are_never_answered_with_a_token_of_ours(
    machine: Machine,
) -> None:
    """docker would send it to the Hub's identity server, to be revoked."""
    machine.configure('[host."docker.io"]\nidentity = "corp"\nscopes = ["git"]')
    machine.settle()
    machine.has(grant("at-kept"))
    assert b"at-kept" in get(machine, HUB).out

    assert get(machine, f"{HUB}refresh-token").out == NOT_FOUND
    assert quiet(store(machine, f"{HUB}refresh-token", "me", "its own"))
    assert json.loads(get(machine, f"{HUB}refresh-token").out)["Secret"] == "its own"


def test_password_that_version_0_1_0_kept_is_found_and_replaced(
    machine: Machine,
) -> None:
    """It knew no paths: one slot for the whole host."""
    old = StoredCredential(
        CredentialKey("docker", "https", "r.test", user="old"),
        {"username": "old", "secret": "1"},
    )
    session.with_typed_credentials(machine.environ, lambda kept: kept.store(old))

    assert json.loads(get(machine, "r.test").out)["Secret"] == "1"
    assert json.loads(get(machine, "r.test/group").out)["Secret"] == "1"
    store(machine, "r.test/group", "me", "2")
    assert json.loads(get(machine, "r.test").out)["Secret"] == "1"
    store(machine, "https://r.test/v2/", "new", "3")
    assert call(machine, "list").out == b'{"r.test":"new","r.test/group":"me"}\n'


def test_static_identity_keeps_what_is_typed(machine: Machine) -> None:
    store(machine, "typed.test", "me", "s3cret")

    assert json.loads(get(machine, "typed.test").out)["Secret"] == "s3cret"


def test_logout_of_port_80_leaves_the_login_of_port_443(machine: Machine) -> None:
    """docker erases `http://HOST:80`, too, when HOST:80 is logged out."""
    for place in ("r.test", "r.test:80"):
        store(machine, place, "me", f"secret of {place}")
    assert b"secret of r.test:80" in get(machine, "http://r.test:80").out

    for spelling in ("r.test:80", "http://r.test:80", "https://r.test:80"):
        assert quiet(call(machine, "erase", stdin=spelling))

    assert b"secret of r.test" in get(machine, "r.test").out
    assert get(machine, "r.test:80").out == NOT_FOUND


@pytest.mark.parametrize("typed", ["r.test", "https://r.test", "r.test:443"])
def test_password_typed_for_https_is_not_for_plain_http(
    machine: Machine, typed: str
) -> None:
    store(machine, typed, "me", "s3cret")

    for spelling in ("http://r.test", "HTTP://R.test/v2/", "http://r.test:443"):
        assert get(machine, spelling).out == NOT_FOUND
    for spelling in ("r.test", "https://r.test", "r.test:443", "r.test/team/app"):
        assert b"s3cret" in get(machine, spelling).out


@pytest.mark.parametrize("port", [5000, 8443])
def test_password_typed_without_a_scheme_is_not_for_plain_http(
    machine: Machine, port: int
) -> None:
    store(machine, f"r.test:{port}", "me", "s3cret")

    assert get(machine, f"http://r.test:{port}").out == NOT_FOUND
    assert b"s3cret" in get(machine, f"r.test:{port}").out


def test_password_typed_for_plain_http_is_for_nothing_else(machine: Machine) -> None:
    store(machine, "http://r.test", "me", "s3cret")

    assert b"s3cret" in get(machine, "http://r.test").out
    for spelling in ("r.test", "https://r.test", "r.test:443", "http://r.test:5000"):
        assert get(machine, spelling).out == NOT_FOUND
    assert call(machine, "list").out == b'{"http://r.test":"me"}\n'
    assert quiet(call(machine, "erase", stdin="r.test"))
    assert get(machine, "http://r.test").out == NOT_FOUND


def test_passwords_for_both_schemes_lie_side_by_side(machine: Machine) -> None:
    for spelling, secret in (("http://r.test", "plain"), ("r.test", "s3cret")):
        store(machine, spelling, "me", secret)

    assert json.loads(get(machine, "http://r.test").out)["Secret"] == "plain"
    assert json.loads(get(machine, "r.test").out)["Secret"] == "s3cret"
    listed = json.loads(call(machine, "list").out)
    assert listed == {"http://r.test": "me", "r.test": "me"}


def test_password_of_port_80_that_an_older_version_kept_is_found(
    machine: Machine,
) -> None:
    store(machine, "https://r.test:80", "old", "1")  # the key it had then
    assert json.loads(get(machine, "r.test:80").out)["Username"] == "old"

    store(machine, "r.test:80", "new", "2")

    assert json.loads(get(machine, "r.test:80").out)["Username"] == "new"
    assert call(machine, "list").out == b'{"r.test:80":"new"}\n'


def test_erase_of_nothing_succeeds(machine: Machine) -> None:
    for server in ("never.test", "not a registry", "\x00\x01"):
        assert quiet(call(machine, "erase", stdin=server))


def test_unicode_comes_back_as_it_was(machine: Machine) -> None:
    store(machine, "r.test", "jürgen", "pä\u2028ss")

    found = json.loads(get(machine, "r.test").out)

    assert (found["Username"], found["Secret"]) == ("jürgen", "pä\u2028ss")


class Locked:
    """A keyring that is locked: who may ask is told apart from who may not."""

    def __init__(self) -> None:
        self.asked: list[bool] = []

    def __call__(
        self, *_: object, options: PromptOptions | None = None, **__: object
    ) -> None:
        self.asked.append(options is None)
        raise StoreError("locked", "the keyring is locked")


def test_locked_keyring_is_a_reason_for_who_may_not_need_it(
    machine: Machine, locked: Locked
) -> None:
    found = get(machine, "r.test")

    assert (found.out, found.code) == (NOT_FOUND, 1)
    assert "the keyring is locked" in found.lines[0]
    assert locked.asked == [False]


def test_list_reads_no_secret_and_misses_no_keyring(
    machine: Machine, locked: Locked
) -> None:
    found = call(machine, "list")

    assert (found.out, found.code) == (b"{}\n", 0)
    assert "the keyring is locked" in found.lines[0]


@pytest.fixture
def locked(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Locked:
    store(machine, "r.test", "me", "s3cret")
    made = Locked()
    monkeypatch.setattr(session, "with_typed_credentials", made)
    return made


@pytest.mark.usefixtures("needed")
def test_locked_keyring_is_unlocked_for_a_registry_that_is_needed(
    machine: Machine, locked: Locked
) -> None:
    found = get(machine, "r.test")

    assert found.code == 1
    assert b"the keyring is locked" in found.out
    assert locked.asked == [False, True]


def test_locked_keyring_shows_no_dialog_for_a_registry_that_is_not(
    machine: Machine, locked: Locked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "needs_registry", lambda host, environ: False)

    assert get(machine, "r.test").out == NOT_FOUND
    assert locked.asked == [False]


def test_locked_keyring_is_no_matter_where_nothing_is_kept(
    machine: Machine, locked: Locked
) -> None:
    assert get(machine, "other.test").out == NOT_FOUND
    assert locked.asked == []


# -- what is ours --------------------------------------------------------------------


def test_cached_token_is_answered_with_a_user_name(machine: Machine) -> None:
    machine.has(grant("at-kept"))

    found = json.loads(get(machine, "git.test").out)

    assert (found["Username"], found["Secret"]) == ("oauth2", "at-kept")


@pytest.mark.parametrize("server", ["https://git.test", "git.test:443", "GIT.test/v2/"])
def test_every_spelling_of_ours_is_answered_as_it_was_asked(
    machine: Machine, server: str
) -> None:
    machine.has(grant("at-kept"))

    assert json.loads(get(machine, server).out)["ServerURL"] == server


@pytest.mark.parametrize(
    "server",
    ["http://git.test", "git.test:8443", "xgit.test", "git.test.evil.example"],
)
def test_other_place_gets_no_token(machine: Machine, server: str) -> None:
    machine.has(grant("at-kept"))

    assert get(machine, server).out == NOT_FOUND


def test_insecure_registry_that_the_config_names_is_ours(machine: Machine) -> None:
    machine.has(grant("at-kept"))

    assert b"at-kept" in get(machine, "localhost:5000").out


@pytest.mark.parametrize(
    ("server", "ours"),
    [
        ("plain.test", True),
        ("plain.test:80", True),
        ("http://plain.test", True),
        ("http://plain.test:80", True),
        ("plain.test:443", False),
        ("plain.test.:443", False),
        ("PLAIN.test:0443", False),
        ("https://plain.test", False),
        ("http://plain.test:443", False),
        ("plain.test:5000", False),
    ],
)
def test_rule_for_plain_http_is_for_its_own_port(
    machine: Machine, server: str, ours: bool
) -> None:
    machine.configure('[host."http://plain.test"]\nidentity = "corp"\nscopes = ["git"]')
    machine.settle()
    machine.has(grant("at-kept"))

    assert (b"at-kept" in get(machine, server).out) is ours


@pytest.mark.usefixtures("needed")
def test_nobody_signed_in_is_one_line_with_the_command(machine: Machine) -> None:
    machine.environ["CI"] = "true"

    found = get(machine, "git.test")

    assert found.code == 1
    assert found.out.count(b"\n") == 1
    assert b"git.test" in found.out
    assert b"run: hushkey login git.test" in found.out
    assert found.out.decode() == f"hushkey: {found.lines[0]}\n"


def test_nobody_signed_in_is_not_found_for_who_may_not_need_it(
    machine: Machine,
) -> None:
    """Of pytest nothing is known, as of docker-py: no window, and the reason aside."""
    machine.environ |= {"DISPLAY": ":0", "BROWSER": "/bin/false"}

    found = get(machine, "git.test")

    assert (found.out, found.code) == (NOT_FOUND, 1)
    assert "hushkey login git.test" in found.lines[0]


def test_registry_that_docker_or_the_config_names_is_listed(machine: Machine) -> None:
    machine.configure(
        '[host."reg.test"]\nidentity = "corp"\nexchange = "acr"\n'
        '[host."*.many.test"]\nidentity = "corp"\nexchange = "acr"\n'
    )
    machine.settle()
    assert call(machine, "list").out == b'{"reg.test":"<token>"}\n'
    file = machine.home / ".docker" / "config.json"
    file.parent.mkdir()
    file.write_text('{"credHelpers":{"git.test":"hushkey","other.test":"pass"}}')

    assert json.loads(call(machine, "list").out) == {
        "reg.test": "<token>",
        "git.test": "oauth2",
    }


@pytest.mark.parametrize(("age", "is_listed"), [(0, True), (3601, False)])
def test_registry_whose_token_is_good_is_listed(
    machine: Machine, age: int, is_listed: bool
) -> None:
    machine.configure(
        '[host."*.many.test"]\nidentity = "corp"\nscopes = ["git"]\nexchange = "acr"\n'
    )
    machine.settle()
    given, then = grant("reg-token", expires_in=3600), int(time.time()) - age
    key = TokenKey(("git",), exchange="acr:one.many.test")
    with machine.token_file().change(5) as change:
        change.cache.keep(given, ME, key, then, username="<token>")
        change.save()

    found = call(machine, "list")

    assert json.loads(found.out) == ({"one.many.test": "<token>"} if is_listed else {})


def test_unneeded_registry_is_not_found_without_a_word(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "needs_registry", lambda host, environ: False)

    found = get(machine, "git.test")

    assert (found.out, found.lines, found.code) == (NOT_FOUND, (), 1)


def test_unneeded_registry_gets_what_is_old_but_alive(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "needs_registry", lambda host, environ: False)
    machine.has(grant("at-old", expires_in=3600), age=3500)

    assert b"at-old" in get(machine, "git.test").out


def test_caller_is_not_looked_at_for_a_cached_token(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.has(grant("at-kept"))
    monkeypatch.delattr(callers, "needs_registry")

    assert get(machine, "git.test").code == 0


def test_own_token_is_not_stored_and_not_talked_about(machine: Machine) -> None:
    machine.has(grant("at-kept"))

    assert quiet(store(machine, "git.test", "oauth2", "at-kept"))
    assert call(machine, "list").out == b"{}\n"


@pytest.mark.parametrize("user", ["me", "<token>"])
def test_other_secret_for_ours_is_not_kept_and_names_the_setting(
    machine: Machine, user: str
) -> None:
    found = store(machine, "git.test", user, "typed-s3cret")

    assert (found.out, found.code) == (b"", 0)
    assert 'provider = "static"' in found.lines[0]
    assert "s3cret" not in found.lines[0]
    assert call(machine, "list").out == b"{}\n"


def test_erase_of_ours_forgets_the_token_and_keeps_the_account(
    machine: Machine,
) -> None:
    machine.has(grant("at-kept", refresh_token="rt"))

    first = call(machine, "erase", stdin="git.test")
    second = call(machine, "erase", stdin="https://git.test")

    assert machine.stored() == []
    assert machine.token_file().read().accounts
    assert "corp stays signed in" in first.lines[0]
    assert "hushkey logout corp" in first.lines[0]
    assert quiet(second)


def test_logout_just_after_a_sign_in_is_no_refusal(machine: Machine) -> None:
    """Docker never erases for a 401: a token that was new then is not a bad one."""
    machine.has(grant("at-kept", refresh_token="rt"))
    call(machine, "erase", stdin="git.test")

    cache = machine.token_file().read()

    assert not cache.was_refused(ME, "git.test", time.time(), TokenKey(("git",)))


def test_path_decides_where_rules_go_by_path(machine: Machine) -> None:
    machine.has(grant("at-a", scopes=("a",)), asked=("a",))

    assert b"at-a" in get(machine, "team.test/a/app").out


def test_host_with_rules_by_path_alone_is_an_error_not_a_guess(
    machine: Machine,
) -> None:
    found = get(machine, "team.test")

    assert found.code == 1
    assert b"several identities serve team.test" in found.out
    assert b"useHttpPath" not in found.out
    assert b"one rule" in found.out


# -- user names ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exchange", "username", "expected"),
    [
        ("acr", "", "<token>"),
        ("acr", "token", "<token>"),
        ("acr", "<token>", "<token>"),
        ("acr", "guid", "00000000-0000-0000-0000-000000000000"),
        ("acr", "me", "me"),
        ("", "", "oauth2"),
        ("", "token", "token"),
        ("", "guid", "guid"),
        ("", "x-access-token", "x-access-token"),
    ],
)
def test_user_name_goes_with_the_secret(
    exchange: str, username: str, expected: str
) -> None:
    words = {"exchange": exchange, "username": username}
    config = config_of(rule("r.test", **{k: v for k, v in words.items() if v}))
    found = config.rule_for(Request("https", "r.test"))
    assert found
    own = KINDS[exchange].username if exchange else ""

    assert found.answer_user(own) == expected


@pytest.mark.parametrize("secret", ["plain", 'qu"ote', "back\\slash", "\u00e4", "\t"])
def test_answer_is_json_whatever_the_secret_holds(secret: str) -> None:
    found = docker_helper._found("git.test", "me", secret)

    expected = {"ServerURL": "git.test", "Username": "me", "Secret": secret}
    assert json.loads(found.out) == expected
    assert found.out.endswith(b"}\n")
