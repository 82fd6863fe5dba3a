import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushkey.config import rules
from hushkey.model import Request
from hushkey_helpers.answer import Answer
from hushkey_helpers.git import helper as git_helper
from kit.oauth import BIN, CANARY, Machine, OidcServer, grant
from servers.authority import Authority

ASKED = b"protocol=https\nhost=git.test\n"
BOTH = b"capability[]=authtype\ncapability[]=state\n"
TOKEN = f"at-{CANARY}"


@pytest.fixture
def server() -> Iterator[OidcServer]:
    with OidcServer() as running:
        yield running


def ask(machine: Machine, action: str, data: bytes = ASKED, **environ: str) -> "Answer":
    return git_helper.answer([action], lambda: data, {**machine.environ, **environ})


def lines(answer: Answer) -> list[str]:
    return answer.out.decode("utf-8", "surrogateescape").splitlines()


def fields(answer: Answer) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines(answer))


# -- mail servers ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "host", "good"),
    [
        ("smtp", "mail.test:587", True),
        ("smtp", "mail.test", False),
        ("smtp", "mail.test:25", False),
        ("smtp", "mail.test.evil.test:587", False),
        ("smtps", "mail.test:587", False),
        ("http", "mail.test:587", False),
        ("https", "mail.test:587", False),
        ("smtp", "git.test", False),
        ("smtp", "git.test:443", False),
    ],
)
def test_mail_server_is_served_by_a_rule_that_says_so(
    machine: Machine, protocol: str, host: str, good: bool
) -> None:
    machine.configure(
        '[host."smtp://mail.test:587"]\nidentity = "corp"\nscopes = ["git"]\n'
    )
    machine.has(grant(TOKEN))

    answer = ask(machine, "get", f"protocol={protocol}\nhost={host}\n".encode())

    assert (TOKEN in answer.out.decode()) == good


# -- actions ---------------------------------------------------------------------


def never() -> bytes:
    raise AssertionError("this action has no request")


def test_capability_lists_what_we_speak() -> None:
    answer = git_helper.answer(["capability"], never, {})

    assert answer.out == b"version 0\ncapability authtype\ncapability state\n"
    assert (answer.lines, answer.code) == ((), 0)


@pytest.mark.parametrize("action", ["list", "GET", "get ", "approve"])
def test_unknown_action_is_ignored(action: str) -> None:
    answer = git_helper.answer([action], never, {})

    assert (answer.out, answer.lines, answer.code) == (b"", (), 0)


@pytest.mark.parametrize(("argv", "code"), [([], 1), (["-h"], 0), (["--help"], 0)])
def test_person_who_runs_it_is_told_what_it_is(argv: list[str], code: int) -> None:
    answer = git_helper.answer(argv, never, {})

    assert answer.out == b""
    assert "hushkey install git" in answer.lines[1]
    assert answer.code == code


@pytest.mark.parametrize("action", ["get", "store", "erase"])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"protocol=https\nhost=other.test\n", id="another host"),
        pytest.param(b"protocol=http\nhost=git.test\n", id="http"),
        pytest.param(b"protocol=https\nhost=git.test:8443\n", id="another port"),
        pytest.param(b"protocol=https\nhost=sub.git.test\n", id="below"),
        pytest.param(b"protocol=https\nhost=github.com\n", id="preset without client"),
        pytest.param(b"protocol=ssh\nhost=git.test\n", id="ssh"),
        pytest.param(b"protocol=cert\nhost=\npath=/k\n", id="certificate"),
        pytest.param(b"protocol=https\n", id="no host"),
        pytest.param(b"host=git.test\n", id="no protocol"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"protocol=https\nhost=git.test@evil.test\n", id="user in host"),
        pytest.param(b"protocol=https\nhost=\xff\xfe\n", id="not text"),
    ],
)
def test_host_that_is_not_ours_gets_nothing(
    machine: Machine, action: str, data: bytes
) -> None:
    answer = ask(machine, action, data)

    assert (answer.out, answer.lines, answer.code) == (b"", (), 0)


