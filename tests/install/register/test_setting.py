"""Each tool of settings: shown, made, taken back byte for byte, looked at by doctor."""

import json
import os
import shutil
import stat
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from hushkey_install.cli import main
from hushkey_install.common.finding import PROBLEM, Finding
from hushkey_install.register import table, yarn
from hushkey_install.register.setting import SettingsRegistration
from hushkey_install.tools.installation import Installation
from kit.condabase import CondaBase
from kit.oauth import Machine

KUBECONFIG = """\
# my clusters
apiVersion: v1
kind: Config
clusters:
- name: work   # the big one
  cluster:
    server: https://git.test
    certificate-authority-data: abc==
- cluster: {server: https://flow.test}
  name: flow
- cluster:
    server: https://foreign.test:6443
  name: other
contexts:
- context:
    cluster: work
    user: "arn:aws:eks:me"   # mine
  name: work
- context:
    cluster: other
    user: admin
  name: other
current-context: work
users:
- name: admin
  user:
    client-key-data: |
      - name: hushkey
      abc
# the end
"""
CODEX = """\
model = "x"   # mine

[model_providers.corp]
name = 'corp'
base_url = "https://git.test/v1"

[model_providers.other]
base_url = "https://foreign.test/v1"
"""
RCLONE = """\
[away]
type = webdav
url = https://foreign.test/

[home]
type = webdav
url = https://git.test/dav
vendor = other

[last]
type = local
"""


STS = """
[host."git.test/sts"]
identity = "corp"
exchange = "sts"
role = "arn:aws:iam::111122223333:role/ci"
"""
YARNRC = """\
# mine
nodeLinker: node-modules

npmRegistries:
  //git.test/npm/:
    # of the team
    npmAuthToken: "s3cret"
  "https://git.test/team": # two
    npmAlwaysAuth: false   # for now
  https://foreign.test:8443:
    npmAlwaysAuth: true
  'https://git.test/old':

plugins:
  - ./mine.cjs
  - path: .yarn/plugins/other.cjs
    spec: "https://foreign.test/other.cjs"
npmScopes: {mine: {npmRegistryServer: "https://git.test/npm"}}
"""
CONDARC = """\
# mine
channels:
- defaults

channel_settings:
  - channel: own   # a name
    auth: other
    user: me
"""


class Case(NamedTuple):
    """One tool: its words, its file, what that holds, and lines that it then has."""

    words: tuple[str, ...]
    file: str
    text: str
    lines: tuple[str, ...]
    variable: str = ""


