"""The real clients of tools.

Each is told to fetch the `hello` of a `servers.toolserver`, in a folder and with a home
of its own. What it is told of hushkey is what the guide's table says.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from servers.process import CACHE, Missing, find_program
from servers.toolserver import ToolServer

TOOLS = CACHE / "tools"
#: for long tests alone
AGENTS = CACHE / "agents"
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Place:
    """A new folder, where one client runs once."""

    folder: Path
    server: ToolServer
    ca_file: Path

    def write(self, name: str, text: str, *, mode: int = 0o600) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def script(self, name: str, *words: str) -> str:
        """A door for tools that run a program without words of ours."""
        line = " ".join([str(BIN / "hushkey-answer"), *words])
        return self.write(name, f'#!/bin/sh\nexec {line} "$@"\n', mode=0o700)


@dataclass(frozen=True)
class Command:
    """How a client is started: the words, and what it needs in its environment."""

    words: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)


Client = Callable[[Place], Command]


def installed(path: str) -> Path:
    """Return what tests/prepare put there."""
    found = TOOLS / path
    if not found.exists():
        raise Missing(f"{path} is not there: run tests/prepare")
    return found


def run(tool: str, command: Command, *options: str, at: str) -> Command:
    """Return how `hushkey run` starts *command* for *at*."""
    words = (str(BIN / "hushkey"), "run", tool, "--host", at, *options, "--")
    return Command((*words, *command.words), command.environ)


# -- with a helper -----------------------------------------------------------------


def cargo_alone(place: Place) -> Command:
    registry = f'[registries.mine]\nindex = "sparse+{place.server.url}/cargo/"\n'
    trust = f'[http]\ncainfo = "{place.ca_file}"\n[net]\nretry = 0\n'
    place.write("cargo/config.toml", registry + trust)
    place.write(
        "Cargo.toml",
        '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n'
        '[dependencies]\nhello = { version = "0.1", registry = "mine" }\n',
    )
    place.write("src/lib.rs", "")
    program = _cargo()
    path = f"{program.parent}{os.pathsep}{BIN}{os.pathsep}{os.environ['PATH']}"
    variables = {"CARGO_HOME": str(place.folder / "cargo"), "PATH": path}
    return Command((str(program), "fetch"), variables)


def _cargo() -> Path:
    program = Path(find_program("cargo"))
    # rustup's cargo looks for the real one below the home, which is not ours here.
    if program.resolve().name == "rustup":
        found = sorted(program.parents[2].glob(".rustup/toolchains/stable*/bin/cargo"))
        if not found:
            raise Missing("cargo is rustup's, which has no stable toolchain")
        return found[-1]
    return program


def cargo(place: Place) -> Command:
    command = cargo_alone(place)
    words = '["cargo:token", "hushkey-answer cargo"]'
    with (place.folder / "cargo/config.toml").open("a") as file:
        file.write(f"[registry]\nglobal-credential-providers = {words}\n")
    return command


def go(place: Place) -> Command:
    """`go get` of a path that may be one of four modules: as many requests at once."""
    place.write("go.mod", "module test\n\ngo 1.20\n")
    root = installed("go")
    variables = {
        "GOAUTH": "netrc;hushkey-answer go",
        "GOCACHE": str(place.folder / "cache"),
        "GOENV": "off",
        "GOFLAGS": "-modcacherw",
        "GONOSUMDB": "*",
        "GOPATH": str(place.folder / "path"),
        "GOPROXY": f"{place.server.url}/go",
        "GOROOT": str(root),
        "GOTELEMETRY": "off",
        "GOTOOLCHAIN": "local",
        "SSL_CERT_FILE": str(place.ca_file),
    }
    return Command((str(root / "bin/go"), "get", "example.com/hello/a/b"), variables)


def _kubernetes(place: Place, *words: str) -> Command:
    exec_entry = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "hushkey-answer",
        "args": ["kubectl"],
        "provideClusterInfo": True,
        "interactiveMode": "IfAvailable",
    }
    authority = {"certificate-authority": str(place.ca_file)}
    cluster = {"server": f"{place.server.url}/k8s", **authority}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "hushkey", "user": {"exec": exec_entry}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "hushkey"}}],
        "current-context": "c",
    }
    config = place.write("kubeconfig", json.dumps(content))
    variables = {
        "HELM_CACHE_HOME": str(place.folder / "helm"),
        "KUBECACHEDIR": str(place.folder / "cache"),
        "KUBECONFIG": config,
    }
    return Command(words, variables)


def kubectl(place: Place) -> Command:
    program = str(installed("bin/kubectl"))
    return _kubernetes(place, program, "get", "namespaces")


def older_kubectl(place: Place) -> Command:
    """The machine's, which may be gcloud's."""
    program = find_program("kubectl")
    return _kubernetes(place, program, "get", "namespaces")


def helm(place: Place) -> Command:
    return _kubernetes(place, str(installed("bin/helm")), "list")


def terraform_alone(place: Place) -> Command:
    place.write(
        "main.tf",
        f'module "hello" {{\n  source = "{place.server.host}/acme/hello/null"\n'
        '  version = "1.0.0"\n}\n',
    )
    variables = {
        "CHECKPOINT_DISABLE": "1",
        "HOME": str(place.folder),
        "SSL_CERT_FILE": str(place.ca_file),
        "TF_CLI_CONFIG_FILE": place.write("terraformrc", ""),
    }
    return Command((find_program("terraform"), "get", "-no-color"), variables)


def terraform(place: Place) -> Command:
    command = terraform_alone(place)
    place.write("terraformrc", 'credentials_helper "hushkey" {}\n')
    place.script(".terraform.d/plugins/terraform-credentials-hushkey", "terraform")
    return command


def _npm_project(place: Place, **settings: str) -> dict[str, str]:
    place.write("package.json", '{"name": "app", "version": "1.0.0"}')
    registry = {"registry": f"{place.server.url}/npm/", "cafile": str(place.ca_file)}
    lines = {**registry, "fetch-retries": "0", **settings}
    text = "".join(f"{name}={value}\n" for name, value in lines.items())
    place.write(".npmrc", text)
    return {
        "HOME": str(place.folder),
        "NODE_EXTRA_CA_CERTS": str(place.ca_file),
        "XDG_CACHE_HOME": str(place.folder / "cache"),
        "XDG_CONFIG_HOME": str(place.folder / "config"),
        "XDG_DATA_HOME": str(place.folder / "data"),
        "XDG_STATE_HOME": str(place.folder / "state"),
        "npm_config_cache": str(place.folder / "cache"),
        "npm_config_update_notifier": "false",
    }


def _pnpm(version: str) -> tuple[str, ...]:
    folder = installed(f"node/node_modules/pnpm{version}")
    about = json.loads((folder / "package.json").read_text())
    program = folder / about["bin"]["pnpm"]
    if program.suffix in (".cjs", ".mjs", ".js"):
        return find_program("node", package="nodejs"), str(program)
    return (str(program),)


def pnpm_alone(place: Place) -> Command:
    variables = _npm_project(place)
    return Command((*_pnpm("12"), "add", "hello"), variables)


def pnpm(place: Place) -> Command:
    command = pnpm_alone(place)
    at = f"{place.server.host}/npm/"
    program = BIN / "hushkey-answer"
    place.write("config/pnpm/auth.ini", f"//{at}:tokenHelper={program} pnpm {at}\n")
    return command


def pnpm_10(place: Place) -> Command:
    """It takes a program without words, and only in the user's own .npmrc."""
    at = f"{place.server.host}/npm/"
    door = place.script("door", "pnpm", at)
    variables = _npm_project(place, **{f"//{at}:tokenHelper": door})
    (place.folder / "app").mkdir()
    shutil.move(place.folder / "package.json", place.folder / "app")
    words = (*_pnpm("10"), "-C", str(place.folder / "app"), "add", "hello")
    return Command(words, variables)


