"""Each finding: it appears where it should, mends what it says, and is gone then."""

import base64
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hushkey_helpers.agent import git_socket
from hushkey_install.cli import main
from hushkey_install.register import gitdoor, gitsections
from kit.oauth import BIN, CANARY, Machine, grant
from servers.process import short_folder

HELPER = f"{BIN}/git-credential-hushkey"
OURS = f'[credential "https://git.test"]\n\thelper = \n\thelper = {HELPER}\n'


@pytest.fixture
def machine(machine: Machine, home: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine where nothing is wrong: registered, signed in, one hushkey."""
    machine.has(grant(f"at-{CANARY}", refresh_token=f"rt-{CANARY}"))
    (home / ".gitconfig").write_text(OURS)
    monkeypatch.chdir(home)
    return machine


def doctor(machine: Machine, *words: str, typed: str = "", **environ: str) -> Result:
    argv = ["doctor", *words]
    environ = {**machine.environ, **environ}
    result = CliRunner().invoke(main, argv, env=environ, input=typed)
    assert CANARY not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def found(machine: Machine, **environ: str) -> dict[str, dict[str, Any]]:
    """Findings by code, but for what this machine's git says about itself."""
    result = doctor(machine, "--json", **environ)
    rows = json.loads(result.stdout)["findings"]
    assert result.exit_code == int(any(row["level"] == "problem" for row in rows))
    return {row["code"]: row for row in rows if row["code"] != "git-basic"}


def test_nothing_is_wrong(machine: Machine) -> None:
    assert found(machine) == {}
    assert "nothing to fix" in doctor(machine).stdout


def test_identity_that_keeps_what_is_typed_misses_no_sign_in(machine: Machine) -> None:
    text = (
        '[identity.work]\nprovider = "static"\n[host."typed.test"]\nidentity = "work"\n'
    )
    machine.configure(text)

    assert not {"signed-out", "topic-fails"} & set(found(machine))


def test_what_git_is_told_about_the_network_is_named(
    machine: Machine, home: Path
) -> None:
    more = f"[http]\n\tproxy = http://me:{CANARY}@p:1\n\tsslVerify = false\n"
    (home / ".gitconfig").write_text(OURS + more)

    shown = json.loads(doctor(machine, "--json", "-v").stdout)["findings"]
    rows = {row["code"]: row for row in shown}

    assert "http.proxy" in str(rows["git-network"])
    assert "http.sslverify does not count" in str(rows["git-unverified"])


def test_looking_changes_no_folder(machine: Machine) -> None:
    """Not even once the config is old enough for its compiled form to be kept."""
    machine.settle()
    machine.data.chmod(0o755)
    for _ in range(2):
        finding = found(machine)["folder-open"]

        assert finding["command"] == f"chmod 700 {machine.data}"
        assert machine.data.stat().st_mode & 0o777 == 0o755


def test_command_that_cannot_be_shown_is_not_offered(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = machine.home / "da\u200bta"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    (machine.home / "data").mkdir()

    shown = doctor(machine, HUSHKEY_DATA_DIR=str(folder)).stdout

    assert "is open to others" in shown
    assert "chmod 700" not in shown
    assert "--json has the command" in shown


# -- config ------------------------------------------------------------------------


def test_config_missing_is_a_note(machine: Machine) -> None:
    machine.config_file.unlink()

    finding = found(machine)["config-missing"]

    assert finding["level"] == "note"
    assert "setup" in finding["command"]


def test_alias_that_a_project_can_take_is_a_problem_with_its_way_out(
    machine: Machine,
) -> None:
    machine.configure('aliases = ["poetry-repository-corp"]\n')

    finding = found(machine)["config-wrong"]

    assert "'poetry-repository-corp' is a name that any project" in finding["text"]
    assert "remove it" in finding["text"]
    unset = ("config", "unset", 'host."git.test".aliases')
    assert CliRunner().invoke(main, unset, env=machine.environ).exit_code == 0
    assert found(machine) == {}


def test_every_problem_of_a_wrong_config_is_named(machine: Machine) -> None:
    machine.configure(text='[settings]\nagnt = 1\n[host."x.y"]\nidentity = "z"\n')

    result = doctor(machine)

    assert "did you mean agent?" in result.stdout
    assert "no [identity.z]" in result.stdout
    assert result.exit_code == 1


@pytest.mark.parametrize("text", [None, "no certificate\n", ""])
@pytest.mark.parametrize("where", ["ca_file", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_certificates_that_cannot_be_read(
    machine: Machine, where: str, text: str | None
) -> None:
    file = machine.home / "ca.pem"
    if text is not None:
        file.write_text(text)
    if where == "ca_file":
        config = machine.config_file.read_text()
        text = config.replace("[settings]\n", f'[settings]\nca_file = "{file}"\n')
        machine.configure(text=text)
    environ = {} if where == "ca_file" else {where: str(file)}

    finding = found(machine, **environ)["ca-file-unreadable"]

    assert f"`{where}`: cannot read certificates from {file}" in finding["text"]
    assert finding["command"].endswith(f"unset {where}")
    if where == "ca_file":
        words = ["config", "check"]
        checked = CliRunner().invoke(main, words, env=machine.environ)
        assert checked.exit_code == 5
        assert "[settings] ca_file: cannot read certificates" in checked.stderr
        CliRunner().invoke(main, ["config", "unset", where], env=machine.environ)
        assert found(machine) == {}


LOOK = (f"{BIN}/hushkey", "doctor", "--json")
FULL = """
mount -t tmpfs -o size=256k none "$HUSHKEY_DATA_DIR" || exit 77
chmod 700 "$HUSHKEY_DATA_DIR"
dd if=/dev/zero of="$HUSHKEY_DATA_DIR/other" bs=4k 2>/dev/null
exec "$@"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_full_disk_is_found(machine: Machine) -> None:
    """On a file system of its own, which goes with the process."""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", FULL, "sh", *LOOK],
        env={**machine.environ, "HUSHKEY_DATA_DIR": str(machine.data)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("no file system can be mounted here")

    rows = {row["code"]: row for row in json.loads(done.stdout)["findings"]}

    assert done.returncode == 1
    assert f"no room in {machine.data}: No space left" in rows["disk-full"]["text"]
    assert "disk-full" not in found(machine)


def test_ca_file_that_others_can_change(machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.touch()
    file.chmod(0o666)
    machine.configure(text=f'[settings]\nca_file = "{file}"\n')

    finding = found(machine)["ca-file-untrusted"]

    assert finding["command"] == f"chmod go-w {file}"


def test_config_that_others_can_change(machine: Machine) -> None:
    machine.config_file.chmod(0o666)

    assert found(machine)["config-writable"]["mend"] is True
    doctor(machine, "--fix", "--yes")

    assert machine.config_file.stat().st_mode & 0o777 == 0o644
    assert found(machine) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(
    ("place", "code"), [("config", "config-foreign"), ("data", "folder-foreign")]
)
def test_what_belongs_to_another_user(machine: Machine, place: str, code: str) -> None:
    path = machine.config_file if place == "config" else machine.data
    os.chown(path, 12345, 12345)

    finding = found(machine)[code]

    assert finding["level"] == "problem"
    assert str(path) in finding["text"]
    assert finding["mend"] is False
    assert "sudo" in finding["text"]  # what to do, where no command can


def test_config_that_is_wrong_is_the_only_finding(machine: Machine) -> None:
    """git's line to the agent cannot be compared without the config."""
    door = f"{gitdoor._BEGINNING}{git_socket.MARK} {git_socket.MARK}=1"
    file = str(machine.home / ".gitconfig")
    Path(file).unlink()
    for value in ("", door, HELPER):
        words = ("--add", "credential.https://git.test.helper", value)
        git(machine, "config", "-f", file, *words)
    assert "agent-line-old" in found(machine)

    machine.config_file.write_text("[")

    assert set(found(machine)) == {"config-wrong"}


def test_config_that_is_no_file_is_told_once_and_not_to_be_edited(
    machine: Machine,
) -> None:
    relative = found(machine, HUSHKEY_CONFIG="config.toml")
    machine.config_file.unlink()
    machine.config_file.mkdir()

    (wrong,) = relative.values()
    assert "absolute path" in wrong["text"]
    assert "config edit" not in wrong["command"]
    assert found(machine)["config-wrong"]["command"] == ""


def test_machine_that_another_one_answers_for(machine: Machine) -> None:
    """`hushkey install git HOST` on the far side of a forward is all it needs."""
    machine.config_file.unlink()
    shutil.rmtree(machine.data)
    (machine.home / ".gitconfig").write_text(OURS)
    assert {"git-stale", "config-missing"} <= set(found(machine))

    folder = short_folder("forwarded")
    with socket.socket(socket.AF_UNIX) as link:
        link.bind(str(folder / "upstream"))
    machine.environ["HUSHKEY_UPSTREAM"] = str(folder / "upstream")
    try:
        assert found(machine) == {}
        assert "hushkey forward" in machine.run("hushkey", "status").stdout.decode()
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("way", ["remote", "registered"])
def test_built_in_host_in_use_that_lacks_a_client_id(
    machine: Machine, way: str
) -> None:
    if way == "remote":
        git(machine, "init", "-q", ".")
        git(machine, "remote", "add", "origin", "https://github.com/a/b.git")
    else:
        section = '[credential "https://github.com"]\n\thelper = hushkey\n'
        (machine.home / ".gitconfig").write_text(OURS + section)

    finding = found(machine)["host-incomplete"]

    assert "[identity.github] client_id" in finding["text"]
    assert finding["command"] == (
        "hushkey config add-host github.com --client-id CLIENT_ID"
    )


# -- folders -----------------------------------------------------------------------


def test_folder_that_is_open_to_others(machine: Machine) -> None:
    machine.settle()  # an old config is compiled into the folder
    machine.data.chmod(0o755)

    assert str(machine.data) in found(machine)["folder-open"]["text"]
    assert machine.data.stat().st_mode & 0o777 == 0o755  # looking changes nothing
    doctor(machine, "--fix", "--yes")

    assert machine.data.stat().st_mode & 0o777 == 0o700
    assert found(machine) == {}


def test_chosen_folder_is_named_and_left_as_it_is(
    machine: Machine, tmp_path: Path
) -> None:
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    chosen.chmod(0o755)

    finding = found(machine, HUSHKEY_DATA_DIR=str(chosen))["folder-open"]
    doctor(machine, "--fix", "--yes", HUSHKEY_DATA_DIR=str(chosen))

    assert finding["command"] == f"chmod 700 {chosen}"
    assert chosen.stat().st_mode & 0o777 == 0o755


def test_folder_around_ours_that_everybody_can_write(machine: Machine) -> None:
    """As a umask of 000 once left ~/.config."""
    around = machine.config_file.parent.parent
    around.chmod(0o777)

    assert found(machine)["folder-open"]["command"] == f"chmod o-w {around}"
    doctor(machine, "--fix", "--yes")

    assert around.stat().st_mode & 0o777 == 0o775
    assert found(machine) == {}


@pytest.mark.parametrize(
    "name",
    [
        ".gitconfig",
        ".docker/config.json",
        ".config/containers/auth.json",
        ".config/pip/pip.conf",
        ".config/uv/uv.toml",
        ".config/hushkey/config.toml",
    ],
)
def test_old_copy_that_holds_a_secret_can_go(machine: Machine, name: str) -> None:
    path = machine.home / f"{name}.hushkey-backup"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("https://me:pw@h.test/\n")

    finding = found(machine)["backup-secret"]
    assert (finding["level"], finding["command"]) == ("problem", f"rm {path}")
    doctor(machine, "--fix", "--yes")

    assert not path.exists()
    assert found(machine) == {}


def test_old_copy_beside_a_linked_file_is_found(
    machine: Machine, tmp_path: Path
) -> None:
    real = tmp_path / "gitconfig"
    (machine.home / ".gitconfig").rename(real)
    (machine.home / ".gitconfig").symlink_to(real)
    (tmp_path / "gitconfig.hushkey-backup").write_text("https://me:pw@h.test/\n")

    assert "backup-secret" in found(machine)


def test_old_copy_without_a_secret_is_no_finding(machine: Machine) -> None:
    (machine.home / ".gitconfig.hushkey-backup").write_text(OURS)

    assert found(machine) == {}


def test_damaged_files_can_go(machine: Machine) -> None:
    aside = machine.data / "tokens" / "x.sealed.damaged-1"
    aside.write_text("x")

    assert found(machine)["damaged-files"]["level"] == "note"
    doctor(machine, "--fix", "--yes")

    assert not aside.exists()
    assert machine.stored() == [f"at-{CANARY}"]


def test_command_for_damaged_files_works_when_pasted(machine: Machine) -> None:
    aside = [
        machine.data / "tokens" / "x.sealed.damaged-1",
        machine.data / "stash" / "3f" / "y.sealed.damaged-2",
    ]
    kept = machine.data / "before-reset-20260101-000000" / "tokens" / "z.damaged-3"
    for path in (*aside, kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")

    finding = found(machine)["damaged-files"]
    assert finding["text"].startswith("2 ")
    subprocess.run(["/bin/sh", "-ec", finding["command"]], check=True)

    assert not any(path.exists() for path in aside)
    assert kept.exists()
    assert found(machine) == {}


# -- the key -----------------------------------------------------------------------


def use_keyring(machine: Machine) -> None:
    text = machine.config_file.read_text()
    machine.config_file.write_text(text.replace('"file"', '"keyring"'))


def test_keyring_that_is_not_there(machine: Machine) -> None:
    use_keyring(machine)

    finding = found(machine)["keyring-absent"]

    assert finding["command"] == "hushkey config set key_store file"
    doctor(machine, "--fix", "--yes")
    assert found(machine) == {}


def test_keyring_that_holds_the_key_elsewhere_is_not_given_up(machine: Machine) -> None:
    use_keyring(machine)
    (machine.data / "key").unlink()
    before = machine.config_file.read_text()

    finding = found(machine)["keyring-absent"]
    doctor(machine, "--fix", "--yes")

    assert finding["command"] == ""
    assert "sign-ins need its key" in finding["text"]
    assert machine.config_file.read_text() == before


@pytest.mark.contract
@pytest.mark.parametrize(
    ("state", "code"), [("locked", "keyring-locked"), ("unlocked", "key-missing")]
)
def test_keyring_in_other_states(
    machine: Machine, state: str, code: str, make_secret_service: Callable[..., Any]
) -> None:
    use_keyring(machine)
    server = make_secret_service(state)

    findings = found(machine, DBUS_SESSION_BUS_ADDRESS=server.bus_address)

    assert findings[code]["level"] == "problem"
    assert findings[code]["command"]


def test_key_that_opens_nothing(machine: Machine) -> None:
    import base64

    (machine.data / "key").write_bytes(base64.b64encode(bytes(32)))

    assert found(machine)["key-other"]["command"] == "hushkey reset"


def test_key_file_that_others_can_read(machine: Machine) -> None:
    (machine.data / "key").chmod(0o644)

    finding = found(machine)["keyring-denied"]
    assert finding["command"] == f"chmod 600 {machine.data / 'key'}"
    doctor(machine, "--fix", "--yes")
    assert found(machine) == {}


# -- git -----------------------------------------------------------------------------


def git(machine: Machine, *words: str) -> None:
    environ = machine.environ
    subprocess.run(["git", *words], env=environ, cwd=machine.home, check=True)


def test_git_is_not_told_to_ask_us(machine: Machine) -> None:
    (machine.home / ".gitconfig").unlink()

    finding = found(machine)["git-not-registered"]

    assert "git.test" in finding["text"]
    doctor(machine, "--fix", "--yes")
    assert (machine.home / ".gitconfig").read_text() == OURS
    assert found(machine) == {}


@pytest.mark.parametrize(
    ("before", "after", "code", "place"),
    [
        ("[credential]\n\thelper = store\n", "", "", ""),  # the empty line resets it
        ("", "[credential]\n\thelper = store\n", "helper-keeps-tokens", "after"),
        ("", "[credential]\n\thelper = cache -t 9\n", "helper-keeps-tokens", "after"),
        ("", "[credential]\n\thelper = libsecret\n", "helper-keeps-tokens", "after"),
        ("", "[credential]\n\thelper = corporate\n", "helper-sees-tokens", "after"),
    ],
)
def test_other_helpers_that_are_handed_our_tokens(
    machine: Machine, before: str, after: str, code: str, place: str
) -> None:
    (machine.home / ".gitconfig").write_text(before + OURS + after)

    findings = found(machine)

    assert list(findings) == ([code] if code else [])
    if code:
        assert f"{place} hushkey" in findings[code]["text"]
        for command in findings[code]["command"].split(" && "):
            machine.run(*command.split(), "--yes")
        assert found(machine) == {}


def test_helper_before_ours(machine: Machine) -> None:
    text = OURS.replace("helper = \n", "helper = store\n")
    (machine.home / ".gitconfig").write_text(text)

    assert "before hushkey" in found(machine)["helper-keeps-tokens"]["text"]
    doctor(machine, "--fix", "--yes")

    assert found(machine) == {}


def test_rule_by_path_that_git_sends_no_path_for(machine: Machine) -> None:
    machine.configure('[host."git.test/contoso"]\nidentity = "corp"\n')

    assert "useHttpPath" in found(machine)["git-sends-no-path"]["text"]
    doctor(machine, "--fix", "--yes")

    assert "git-sends-no-path" not in found(machine)


def test_repository_with_a_helper_of_its_own(machine: Machine) -> None:
    git(machine, "init", "-q", ".")
    git(machine, "config", "credential.helper", "store")

    finding = found(machine)["repository-helper"]
    subprocess.run(
        ["/bin/sh", "-c", finding["command"]],
        env=machine.environ,
        cwd=machine.home,
        check=True,
    )

    assert "adds" in finding["text"] or "add store" in finding["text"]
    assert "repository-helper" not in found(machine)


def test_gits_cache_on_our_socket(machine: Machine) -> None:
    socket = f"{machine.environ['XDG_RUNTIME_DIR']}/hushkey/git"
    wrong = f'[credential "https://git.test"]\n\thelper = cache --socket {socket}\n'
    (machine.home / ".gitconfig").write_text(OURS + wrong)

    assert "cache-on-our-socket" in found(machine)


def test_git_that_is_not_there_is_a_note(machine: Machine) -> None:
    assert found(machine, PATH=str(BIN))["git-missing"]["level"] == "note"


def test_git_that_fails_is_a_finding(machine: Machine, tmp_path: Path) -> None:
    fake = tmp_path / "git"
    fake.write_text("not a program")
    fake.chmod(0o755)

    findings = found(machine, PATH=f"{tmp_path}:{BIN}")

    assert "cannot run" in findings["git-fails"]["text"]


def test_helper_that_git_would_not_find(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "git").symlink_to("/usr/bin/git")
    (machine.home / ".gitconfig").write_text(OURS.replace(HELPER, "hushkey"))

    findings = found(machine, PATH=str(tmp_path))

    assert "helper-not-on-path" not in findings  # it has the same cause
    assert findings["not-on-path"]["level"] == "problem"
    assert findings["not-on-path"]["text"].startswith("git: hushkey, git-credential-")


def host(pattern: str, more: str = "") -> str:
    return f'\n[host."{pattern}"]\nidentity = "corp"\nscopes = ["x"]\n{more}\n'


@pytest.mark.parametrize(
    ("pattern", "more", "missed"),
    [
        ("contoso.azurecr.io", 'exchange = "acr"', False),
        ("reg.test", 'exchange = "acr"', False),
        ("*.azurecr.io", "", False),
        ("registry.example.com", "", False),
        ("docker-registry.example.com:8443", "", False),
        ("reg.test:5000", "", False),
        ("registry.gitlab.example.com", "", False),
        ("pypi.example.com/simple", "", False),
        ("*.pkgs.visualstudio.com", "", False),
        ("two.test", 'tools = ["python", "docker"]', False),
        ("two.test", "", False),
        ("registry2.example.com", "", False),
        ("code.registry", "", False),
        ("two.test", 'tools = ["docker", "git"]', True),
        ("registry.example.com", 'tools = ["git"]', True),
        ("git-2.example.com", "", True),
        ("github.com", "", True),
        ("dev.azure.com/contoso", "", True),
        ("contoso.visualstudio.com", "", True),
    ],
)
def test_only_hosts_of_gits_are_missed_there(
    machine: Machine, pattern: str, more: str, missed: bool
) -> None:
    machine.configure(host(pattern, more))

    findings = found(machine)

    assert ("git-not-registered" in findings) is missed
    if missed:
        assert f"for {pattern}" in findings["git-not-registered"]["text"]


def test_host_that_says_nothing_is_gits_where_git_has_something_from_it(
    machine: Machine,
) -> None:
    """A remote here shows it; that other tools ask for it shows nothing of git."""
    machine.configure(host("two.test") + host("three.test"))
    path = machine.home / ".config" / "pip" / "pip.conf"
    path.parent.mkdir(parents=True)
    path.write_text("[global]\nindex-url = https://me@two.test/simple\n")
    assert "git-not-registered" not in found(machine)

    git(machine, "init", "-q")
    git(machine, "remote", "add", "origin", "https://two.test/a")

    missed = found(machine)["git-not-registered"]["text"]
    assert missed == "git does not ask hushkey for two.test"


def test_first_host_leads_to_git_where_no_tool_asks_yet(machine: Machine) -> None:
    """A note, for it may be for anything; whoever follows it gets there."""
    (machine.home / ".gitconfig").unlink()
    machine.configure(
        text=machine.config_file.read_text().replace("git.test", "x.test")
    )

    (finding,) = (f for f in found(machine).values() if f["mend"])

    assert (finding["code"], finding["level"]) == ("no-tool-asks", "note")
    assert finding["command"] == "hushkey install git"
    doctor(machine, "--fix", "--yes")
    assert "x.test" in (machine.home / ".gitconfig").read_text()
    assert not {"no-tool-asks", "git-not-registered"} & found(machine).keys()

    (machine.home / ".gitconfig").unlink()
    lost = found(machine)["git-not-registered"]["text"]
    assert lost == "git was told to ask hushkey, and does not any more, for x.test"


FORGE = """
[identity.forge]
provider = "gitea"
base_url = "https://code.test"
client_id = "c"
[host."code.test"]
identity = "forge"
"""


def test_host_of_a_forge_is_gits(machine: Machine) -> None:
    machine.configure(FORGE)

    assert "code.test" in found(machine)["git-not-registered"]["text"]


SHORT = OURS.replace(HELPER, "hushkey")
AZURE = SHORT.replace("git.test", "dev.azure.com")


def test_line_without_a_path_is_given_one(machine: Machine) -> None:
    """What was registered by name for a built-in host, too."""
    file = machine.home / ".gitconfig"
    file.write_text(SHORT + AZURE)

    finding = found(machine)["helper-without-path"]

    assert finding["level"] == "problem"
    assert "https://git.test, https://dev.azure.com" in finding["text"]
    doctor(machine, "--fix", "--yes")
    assert file.read_text() == (SHORT + AZURE).replace("hushkey", HELPER)
    assert found(machine) == {}
    CliRunner().invoke(main, ["uninstall", "git"], env=machine.environ)
    assert file.read_text() == SHORT + AZURE


def test_line_for_all_hosts_without_a_path_has_a_command(machine: Machine) -> None:
    file = machine.home / ".gitconfig"
    file.write_text("[credential]\n\thelper = cache\n\thelper = hushkey\n" + OURS)

    command = found(machine)["helper-without-path"]["command"]
    subprocess.run(command, shell=True, check=True, env=machine.environ)

    assert "helper-without-path" not in found(machine)
    assert file.read_text().startswith(
        f"[credential]\n\thelper = cache\n\thelper = {HELPER}\n"
    )


def test_short_name_that_any_program_finds_is_fine(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine.home / ".gitconfig").write_text(SHORT)
    (tmp_path / "git-credential-hushkey").symlink_to(HELPER)
    monkeypatch.setattr(gitsections, "_DESKTOP", f"/usr/bin:{tmp_path}")

    assert found(machine) == {}


def gone(host: str) -> str:
    return OURS.replace("git.test", host)


@pytest.mark.parametrize("host", ["gone.test", "*.gone.test", "github.com", "g.test:8"])
def test_host_that_left_the_config_is_unregistered(machine: Machine, host: str) -> None:
    file = machine.home / ".gitconfig"
    file.write_text(OURS + gone(host) + gone("dev.azure.com"))

    findings = found(machine)

    finding = findings["git-stale"]
    assert f"nobody but hushkey for https://{host}," in finding["text"]
    assert finding["command"].startswith("hushkey uninstall git ")
    doctor(machine, "--fix", "--yes")
    assert file.read_text() == OURS + gone("dev.azure.com")
    assert found(machine) == {}


@pytest.mark.parametrize(
    "section",
    [
        pytest.param(f"\thelper = {HELPER}\n", id="beside others"),
        pytest.param(f"\thelper = \n\thelper = {HELPER}\n", id="with what was typed"),
        pytest.param("\thelper = \n\thelper = store\n", id="another's"),
    ],
)
def test_host_without_a_rule_that_is_served_all_the_same(
    machine: Machine, section: str
) -> None:
    text = f'{OURS}[credential "https://typed.test"]\n{section}'
    (machine.home / ".gitconfig").write_text(text)
    if "helper = \n\thelper = /" in section:
        line = b"protocol=https\nhost=typed.test\nusername=me\npassword=pw\n\n"
        machine.run("git-credential-hushkey", "store", stdin=line)

    assert "git-stale" not in found(machine)


# -- sign-ins ------------------------------------------------------------------------


def test_nobody_is_signed_in(machine: Machine) -> None:
    for path in (machine.data / "tokens").iterdir():
        path.unlink()

    assert found(machine)["signed-out"]["command"] == "hushkey login corp"


def test_sign_in_that_ends_with_its_token(machine: Machine) -> None:
    for path in (machine.data / "tokens").iterdir():
        path.unlink()
    machine.has(grant("at", refresh_token=""))

    assert "git.test" in found(machine)["not-renewable"]["text"]


def test_sign_in_that_has_ended_at_the_server(machine: Machine) -> None:
    machine.has(grant("at", refresh_token="rt-dead"), age=7200)
    with machine.token_file().change(5) as change:
        change.cache.drop_grant("rt-dead", ended=1)
        change.save()

    findings = found(machine)

    assert findings["sign-in-ended"]["command"] == "hushkey login corp"
    assert "not-renewable" not in findings


def test_host_that_refuses_a_good_sign_in(machine: Machine) -> None:
    machine.has(grant("at-young"))
    with machine.token_file().change(5) as change:
        now = int(time.time())
        change.cache.refuse("at-young", "git.test", now, place="acme/app")
        change.save()

    finding = found(machine)["host-refuses"]

    assert finding["command"] == "hushkey explain git.test/acme/app"
    assert "git.test/acme/app refused the token of me@example.com" in finding["text"]
    assert "check that the account has access" in finding["text"]
    assert "at-young" not in str(finding)


def test_token_from_the_future(machine: Machine) -> None:
    machine.has(grant(f"at-{CANARY}"), age=-7200)

    finding = found(machine)["clock-back"]

    assert "in the future" in finding["text"]


# -- surroundings ----------------------------------------------------------------------


@pytest.mark.parametrize("browser", ["no-such-browser", "./here %s", "'"])
def test_browser_that_starts_nothing(machine: Machine, browser: str) -> None:
    assert "browser-wrong" in found(machine, BROWSER=browser)


def test_browser_of_which_one_starts(machine: Machine) -> None:
    assert found(machine, BROWSER="no-such:/bin/echo %s") == {}


def test_switch_that_means_nothing(machine: Machine) -> None:
    assert "switch-wrong" in found(machine, HUSHKEY_INTERACTIVE="sometimes")


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        ("echo hushkey, version 0.0.1", ["installed-twice"]),
        ("exit 1", ["installed-twice"]),
        (f'exec "{BIN}/hushkey" "$@"', ["installed-copies"]),
    ],
)
def test_two_installations_on_path(
    machine: Machine, tmp_path: Path, body: str, codes: list[str]
) -> None:
    other = tmp_path / "hushkey"
    other.write_text(f"#!/bin/sh\n{body}\n")
    other.chmod(0o755)
    path = f"{machine.environ['PATH']}:{tmp_path}"

    findings = found(machine, PATH=path)

    assert list(findings) == codes
    assert str(other) in findings[codes[0]]["text"]


# -- asking ----------------------------------------------------------------------------


def test_nothing_is_mended_unasked(machine: Machine) -> None:
    machine.data.chmod(0o755)

    doctor(machine)
    refused = doctor(machine, "--fix")

    assert machine.data.stat().st_mode & 0o777 == 0o755
    assert refused.exit_code == 1
    assert "nobody can be asked here" in refused.stderr


def test_each_is_asked_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    from hushkey_install.doctor import run

    monkeypatch.setattr(run, "_is_person", lambda: True)
    machine.data.chmod(0o755)
    machine.config_file.chmod(0o666)

    result = doctor(machine, "--fix", typed="y\nn\n")

    assert result.output.count("[y/N]") == 2
    assert machine.config_file.stat().st_mode & 0o777 == 0o666
    assert machine.data.stat().st_mode & 0o777 == 0o700


def test_json_only_looks(machine: Machine) -> None:
    assert doctor(machine, "--json", "--fix").exit_code == 2


def test_doctor_changes_nothing(machine: Machine) -> None:
    machine.settle()
    doctor(machine)
    before = _state(machine.home)

    doctor(machine)

    assert _state(machine.home) == before


def _state(home: Path) -> list[tuple[str, float]]:
    return sorted((str(p), p.stat().st_mtime) for p in home.rglob("*"))


def test_doctor_is_quick(machine: Machine) -> None:
    began = time.monotonic()
    doctor(machine)

    assert time.monotonic() - began < 5


# -- the key, and what was typed -----------------------------------------------------


@pytest.mark.parametrize("key", ["", base64.b64encode(b"z" * 32).decode()])
def test_key_that_does_not_open_what_was_typed(machine: Machine, key: str) -> None:
    for path in (machine.data / "tokens").iterdir():
        path.unlink()
    typed = b"protocol=https\nhost=typed.test\nusername=me\npassword=pw\n\n"
    subprocess.run(
        [BIN / "git-credential-hushkey", "store"],
        input=typed,
        env=machine.environ,
        check=True,
    )
    assert set(found(machine)) == {"signed-out"}
    (machine.data / "key").unlink()
    if key:
        (machine.data / "key").write_text(key)
        (machine.data / "key").chmod(0o600)

    finding = found(machine)["key-other" if key else "key-missing"]

    assert finding["command"] == "hushkey reset"