CASES = {
    "cargo": Case(
        (),
        ".cargo/config.toml",
        "# c\n[registry]\ndefault = 'x' # mine\n\n[net]\noffline = false",
        ('global-credential-providers = ["cargo:token", "{ours} cargo"]',),
        "CARGO_REGISTRIES_MY_TOKEN",
    ),
    "go": Case(
        (),
        ".config/go/env",
        "GOAUTH=git /home/me\nGOPROXY=direct\n",
        ("GOAUTH=git /home/me;{ours} go",),
        "GOAUTH",
    ),
    "terraform": Case(
        (),
        ".terraformrc",
        'plugin_cache_dir = "/x" # credentials_helper "no" {}\nhost "a" {\n}\n',
        ('credentials_helper "hushkey" {{',),
        "TF_TOKEN_git_test",
    ),
    "tofu": Case(
        (),
        ".tofurc",
        "",
        ('credentials_helper "hushkey" {{',),
        "TF_TOKEN_git_test",
    ),
    "kubectl": Case(
        (),
        ".kube/config",
        KUBECONFIG,
        ("    user: hushkey   # mine", "      command: {ours}", "    user: admin"),
    ),
    "bazel": Case(
        ("git.test",),
        ".bazelrc",
        "# mine\r\nbuild --jobs=4\r\n",
        (
            "common --credential_helper=git.test="
            "{data}/programs/bazel-credential-hushkey",
        ),
    ),
    "pnpm": Case(
        ("git.test/npm/",),
        ".config/pnpm/auth.ini",
        "//git.test/npm/:tokenHelper=/mine\n; comment\n//a.test/:_authToken=x\n",
        ("//git.test/npm/:tokenHelper={ours} pnpm git.test/npm",),
    ),
    "yarn": Case(
        ("git.test/npm/", "https://git.test/team", "git.test/old", "git.test/new"),
        ".yarnrc.yml",
        YARNRC,
        (
            "  - path: {data}/programs/yarn-plugin-hushkey.cjs",
            "    spec: hushkey",
            "    npmAlwaysAuth: true   # for now",
            '  "https://git.test/new":',
        ),
    ),
    "claude": Case(
        ("git.test",),
        ".claude/settings.json",
        '{\n  "model": "x",\n  "apiKeyHelper": "/mine \\u0041" }\n',
        ('  "apiKeyHelper": "{ours} token git.test" }}',),
        "ANTHROPIC_API_KEY",
    ),
    "codex": Case(
        ("git.test",),
        ".codex/config.toml",
        CODEX,
        ('command = "{ours}"', 'args = ["token", "git.test"]'),
    ),
    "rclone": Case(
        ("home",),
        ".config/rclone/rclone.conf",
        RCLONE,
        ("bearer_token_command = {ours} token git.test/dav",),
    ),
    "conan": Case(
        (),
        ".conan2/extensions/plugins/auth_remote.py",
        "",
        ("def auth_remote_plugin(remote, user=None):",),
        "CONAN_PASSWORD_MY",
    ),
    "conda": Case(
        ("git.test/team/",),
        ".condarc",
        CONDARC,
        ('  - channel: "https://git.test/team/*"', "    auth: hushkey"),
        "CONDA_NO_PLUGINS",
    ),
    "aws": Case(
        ("work=git.test/sts",),
        ".aws/config",
        "[default]\nregion = eu-west-1  # mine\n\n[profile work]\nregion=x\n",
        ("credential_process = {ours} aws --host git.test/sts",),
        "AWS_ACCESS_KEY_ID",
    ),
    "google": Case(
        ("git.test", "//iam.googleapis.com/p/1"),
        ".config/hushkey/google.json",
        "",
        ('      "command": "{ours} google --host git.test",',),
    ),
}
#: those whose whole file is ours
WHOLE = ("conan", "google")
each_tool = pytest.mark.parametrize("tool", CASES)


