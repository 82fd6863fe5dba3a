import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hushkey.system import callers

#: what whoever answers for tools does first
HANDED_IN = (
    "import hushkey_helpers.table; from hushkey import runtime; "
    "runtime.tool_of = hushkey_helpers.table.tool_of; "
)
ASKS = (
    f"{HANDED_IN} from hushkey.system import callers; print(callers.command_of('git'))"
)


def said_below(*words: str, cwd: Path) -> str:
    """Return what command_of says in a child of a process called *words*.

    That process is a shell: the kernel shows a script as its interpreter, while a
    program's first word is free to choose.
    """
    script = f'"{sys.executable}" -c "{ASKS}"; true'
    done = subprocess.run(
        [words[0], "-c", script, *words],
        executable="/bin/sh",
        cwd=cwd,
        stdout=subprocess.PIPE,
        check=True,
        encoding="utf-8",
    )
    return done.stdout.strip()


def test_subcommand_and_folder_are_named(tmp_path: Path) -> None:
    assert said_below("git", "fetch", cwd=tmp_path) == f"git fetch in {tmp_path}"


def test_path_of_the_program_does_not_matter(tmp_path: Path) -> None:
    found = said_below("/usr/bin/git", "clone", cwd=tmp_path)

    assert found == f"git clone in {tmp_path}"


def test_url_with_a_password_is_never_quoted(tmp_path: Path) -> None:
    url = "https://me:s3cret@git.test/app"

    said = said_below("git", "-c", "x=s3cret", "clone", url, cwd=tmp_path)

    assert said == f"git clone in {tmp_path}"


@pytest.mark.parametrize("words", [("git", "status"), ("git",), ("gitk", "fetch")])
def test_unknown_command_is_nobody(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert "git" not in said_below(*words, cwd=tmp_path)


def test_unknown_tool_is_nobody() -> None:
    assert callers.command_of("no-such-tool") == ""


# -- git's own setting -----------------------------------------------------------


def environ(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **more}


def test_setting_is_read_from_the_calling_gits_options() -> None:
    options = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "credential.interactive",
        "GIT_CONFIG_VALUE_0": "never",
    }

    assert callers.git_interactive(environ(**options)) == "never"


def test_setting_is_read_from_the_users_file(home: Path) -> None:
    (home / ".gitconfig").write_text("[credential]\n\tinteractive = false\n")

    assert callers.git_interactive(environ()) == "false"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("interactive =", "false"),
        ("interactive", "true"),
        ("interactive = auto", "auto"),
    ],
)
def test_empty_setting_is_false_to_git(home: Path, written: str, value: str) -> None:
    (home / ".gitconfig").write_text(f"[credential]\n\t{written}\n")

    assert callers.git_interactive(environ()) == value


def test_last_setting_counts(home: Path) -> None:
    (home / ".gitconfig").write_text("[credential]\n\tinteractive = false\n")
    last = {"GIT_CONFIG_PARAMETERS": "'credential.interactive=true'"}

    assert callers.git_interactive(environ(**last)) == "true"


def test_no_setting_is_nothing() -> None:
    assert callers.git_interactive(environ()) == ""


def test_machine_without_git_has_no_setting(tmp_path: Path) -> None:
    assert callers.git_interactive({"PATH": str(tmp_path)}) == ""


@pytest.mark.parametrize("body", ["exit 3", "kill -9 $$"])
def test_git_that_fails_has_no_setting(tmp_path: Path, body: str) -> None:
    script = tmp_path / "git"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)

    assert callers.git_interactive({"PATH": str(tmp_path)}) == ""


def test_git_of_the_working_directory_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "git"
    script.write_text("#!/bin/sh\necho never\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)

    assert callers.git_interactive({"PATH": f".:{os.pathsep}"}) == ""


# -- nobody is there ------------------------------------------------------------------

UNATTENDED = (
    "import os; from hushkey.system import callers; "
    "print(callers.unattended(os.environ))"
)


def unattended_below(*words: str, **environ: str) -> str:
    """Return what unattended says in a child of a process called *words*."""
    done = subprocess.run(
        [words[0], "-c", f'"{sys.executable}" -c "{UNATTENDED}"; true', *words[1:]],
        executable="/bin/sh",
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        check=True,
        encoding="utf-8",
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "words",
    [
        ("git", "maintenance", "run", "--schedule=hourly"),
        ("/usr/bin/git", "-c", "a.b=c", "maintenance", "run", "--schedule", "daily"),
        (
            "git",
            "for-each-repo",
            "--config=x",
            "maintenance",
            "run",
            "--schedule=weekly",
        ),
    ],
)
def test_scheduled_maintenance_has_nobody(words: tuple[str, ...]) -> None:
    assert "maintenance" in unattended_below(*words)


@pytest.mark.parametrize(
    "words",
    [
        ("git", "maintenance", "run"),
        ("git", "fetch"),
        ("x", "maintenance", "--schedule=a"),
    ],
)
def test_what_a_person_typed_has_somebody(words: tuple[str, ...]) -> None:
    assert unattended_below(*words) == ""


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("VSCODE_GIT_FETCH_SILENT", "true", "an editor fetches in the background"),
        ("TRIGGER_TIMER_REALTIME_USEC", "1", "a timer of systemd started this"),
        ("TRIGGER_TIMER_MONOTONIC_USEC", "1", "a timer of systemd started this"),
        ("VSCODE_GIT_FETCH_SILENT", "", ""),
        # VS Code's own terminals and commands
        ("VSCODE_GIT_IPC_HANDLE", "/run/x.sock", ""),
    ],
)
def test_environment_says_that_nobody_waits(name: str, value: str, said: str) -> None:
    assert unattended_below("sh", **{name: value}) == said