@pytest.mark.parametrize("action", ["get", "store", "erase"])
def test_malformed_request_gets_nothing_and_one_line(
    machine: Machine, action: str
) -> None:
    answer = ask(machine, action, ASKED + b"host=evil.test\n")

    assert (answer.out, answer.code) == (b"", 0)
    assert len(answer.lines) == 1


@pytest.mark.parametrize("action", ["get", "store", "erase"])
@pytest.mark.parametrize("data", [ASKED, b"protocol=https\nhost=other.test\n"])
def test_wrong_config_gets_nothing_and_one_line(
    machine: Machine, action: str, data: bytes
) -> None:
    machine.has(grant(TOKEN))
    machine.configure("[settings2]\n")

    answer = ask(machine, action, data)

    assert (answer.out, answer.code) == (b"", 0)
    (line,) = answer.lines
    assert "config.toml" in line
    assert "hushkey config check" in line


def test_relative_config_gets_nothing(machine: Machine) -> None:
    answer = ask(machine, "get", HUSHKEY_CONFIG="config.toml")

    assert answer.out == b""
    assert "absolute path" in answer.lines[0]


# -- get -------------------------------------------------------------------------


def test_cached_token_is_answered(machine: Machine) -> None:
    machine.has(grant(TOKEN))
    expiry = machine.token_file().read().tokens()[0].expires_at

    answer = ask(machine, "get")

    assert answer.out.decode() == (
        f"username=oauth2\npassword={TOKEN}\npassword_expiry_utc={expiry}\n"
    )
    assert (answer.lines, answer.code) == ((), 0)


def test_token_without_end_has_no_expiry(machine: Machine) -> None:
    machine.has(grant(TOKEN, expires_in=None, refresh_token=""))

    assert fields(ask(machine, "get")) == {"username": "oauth2", "password": TOKEN}


@pytest.mark.parametrize(
    ("asked", "configured", "username"),
    [
        (b"username=me\n", "", "me"),
        (b"username=me\n", 'username = "conf"\n', "conf"),
        (b"", 'username = "conf"\n', "conf"),
        (b"", "", "oauth2"),
        (b"username=\xff\n", "", "\udcff"),
    ],
)
def test_username(
    machine: Machine, asked: bytes, configured: str, username: str
) -> None:
    machine.configure(configured)
    machine.has(grant(TOKEN))

    assert fields(ask(machine, "get", ASKED + asked))["username"] == username


def test_token_of_somebody_else_is_not_given_under_the_url_s_name(
    machine: Machine,
) -> None:
    machine.configure()
    machine.has(grant(TOKEN))

    answer = ask(machine, "get", ASKED + b"username=bob\n")

    assert fields(answer)["username"] == "me@example.com"
    assert answer.lines == (
        "bob is not signed in to git.test: this is the token of me@example.com; "
        "to sign in as bob run: hushkey login bob@git.test",
    )


@pytest.mark.parametrize("name", [b"git", b"x-access-token", b"me", b"me@example.com"])
def test_usual_name_needs_no_words(machine: Machine, name: bytes) -> None:
    machine.configure()
    machine.has(grant(TOKEN))

    answer = ask(machine, "get", ASKED + b"username=" + name + b"\n")

    assert fields(answer)["username"] == name.decode()
    assert answer.lines == ()


def test_caller_that_nobody_waits_for_opens_no_window(machine: Machine) -> None:
    machine.configure()
    machine.environ |= {"VSCODE_GIT_FETCH_SILENT": "true"}

    answer = ask(machine, "get", HUSHKEY_INTERACTIVE="browser")

    assert answer.out == b"quit=1\n"
    assert "an editor fetches in the background" in answer.lines[0]