class Desk(Machine):
    """A home with hushkey-answer in a folder of its own on PATH."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.bin = home / ".local" / "bin"
        self.ours = self.program("hushkey-answer")
        self.environ["PATH"] = f"{self.bin}{os.pathsep}/usr/bin"
        file = self.config_file.with_name("google.json")
        self.environ["GOOGLE_APPLICATION_CREDENTIALS"] = str(file)
        self.environ["GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"] = "1"
        self.conda = CondaBase(home / "miniforge3")
        self.environ["CONDA_EXE"] = str(self.conda.program)

    def program(self, name: str) -> Path:
        self.bin.mkdir(parents=True, exist_ok=True)
        path = self.bin / name
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return path

    def hushkey(self, *words: str, code: int = 0, **environ: str) -> Result:
        result = CliRunner().invoke(main, words, env={**self.environ, **environ})
        assert result.exit_code == code, result.output
        return result

    def file(self, tool: str, text: str | None = None) -> Path:
        path = self.home / CASES[tool].file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((CASES[tool].text if text is None else text).encode())
        return path

    def install(self, tool: str, *options: str, code: int = 0) -> Result:
        return self.hushkey("install", tool, *CASES[tool].words, *options, code=code)

    def findings(self, tool: str) -> list[Finding]:
        looked_at = Installation(self.environ, "/")
        found = {each.name: each for each in table.REGISTRATIONS}[tool]
        return list(found.checks(looked_at))


@pytest.fixture
def desk(home: Path) -> Desk:
    made = Desk(home)
    made.configure(STS)
    return made


def shape(desk: Desk) -> dict[str, bytes]:
    """Return every file of the home but what the data folder keeps for itself."""
    return {
        str(path): path.read_bytes()
        for path in desk.home.rglob("*")
        if path.is_file() and path.name != "folders" and path.suffix != ".compiled"
    }


def test_every_tool_of_settings_is_here() -> None:
    tools = [t.name for t in table.REGISTRATIONS if isinstance(t, SettingsRegistration)]

    assert sorted([*CASES, "nuget"]) == sorted(tools)  # which has no file to set


@each_tool
def test_install_sets_it_and_leaves_the_rest(desk: Desk, tool: str) -> None:
    path, case = desk.file(tool), CASES[tool]

    shown = desk.install(tool).stdout

    text = path.read_bytes().decode()
    lines = [line.rstrip("\r\n") for line in text.splitlines()]
    for line in case.lines:
        made = line.format(ours=desk.ours, data=desk.data)
        assert made in lines
        assert f"+{made}" in shown or made == "    user: admin"
    kept = [line for line in case.text.splitlines() if line not in lines]
    assert len(kept) <= 1  # what was there before of the same setting


@each_tool
def test_dry_run_shows_it_and_changes_nothing(desk: Desk, tool: str) -> None:
    desk.file(tool)
    before = shape(desk)

    shown = desk.install(tool, "--dry-run").stdout

    assert shape(desk) == before
    assert str(desk.home / CASES[tool].file) in shown


@each_tool
def test_uninstall_takes_it_back_exactly(desk: Desk, tool: str) -> None:
    path = desk.file(tool)
    before = shape(desk)
    desk.install(tool)
    assert shape(desk) != before

    desk.hushkey("uninstall", tool)

    assert path.read_bytes().decode() == CASES[tool].text
    assert shape(desk) == before


@each_tool
def test_uninstall_needs_no_config(desk: Desk, tool: str) -> None:
    path = desk.file(tool)
    desk.install(tool)
    desk.config_file.write_text("nonsense")

    desk.hushkey("uninstall", tool)

    assert path.read_bytes().decode() == CASES[tool].text


@each_tool
def test_file_that_install_made_goes(desk: Desk, tool: str) -> None:
    if tool in ("kubectl", "codex", "rclone"):
        pytest.skip("it has to know the host from its own file")
    before = shape(desk)
    desk.install(tool)
    assert (desk.home / CASES[tool].file).exists()

    desk.hushkey("uninstall", tool)

    assert shape(desk) == before


@each_tool
def test_install_twice_changes_nothing_more(desk: Desk, tool: str) -> None:
    desk.file(tool)
    desk.install(tool)
    once = shape(desk)

    assert "nothing to change" in desk.install(tool).stderr

    assert shape(desk) == once


@each_tool
def test_comment_added_since_stays(desk: Desk, tool: str) -> None:
    """The file is not as install left it: ours goes all the same, and only ours."""
    if tool in WHOLE:
        pytest.skip("all of the file is ours")
    path, case = desk.file(tool), CASES[tool]
    end = "\r\n" if "\r\n" in case.text else "\n"
    first = "" if tool == "claude" else f"# of later{end}"
    desk.install(tool)
    path.write_bytes((first + path.read_bytes().decode()).encode() + b"")
    if tool == "claude":
        path.write_text(path.read_text().replace('"model": "x"', '"model": "y"'))

    desk.hushkey("uninstall", tool)

    wanted = first + case.text.replace('"model": "x"', '"model": "y"')
    assert path.read_bytes().decode() == wanted


@each_tool
def test_moved_program_is_followed(desk: Desk, tool: str) -> None:
    """And what stood there before hushkey stays known."""
    path = desk.file(tool)
    desk.install(tool)
    path.write_bytes(path.read_bytes())
    desk.ours.unlink()
    desk.bin = desk.home / "elsewhere"
    desk.ours = desk.program("hushkey-answer")
    desk.environ["PATH"] = f"{desk.bin}{os.pathsep}/usr/bin"
    assert [f.code for f in desk.findings(tool) if f.level == PROBLEM] == [
        f"{tool}-settings"
    ]

    desk.install(tool)

    assert [f for f in desk.findings(tool) if f.level == PROBLEM] == []
    desk.hushkey("uninstall", tool)
    assert path.read_bytes().decode() == CASES[tool].text


# -- doctor ------------------------------------------------------------------------


@each_tool
def test_doctor_is_silent_about_what_is_not_installed(desk: Desk, tool: str) -> None:
    desk.file(tool)

    assert desk.findings(tool) == []


@each_tool
def test_doctor_says_that_the_program_is_missing(desk: Desk, tool: str) -> None:
    if tool == "google":
        pytest.skip("libraries are no program")
    desk.file(tool)
    desk.install(tool)
    desk.environ["PATH"] = str(desk.bin)
    assert [found.code for found in desk.findings(tool)] == [f"{tool}-missing"]

    desk.program(tool)

    assert desk.findings(tool) == []


@each_tool
def test_doctor_finds_settings_that_have_gone(desk: Desk, tool: str) -> None:
    path = desk.file(tool)
    desk.program(tool)
    desk.install(tool)
    desk.file(tool)

    (found,) = desk.findings(tool)

    assert found.code == f"{tool}-settings"
    assert str(path) in found.text
    assert found.command == " ".join(("hushkey install", tool, *CASES[tool].words))


@each_tool
def test_doctor_names_the_variable_that_goes_before(desk: Desk, tool: str) -> None:
    variable = CASES[tool].variable
    if not variable:
        pytest.skip("no variable does")
    desk.file(tool)
    desk.program(tool)
    desk.install(tool)
    desk.environ[variable] = "s3cret"

    (found,) = desk.findings(tool)

    assert found.command == f"unset {variable}"
    assert "s3cret" not in found.text


@pytest.mark.parametrize(
    ("tool", "more", "what"),
    [
        (
            "cargo",
            '\n[registries.my]\ncredential-provider = "cargo:token"\n',
            "registries.my.credential-provider",
        ),
        ("aws", "aws_access_key_id=s3cret\n", "aws_access_key_id of work"),
        (
            "conda",
            '  - channel: "https://git.test/*"\n    auth: s3cret\n',
            "the later item for https://git.test/*",
        ),
        (
            "terraform",
            'credentials "git.test" {\n  token = "s3cret"\n}\n',
            'credentials "git.test"',
        ),
    ],
)
def test_doctor_names_the_setting_that_goes_before(
    desk: Desk, tool: str, more: str, what: str
) -> None:
    path = desk.file(tool)
    desk.program(tool)
    desk.install(tool)
    path.write_text(path.read_text() + more)

    (found,) = desk.findings(tool)

    assert found.code == f"{tool}-overridden"
    assert what in found.text
    assert "s3cret" not in found.text


# -- the right place ----------------------------------------------------------------


#: those that are told a host
NAMED = ("aws", "bazel", "pnpm", "claude", "codex", "conda")


@pytest.mark.parametrize("tool", (*NAMED, "yarn"))
def test_host_without_a_rule_is_refused(desk: Desk, tool: str) -> None:
    desk.file(tool)
    before = shape(desk)

    result = desk.hushkey("install", tool, "foreign.test", code=1)

    assert "hushkey setup" in result.stderr
    assert shape(desk) == before


@pytest.mark.parametrize("tool", (*NAMED, "rclone"))
def test_host_is_needed(desk: Desk, tool: str) -> None:
    desk.file(tool)

    assert "name " in desk.hushkey("install", tool, code=1).stderr
    # And the example has one, also where the tool's name alone is asked about.
    shown = desk.hushkey("help", tool).stdout.splitlines()
    example = shown[shown.index("  Examples:") + 2].strip()
    assert example.startswith(f"hushkey install {tool} ")


@each_tool
def test_program_without_a_path_is_refused(
    desk: Desk, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.file(tool)
    desk.ours.unlink()
    monkeypatch.setattr("sysconfig.get_path", lambda name: "/nowhere")

    assert "bin folder to PATH" in desk.install(tool, code=1).stderr


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ("cargo", "[registry\n"),
        ("cargo", "registry = { default = 'x' }\n"),
        ("cargo", "[registry]\nglobal-credential-providers = 'x'\n"),
        ("terraform", 'credentials_helper "other" {}\n'),
        ("terraform", '{"credentials_helper": {"other": {}}}'),
        ("terraform", 'host "a" {\n'),
        ("kubectl", json.dumps({"contexts": []})),
        ("kubectl", "contexts: [{name: a}]\n"),
        ("conda", "channel_settings: [{channel: a}]\n"),
        ("conda", "{channels: [a]}\n"),
        ("kubectl", "apiVersion: v1\n---\ncontexts: []\n"),
        ("yarn", "npmRegistries: {'https://git.test/npm': {npmAuthToken: x}}\n"),
        ("yarn", "npmRegistries:\n  //git.test/npm: {npmAuthToken: x}\n"),
        ("yarn", "plugins: [./a.cjs]\n"),
        ("claude", "[]"),
        ("codex", "[model_providers.x]\nbase_url = 'https://foreign.test'\n"),
        ("rclone", "# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\n"),
    ],
)
def test_file_that_cannot_be_edited_is_left_alone(
    desk: Desk, tool: str, text: str
) -> None:
    desk.file(tool, text)
    before = shape(desk)

    assert "hushkey: " in desk.install(tool, code=1).stderr

    assert shape(desk) == before


def test_rclone_remotes_go_one_by_one(desk: Desk) -> None:
    path = desk.file("rclone", RCLONE.replace("foreign.test", "git.test"))
    desk.install("rclone")
    one = path.read_text()
    desk.hushkey("install", "rclone", "away")
    assert path.read_text().count("bearer_token_command") == 2

    desk.hushkey("uninstall", "rclone", "away")

    assert path.read_text() == one


# -- of one tool ---------------------------------------------------------------------


@pytest.mark.parametrize("host", ["[::1]", "a_b.test", "y-.test"])
def test_host_that_would_stop_bazel_is_refused(desk: Desk, host: str) -> None:
    path = desk.file("bazel", "")
    desk.configure(more=f'[host."{host}:8443"]\nidentity = "corp"\n')
    desk.install("bazel")
    before = path.read_text()

    result = desk.hushkey("install", "bazel", f"{host}:8443", code=1)

    assert f"no helper for {host}" in result.stderr
    assert path.read_text() == before


@pytest.mark.parametrize("name", ["a b", "o'brien", 'a"b', "a\\b", "a#b"])
def test_path_that_bazel_reads_otherwise_is_refused(desk: Desk, name: str) -> None:
    path = desk.file("bazel", "")
    desk.environ["HUSHKEY_DATA_DIR"] = str(desk.home / name)

    assert "bazel takes no path" in desk.install("bazel", code=1).stderr

    assert path.read_text() == ""


@pytest.mark.parametrize("tool", ["bazel", "conda", "pnpm", "yarn"])
def test_hosts_add_up_and_go_one_by_one(desk: Desk, tool: str) -> None:
    path = desk.file(tool, "")
    desk.configure(more='[host."two.test"]\nidentity = "corp"\n')
    desk.install(tool)
    one = path.read_text()
    desk.hushkey("install", tool, "two.test")
    assert one in path.read_text()
    assert "two.test" in path.read_text()

    desk.hushkey("uninstall", tool, "two.test")
    assert path.read_text() == one
    desk.hushkey("uninstall", tool, *CASES[tool].words)

    assert path.read_text() == ""


def test_terraform_s_own_tokens_count_for_hosts_of_ours_alone(desk: Desk) -> None:
    desk.configure('[host."port-1.test:8443"]\nidentity = "corp"\n')
    path = desk.file("terraform", "")
    desk.program("terraform")
    desk.install("terraform")
    path.write_text(path.read_text() + 'credentials "foreign.test" {\n}\n')
    for name in ("foreign_test", "port__1_test", "x.git_test"):
        desk.environ[f"TF_TOKEN_{name}"] = "s3cret"
    signed_in = desk.home / ".terraform.d/credentials.tfrc.json"
    for text in ("", "[]", '{"credentials": 1}'):
        signed_in.write_text(text)
        assert not desk.findings("terraform")

    hosts = {key: {"token": "s3cret"} for key in ("foreign.test", "git.test")}
    signed_in.write_text(json.dumps({"credentials": hosts}))
    desk.environ["TF_TOKEN_port__1_test:8443"] = "s3cret"

    variable, login = desk.findings("terraform")
    assert variable.command == "unset TF_TOKEN_port__1_test:8443"
    assert login.command == "terraform logout git.test"
    assert str(signed_in) in login.text
    assert "s3cret" not in login.text


def test_terraform_and_tofu_share_the_program(desk: Desk) -> None:
    (desk.home / ".terraformrc").touch()
    desk.hushkey("install", "terraform")
    desk.hushkey("install", "tofu")
    door = desk.home / ".terraform.d/plugins/terraform-credentials-hushkey"
    assert stat.S_IMODE(door.stat().st_mode) == 0o755
    assert door.read_text().endswith(f'exec {desk.ours} terraform "$@"\n')

    desk.hushkey("uninstall", "terraform")
    assert door.exists()
    desk.hushkey("uninstall", "tofu")

    assert not (desk.home / ".terraform.d").exists()


def test_program_of_somebody_else_stays(desk: Desk) -> None:
    door = desk.home / ".terraform.d/plugins/terraform-credentials-hushkey"
    door.parent.mkdir(parents=True)
    door.write_text("mine")

    desk.hushkey("install", "terraform", code=1)

    assert door.read_text() == "mine"
    assert not (desk.home / ".terraformrc").exists()


@pytest.mark.parametrize("version", ["10.34.5", "9.0.0"])
def test_old_pnpm_gets_a_program_for_each_registry(desk: Desk, version: str) -> None:
    package = desk.home / "lib" / "pnpm"
    (package / "bin").mkdir(parents=True)
    (package / "package.json").write_text(
        json.dumps({"name": "pnpm", "version": version})
    )
    cli = package / "bin" / "pnpm.cjs"
    cli.write_text("")
    cli.chmod(0o755)
    (desk.bin / "pnpm").symlink_to(cli)
    (desk.home / ".npmrc").write_text("//git.test/npm/:_authToken=x\n")
    before = shape(desk)

    desk.install("pnpm")

    key, _, door = (desk.home / ".npmrc").read_text().splitlines()[1].partition("=")
    assert key == "//git.test/npm/:tokenHelper"
    assert f'exec {desk.ours} pnpm git.test/npm "$@"' in Path(door).read_text()
    assert os.access(door, os.X_OK)
    desk.hushkey("uninstall", "pnpm")
    assert shape(desk) == before


def test_pnpm_gets_a_program_where_it_refuses_the_words(desk: Desk) -> None:
    """A space in the name of a project, as Azure's feeds have it."""
    path = desk.file("pnpm", "")
    before = shape(desk)

    desk.hushkey("install", "pnpm", "git.test/my%20team/npm/", "git.test/npm/")

    lines = dict(line.split("=") for line in path.read_text().splitlines())
    assert lines["//git.test/npm/:tokenHelper"] == f"{desk.ours} pnpm git.test/npm"
    door = lines["//git.test/my%20team/npm/:tokenHelper"]
    text = Path(door).read_text()
    assert f'exec {desk.ours} pnpm git.test/my%20team/npm "$@"' in text
    assert desk.findings("pnpm") == [
        each for each in desk.findings("pnpm") if each.code == "pnpm-missing"
    ]
    desk.hushkey("uninstall", "pnpm")
    assert shape(desk) == before


