"""One thing breaks: doctor has one finding, which names it and what fixes it."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

from hushkey.system import ownership
from hushkey_install.cli import main
from hushkey_install.common import probe
from hushkey_install.doctor import agent, folders
from kit.oauth import BIN, CANARY, CONFIG, Machine, Scripted, grant
from servers.issuer import Issuer

HELPER = f"{BIN}/git-credential-hushkey"
OURS = f'[credential "https://git.test"]\n\thelper = \n\thelper = {HELPER}\n'


class Desk(Machine):
    """A machine for git, docker and pip where all is well."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.bin = home / "bin"
        self.bin.mkdir()
        self.environ = {**os.environ, "PATH": f"{self.bin}:/usr/bin:/bin"}
        for name in ("hushkey", "git-credential-hushkey", "docker-credential-hushkey"):
            (self.bin / name).symlink_to(BIN / name)
        (self.bin / "keyring").symlink_to(BIN / "hushkey-keyring")
        self.program("docker")
        self.program("uv")
        self.tool("pip", "pip-26.3")
        self.configure(
            '[host."reg.test:5000"]\nidentity = "corp"\nscopes = ["git"]\n'
            '[host."pypi.test"]\nidentity = "corp"\nscopes = ["git"]\n'
        )
        self.has(grant(f"at-{CANARY}", refresh_token=f"rt-{CANARY}"))
        self.write(".gitconfig", OURS)
        self.write(
            ".docker/config.json", json.dumps({"credHelpers": {"reg.test:5000": US}})
        )
        for name in ("pip", "uv"):
            done = CliRunner().invoke(main, ["install", name], env=self.environ)
            assert done.exit_code == 0, done.output

    def write(self, name: str, text: str) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def program(self, name: str) -> None:
        (self.bin / name).write_text("#!/bin/sh\n")
        (self.bin / name).chmod(0o755)

    def tool(self, name: str, *distributions: str) -> None:
        prefix = self.home / "env" / name
        for distribution in distributions:
            info = f"lib/python3.11/site-packages/{distribution}.dist-info"
            (prefix / info).mkdir(parents=True)
        (self.bin / name).write_text(f"#!{prefix}/bin/python\n")
        (self.bin / name).chmod(0o755)

    def edits(self, old: str, new: str) -> None:
        text = self.config_file.read_text()
        assert old in text
        self.config_file.write_text(text.replace(old, new, 1))

    def doctor(self, *words: str) -> Result:
        result = CliRunner().invoke(main, ["doctor", *words], env=self.environ)
        assert CANARY not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    def found(self, *words: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.doctor("--json", *words).stdout)[
            "findings"
        ]
        return rows


US = "hushkey"


@pytest.fixture
def desk(home: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(home)
    return Desk(home)


class Broken(NamedTuple):
    """What breaks, the code that is found, words of its text and of its command."""

    what: Callable[[Desk], object]
    code: str
    text: str
    command: str
    #: whether `--fix` can do it
    fixed: bool = False


def agent_socket(desk: Desk) -> None:
    folder = desk.home / "run" / "hushkey"
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "agent"))


def file_for_a_socket(desk: Desk) -> None:
    folder = desk.home / "run" / "hushkey"
    folder.mkdir(mode=0o700)
    (folder / "git").write_text("mine")


def systemd_unit(desk: Desk) -> None:
    mark = "# Written by `hushkey install agent`; `hushkey uninstall agent` takes it "
    desk.write(
        ".config/systemd/user/hushkey-agent.service",
        f"{mark}out.\n[Service]\nExecStart=/gone/python -I -m hushkey_helpers.agent\n",
    )


def open_token_file(desk: Desk) -> None:
    next((desk.data / "tokens").glob("*.sealed")).chmod(0o644)


def signed_in_with(age: int, **granted: str) -> Callable[[Desk], None]:
    def change(desk: Desk) -> None:
        for path in (desk.data / "tokens").iterdir():
            path.unlink()
        desk.has(grant("at", **granted), age=age)

    return change