@pytest.mark.parametrize("name", ["cron", "crond", "anacron", "atd"])
def test_job_of_a_clock_has_nobody(tmp_path: Path, name: str) -> None:
    clock = tmp_path / name
    shutil.copy("/bin/sh", clock)
    done = subprocess.run(
        [clock, "-c", f'"{sys.executable}" -c "{UNATTENDED}"; true'],
        stdout=subprocess.PIPE,
        check=True,
        encoding="utf-8",
    )

    assert done.stdout.strip() == f"{name} started this"


# -- registries that docker asks for of its own accord -------------------------------

HOST = "contoso.azurecr.io"
NEEDS = (
    f"{HANDED_IN} import os; from hushkey.system import callers; "
    f"print(callers.needs_registry('{HOST}', os.environ))"
)


def need_below(*words: str, **environ: str) -> str:
    """Return what needs_registry says in a child of a process called *words*."""
    done = subprocess.run(
        [words[0], "-c", f'"{sys.executable}" -c "{NEEDS}"; true', *words[1:]],
        executable="/bin/sh",
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        check=True,
        encoding="utf-8",
    )
    return done.stdout.strip()


def needed_below(*words: str, **environ: str) -> bool:
    return need_below(*words, **environ) == "True"


@pytest.mark.parametrize(
    "words",
    [
        ("docker", "pull", f"{HOST}/app"),
        ("docker", "run", "alpine"),
        ("docker", "push", "elsewhere.example/app"),
        ("docker", "login", HOST),
        ("docker", "manifest", "inspect", "build"),
        ("docker", "--context", "build", "pull", "alpine"),
        ("docker", "stack", "deploy"),
        ("docker", "run", "--use-api-socket", f"{HOST}/app"),
        ("docker", "run", "--use-api-socket=true", f"{HOST}:443/app@sha256:0"),
        ("docker-buildx", "buildx", "build", "."),
        ("docker-compose", "compose", "up"),
        ("podman", "build", "."),
        ("skopeo", "copy"),
        ("helm", "pull"),
        ("cosign", "verify", f"{HOST}/app"),
        ("ko", "build"),
        ("tofu", "init"),
        ("trivy", "image", "alpine"),
    ],
)
def test_registry_is_needed_by(words: tuple[str, ...]) -> None:
    assert needed_below(*words)


@pytest.mark.parametrize(
    "words",
    [
        ("docker", "build", "-t", f"{HOST}/app", "."),
        ("/usr/bin/docker", "build", "."),
        ("docker", "-D", "build", "."),
        ("docker", "--host", "tcp://h", "build", "."),
        ("docker", "--host=tcp://h", "image", "build", "."),
        ("docker", "builder", "build", "."),
        ("docker", "run", "--use-api-socket", "alpine"),
        ("docker", "run", "--use-api-socket", f"x{HOST}/app"),
        ("docker", "create", "--use-api-socket", f"{HOST}.evil.example/app"),
    ],
)
def test_registry_is_only_listed_by(words: tuple[str, ...]) -> None:
    assert need_below(*words) == "False"


@pytest.mark.parametrize(
    "words",
    [
        ("sh", "build"),
        ("python3", "/usr/bin/docker-compose", "build"),
        ("ansible-playbook", "docker.yml"),
        ("dockerfile-lint", "pull"),
    ],
)
def test_nothing_is_known_of(words: tuple[str, ...]) -> None:
    """docker-py (ansible, compose 1) asks for every key: nobody has typed any."""
    assert need_below(*words) == "None"


def test_buildkit_asks_for_what_it_needs() -> None:
    assert needed_below("docker", "build", ".", DOCKER_BUILDKIT="1")


def test_compose_with_the_classic_builder_asks_for_every_key() -> None:
    assert not needed_below("docker-compose", "compose", "up", DOCKER_BUILDKIT="0")


