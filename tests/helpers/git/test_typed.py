import os
import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from hushkey_helpers.answer import Answer
from hushkey_helpers.git import helper as git_helper
from kit.oauth import CANARY, Machine, grant

HOST = "protocol=https\nhost=typed.test\n"
AUTHTYPE = "capability[]=authtype\n"
BEARER = "authtype=Bearer\ncredential=tok\n"
SOON = int(time.time()) + 3600
PAST = int(time.time()) - 10


def ask(machine: Machine, action: str, text: str, **environ: str) -> Answer:
    data = text.encode("utf-8", "surrogateescape")
    return git_helper.answer([action], lambda: data, {**machine.environ, **environ})


def store(machine: Machine, text: str) -> None:
    answer = ask(machine, "store", text)
    assert (answer.out, answer.lines, answer.code) == (b"", (), 0)


def erase(machine: Machine, text: str) -> None:
    answer = ask(machine, "erase", text)
    assert (answer.out, answer.lines, answer.code) == (b"", (), 0)


def get(machine: Machine, text: str = HOST) -> str:
    answer = ask(machine, "get", text)
    assert (answer.lines, answer.code) == ((), 0)
    return answer.out.decode("utf-8", "surrogateescape")


def typed(user: str = "me", password: str = "pw", more: str = "") -> str:
    return f"{HOST}username={user}\npassword={password}\n{more}"


# -- what git's own battery asks of a helper (t/lib-credential.sh) ---------------


def test_get_of_nothing_is_nothing(machine: Machine) -> None:
    assert get(machine) == ""
    assert not machine.data.exists() or not list(machine.data.glob("stash"))


def test_store_is_what_get_gives(machine: Machine) -> None:
    store(machine, typed())

    assert get(machine) == "username=me\npassword=pw\n"


@pytest.mark.parametrize(
    "asked",
    [
        "protocol=http\nhost=typed.test\n",
        "protocol=https\nhost=other.test\n",
        "protocol=https\nhost=typed.test.evil.test\n",
        "protocol=https\nhost=typed.test:8443\n",
        HOST + "username=other\n",
        HOST + "username=\n",
        HOST + "path=x\n",
        "protocol=https\n",
        "host=typed.test\n",
        "protocol=\nhost=typed.test\n",
        "protocol=https\nhost=\n",
        "",
    ],
)
def test_get_of_anything_else_is_nothing(machine: Machine, asked: str) -> None:
    store(machine, typed())

    assert get(machine, asked) == ""


@pytest.mark.parametrize(
    "asked",
    [
        "protocol=https\nhost=TYPED.test\n",
        "protocol=https\nhost=typed.test:443\n",
        "protocol=https\nhost=typed.test.\n",
        HOST + "path=\n",
        HOST + "username=me\n",
        HOST + "wwwauth[]=basic realm=" + "a" * 60000 + "\n",
        HOST + "unknown=x\n",
    ],
)
def test_get_of_the_same_host_in_other_words(machine: Machine, asked: str) -> None:
    store(machine, typed())

    assert get(machine, asked) == "username=me\npassword=pw\n"


def test_path_has_to_fit_where_one_is_asked_for(machine: Machine) -> None:
    store(machine, typed(more="path=app.git\n"))

    assert get(machine, HOST + "path=app.git\n") == "username=me\npassword=pw\n"
    assert get(machine, HOST + "path=other.git\n") == ""
    assert get(machine) == "username=me\npassword=pw\n"


def test_store_overwrites(machine: Machine) -> None:
    store(machine, typed())
    store(machine, typed(password="new"))

    assert get(machine) == "username=me\npassword=new\n"
    assert machine.typed() == ["new"]


def test_several_users_of_one_host_the_last_one_first(machine: Machine) -> None:
    store(machine, typed("one", "1"))
    store(machine, typed("two", "2"))

    assert get(machine, HOST + "username=one\n") == "username=one\npassword=1\n"
    assert get(machine) == "username=two\npassword=2\n"
    store(machine, typed("one", "1"))
    assert get(machine) == "username=one\npassword=1\n"


def test_empty_user_name_and_password_are_kept(machine: Machine) -> None:
    store(machine, typed("", ""))

    assert get(machine) == "username=\npassword=\n"
    assert get(machine, HOST + "username=\n") == "username=\npassword=\n"
    assert get(machine, HOST + "username=me\n") == ""