def nuget(place: Place) -> Command:
    """Windows' program, in Mono: it trusts a folder of the home, and no address."""
    program = find_program("mono", package="mono-runtime")
    door = place.script("nuget-plugin-hushkey", "nuget")
    authority = x509.load_pem_x509_certificate(place.ca_file.read_bytes())
    subject = authority.subject.public_bytes()
    digest = hashlib.md5(subject, usedforsecurity=False).digest()
    name = f"{int.from_bytes(digest[:4], 'little'):08x}.0"
    trusted = f".config/.mono/new-certs/Trust/{name}"
    place.write(trusted, place.ca_file.read_text())
    variables = {
        "HOME": str(place.folder),
        "NUGET_PLUGIN_PATHS": door,
        "XDG_CONFIG_HOME": str(place.folder / ".config"),
        "XDG_DATA_HOME": str(place.folder / ".local/share"),
    }
    source = f"https://localhost:{place.server.port}/nuget/v3/index.json"
    words = ("search", "hello", "-Source", source, "-NonInteractive")
    exe = installed("nuget.exe")
    return Command((program, str(exe), *words), variables)


_GOOGLE = """
import json, sys
import google.auth
from google.auth.transport.requests import Request
credentials, _ = google.auth.load_credentials_from_file(sys.argv[1])
credentials.refresh(Request())
print(credentials.token)
"""