@pytest.mark.parametrize("name", ["a b", "o'brien", "a$b", "a#b", "a;b", "a&b"])
def test_path_that_some_pnpm_reads_otherwise_is_refused(desk: Desk, name: str) -> None:
    path = desk.file("pnpm", "")
    desk.environ["HUSHKEY_DATA_DIR"] = str(desk.home / name)

    words = ("install", "pnpm", "git.test/my%20team/npm/")
    assert "pnpm takes no path" in desk.hushkey(*words, code=1).stderr

    assert path.read_text() == ""


def test_yarn_without_a_registry_gets_the_plug_in_alone(desk: Desk) -> None:
    path = desk.home / ".yarnrc.yml"
    plugin = desk.data / "programs" / "yarn-plugin-hushkey.cjs"

    desk.hushkey("install", "yarn")

    assert path.read_text() == f"plugins:\n  - path: {plugin}\n    spec: hushkey\n"
    assert f'const PROGRAM = "{desk.ours}";' in plugin.read_text()
    plugin.unlink()
    assert "yarn-settings" in [found.code for found in desk.findings("yarn")]
    desk.hushkey("install", "yarn")
    assert plugin.exists()


def test_doctor_names_the_registry_that_yarn_does_not_ask_us_for(desk: Desk) -> None:
    desk.program("yarn")
    desk.hushkey("install", "yarn", "git.test")
    project = desk.home / "project" / ".yarnrc.yml"
    project.parent.mkdir()
    inside = Installation(desk.environ, str(project.parent))

    def codes(text: str) -> list[str]:
        project.write_text(text)
        return [found.code for found in yarn.YARN.checks(inside)]

    server = "npmRegistryServer: {}  # ours\n"
    for url in ("https://git.test", "'https://git.test/'", "https://foreign.test/npm"):
        assert codes(server.format(url)) == []
    ours = server.format("'https://git.test/npm/'")
    assert codes(f"{ours}npmAlwaysAuth: true\n") == []
    assert codes(ours) == ["yarn-unasked"]
    (found,) = yarn.YARN.checks(inside)
    assert found.command == "hushkey install yarn git.test/npm"
    assert codes(server.format("https://me:c4nary@git.test/npm")) == ["yarn-unasked"]
    (secret,) = yarn.YARN.checks(inside)
    assert "https://git.test/npm" in secret.text
    assert "c4nary" not in secret.text + secret.command
    desk.hushkey(*found.command.split()[1:])
    assert codes(ours) == []