@pytest.mark.parametrize(
    "text", [HOST + "username=me\n", HOST + "password=x\n", HOST, "password=x\n"]
)
def test_part_of_a_credential_is_not_stored(machine: Machine, text: str) -> None:
    store(machine, text)

    assert not (machine.data / "stash").exists()


def test_erase_by_host_forgets_all(machine: Machine) -> None:
    store(machine, typed("one"))
    store(machine, typed("two", more="path=x\n"))

    erase(machine, HOST)

    assert machine.typed() == []
    assert get(machine) == ""


def test_erase_by_user_forgets_that_one(machine: Machine) -> None:
    store(machine, typed("one", "1"))
    store(machine, typed("two", "2"))

    erase(machine, HOST + "username=two\n")

    assert get(machine) == "username=one\npassword=1\n"


def test_erase_of_another_password_forgets_nothing(machine: Machine) -> None:
    store(machine, typed(password="new"))

    erase(machine, typed(password="old"))
    assert machine.typed() == ["new"]
    erase(machine, typed(password="new"))
    assert machine.typed() == []


@pytest.mark.parametrize("text", ["protocol=https\n", "", "host=typed.test\n"])
def test_erase_without_a_host_forgets_nothing(machine: Machine, text: str) -> None:
    store(machine, typed())

    erase(machine, text)

    assert machine.typed() == ["pw"]


# -- expiry, refresh tokens ------------------------------------------------------


def test_expiry_and_refresh_token_come_back(machine: Machine) -> None:
    more = f"password_expiry_utc={SOON}\noauth_refresh_token=r\n"
    store(machine, typed(more=more))

    assert get(machine) == f"username=me\npassword=pw\n{more}"


@pytest.mark.parametrize("expiry", ["0", "x", "", "-5", "9" * 40, "\u0663"])
def test_expiry_that_is_none_means_never(machine: Machine, expiry: str) -> None:
    store(machine, typed(more=f"password_expiry_utc={expiry}\n"))

    assert get(machine).startswith("username=me\npassword=pw\n")


def test_expired_password_is_not_stored(machine: Machine) -> None:
    store(machine, typed(more=f"password_expiry_utc={PAST}\n"))

    assert machine.typed() == []