def ended(desk: Desk) -> None:
    desk.has(grant("at", refresh_token="rt-dead"), age=7200)
    with desk.token_file().change(5) as change:
        change.cache.drop_grant("rt-dead", ended=1)
        change.cache.drop_grant(f"rt-{CANARY}", ended=1)
        change.save()


def broken_link(desk: Desk) -> None:
    (desk.bin / "git-credential-hushkey").unlink()
    (desk.bin / "git-credential-hushkey").symlink_to("/gone/git-credential-hushkey")


def locks_that_are_a_file(desk: Desk) -> None:
    shutil.rmtree(desk.data / "locks")
    (desk.data / "locks").touch()


def emptied_by_a_repository(desk: Desk) -> None:
    text = '[credential "https://git.test"]\n\thelper =\n'
    subprocess.run(["git", "init", "-q", desk.home], check=True)
    desk.write(".git/config", f"[core]\n\trepositoryformatversion = 0\n{text}")


def old_keyring(desk: Desk) -> None:
    (desk.bin / "keyring").unlink()
    desk.tool("keyring", "keyring-24.3", "hushkey-0.2.0")


def dead_keyring(desk: Desk) -> None:
    (desk.bin / "keyring").unlink()
    (desk.bin / "keyring").symlink_to("/gone/bin/hushkey-keyring")


def folder_that_is_not_on_path(desk: Desk) -> None:
    """That of hushkey's programs, and of the link that its `install pip` made."""
    (desk.bin / "keyring").unlink()
    words = ["install", "pip", "--launcher", str(desk.bin)]
    assert CliRunner().invoke(main, words, env=desk.environ).exit_code == 0
    tools = desk.home / "tools"
    tools.mkdir()
    for name in ("docker", "uv", "pip"):
        (desk.bin / name).rename(tools / name)
    desk.environ["PATH"] = f"{tools}:/usr/bin:/bin"


def helper_gone_from_its_folder(desk: Desk) -> None:
    helper = desk.bin / "git-credential-hushkey"
    desk.write(".gitconfig", OURS.replace(HELPER, str(helper)))
    helper.unlink()


def helper_of_docker_and_podman_gone(desk: Desk) -> None:
    desk.program("podman")
    text = json.dumps({"credHelpers": {"reg.test:5000": US}})
    desk.write(".config/containers/auth.json", text)
    (desk.bin / "docker-credential-hushkey").unlink()


def other_store(desk: Desk) -> None:
    desk.write(".docker/config.json", '{"credsStore": "pass"}')


def hidden_login(desk: Desk) -> None:
    auths = {"reg.test:5000": {"auth": "bWU6cHc="}}
    helpers = {"reg.test:5000": US}
    text = json.dumps({"auths": auths, "credHelpers": helpers})
    desk.write(".docker/config.json", text)


def git_says(text: str) -> Callable[[Desk], object]:
    return lambda desk: desk.write(".gitconfig", text)


def has(**environ: str) -> Callable[[Desk], None]:
    return lambda desk: desk.environ.update(environ)


def http_rewrite(base: str) -> Callable[[Desk], object]:
    more = f'[url "{base}"]\n\tinsteadOf = https://git.test/\n'
    return git_says(OURS + more)


def included_rewrite(desk: Desk) -> None:
    text = '[url "http://git.test/"]\n\tinsteadOf = https://git.test/\n'
    desk.write("shared.inc", text)
    desk.write(".gitconfig", OURS + "[include]\n\tpath = shared.inc\n")


def desktop_without_us(desk: Desk) -> None:
    """As where ~/.local/bin was made after the desktop's session began."""
    (desk.home / "run" / "systemd").mkdir()
    desk.program("systemctl")
    (desk.bin / "systemctl").write_text("#!/bin/sh\necho PATH=/usr/bin:/bin\n")


