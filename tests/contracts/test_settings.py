"""What `hushkey install TOOL` writes, read by the real tool: it starts our program.

Nothing answers at the hosts; each tool asks for a credential before it connects.
"""

import json
import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import do_without
from hushkey_install.cli import main
from kit.oauth import Machine
from servers.toolclients import TOOLS

pytestmark = pytest.mark.contract

#: notes how it was started, then refuses
RECORDER = """\
#!/bin/sh
printf '%s\\n' "$*" "$KUBERNETES_EXEC_INFO" >>"$0.seen"
if [ "$1" = --cargo-plugin ]; then
    echo '{"v":[1]}'
    read -r line
    echo "$line" >>"$0.seen"
fi
echo "hushkey: nobody is here" >&2
exit 1
"""


class Desk(Machine):
    """A home where hushkey-answer notes how it is started."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.bin = home / ".local" / "bin"
        self.bin.mkdir(parents=True)
        self.answer = self.bin / "hushkey-answer"
        self.answer.write_text(RECORDER)
        self.answer.chmod(0o755)
        brought = (TOOLS / "go" / "bin", TOOLS / "node" / "node_modules" / ".bin")
        folders = (self.bin, os.environ["PATH"], *brought)
        self.environ["PATH"] = os.pathsep.join(map(str, folders))

    def install(self, *words: str) -> None:
        result = CliRunner().invoke(main, ["install", *words], env=self.environ)
        assert result.exit_code == 0, result.output

    def tool(self, program: str, *words: str, **environ: str) -> str:
        """Run the tool; return what it wrote."""
        found = shutil.which(program, path=self.environ["PATH"])
        if found is None:
            do_without(f"there is no {program} on this machine")
            raise AssertionError
        done = subprocess.run(
            [found, *words],
            env={**self.environ, **environ},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
            start_new_session=True,
        )
        return done.stdout + done.stderr

    def seen(self) -> list[str]:
        path = Path(f"{self.answer}.seen")
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def desk(home: Path) -> Desk:
    made = Desk(home)
    made.configure(more='[host."127.0.0.1:1"]\nidentity = "corp"\n')
    return made


def test_kubectl(desk: Desk) -> None:
    # written by kubectl itself
    set_up = (
        ("set-cluster", "c", "--server=https://127.0.0.1:1"),
        ("set-credentials", "mine", "--token=x"),
        ("set-context", "work", "--cluster=c", "--user=mine"),
        ("use-context", "work"),
    )
    for words in set_up:
        desk.tool("kubectl", "config", *words)
    file = desk.home / ".kube" / "config"
    before = file.read_bytes()

    desk.install("kubectl")
    shown = desk.tool("kubectl", "config", "view", "-o", "json")
    said, _ = json.JSONDecoder().raw_decode(shown)  # a dispatcher may say more
    desk.tool("kubectl", "get", "--raw", "/x", "--request-timeout=5s")

    assert said["contexts"][0]["context"]["user"] == "hushkey"
    assert {user["name"] for user in said["users"]} == {"hushkey", "mine"}
    started, info = desk.seen()[:2]
    assert started == "kubectl"
    assert json.loads(info)["spec"]["cluster"]["server"] == "https://127.0.0.1:1"
    CliRunner().invoke(main, ["uninstall", "kubectl"], env=desk.environ)
    assert file.read_bytes() == before


def test_terraform(desk: Desk) -> None:
    desk.install("terraform")
    (desk.home / "main.tf").write_text(
        'module "m" {\n  source  = "127.0.0.1:1/a/b/c"\n  version = "1.0.0"\n}\n'
    )

    said = desk.tool("terraform", "init", CHECKPOINT_DISABLE="1")

    assert "terraform get 127.0.0.1:1" in desk.seen(), said
    assert "CLI configuration" not in said


def test_cargo(desk: Desk) -> None:
    cargo = desk.home / ".cargo"
    cargo.mkdir()
    (cargo / "config.toml").write_text(
        "[registries.my]\nindex = 'sparse+https://127.0.0.1:1/'\n"
    )
    desk.install("cargo")

    tools = Path(pwd.getpwuid(os.getuid()).pw_dir, ".rustup")  # where cargo may be
    said = desk.tool("cargo", "logout", "--registry", "my", RUSTUP_HOME=str(tools))

    words, _, request = desk.seen()
    assert words == "--cargo-plugin", said
    told = json.loads(request)
    assert told["registry"]["index-url"] == "sparse+https://127.0.0.1:1/"
    assert told["args"] == ["cargo"]  # so that they are no words of ours


def test_go(desk: Desk) -> None:
    desk.install("go")

    assert desk.tool("go", "env", "GOAUTH") == f"netrc;{desk.answer} go\n"


def test_pnpm(desk: Desk) -> None:
    registry = "https://127.0.0.1:1/npm/"
    package = {"name": "x", "version": "1.0.0", "dependencies": {"nothing": "1.0.0"}}
    (desk.home / "package.json").write_text(json.dumps(package))
    (desk.home / ".npmrc").write_text(f"registry={registry}\nfetch-retries=0\n")
    desk.install("pnpm", "127.0.0.1:1/npm")

    named = {"pnpm_config_registry": registry, "pnpm_config_fetch_retries": "0"}
    said = desk.tool("pnpm", "install", **named)

    assert "pnpm 127.0.0.1:1/npm" in desk.seen(), said