@pytest.mark.parametrize("again", [False, True])
def test_yarn_s_entry_goes_although_the_data_folder_is_lost(
    desk: Desk, again: bool
) -> None:
    """Yarn refuses every command where a plug-in of its settings is missing."""
    path = desk.file("yarn", "# mine\nnodeLinker: pnp\n")
    desk.hushkey("install", "yarn")
    shutil.rmtree(desk.data)
    if again:
        desk.hushkey("install", "yarn")

    desk.hushkey("uninstall", "yarn")

    assert path.read_text() == "# mine\nnodeLinker: pnp\n"
    path.write_text("plugins: nonsense")
    assert "nothing to change" in desk.hushkey("uninstall", "yarn").stderr


def test_yarn_s_plug_in_of_somebody_else_stays(desk: Desk) -> None:
    plugin = desk.data / "programs" / "yarn-plugin-hushkey.cjs"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("mine")
    before = shape(desk)

    desk.hushkey("install", "yarn", code=1)

    assert shape(desk) == before


def test_yarn_is_not_told_of_plain_http(desk: Desk) -> None:
    desk.configure(more='[host."http://127.0.0.1:1"]\nidentity = "corp"\n')

    result = desk.hushkey("install", "yarn", "http://127.0.0.1:1/npm", code=1)

    assert "https alone" in result.stderr