def google(place: Place) -> Command:
    helper = f"{BIN}/hushkey-answer google --host {place.server.host}"
    content = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{place.server.url}/sts",
        "credential_source": {
            "executable": {"command": helper, "timeout_millis": 30000}
        },
    }
    account = place.write("account.json", json.dumps(content))
    variables = {
        "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES": "1",
        "PYTHONPATH": str(installed("google")),
        "REQUESTS_CA_BUNDLE": str(place.ca_file),
    }
    return Command((sys.executable, "-c", _GOOGLE, account), variables)


_BOTO3 = """
import boto3, sys
sts = boto3.Session(profile_name="work").client("sts", endpoint_url=sys.argv[1])
print(sts.get_caller_identity()["Account"])
"""


def aws(place: Place) -> Command:
    config = place.write(
        "config",
        "[profile work]\nregion = eu-west-1\ncredential_process = "
        f"{BIN}/hushkey-answer aws --host {place.server.host}/aws\n",
    )
    variables = {
        "AWS_CA_BUNDLE": str(place.ca_file),
        "AWS_CONFIG_FILE": config,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_SHARED_CREDENTIALS_FILE": place.write("credentials", ""),
        "REQUESTS_CA_BUNDLE": str(place.ca_file),
    }
    words = (sys.executable, "-c", _BOTO3, place.server.url)
    return Command(words, variables)


def rclone(place: Place) -> Command:
    helper = f"{BIN}/hushkey-answer token {place.server.host}"
    return rclone_with(place, f"bearer_token_command = {helper}")


def rclone_with(place: Place, line: str) -> Command:
    url = f"url = {place.server.url}/dav/"
    text = "\n".join(("[home]", "type = webdav", url, "vendor = other", line, ""))
    words = ("lsf", "home:", "--ca-cert", str(place.ca_file), "--retries", "1")
    variables = {"RCLONE_CONFIG": place.write("rclone.conf", text)}
    program = str(installed("bin/rclone"))
    return Command((program, *words, "--low-level-retries", "1"), variables)


def curl(place: Place) -> Command:
    url = f"{place.server.url}/api"
    line = (
        f'"{BIN}/hushkey" token {place.server.host} --format curl |'
        f' "{find_program("curl")}" -sSf --cacert "{place.ca_file}" -K - {url}'
    )
    return Command(("/bin/sh", "-c", line))


def _agent(place: Place, pattern: str, *words: str) -> Command:
    """A coding agent, which is to reach nothing but the server."""
    found = sorted((AGENTS / "node_modules").glob(pattern))
    if not found:
        raise Missing(f"{pattern} is not there: run tests/prepare --long")
    variables = {
        "ANTHROPIC_BASE_URL": place.server.url,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CONFIG_DIR": str(place.folder / "claude"),
        "CODEX_HOME": str(place.folder),
        "DISABLE_AUTOUPDATER": "1",
        "HOME": str(place.folder),
        "NODE_EXTRA_CA_CERTS": str(place.ca_file),
        "SSL_CERT_FILE": str(place.ca_file),
    }
    return Command((str(found[0]), *words), variables)


def claude(place: Place) -> Command:
    helper = f"{BIN}/hushkey-answer token {place.server.host}"
    place.write("claude/settings.json", json.dumps({"apiKeyHelper": helper}))
    return _agent(place, "@anthropic-ai/claude-code-*/claude", "-p", "hi")


def codex(place: Place) -> Command:
    place.write(
        "config.toml",
        'model = "x"\nmodel_provider = "corp"\n[model_providers.corp]\nname = "corp"\n'
        f'base_url = "{place.server.url}/v1"\nwire_api = "responses"\n'
        "request_max_retries = 0\nstream_max_retries = 0\n"
        f'auth.command = "{BIN}/hushkey-answer"\n'
        f'auth.args = ["token", "{place.server.host}"]\n',
    )
    words = ("exec", "--skip-git-repo-check", "hi")
    return _agent(place, "@openai/codex-*/vendor/*/bin/codex", *words)