@pytest.mark.parametrize(
    ("provider", "configured", "username"),
    [
        ("bitbucket", "", "x-token-auth"),
        ("gitlab", "", "oauth2"),
        ("gitea", "", "me"),
        ("github", "", "me"),
        ("bitbucket", 'username = "guid"\n', "guid"),
    ],
)
def test_name_that_a_provider_demands_is_before_the_urls(
    machine: Machine, provider: str, configured: str, username: str
) -> None:
    machine.configure(
        f'[identity.forge]\nprovider = "{provider}"\nclient_id = "c"\n'
        'authorization_endpoint = "https://forge.test/authorize"\n'
        'token_endpoint = "https://forge.test/token"\n'
        f'[host."forge.test"]\nidentity = "forge"\nscopes = ["git"]\n{configured}'
    )
    rule = rules.load(machine.environ).rule_for(Request("https", "forge.test"))

    assert rule is not None
    assert rule.answer_user(rule.identity.git_user, "me") == username


@pytest.mark.parametrize(
    ("asked", "scheme", "bearer"),
    [
        pytest.param(b"", "", False, id="old git"),
        pytest.param(b"", "bearer", False, id="old git, bearer configured"),
        pytest.param(b"capability[]=state\n", "", False, id="git without authtype"),
        pytest.param(BOTH, "", True, id="new git, nothing offered"),
        pytest.param(BOTH + b"wwwauth[]=Bearer\n", "", True, id="Bearer"),
        pytest.param(BOTH + b'wwwauth[]=bEARER realm="x"\n', "", True, id="any case"),
        pytest.param(BOTH + b"wwwauth[]=Basic realm=x\n", "", False, id="Basic only"),
        pytest.param(
            BOTH + b"wwwauth[]=Basic\nwwwauth[]=Bearer\n", "", True, id="both offered"
        ),
        pytest.param(BOTH + b"wwwauth[]=Negotiate\n", "", False, id="neither"),
        pytest.param(BOTH + b"wwwauth[]=Bearer\n", "basic", False, id="basic set"),
        pytest.param(BOTH + b"wwwauth[]=Basic\n", "bearer", True, id="bearer set"),
        pytest.param(
            BOTH + b"authtype=Basic\nwwwauth[]=Bearer\n", "", False, id="wish: Basic"
        ),
        pytest.param(
            BOTH + b"authtype=bearer\nwwwauth[]=Basic\n", "", True, id="wish: Bearer"
        ),
        pytest.param(BOTH + b"authtype=NTLM\n", "", True, id="wish: unknown"),
    ],
)
def test_bearer_or_basic(
    machine: Machine, asked: bytes, scheme: str, bearer: bool
) -> None:
    machine.configure(f'scheme = "{scheme}"\n' if scheme else "")
    machine.has(grant(TOKEN))

    found = fields(ask(machine, "get", ASKED + asked))

    if bearer:
        assert (found["authtype"], found["credential"]) == ("Bearer", TOKEN)
        assert found["ephemeral"] == "1"
        assert "password" not in found
        assert "username" not in found
    else:
        assert found["password"] == TOKEN
        assert not {"authtype", "credential", "ephemeral"} & found.keys()


def test_capability_comes_first(machine: Machine) -> None:
    machine.has(grant(TOKEN))

    assert lines(ask(machine, "get", ASKED + BOTH))[:2] == [
        "capability[]=authtype",
        "capability[]=state",
    ]


@pytest.mark.parametrize("asked", [b"", BOTH, b"path=a/b\nusername=me\n", b"url=x\n"])
def test_answer_never_says_where(machine: Machine, asked: bytes) -> None:
    machine.has(grant(TOKEN))

    answer = ask(machine, "get", ASKED + asked)

    keys = {line.split("=")[0] for line in lines(answer)}
    assert TOKEN in answer.out.decode()
    assert not keys & {"protocol", "host", "path", "url"}


@pytest.mark.parametrize("token", ["a\nhost=evil.test", "a\rb", "a\0b"])
def test_token_that_breaks_the_format_is_refused(machine: Machine, token: str) -> None:
    machine.has(grant(token))

    answer = ask(machine, "get")

    assert (answer.out, answer.code) == (b"quit=1\n", 1)
    assert "evil" not in answer.lines[0]


# -- get that cannot be answered -------------------------------------------------