def test_nearest_client_counts(tmp_path: Path) -> None:
    """docker runs BuildKit's plugin, which asks for what it needs."""
    script = f'"{sys.executable}" -c "{NEEDS}"; true'
    outer = 'exec -a docker-buildx /bin/sh -c "$SCRIPT" buildx build .; true'
    done = subprocess.run(
        ["docker", "-c", f"({outer}); true", "build", "."],
        executable="/bin/bash",
        env={**os.environ, "SCRIPT": script},
        stdout=subprocess.PIPE,
        check=True,
        encoding="utf-8",
    )

    assert done.stdout.strip() == "True"


class Hidden:
    def cmdline(self) -> list[str]:
        raise psutil.AccessDenied


class Shown:
    def __init__(self, *words: str) -> None:
        self.words = list(words)

    def cmdline(self) -> list[str]:
        return self.words


@pytest.mark.parametrize(
    ("line", "is_needed"),
    [
        ([Shown("zsh"), Hidden(), Shown("Terminal")], None),
        ([Shown("sh"), Hidden(), Shown("docker", "build", ".")], False),
        ([Hidden(), Shown("zsh")], False),
        ([], None),
    ],
)
def test_only_a_caller_that_cannot_be_looked_at_has_typed_nothing(
    monkeypatch: pytest.MonkeyPatch, line: list[object], is_needed: bool | None
) -> None:
    """Above every terminal of macOS stands a `login` of root's."""
    monkeypatch.setattr(psutil.Process, "parents", lambda self: line)

    assert callers.needs_registry(HOST, {}) is is_needed


@pytest.mark.parametrize(
    "word",
    [
        HOST,
        f"{HOST}/app",
        f"{HOST.upper()}/app",
        f"docker://{HOST}/app:1",
        f"oci://{HOST}/charts/app",
        f"type=registry,ref={HOST}/cache",
        f"--from={HOST}/app@sha256:0",
        f"{HOST}:443/app",
    ],
)
def test_word_names_a_registry(word: str) -> None:
    assert callers.names_host(word, HOST)


@pytest.mark.parametrize(
    "word",
    [
        "",
        "contoso",
        f"x{HOST}/app",
        f"x.{HOST}/app",
        f"x-{HOST}/app",
        f"{HOST}x/app",
        f"{HOST}.evil.example/app",
        f"{HOST}-evil/app",
        f"{HOST}:8443/app",
        f"{HOST}:tag",
    ],
)
def test_word_names_another_registry(word: str) -> None:
    assert not callers.names_host(word, HOST)


def test_docker_and_its_kin_are_named_by_what_was_typed(tmp_path: Path) -> None:
    asks = ASKS.replace("'git'", "'docker'")
    done = subprocess.run(
        ["podman", "-c", f'"{sys.executable}" -c "{asks}"; true', "pull", "s3cret"],
        executable="/bin/sh",
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        check=True,
        encoding="utf-8",
    )

    assert done.stdout.strip() == f"podman pull in {tmp_path}"


# -- the caller is gone ----------------------------------------------------------------

WATCHES = (
    f"{HANDED_IN} import sys, time; from hushkey.system import callers; "
    "ended = callers.ended(sys.argv[1]); print('ready', flush=True)\n"
    "end = time.monotonic() + 30\n"
    "while not ended() and time.monotonic() < end: time.sleep(0.02)\n"
    "print('over' if ended() else 'still there', flush=True)"
)


@pytest.mark.parametrize(
    ("name", "tool"), [("git", "git"), ("docker", "docker"), ("pip", "keyring")]
)
def test_killed_command_is_seen_through_what_it_left(name: str, tool: str) -> None:
    """The command is killed; a shell between it and us lives on, and waits for us."""
    inner = f'"$PYTHON" -c "$WATCHES" {tool}; true'
    process = subprocess.Popen(
        [name, "-c", 'sh -c "$INNER"; true', name, "install"],
        executable="/bin/sh",
        env={
            **os.environ,
            "INNER": inner,
            "PYTHON": sys.executable,
            "WATCHES": WATCHES,
        },
        stdout=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    assert process.stdout
    try:
        assert process.stdout.readline() == "ready\n"
        process.kill()  # it stays a zombie until the end of this test
        assert process.stdout.readline() == "over\n"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()


def test_shell_around_the_command_does_not_count() -> None:
    watches = WATCHES.replace("+ 30", "+ 1")
    outer = subprocess.Popen(
        ["x", "-c", '"$PYTHON" -c "$STARTS"; true'],
        executable="/bin/sh",
        env={
            **os.environ,
            "PYTHON": sys.executable,
            "STARTS": "import os, subprocess; subprocess.run(['git', '-c', "
            "'\"$PYTHON\" -c \"$WATCHES\" git; true'], executable='/bin/sh')",
            "WATCHES": watches,
        },
        stdout=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    assert outer.stdout
    try:
        assert outer.stdout.readline() == "ready\n"
        outer.kill()
        assert outer.stdout.readline() == "still there\n"
    finally:
        os.killpg(outer.pid, signal.SIGKILL)
        outer.stdout.close()
        outer.wait()