def later(machine: Machine, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    now = time.time() + seconds
    monkeypatch.setattr(time, "time", lambda: now)


def test_expired_password_is_not_given(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(machine, typed("old", "1"))
    store(machine, typed("new", "2", f"password_expiry_utc={SOON}\n"))
    later(machine, monkeypatch, 4000)

    assert get(machine) == "username=old\npassword=1\n"
    assert get(machine, HOST + "username=new\n") == ""


def test_expired_password_leaves_its_refresh_token_to_the_next_helper(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = f"password_expiry_utc={SOON}\noauth_refresh_token=r\n"
    store(machine, typed(more=more))
    later(machine, monkeypatch, 4000)

    assert get(machine) == "username=me\noauth_refresh_token=r\n"
    store(machine, typed("other"))
    assert get(machine) == "username=other\npassword=pw\n"


# -- authtype, ephemeral ---------------------------------------------------------


def test_bearer_is_for_callers_that_can_carry_it(machine: Machine) -> None:
    store(machine, AUTHTYPE + HOST + BEARER)

    assert get(machine, AUTHTYPE + HOST) == AUTHTYPE + BEARER
    assert get(machine) == ""


def test_bearer_with_a_user_name(machine: Machine) -> None:
    store(machine, AUTHTYPE + HOST + BEARER + "username=me\n")

    asked = AUTHTYPE + HOST + "username="
    assert get(machine, asked + "me\n") == AUTHTYPE + "username=me\n" + BEARER
    assert get(machine, asked + "you\n") == ""


def test_caller_without_authtype_gets_an_older_password(machine: Machine) -> None:
    store(machine, typed())
    store(machine, AUTHTYPE + HOST + BEARER)

    assert get(machine) == "username=me\npassword=pw\n"
    assert get(machine, AUTHTYPE + HOST) == AUTHTYPE + BEARER


def test_answer_has_one_form_only(machine: Machine) -> None:
    store(machine, AUTHTYPE + typed() + BEARER)

    assert get(machine) == "username=me\npassword=pw\n"
    assert get(machine, AUTHTYPE + HOST) == AUTHTYPE + "username=me\n" + BEARER


@pytest.mark.parametrize(
    "text",
    [
        HOST + BEARER,
        AUTHTYPE + HOST + "authtype=Bearer\n",
        AUTHTYPE + HOST + "credential=tok\n",
    ],
    ids=["no capability", "no credential", "no authtype"],
)
def test_part_of_a_bearer_is_not_stored(machine: Machine, text: str) -> None:
    store(machine, text)

    assert get(machine, AUTHTYPE + HOST) == ""


@pytest.mark.parametrize("value", ["1", "true", "yes"])
@pytest.mark.parametrize("text", [AUTHTYPE + HOST + BEARER, AUTHTYPE + typed()])
def test_ephemeral_is_never_stored(machine: Machine, text: str, value: str) -> None:
    store(machine, text + f"ephemeral={value}\n")

    assert not (machine.data / "stash").exists()


def test_erase_of_a_bearer_compares_it(machine: Machine) -> None:
    store(machine, AUTHTYPE + HOST + BEARER)

    erase(machine, AUTHTYPE + HOST + BEARER.replace("tok", "other"))
    assert get(machine, AUTHTYPE + HOST) == AUTHTYPE + BEARER
    erase(machine, AUTHTYPE + HOST + BEARER)
    assert get(machine, AUTHTYPE + HOST) == ""


# -- git 2.46 says at store where it has the answer from -------------------------

STATEFUL = "capability[]=authtype\ncapability[]=state\n"


def given(machine: Machine) -> str:
    """What git sends to `store` after a `get` that was answered."""
    return STATEFUL + HOST + get(machine, STATEFUL + HOST)


@pytest.mark.parametrize("text", [typed(), AUTHTYPE + HOST + BEARER])
def test_store_of_what_get_gave_asks_no_keyring(machine: Machine, text: str) -> None:
    store(machine, text + f"password_expiry_utc={SOON}\noauth_refresh_token=r\n")
    again = given(machine)
    (machine.data / "key").unlink()

    assert "state[]=hushkey:kept:" in again
    store(machine, again)
    store(machine, again + "path=x\n")


@pytest.mark.parametrize(
    "change",
    [
        ("password=pw", "password=other"),
        ("username=me", "username=you"),
        ("host=typed.test", "host=other.test"),
        ("kept:", "kept:0"),
        ("\nusername", "\noauth_refresh_token=r\nusername"),
    ],
)
def test_store_of_another_secret_with_our_state_is_kept(
    machine: Machine, change: tuple[str, str]
) -> None:
    store(machine, typed())
    again = given(machine)
    (machine.data / "key").unlink()

    line = broken(machine, "store", again.replace(*change))

    assert "holds no hushkey key" in line


def test_state_holds_nothing_of_the_secret(machine: Machine) -> None:
    store(machine, typed("me", CANARY))

    (state,) = [line for line in given(machine).splitlines() if "kept" in line]

    assert CANARY not in state
    assert len(state) == len("state[]=hushkey:kept:") + 32


def test_git_without_state_gets_none(machine: Machine) -> None:
    store(machine, typed())

    assert "state" not in get(machine, AUTHTYPE + HOST)


def test_older_user_becomes_the_newest_by_store(machine: Machine) -> None:
    store(machine, typed("one", "1"))
    store(machine, typed("two", "2"))
    answer = get(machine, STATEFUL + HOST + "username=one\n")

    assert "state" not in answer
    store(machine, STATEFUL + HOST + answer)
    assert get(machine) == "username=one\npassword=1\n"


# -- other protocols, any bytes --------------------------------------------------


@pytest.mark.parametrize(
    "where",
    [
        "protocol=cert\nhost=\npath=/home/me/client.pem\n",
        "protocol=smtp\nhost=mail.test:587\n",
        "protocol=imap\nhost=mail.test\n",
        "protocol=http\nhost=typed.test\n",
        "protocol=https\nhost=a_b.test:99999\n",
        "protocol=https\nhost=user@typed.test\n",
        "protocol=https\nhost=[::1]:8443\n",
    ],
)
def test_any_protocol_and_host_is_kept(machine: Machine, where: str) -> None:
    store(machine, where + "username=u\npassword=p\n")

    assert get(machine, where) == "username=u\npassword=p\n"
    erase(machine, where)
    assert get(machine, where) == ""


def test_cert_without_a_path_is_nothing(machine: Machine) -> None:
    store(machine, "protocol=cert\nhost=\nusername=u\npassword=p\n")

    assert get(machine, "protocol=cert\nhost=\n") == ""


_TEXT = st.text(
    st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=50
)
_BYTES = _TEXT.map(lambda text: text + "\udcff")


@drawn(st.one_of(_TEXT, _BYTES), st.one_of(_TEXT, _BYTES), _TEXT)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_come_back(
    machine: Machine, user: str, password: str, path: str
) -> None:
    store(machine, typed(user, password, f"path={path}\n"))

    asked = f"{HOST}path={path}\nusername={user}\n"
    assert get(machine, asked) == f"username={user}\npassword={password}\n"
    erase(machine, typed(user, password))
    assert get(machine) == ""


# -- which hosts -----------------------------------------------------------------


def test_mapped_host_is_not_in_the_stash(machine: Machine) -> None:
    machine.has(grant("at"))

    line = ask(machine, "store", typed().replace("typed.test", "git.test")).lines

    assert 'provider = "static" to have what you type kept' in line[0]
    assert machine.typed() == []


def test_static_host_is_kept(machine: Machine) -> None:
    machine.configure(
        '[identity.s]\nprovider = "static"\n[host."typed.test"]\nidentity = "s"\n'
    )
    store(machine, typed())

    assert get(machine) == "username=me\npassword=pw\n"


def test_preset_that_lacks_a_client_id_is_kept(machine: Machine) -> None:
    github = "protocol=https\nhost=github.com\n"
    store(machine, github + "username=me\npassword=pw\n")

    assert get(machine, github) == "username=me\npassword=pw\n"


@pytest.mark.parametrize("action", ["get", "store", "erase"])
def test_wrong_config_answers_nothing_for_any_host(
    machine: Machine, action: str
) -> None:
    machine.types("typed.test", "me", CANARY)
    machine.config_file.write_text(machine.config_file.read_text() + "[setings]\n")

    answer = ask(machine, action, typed())

    assert answer.out == b""
    assert len(answer.lines) == 1
    assert "setings" in answer.lines[0]
    assert CANARY not in answer.lines[0]


# -- what can be wrong -----------------------------------------------------------


def broken(machine: Machine, action: str, text: str = "") -> str:
    """Return the one line that *action* says when it fails."""
    answer = ask(machine, action, text or typed(password=CANARY), DISPLAY="")
    assert (answer.out, answer.code) == (b"", 1)
    (line,) = answer.lines
    assert CANARY not in line
    return line


@pytest.mark.parametrize("action", ["get", "store", "erase"])
def test_lost_key_is_one_line_and_touches_nothing(
    machine: Machine, action: str
) -> None:
    machine.types("typed.test", "me", CANARY)
    (machine.data / "key").unlink()

    line = broken(machine, action)

    assert "holds no hushkey key, but sealed" in line
    assert "hushkey reset" in line
    assert not (machine.data / "key").exists()


def test_lost_key_does_not_matter_where_nothing_is_kept(machine: Machine) -> None:
    machine.types("typed.test", "me", "pw")
    (machine.data / "key").unlink()

    assert get(machine, "protocol=https\nhost=other.test\n") == ""


def test_disk_that_fails_is_one_line(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    machine.types("typed.test", "me", "pw")
    monkeypatch.setattr(os, "posix_fallocate", full)

    line = broken(machine, "store")

    assert "No space left on device" in line
    assert "typed.test" in line
    monkeypatch.undo()
    assert get(machine) == "username=me\npassword=pw\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("action", ["store", "erase"])
def test_folder_of_another_user_is_one_line(machine: Machine, action: str) -> None:
    machine.types("typed.test", "me", "pw")
    for path in (machine.data, *machine.data.rglob("*")):
        os.chown(path, 65534, 65534)

    assert "belongs to another user" in broken(machine, action, typed(password="pw"))