# -- with a variable -----------------------------------------------------------------


def run_cargo(place: Place) -> Command:
    command = cargo_alone(place)
    return run("cargo", command, "--name", "mine", at=place.server.host)


def run_terraform(place: Place) -> Command:
    return run("terraform", terraform_alone(place), at=place.server.host)


def run_pnpm(place: Place) -> Command:
    return run("pnpm", pnpm_alone(place), at=f"{place.server.host}/npm/")


def run_npm(place: Place) -> Command:
    words = (find_program("npm"), "install", "--no-audit", "--no-fund", "hello")
    command = Command(words, _npm_project(place))
    return run("npm", command, at=f"{place.server.host}/npm/")


def run_yarn(place: Place) -> Command:
    variables = _npm_project(place)
    place.write(
        ".yarnrc.yml",
        f"npmRegistryServer: {place.server.url}/npm\n"
        f"httpsCaFilePath: {place.ca_file}\n"
        "enableGlobalCache: false\nenableTelemetry: false\nhttpRetry: 0\n"
        "nodeLinker: node-modules\nnpmMinimalAgeGate: 0\n",
    )
    place.write("yarn.lock", "")
    program = installed("node/node_modules/@yarnpkg/cli-dist/bin/yarn.js")
    words = (find_program("node", package="nodejs"), str(program), "add", "hello")
    command = Command(words, {**variables, "YARN_IGNORE_PATH": "1"})
    return run("yarn", command, at=f"{place.server.host}/npm/")


def run_maven(place: Place) -> Command:
    """A project whose parent is elsewhere; nothing else is needed to validate it."""
    repository = (
        "<repositories><repository><id>mine</id>"
        f"<url>{place.server.url}/maven</url></repository></repositories>"
    )
    place.write(
        "pom.xml",
        '<project xmlns="http://maven.apache.org/POM/4.0.0">'
        "<modelVersion>4.0.0</modelVersion><parent><groupId>test</groupId>"
        "<artifactId>hello</artifactId><version>1</version><relativePath/></parent>"
        f"<artifactId>app</artifactId><packaging>pom</packaging>{repository}</project>",
    )
    settings = place.write(
        "settings.xml",
        "<settings><servers><server><id>mine</id>"
        "<username>${env.HUSHKEY_USER}</username>"
        "<password>${env.HUSHKEY_TOKEN}</password></server></servers></settings>",
    )
    words = (
        find_program("mvn", package="maven"),
        *("-B", "-q", "-s", settings, f"-Dmaven.repo.local={place.folder}/m2"),
        "-Dmaven.wagon.http.ssl.insecure=true",
        *("-Dmaven.resolver.transport=wagon", "validate"),
    )
    return run("maven", Command(words), at=place.server.host)


def run_bundler(place: Place) -> Command:
    place.write("Gemfile", f'source "{place.server.url}/gems"\ngem "hello"\n')
    for name in ("bundle", "bundle3.1", "bundle3.3"):
        if program := shutil.which(name, path="/usr/bin:/usr/local/bin"):
            break
    else:
        raise Missing("bundle is not installed: apt-get install ruby-bundler")
    variables = {
        "BUNDLE_APP_CONFIG": str(place.folder / "bundle"),
        "BUNDLE_RETRY": "0",
        "BUNDLE_SSL_CA_CERT": str(place.ca_file),
        "BUNDLE_USER_HOME": str(place.folder / "user"),
        "HOME": str(place.folder),
    }
    return run("bundler", Command((program, "lock"), variables), at=place.server.host)


#: those that run our program
HELPED: Mapping[str, Client] = {
    "cargo": cargo,
    "go": go,
    "kubectl": kubectl,
    "older_kubectl": older_kubectl,
    "helm": helm,
    "terraform": terraform,
    "pnpm": pnpm,
    "pnpm_10": pnpm_10,
    "nuget": nuget,
    "google": google,
    "aws": aws,
    "rclone": rclone,
    "curl": curl,
}
#: those that are as heavy as half a gigabyte
HEAVY: Mapping[str, Client] = {"claude": claude, "codex": codex}
#: those that `hushkey run` starts
STARTED: Mapping[str, Client] = {
    "cargo": run_cargo,
    "terraform": run_terraform,
    "pnpm": run_pnpm,
    "npm": run_npm,
    "yarn": run_yarn,
    "maven": run_maven,
    "bundler": run_bundler,
}