def settings(line: str) -> Callable[[Desk], None]:
    return lambda desk: desk.edits("[settings]\n", f"[settings]\n{line}\n")


BREAKAGES = {
    "config syntax": Broken(
        lambda d: d.edits("[identity.corp]", "[identity.corp"),
        "config-wrong",
        "not valid TOML",
        "hushkey config edit",
    ),
    "unknown keys, two of them": Broken(
        settings("agnt = true\nproxi = 1"),
        "config-wrong",
        "did you mean agent?",
        "hushkey config edit",
    ),
    "no client": Broken(
        lambda d: d.edits('client_id = "c"\n', ""),
        "config-wrong",
        "client_id",
        "hushkey config edit",
    ),
    "missing helper": Broken(
        git_says(OURS.replace(HELPER, "/gone/git-credential-hushkey")),
        "helper-gone",
        "/gone/git-credential-hushkey",
        "hushkey install git",
        True,
    ),
    "dead agent socket": Broken(
        agent_socket, "agent-dead", "run/hushkey/agent", "rm ", True
    ),
    "file where the agent listens": Broken(
        file_for_a_socket, "agent-no-place", "is not hushkey's", ""
    ),
    "stale systemd unit": Broken(
        systemd_unit, "agent-unit-broken", "/gone/python", "hushkey install agent", True
    ),
    "token file that others read": Broken(
        open_token_file, "file-open", ".sealed", "chmod 600 ", True
    ),
    "key file that others read": Broken(
        lambda d: (d.data / "key").chmod(0o640),
        "keyring-denied",
        "can be read by others",
        "chmod 600 ",
        True,
    ),
    "read-only data folder": Broken(
        lambda d: d.data.chmod(0o500),
        "folder-unwritable",
        "cannot be written",
        "chmod u+rwx ",
        True,
    ),
    "no keyring": Broken(
        lambda d: d.edits('key_store = "file"\n', ""),
        "keyring-absent",
        "keyring",
        "hushkey config set key_store file",
        True,
    ),
    "clock that went back": Broken(
        lambda d: d.has(grant("at"), age=-7200),
        "clock-back",
        "in the future",
        "timedatectl",
    ),
    "expired sign-in": Broken(
        signed_in_with(7200, refresh_token=""),
        "sign-in-expired",
        "has expired",
        "hushkey login corp",
    ),
    "sign-in that ended": Broken(
        ended, "sign-in-ended", "has ended at the server", "hushkey login corp"
    ),
    "nobody signed in": Broken(
        lambda d: shutil.rmtree(d.data / "tokens"),
        "signed-out",
        "nobody is signed in",
        "hushkey login corp",
    ),
    "wrong ca_file": Broken(
        settings('ca_file = "/gone/ca.pem"'),
        "ca-file-unreadable",
        "/gone/ca.pem",
        "hushkey config unset ca_file",
    ),
    "bad proxy": Broken(
        settings('proxy = "proxy:port"'),
        "config-wrong",
        "a proxy URL",
        "hushkey config edit",
    ),
    "bad proxy of the environment": Broken(
        has(HTTPS_PROXY="ftp://proxy.test", https_proxy="ftp://proxy.test"),
        "proxy-wrong",
        "https_proxy",
        "unset https_proxy",
    ),
    "insteadOf http": Broken(
        http_rewrite("http://git.test/"),
        "git-rewritten",
        "not https",
        "git config --global --unset-all url.http://git.test/.insteadOf",
        True,
    ),
    "insteadOf ssh": Broken(
        http_rewrite("git@git.test:"),
        "git-rewritten",
        "goes by ssh",  # which somebody has mostly chosen
        "git config --global --unset-all url.git@git.test:.insteadOf",
    ),
    "insteadOf in an included file": Broken(
        included_rewrite,
        "git-rewritten",
        "not https",
        "git config --show-origin --get-regexp insteadof",
    ),
    "insteadOf with a password": Broken(
        http_rewrite(f"https://me:{CANARY}@git.test/"),
        "git-rewritten",
        "a password of its own",
        "git config --global --edit",
    ),
    "another helper before ours": Broken(
        git_says(OURS.replace("helper = \n", "helper = store\n")),
        "helper-keeps-tokens",
        "before hushkey",
        "hushkey install git",
        True,
    ),
    "git not told": Broken(
        git_says(""), "git-not-registered", "git.test", "hushkey install git", True
    ),
    "docker's credsStore": Broken(
        other_store,
        "docker-unregistered",
        "reg.test:5000",
        "hushkey install docker reg.test:5000",
        True,
    ),
    "hidden login": Broken(
        hidden_login,
        "docker-hidden-login",
        "is no longer used",
        "docker logout reg.test:5000",
    ),
    "docker without our helper": Broken(
        lambda d: (d.bin / "docker-credential-hushkey").unlink(),
        "docker-helper-missing",
        "names docker-credential-hushkey for reg.test:5000",
        "pipx reinstall hushkey",  # its folder is on PATH
    ),
    "git's helper that left its folder": Broken(
        lambda d: (d.bin / "git-credential-hushkey").unlink(),
        "not-on-path",
        "git-credential-hushkey is not on PATH",
        "pipx reinstall hushkey",
    ),
    "folder that is not on PATH": Broken(
        folder_that_is_not_on_path,
        "not-on-path",
        "docker, pip, uv: hushkey, git-credential-hushkey and docker-credential-",
        "pipx ensurepath",
    ),
    "git's helper gone from its folder": Broken(
        helper_gone_from_its_folder,
        "not-on-path",
        "git: git-credential-hushkey is not on PATH",
        "pipx reinstall hushkey",
    ),
    "docker and podman without our helper": Broken(
        helper_of_docker_and_podman_gone,
        "docker-helper-missing",
        "docker, podman: docker-credential-hushkey is not on PATH",
        "pipx reinstall hushkey",
    ),
    "HUSHKEY_CONFIG that is gone": Broken(
        has(HUSHKEY_CONFIG="/gone/config.toml"),
        "config-wrong",
        "/gone/config.toml, which does not exist",
        "unset HUSHKEY_CONFIG",
    ),
    "repository that empties git's helpers": Broken(
        emptied_by_a_repository,
        "repository-helper",
        "hushkey is not asked",
        "git config --local --unset-all credential.https://git.test.helper",
    ),
    "locks that are no folder": Broken(
        locks_that_are_a_file,
        "folder-wrong",
        "locks is not a folder",
        "rm ",
    ),
    "GIT_ASKPASS": Broken(
        has(GIT_ASKPASS="/usr/bin/env"), "askpass", "GIT_ASKPASS", "unset GIT_ASKPASS"
    ),
    "GIT_ASKPASS that is gone": Broken(
        has(GIT_ASKPASS="/gone/ask"), "askpass-gone", "/gone/ask", "unset GIT_ASKPASS"
    ),
    "netrc": Broken(
        lambda d: d.write(".netrc", f"machine git.test login me password {CANARY}\n"),
        "netrc-first",
        "git.test",
        "${EDITOR:-vi} ",
    ),
    "PIP_KEYRING_PROVIDER": Broken(
        has(PIP_KEYRING_PROVIDER="disabled"),
        "pip-disabled",
        "PIP_KEYRING_PROVIDER",
        "unset PIP_KEYRING_PROVIDER",
    ),
    "uv's config": Broken(
        lambda d: d.write(".config/uv/uv.toml", 'keyring-provider = "disabled"\n'),
        "uv-disabled",
        "uv.toml",
        "hushkey install uv",
        True,
    ),
    "keyring older than 25": Broken(
        old_keyring,
        "pip-keyring-program-foreign",
        "pip, uv: ",
        "hushkey install pip --launcher DIR",
    ),
    "keyring's link that leads nowhere": Broken(
        dead_keyring, "pip-keyring-program-gone", "pip, uv: ", "ln -sfn ", True
    ),
    "keyring pinned": Broken(
        has(PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring"),
        "pip-keyring-keyring-pinned",
        "pip, uv: keyring is switched off",
        "unset PYTHON_KEYRING_BACKEND",
    ),
    "broken link": Broken(
        broken_link, "link-broken", "bin/git-credential-hushkey", "pipx reinstall"
    ),
    "PATH of the desktop": Broken(
        desktop_without_us,
        "desktop-path",
        "/bin is not on their PATH",
        "systemctl --user import-environment PATH",
    ),
    "BROWSER": Broken(
        has(BROWSER="no-such"), "browser-wrong", "BROWSER", "unset BROWSER"
    ),
    "host that left the config": Broken(
        git_says(OURS + OURS.replace("git.test", "old.test")),
        "git-stale",
        "https://old.test",
        "hushkey uninstall git https://old.test",
        True,
    ),
    "config that others write": Broken(
        lambda d: d.config_file.chmod(0o666),
        "config-writable",
        "can be changed by others",
        "chmod go-w ",
        True,
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_one_finding_for_one_cause(desk: Desk, name: str) -> None:
    broken = BREAKAGES[name]
    broken.what(desk)

    found = desk.found()

    assert [row["code"] for row in found] == [broken.code], found
    assert broken.text in found[0]["text"]
    assert found[0]["command"].startswith(broken.command)
    assert found[0]["mend"] is broken.fixed
    if broken.fixed:
        desk.doctor("--fix", "--yes")
        assert desk.found() == []


def test_fix_leaves_the_other_short_names_of_a_base(desk: Desk) -> None:
    own = "\tinsteadOf = t:\n\tinsteadOf = https://gitXtest/\n"
    base = '[url "http://git.test/"]\n'
    desk.write(".gitconfig", OURS + base + "\tinsteadOf = https://git.test/\n" + own)

    (finding,) = desk.found()
    desk.doctor("--fix", "--yes")

    assert finding["command"].endswith(r" '^https://git\.test/$'")
    assert (desk.home / ".gitconfig").read_text() == OURS + base + own
    assert desk.found() == []


def test_fix_takes_no_socket_at_which_somebody_listens(desk: Desk) -> None:
    """Another program's in a folder that somebody chose, or a new agent's."""
    agent_socket(desk)
    (finding,) = desk.found()
    path = desk.home / "run" / "hushkey" / "agent"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        agent._remove([str(path)])
        assert "agent-dead" not in {row["code"] for row in desk.found()}
        assert path.exists()
    assert finding["code"] == "agent-dead"


def test_fix_changes_no_file_that_a_link_leads_to(desk: Desk) -> None:
    page = desk.write("public.html", "<p>for everybody")
    page.chmod(0o644)
    (desk.data / "tokens" / "page.sealed").symlink_to(page)
    assert desk.found() == []
    open_token_file(desk)

    (finding,) = desk.found()
    desk.doctor("--fix", "--yes")

    assert "page.sealed" not in finding["command"]
    assert page.stat().st_mode & 0o777 == 0o644
    assert desk.found() == []


def test_one_fix_closes_all_of_the_data_folder(desk: Desk) -> None:
    """As `chmod -R a+rwx` leaves it; what is not ours in it stays open."""
    theirs = desk.data / "theirs"
    theirs.mkdir()
    for path in (desk.data, *desk.data.rglob("*")):
        path.chmod(0o777)

    result = desk.doctor("--fix", "--yes")

    assert "after fixing: nothing to fix" in result.stdout
    assert desk.found() == []
    assert theirs.stat().st_mode & 0o777 == 0o777
    for path in (desk.data, *desk.data.iterdir()):
        if path.is_dir() and path != theirs:
            ownership.check_private(str(path))


def test_all_is_well_before_it_breaks(desk: Desk) -> None:
    assert desk.found() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("kind", ["tokens", "locks"])
def test_file_of_another_user_is_one_finding(desk: Desk, kind: str) -> None:
    path = next((desk.data / kind).iterdir())
    os.chown(path, 1234, -1)

    (finding,) = desk.found()

    assert (finding["code"], finding["mend"]) == ("file-foreign", False)
    assert f"another user owns {path} (user 1234; " in finding["text"]
    assert finding["command"] == f"sudo chown -h 0 {path}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize(
    ("place", "name", "code"),
    [
        ("run/hushkey", "agent.lock", "agent-lock-foreign"),
        ("run", "hushkey", "folder-foreign"),
        ("data/run", "agent.lock", "file-foreign"),
        ("data", "run", "file-foreign"),
    ],
)
def test_lock_of_another_user_s_agent_is_one_finding_with_its_fix(
    desk: Desk, place: str, name: str, code: str
) -> None:
    inner = place.startswith("data")
    folder = desk.data / "run" if inner else desk.home / "run" / "hushkey"
    folder.mkdir(mode=0o700, exist_ok=True)
    if inner:
        del desk.environ["XDG_RUNTIME_DIR"]
    (folder / "agent.lock").touch(mode=0o600)
    path = folder / name if name == "agent.lock" else folder
    os.chown(path, 1234, -1)

    (finding,) = desk.found()

    assert finding["code"] == code
    assert str(path) in finding["text"]
    assert "user 1234" in finding["text"]
    assert finding["command"].startswith("sudo chown -h")
    os.chown(path, 0, -1)
    assert desk.found() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_many_files_of_another_user_are_given_back_at_once(desk: Desk) -> None:
    for path in (*(desk.data / "locks").iterdir(), desk.data / "key"):
        os.chown(path, 1234, -1)
    for number in range(3):
        (desk.data / "tokens" / f"{number}.new").touch()
        os.chown(desk.data / "tokens" / f"{number}.new", 1234, -1)

    (desk.data / "another programs").touch()
    os.chown(desk.data / "another programs", 1234, -1)

    found = {row["code"]: row for row in desk.found()}

    ours = " ".join(str(desk.data / name) for name in ("key", "locks", "tokens"))
    assert found["file-foreign"]["command"] == f"sudo chown -hR 0 {ours}"


def test_lost_config_costs_no_tool_its_registration(desk: Desk) -> None:
    before = (desk.home / ".gitconfig").read_text()
    desk.environ["HUSHKEY_CONFIG"] = str(desk.home / "gone.toml")

    desk.doctor("--fix", "--yes")

    assert (desk.home / ".gitconfig").read_text() == before
    assert not (desk.home / "gone.toml").exists()


def test_disk_that_is_almost_full(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_LITTLE", 1 << 62)

    (finding,) = desk.found()

    assert (finding["code"], finding["level"]) == ("disk-low", "note")
    assert finding["command"] == f"df -h {desk.data}"


def test_config_in_which_three_things_are_wrong_is_one_finding(desk: Desk) -> None:
    desk.configure(text='[settings]\nagnt = 1\nx = 2\n[host."x.y"]\nidentity = "z"\n')

    (finding,) = desk.found()

    assert "did you mean agent?" in finding["text"]
    assert "no [identity.z]" in finding["text"]


def test_one_sign_in_that_ended_is_one_finding_for_all_its_hosts(desk: Desk) -> None:
    desk.edits('[host."pypi.test"]', '[host."git2.test"]')
    desk.doctor("--fix", "--yes")
    ended(desk)

    assert [row["code"] for row in desk.found()] == ["sign-in-ended"]


@pytest.mark.contract
def test_locked_keyring_is_one_finding(
    desk: Desk, make_secret_service: Callable[..., Any]
) -> None:
    desk.edits('key_store = "file"', 'key_store = "keyring"')
    bus = make_secret_service("locked").bus_address
    desk.environ["DBUS_SESSION_BUS_ADDRESS"] = bus

    (finding,) = desk.found()

    assert (finding["code"], finding["command"]) == ("keyring-locked", "hushkey login")


def test_frozen_agent_is_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that holds its lock, and says nothing."""
    from hushkey_helpers.agent import start

    holders = [4711]
    monkeypatch.setattr(start, "holder", lambda _: holders[0])
    monkeypatch.setattr(start, "kill", lambda _: holders.__setitem__(0, 0))

    (finding,) = desk.found()
    desk.doctor("--fix", "--yes")

    assert (finding["code"], finding["command"]) == (
        "agent-frozen",
        "hushkey agent stop",
    )
    assert desk.found() == []


# -- asking the servers ----------------------------------------------------------------


class Asked(Scripted):
    """A host whose clock is *ahead* seconds ahead; it notes who shows it a token."""

    def __init__(self, ahead: float = 0.0) -> None:
        super().__init__()
        self.on_head = self._head
        self.shown: list[str | None] = []
        self._ahead = ahead

    def _head(self, handler: Any) -> None:
        self.shown.append(handler.headers.get("Authorization"))
        handler.send_response_only(401)
        handler.send_header("Date", formatdate(time.time() + self._ahead, usegmt=True))
        handler.end_headers()


@pytest.fixture
def probed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Let every address of the config be a server on loopback."""

    def run(ahead: float = 0.0, *, down: bool = False) -> list[dict[str, Any]]:
        with Asked(ahead) as server:
            head, port = probe.host, server.url.rpartition(":")[2]
            there = f"http://127.0.0.1:{1 if down else port}/"
            offered = probe.Issuer(True, True, True, ())
            monkeypatch.setattr(probe, "issuer", lambda *_: offered)
            monkeypatch.setattr(probe, "client_status", lambda *_: 302)
            if down:
                monkeypatch.setattr(
                    probe, "issuer", lambda _, *more: head(there, *more)
                )
            monkeypatch.setattr(probe, "host", lambda _, *more: head(there, *more))
            rows: list[dict[str, Any]] = desk.found("--probe")
            assert down or server.shown == [None, None, None]
            monkeypatch.setattr(probe, "host", head)
        return rows

    return run


def test_servers_that_answer_are_no_finding(probed: Callable[..., Any]) -> None:
    assert probed() == []


@pytest.mark.parametrize(("ahead", "word"), [(7200, "behind"), (-400, "ahead of")])
def test_clock_that_differs_from_the_servers(
    probed: Callable[..., Any], ahead: float, word: str
) -> None:
    (finding,) = probed(ahead)

    assert finding["code"] == "clock-off"
    assert word in finding["text"]
    assert finding["command"].startswith("timedatectl")


def test_network_that_is_down_is_one_finding(probed: Callable[..., Any]) -> None:
    (finding,) = probed(down=True)

    assert finding["code"] == "server-silent"
    assert "no server gives an answer" in finding["text"]
    assert "https://git.test/" in finding["text"]


def test_without_probe_no_server_is_asked(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a server was asked")

    monkeypatch.setattr(probe, "host", never)
    monkeypatch.setattr(probe, "issuer", never)

    assert desk.found() == []


@pytest.mark.contract
@pytest.mark.parametrize(("client", "refused"), [("hushkey", False), ("other", True)])
def test_client_that_the_server_does_not_know(
    desk: Desk, plain_issuer: Issuer, client: str, refused: bool
) -> None:
    text = CONFIG.replace("{issuer}", plain_issuer.url).replace('"c"', f'"{client}"')
    desk.config_file.write_text(text.replace("git.test", "127.0.0.1:1"))

    found = {row["code"]: row for row in desk.found("--probe")}

    assert "server-silent" in found  # the host, of which there is none
    assert ("client-refused" in found) is refused
    if refused:
        assert "client other" in found["client-refused"]["text"]