@pytest.mark.parametrize(
    ("name", "version", "old"),
    [
        ("yarn", "1.22.22", True),
        ("yarn", "2.4.3", True),
        ("@yarnpkg/cli-dist", "4.18.1", False),
        ("corepack", "0.34.0", False),
    ],
)
def test_yarn_that_is_too_old_is_named(
    desk: Desk, name: str, version: str, old: bool
) -> None:
    package = desk.home / "lib" / "yarn"
    (package / "bin").mkdir(parents=True)
    about = {"name": name, "version": version}
    (package / "package.json").write_text(json.dumps(about))
    cli = package / "bin" / "yarn.js"
    cli.write_text("")
    cli.chmod(0o755)
    (desk.bin / "yarn").symlink_to(cli)

    said = desk.hushkey("install", "yarn").stderr

    text = f"the one on PATH is Yarn {version[0]}, which asks nobody"
    assert (text in said) == old
    assert [found.code for found in desk.findings("yarn")] == ["yarn-version"] * old


def test_kubectl_takes_contexts_and_hosts(desk: Desk) -> None:
    path = desk.file("kubectl", KUBECONFIG.replace("foreign.test:6443", "git.test"))

    desk.hushkey("install", "kubectl", "other")
    assert path.read_text().count("user: hushkey\n") == 1
    desk.hushkey("install", "kubectl", "git.test")
    assert path.read_text().count("    user: hushkey") == 2
    desk.hushkey("uninstall", "kubectl", "git.test")

    assert path.read_text().count("    user: hushkey") == 1
    before = path.read_text()
    assert "nonsense" in desk.hushkey("install", "kubectl", "nonsense", code=1).stderr
    assert path.read_text() == before