def test_sign_in_that_cannot_happen_stops_git(machine: Machine) -> None:
    answer = ask(machine, "get", HUSHKEY_INTERACTIVE="never")

    assert (answer.out, answer.code) == (b"quit=1\n", 1)
    (line,) = answer.lines
    assert "host git.test, identity corp" in line
    assert line.endswith("run: hushkey login git.test")


def test_path_rules_without_a_path_stop_git(machine: Machine) -> None:
    machine.configure(
        '[host."dev.test/a"]\nidentity = "corp"\n'
        '[host."dev.test/b"]\nidentity = "corp"\nscopes = ["b"]\n'
    )

    answer = ask(machine, "get", b"protocol=https\nhost=dev.test\n")

    assert answer.out == b"quit=1\n"
    assert "useHttpPath" in answer.lines[0]


@pytest.mark.parametrize("action", ["store", "erase"])
def test_path_rules_without_a_path_say_nothing_else(
    machine: Machine, action: str
) -> None:
    machine.configure(
        '[host."dev.test/a"]\nidentity = "corp"\n'
        '[host."dev.test/b"]\nidentity = "corp"\nscopes = ["b"]\n'
    )

    answer = ask(machine, action, b"protocol=https\nhost=dev.test\n")

    assert (answer.out, answer.lines) == (b"", ())


def test_lost_key_stops_git_without_a_sign_in(machine: Machine) -> None:
    machine.has(grant(TOKEN))
    (machine.data / "key").unlink()

    answer = ask(machine, "get")

    assert answer.out == b"quit=1\n"
    assert "hushkey reset" in answer.lines[0]


def test_server_that_is_down_stops_git(home: Path) -> None:
    with OidcServer() as gone:
        machine = Machine(home, gone.issuer)
    machine.configure()
    machine.has(grant(TOKEN), age=7200)

    answer = ask(machine, "get", HUSHKEY_INTERACTIVE="browser")

    assert answer.out == b"quit=1\n"
    assert "cannot be reached" in answer.lines[0]


# -- a stale token heals ---------------------------------------------------------


def state_of(answer: Answer) -> bytes:
    (line,) = (line for line in lines(answer) if line.startswith("state[]="))
    return line.encode() + b"\n"


def test_cached_token_may_be_asked_for_again(machine: Machine) -> None:
    machine.has(grant(TOKEN))

    answer = ask(machine, "get", ASKED + BOTH)

    assert fields(answer)["continue"] == "1"
    assert state_of(answer).startswith(b"state[]=hushkey:")
    assert CANARY.encode() not in state_of(answer)


def test_git_without_state_is_not_told_to_come_back(machine: Machine) -> None:
    machine.has(grant(TOKEN))

    found = fields(ask(machine, "get", ASKED + b"capability[]=authtype\n"))

    assert not {"continue", "state[]"} & found.keys()


def test_refreshed_token_is_the_last_word(home: Path, server: OidcServer) -> None:
    server.grants(access_token="at-2", scope="git")
    machine = Machine(home, server.issuer)
    machine.configure()
    machine.has(grant(TOKEN), age=7200)

    found = fields(ask(machine, "get", ASKED + BOTH))

    assert found["credential"] == "at-2"
    assert not {"continue", "state[]"} & found.keys()


def test_second_question_brings_a_new_token_without_continue(
    home: Path, server: OidcServer
) -> None:
    server.grants(access_token="at-2", scope="git")
    machine = Machine(home, server.issuer)
    machine.configure()
    machine.has(grant(TOKEN), age=120)
    state = state_of(ask(machine, "get", ASKED + BOTH))

    found = fields(ask(machine, "get", ASKED + BOTH + b"continue=1\n" + state))

    assert found["credential"] == "at-2"
    assert not {"continue", "state[]"} & found.keys()
    assert machine.stored() == ["at-2"]


def test_second_question_takes_what_a_sibling_refreshed(machine: Machine) -> None:
    machine.has(grant(TOKEN), age=120)
    state = state_of(ask(machine, "get", ASKED + BOTH))
    machine.has(grant("at-sibling"))

    found = fields(ask(machine, "get", ASKED + BOTH + state))

    assert found["credential"] == "at-sibling"
    assert "continue" not in found


