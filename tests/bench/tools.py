"""Time each tool's own command with hushkey, and with a token in its config.

    .venv/bin/python tests/bench/tools.py [RUNS]

Whole commands in turn, each in a folder of its own, as new; Markdown. The server is on
loopback and wants the token; the ratio is the median of pair-by-pair ratios.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from kit.oauth import CONFIG, Machine, grant
from servers import toolclients
from servers.authority import Authority
from servers.process import Missing, clean_environ
from servers.toolclients import Client, Command, Place
from servers.toolserver import ToolServer

TOKEN = "at-static"


def _cargo(place: Place) -> Command:
    command = toolclients.cargo_alone(place)
    text = f'[registries.mine]\ntoken = "Bearer {TOKEN}"\n'
    place.write("cargo/credentials.toml", text)
    with (place.folder / "cargo/config.toml").open("a") as file:
        file.write('[registry]\nglobal-credential-providers = ["cargo:token"]\n')
    return command


def _go(place: Place) -> Command:
    command = toolclients.go(place)
    netrc = place.write(
        "netrc", f"machine {place.server.host} login me password {TOKEN}\n"
    )
    return replace(
        command, environ={**command.environ, "GOAUTH": "netrc"} | {"NETRC": netrc}
    )


def _kubectl(place: Place) -> Command:
    command = toolclients.kubectl(place)
    config = Path(command.environ["KUBECONFIG"])
    content = json.loads(config.read_text())
    content["users"][0]["user"] = {"token": TOKEN}
    config.write_text(json.dumps(content))
    return command


def _terraform(place: Place) -> Command:
    command = toolclients.terraform_alone(place)
    text = f'credentials "{place.server.host}" {{ token = "{TOKEN}" }}\n'
    place.write("terraformrc", text)
    return command


def _pnpm(place: Place) -> Command:
    command = toolclients.pnpm_alone(place)
    text = f"//{place.server.host}/npm/:_authToken={TOKEN}\n"
    place.write("config/pnpm/auth.ini", text)
    return command


def _helm(place: Place) -> Command:
    words = (str(toolclients.installed("bin/helm")), "list")
    return replace(_kubectl(place), words=words)


def _pnpm_10(place: Place) -> Command:
    command = toolclients.pnpm_10(place)
    config = place.folder / ".npmrc"
    lines = [x for x in config.read_text().splitlines() if "tokenHelper" not in x]
    token = f"//{place.server.host}/npm/:_authToken={TOKEN}"
    config.write_text("\n".join((*lines, token, "")))
    return command


def _yarn(place: Place) -> Command:
    command = toolclients.yarn(place)
    text = f"npmAlwaysAuth: true\nnpmAuthToken: {TOKEN}\n"
    place.write("home/.yarnrc.yml", text)
    return command


def _rclone(place: Place) -> Command:
    return toolclients.rclone_with(place, f"bearer_token = {TOKEN}")


def _curl(place: Place) -> Command:
    config = place.write("curlrc", f'header = "Authorization: Bearer {TOKEN}"\n')
    words = ("curl", "-sSf", "--cacert", str(place.ca_file), "-K", config)
    return Command(("/usr/bin/env", *words, f"{place.server.url}/api"))


#: tool -> with hushkey, and with a token that stands in a file
PAIRS: Mapping[str, tuple[Client, Client]] = {
    "cargo fetch": (toolclients.cargo, _cargo),
    "go get": (toolclients.go, _go),
    "kubectl get": (toolclients.kubectl, _kubectl),
    "terraform get": (toolclients.terraform, _terraform),
    "helm list": (toolclients.helm, _helm),
    "pnpm add": (toolclients.pnpm, _pnpm),
    "pnpm add (10)": (toolclients.pnpm_10, _pnpm_10),
    "yarn add": (toolclients.yarn, _yarn),
    "rclone lsf": (toolclients.rclone, _rclone),
    "curl": (toolclients.curl, _curl),
}


def timed(machine: Machine, client: Client, server: ToolServer, ca_file: Path) -> float:
    """Run *client* once in a new folder; return wall seconds."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = client(Place(Path(folder), server, ca_file))
        began = time.perf_counter()
        done = subprocess.run(
            command.words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=machine.environ | dict(command.environ),
            cwd=folder,
            timeout=120,
            check=False,
        )
        took = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{command.words} failed: {done.stderr.decode()}")
    return took


def measure(
    machine: Machine, server: ToolServer, ca_file: Path, pair: tuple[Client, Client]
) -> tuple[float, float]:
    helped, static = pair
    return (
        timed(machine, helped, server, ca_file),
        timed(machine, static, server, ca_file),
    )


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    for name in set(os.environ) - set(clean_environ()):
        del os.environ[name]
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder) / "authority")
        os.environ["HOME"] = folder
        context = authority.server_context()
        with ToolServer(context, lambda token: token == TOKEN) as server:
            machine = Machine(Path(folder), "https://id.test")
            machine.configure(text=CONFIG.replace("git.test", server.host))
            machine.settle()
            machine.has(grant(TOKEN))
            machine.environ |= {
                "HUSHKEY_CONFIG": str(machine.config_file),
                "HUSHKEY_DATA_DIR": str(machine.data),
                "HUSHKEY_SYSTEM_CONFIG": "off",
            }
            print("| command | with hushkey, ms | static token, ms | ratio |")
            print("|---|---:|---:|---:|")
            for name, pair in PAIRS.items():
                try:
                    found = [
                        measure(machine, server, authority.ca_file, pair)
                        for _ in range(runs + 1)
                    ][1:]
                except Missing as reason:
                    print(f"| {name} | | | {reason} |")
                    continue
                ours, static = (
                    statistics.median(each) * 1000 for each in zip(*found, strict=True)
                )
                ratio = statistics.median(one / other for one, other in found)
                print(f"| `{name}` | {ours:.0f} | {static:.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