def test_kubectl_knows_every_file_of_kubeconfig(desk: Desk) -> None:
    first, second = desk.home / "one", desk.home / "two"
    first.write_text(KUBECONFIG.partition("contexts:")[0])
    second.write_text("contexts:" + KUBECONFIG.partition("contexts:")[2])
    before = shape(desk)
    desk.environ["KUBECONFIG"] = f"{first}{os.pathsep}{second}"
    desk.hushkey("install", "kubectl")
    assert "user: hushkey" in second.read_text()
    assert shape(desk)[str(first)] == before[str(first)]
    del desk.environ["KUBECONFIG"]

    desk.hushkey("uninstall", "kubectl")

    assert shape(desk) == before


def test_go_that_asks_nobody_asks_hushkey_alone(desk: Desk) -> None:
    path = desk.file("go", "GOAUTH=off\n")

    desk.install("go")

    assert path.read_text() == f"GOAUTH={desk.ours} go\n"


@pytest.mark.parametrize("tool", WHOLE)
def test_whole_file_of_somebody_else_stays(desk: Desk, tool: str) -> None:
    path = desk.file(tool, "mine\n")
    desk.install(tool, code=1)
    assert path.read_text() == "mine\n"
    path.unlink()
    desk.install(tool)
    path.write_text("mine\n")

    desk.hushkey("uninstall", tool)

    assert path.read_text() == "mine\n"