def test_state_of_another_helper_is_not_ours(machine: Machine) -> None:
    machine.has(grant(TOKEN))

    found = fields(ask(machine, "get", ASKED + BOTH + b"state[]=other:x\n"))

    assert found["credential"] == TOKEN
    assert found["continue"] == "1"


def test_young_token_that_is_refused_is_not_refreshed(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.has(grant(TOKEN))
    state = state_of(ask(machine, "get", ASKED + BOTH))

    answer = ask(machine, "get", ASKED + BOTH + state)

    assert fields(answer)["credential"] == TOKEN
    assert "continue" not in fields(answer)
    assert "but git.test refuses me@example.com" in capfd.readouterr().err
    again = ask(machine, "store", ASKED + f"password={TOKEN}\n".encode())
    assert again.lines == ()


@pytest.mark.parametrize(
    ("path", "owner"),
    [("acme/app.git", "acme"), ("ac{me}/app", "ORG"), ("", "ORG")],
)
def test_refusal_names_the_forge_s_own_page_for_it(
    home: Path, capfd: pytest.CaptureFixture[str], path: str, owner: str
) -> None:
    machine = Machine(home, "https://github.com/login/oauth/access_token")
    machine.configure(
        text='[settings]\nkey_store = "file"\n[identity.me]\nprovider = "github"\n'
        'client_id = "c"\n[host."github.com"]\nidentity = "me"\n'
    )
    machine.has(grant(TOKEN, refresh_token=""), ("repo", "workflow"))
    asked = b"protocol=https\nhost=github.com\n" + f"path={path}\n".encode()
    ask(machine, "erase", asked + f"password={TOKEN}\n".encode())

    answer = ask(machine, "get", asked)

    assert fields(answer)["password"] == TOKEN  # no window, and no other token
    said = capfd.readouterr().err
    assert f"enforces SAML, open https://github.com/orgs/{owner}/sso" in said
    assert "https://github.com/settings/connections/applications/c" in said


# -- store and erase -------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(f"password={TOKEN}\n".encode(), id="our token"),
        pytest.param(f"authtype=Bearer\ncredential={TOKEN}\n".encode(), id="Bearer"),
        pytest.param(b"password=other\nstate[]=hushkey:1\n", id="our state"),
        pytest.param(b"", id="no secret"),
    ],
)
def test_store_of_our_own_says_nothing(machine: Machine, sent: bytes) -> None:
    machine.has(grant(TOKEN))

    answer = ask(machine, "store", ASKED + sent)

    assert (answer.out, answer.lines, answer.code) == (b"", (), 0)


def test_store_of_another_secret_names_the_setting(machine: Machine) -> None:
    machine.has(grant(TOKEN))

    answer = ask(machine, "store", ASKED + f"password=pw-{CANARY}\n".encode())

    (line,) = answer.lines
    assert answer.out == b""
    assert 'provider = "static"' in line
    assert CANARY not in line
    assert machine.stored() == [TOKEN]


def test_store_is_silent_where_the_store_cannot_be_read(machine: Machine) -> None:
    machine.has(grant(TOKEN))
    (machine.data / "key").unlink()

    answer = ask(machine, "store", ASKED + b"password=x\n")

    assert (answer.out, answer.lines, answer.code) == (b"", (), 0)


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        (f"password={TOKEN}\n".encode(), []),
        (f"authtype=Bearer\ncredential={TOKEN}\n".encode(), []),
        (b"password=typed by hand\n", [TOKEN]),
        (b"", []),
    ],
)
def test_erase_drops_the_token_it_names(
    machine: Machine, sent: bytes, left: list[str]
) -> None:
    machine.has(grant(TOKEN))

    answer = ask(machine, "erase", ASKED + sent)

    assert (answer.out, answer.lines, answer.code) == (b"", (), 0)
    assert machine.stored() == left