def test_google_says_which_variables_to_set(desk: Desk) -> None:
    said = desk.install("google").stderr

    assert f"GOOGLE_APPLICATION_CREDENTIALS={desk.config_file.parent}" in said
    assert "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1" in said
    del desk.environ["GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"]
    assert [found.code for found in desk.findings("google")] == ["google-variable"]


def test_google_needs_an_audience(desk: Desk) -> None:
    result = desk.hushkey("install", "google", "git.test", code=1)

    assert "//iam.googleapis.com/" in result.stderr


@pytest.mark.parametrize("words", [(), ("work",)])
def test_kubectl_says_that_a_context_has_no_user(
    desk: Desk, words: tuple[str, ...]
) -> None:
    text = KUBECONFIG.replace('    user: "arn:aws:eks:me"   # mine\n', "")
    path = desk.file("kubectl", text)

    result = desk.hushkey("install", "kubectl", *words, code=1)

    assert "the user of context work is not on" in result.stderr
    assert path.read_text() == text


def test_aws_profiles_come_and_go_one_by_one(desk: Desk) -> None:
    """One that install made goes, unless somebody has written into it since."""
    text = "[default]\nregion = x\n"
    path = desk.file("aws", text)
    desk.hushkey("install", "aws", "git.test/sts")
    one = path.read_text()
    assert one == f"{text}credential_process = {desk.ours} aws --host git.test/sts\n"
    desk.hushkey("install", "aws", "new=git.test/sts/prod")
    line = f"credential_process = {desk.ours} aws --host git.test/sts/prod\n"
    assert path.read_text() == f"{one}[profile new]\n{line}"

    desk.hushkey("uninstall", "aws", "new=git.test/sts/prod")
    assert path.read_text() == one
    desk.hushkey("install", "aws", "new=git.test/sts/prod")
    path.write_text(path.read_text() + "region = y\n")
    desk.hushkey("uninstall", "aws")

    assert path.read_text() == f"{text}[profile new]\nregion = y\n"


def test_aws_wants_a_host_that_gives_keys(desk: Desk) -> None:
    path = desk.file("aws")

    refused = desk.hushkey("install", "aws", "work=git.test/prod", code=1).stderr

    assert (
        'git.test gives no AWS keys; write `exchange = "sts"` and a `role`' in refused
    )
    assert path.read_text() == CASES["aws"].text
    desk.install("aws")
    desk.program("aws")
    desk.configure(STS.replace("git.test/sts", "git.test/other"))
    (found,) = desk.findings("aws")
    assert "gives no AWS keys" in found.text


def test_aws_profile_without_keys_of_ours_stays_the_user_s(desk: Desk) -> None:
    text = "[profile work]\ncredential_process = /opt/mine --x\n"
    path = desk.file("aws", text)
    desk.install("aws")
    path.write_text(f"# later\n{path.read_text()}")

    desk.hushkey("uninstall", "aws")

    assert path.read_text() == f"# later\n{text}"


@pytest.mark.parametrize("word", ["=git.test", "a]=git.test", "a b=git.test"])
def test_aws_profile_that_cannot_be_named_is_refused(desk: Desk, word: str) -> None:
    path = desk.file("aws")

    assert (
        "cannot name a profile" in desk.hushkey("install", "aws", word, code=1).stderr
    )

    assert path.read_text() == CASES["aws"].text


def test_nuget_is_told_of_the_program_by_a_variable(desk: Desk) -> None:
    before = shape(desk)

    said = desk.hushkey("install", "nuget").stderr

    door = desk.data / "programs" / "nuget-plugin-hushkey"
    assert f"NUGET_PLUGIN_PATHS={door}" in said
    assert door.read_text().endswith(f'exec {desk.ours} nuget "$@"\n')
    assert [each.code for each in desk.findings("nuget")] == [
        "nuget-missing",
        "nuget-variable",
    ]
    desk.program("dotnet")
    desk.environ["NUGET_PLUGIN_PATHS"] = f"/other;{door}"
    assert desk.findings("nuget") == []
    desk.environ["NUGET_NETCORE_PLUGIN_PATHS"] = "/other"
    (found,) = desk.findings("nuget")
    assert found.command == "unset NUGET_NETCORE_PLUGIN_PATHS"
    (desk.bin / "dotnet").unlink()

    desk.hushkey("uninstall", "nuget")

    assert shape(desk) == before