def test_erase_keeps_the_sign_in(home: Path, server: OidcServer) -> None:
    server.grants(access_token="at-2", scope="git")
    machine = Machine(home, server.issuer)
    machine.configure()
    machine.has(grant(TOKEN), age=120)

    ask(machine, "erase", ASKED + f"password={TOKEN}\n".encode())

    assert fields(ask(machine, "get"))["password"] == "at-2"
    assert server.forms[0]["refresh_token"] == "rt-new"


def test_erase_that_fails_says_why(machine: Machine) -> None:
    machine.has(grant(TOKEN))
    (machine.data / "key").unlink()

    answer = ask(machine, "erase", ASKED + f"password={TOKEN}\n".encode())

    assert (answer.out, answer.code) == (b"", 0)
    assert "host git.test" in answer.lines[0]
    assert CANARY not in answer.lines[0]


# -- the program -----------------------------------------------------------------


def test_program_answers_from_its_cache(machine: Machine) -> None:
    machine.has(grant(TOKEN))

    done = machine.run("git-credential-hushkey", "get", stdin=ASKED + b"\n")

    assert f"password={TOKEN}\n".encode() in done.stdout
    assert (done.stderr, done.returncode) == (b"", 0)


def test_browser_that_talks_does_not_reach_git(home: Path, tmp_path: Path) -> None:
    """The browser inherits no stream of ours, whatever it writes."""
    with OidcServer() as server:
        machine = Machine(home, server.issuer)
        machine.configure()
        browser = tmp_path / "browser"
        browser.write_text(f"#!/bin/sh\necho noise; echo {CANARY} >&2; exit 1\n")
        browser.chmod(0o755)

        done = machine.run(
            "git-credential-hushkey", "get", stdin=ASKED, BROWSER=str(browser)
        )

    assert done.stdout == b"quit=1\n"
    assert CANARY.encode() not in done.stderr
    assert done.returncode == 1


def test_program_understands_crlf_and_waits_for_no_more(machine: Machine) -> None:
    machine.has(grant(TOKEN))
    process = subprocess.Popen(
        [str(BIN / "git-credential-hushkey"), "get"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=machine.environ,
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(ASKED.replace(b"\n", b"\r\n") + b"\r\n")
    process.stdin.flush()  # and it stays open
    said = process.stdout.read()
    process.communicate()

    assert f"password={TOKEN}\n".encode() in said


# -- the network as git has it -----------------------------------------------------


@pytest.mark.parametrize("agent", ["on", "off"])
def test_server_that_git_s_certificate_vouches_for_is_reached(
    home: Path, tmp_path: Path, agent: str
) -> None:
    ca = Authority(tmp_path / "ca")
    with OidcServer(context=ca.server_context()) as server:
        machine = Machine(home, server.issuer)
        machine.configure()
        machine.has(grant("at-old", refresh_token="rt-1"), age=7200)
        server.grants(access_token=TOKEN, refresh_token="rt-2", scope="git")
        told = {"GIT_SSL_CAINFO": str(ca.ca_file), "HUSHKEY_AGENT": agent}

        alone = machine.run(
            "git-credential-hushkey", "get", stdin=ASKED, HUSHKEY_AGENT=agent
        )
        done = machine.run("git-credential-hushkey", "get", stdin=ASKED, **told)

    machine.run("hushkey", "agent", "stop")
    assert b"certificate is not trusted" in alone.stderr
    assert f"password={TOKEN}".encode() in done.stdout


def test_token_of_a_job_without_a_folder_is_none_that_somebody_typed(
    machine: Machine,
) -> None:
    """git hands every answer back, and this one was in no file."""
    typed = ASKED + b"username=oauth2\npassword=minted\n"
    assert "did not store" in ask(machine, "store", typed).lines[0]

    machine.config_file.write_text(
        '[identity.ci]\nprovider = "workload"\nkind = "exchange"\n'
        'issuer = "https://id.test"\nclient_id = "robot"\nassertion = "env:ID_TOKEN"\n'
        '[host."git.test"]\nidentity = "ci"\n'
    )
    assert ask(machine, "store", typed).lines == ()
