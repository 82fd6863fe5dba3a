import configparser
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given
from hypothesis import strategies as st

from hushkey_helpers.keyring.command import is_ours
from hushkey_install.cli import main
from hushkey_install.common.finding import PROBLEM, Finding
from hushkey_install.register import pip, uv
from hushkey_install.tools.installation import Installation
from kit.oauth import BIN, Machine

SET = "[global]\nkeyring-provider = subprocess\n"


class Desk(Machine):
    """A home with a folder of its own on PATH."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.bin = home / ".local" / "bin"
        self.bin.mkdir(parents=True)
        self.file = home / ".config" / "pip" / "pip.conf"
        self.file.parent.mkdir(parents=True)
        self.uv_file = home / ".config" / "uv" / "uv.toml"
        self.environ["PATH"] = f"{self.bin}{os.pathsep}/usr/bin"

    def hushkey(self, *words: str, code: int = 0, **environ: Any) -> Result:
        result = CliRunner().invoke(main, words, env={**self.environ, **environ})
        assert result.exit_code == code, result.output
        return result

    def program(self, folder: str) -> Path:
        """Put somebody else's `keyring` into *folder*."""
        path = self.home / folder / "keyring"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        return path


@pytest.fixture
def desk(home: Path) -> Desk:
    made = Desk(home)
    made.configure()
    return made


# -- the setting -----------------------------------------------------------------


def test_install_writes_the_setting_and_the_launcher(desk: Desk) -> None:
    result = desk.hushkey("install", "pip")

    assert desk.file.read_text() == SET
    assert is_ours(str(desk.bin / "keyring"))
    assert f"+{desk.bin}/keyring -> hushkey-keyring" in result.stdout
    assert "+keyring-provider = subprocess" in result.stdout


def test_each_tool_is_set_to_its_own_value(desk: Desk) -> None:
    toy = pip.KeyringProgram(
        "toy",
        pip.settings_file,
        pip.config_path,
        wanted="of-its-own",
        look=lambda client, environ: iter(()),
        about="the toy asks hushkey",
    )

    toy.plan(desk.environ, ()).run(dry_run=False)

    assert pip.value_in(desk.file.read_text()) == "of-its-own"


def test_dry_run_changes_nothing(desk: Desk) -> None:
    for tool in ("pip", "uv"):
        assert "subprocess" in desk.hushkey("install", tool, "--dry-run").stdout

    assert not desk.file.exists()
    assert not desk.uv_file.exists()
    assert list(desk.bin.iterdir()) == []
    assert not (desk.data / "installed").exists()


def test_install_twice_changes_nothing_more(desk: Desk) -> None:
    desk.hushkey("install", "pip")

    assert "nothing to change" in desk.hushkey("install", "pip").stderr
    desk.hushkey("uninstall", "pip")
    assert not desk.file.exists()


@pytest.mark.parametrize(
    "before",
    [
        "",
        "# mine\n[global]\nindex-url = https://pkgs.example.com/simple\n",
        "[global]\nkeyring-provider = import  # odd\nno-input = true\n",
        "[global]\nkeyring_provider: auto\n",
        "[install]\nuser = no",
        "[global]\r\ntimeout = 5\r\n",
        "[list]\nformat = columns\n\n[global]\n[download]\n",
        "[global]\nextra-index-url =\n    https://a.test/simple\n    [odd]\n",
        "[global]\n    index-url = https://a.test/simple\n    timeout = 5\n",
        "[global]\n# mine\n\tkeyring-provider = import\n\ttimeout = 5\n",
        "[global]\nkeyring-provider =\n    import\n\n    odd\ntimeout = 5\n",
    ],
)
def test_setting_is_read_by_a_real_parser_and_taken_back_exactly(
    desk: Desk, before: str
) -> None:
    desk.file.write_bytes(before.encode())

    desk.hushkey("install", "pip")
    parser = configparser.RawConfigParser()
    parser.read_string(desk.file.read_bytes().decode().replace("\r\n", "\n"))
    names = {k.replace("_", "-"): v for k, v in parser["global"].items()}
    others = configparser.RawConfigParser()
    others.read_string(before.replace("\r\n", "\n"))
    desk.hushkey("uninstall", "pip")

    assert names.pop("keyring-provider") == "subprocess"
    if others.has_section("global"):
        rest = {k.replace("_", "-"): v for k, v in others["global"].items()}
        rest.pop("keyring-provider", None)
        assert names == rest
    assert desk.file.read_bytes() == before.encode()


def test_what_was_edited_since_stays(desk: Desk) -> None:
    desk.hushkey("install", "pip")
    desk.file.write_text(f"{SET}timeout = 5\n")

    desk.hushkey("uninstall", "pip")

    assert desk.file.read_text() == "[global]\ntimeout = 5\n"


def test_uninstall_leaves_nothing_beside_a_file_that_install_made(desk: Desk) -> None:
    desk.hushkey("install", "pip")

    desk.hushkey("uninstall", "pip")

    assert list(desk.file.parent.iterdir()) == []


def test_file_that_the_user_deleted_since_is_no_error(desk: Desk) -> None:
    desk.hushkey("install", "pip")
    desk.file.unlink()

    desk.hushkey("uninstall", "pip")

    assert list(desk.bin.iterdir()) == []
    assert list((desk.data / "installed").iterdir()) == []


def test_provider_that_the_user_chose_since_stays(desk: Desk) -> None:
    desk.hushkey("install", "pip")
    chosen = SET.replace("subprocess", "disabled")
    desk.file.write_text(chosen)

    desk.hushkey("uninstall", "pip")

    assert desk.file.read_text() == chosen


def test_earlier_provider_comes_back_into_an_edited_file(desk: Desk) -> None:
    desk.file.write_text("[global]\nkeyring-provider = import\n")
    desk.hushkey("install", "pip")
    desk.file.write_text(desk.file.read_text() + "timeout = 5\n")

    desk.hushkey("uninstall", "pip")

    assert desk.file.read_text() == "[global]\nkeyring-provider = import\ntimeout = 5\n"


_TEXT = st.lists(
    st.sampled_from(
        [
            *("[global]", "[install]", "a = b", "keyring-provider = x", "# c", ""),
            *("  d", "    e = f", "  keyring-provider = y", "\t# g"),
        ]
    )
).map("\n".join)


def parsed(text: str) -> dict[str, str] | None:
    """Return what Python's own parser has for every pip command, None for no ini."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return None
    return dict(parser["global"]) if parser.has_section("global") else {}


@given(_TEXT)
@example("[global]\nkeyring-provider = x\n\n  d")
@example("[global]\nkeyring-provider = x\n# c\n\n\t# g\n  d\n\n")
def test_any_text_means_what_it_meant_but_for_the_provider(text: str) -> None:
    before = parsed(text)
    if before is None:
        return  # nor can pip read it
    assert pip.value_in(text) == before.pop("keyring-provider", "")

    after = parsed(pip.edited(text, "subprocess"))

    assert after == {**before, "keyring-provider": "subprocess"}
    # A second line of the same name would count again, as it did before.
    again = parsed(pip.edited(text, ""))
    if text.count("keyring-provider") < 2:
        assert again == before


@given(_TEXT)
def test_any_text_has_the_value_that_was_set(text: str) -> None:
    made = pip.edited(text, "subprocess")

    assert pip.value_in(made) == "subprocess"
    assert pip.edited(made, "subprocess") == made


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({}, "/home/me/.config/pip/pip.conf"),
        ({"XDG_CONFIG_HOME": "/x"}, "/x/pip/pip.conf"),
        ({"XDG_CONFIG_HOME": "x"}, "/home/me/.config/pip/pip.conf"),
        ({"PIP_CONFIG_FILE": "/etc/mine"}, "/etc/mine"),
    ],
)
def test_file_is_where_pip_looks(environ: dict[str, str], path: str) -> None:
    assert pip.config_path({"HOME": "/home/me", **environ}) == path


def test_sections_of_single_commands_are_set_and_taken_back(desk: Desk) -> None:
    before = (
        "[install]\nkeyring_provider: disabled\nno-input = true\n"
        "[global]\nindex-url = https://a.test/\n[wheel]\nkeyring-provider = import\n"
    )
    desk.file.write_text(before)

    desk.hushkey("install", "pip")
    set_ = configparser.ConfigParser()
    set_.read(desk.file)
    desk.file.write_text(desk.file.read_text() + "# mine\n")
    desk.hushkey("uninstall", "pip")
    parsed_ = configparser.ConfigParser()
    parsed_.read(desk.file)

    for section in ("install", "global", "wheel"):
        assert set_[section]["keyring-provider"] == "subprocess"
    assert parsed_["install"]["keyring-provider"] == "disabled"
    assert parsed_["wheel"]["keyring-provider"] == "import"
    assert "keyring-provider" not in parsed_["global"]


def test_install_says_what_counts_more(desk: Desk) -> None:
    prefix = desk.home / "env"
    program = prefix / "bin" / "pip"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!{prefix}/bin/python\n")
    program.chmod(0o755)
    (desk.bin / "pip").symlink_to(program)
    (prefix / "pip.conf").write_text("[global]\nkeyring-provider = disabled\n")

    for _ in range(2):
        result = desk.hushkey("install", "pip")
        assert f"{prefix}/pip.conf [global] counts more" in result.stderr
        assert "config --site set global.keyring-provider subprocess" in result.stderr


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_file_named_by_a_relative_path_is_an_error(desk: Desk, tool: str) -> None:
    variable = f"{tool.upper()}_CONFIG_FILE"
    result = desk.hushkey("install", tool, code=1, **{variable: "mine"})

    assert "absolute path" in result.stderr


def test_install_uv_says_that_no_config_is_read(desk: Desk) -> None:
    result = desk.hushkey("install", "uv", UV_NO_CONFIG="1")

    assert "UV_KEYRING_PROVIDER=subprocess" in result.stderr


def test_uv_pip_s_own_table_is_set_and_taken_back(desk: Desk) -> None:
    desk.uv_file.parent.mkdir()
    desk.uv_file.write_text('[pip]\nkeyring-provider = "disabled"\n')

    desk.hushkey("install", "uv")
    assert desk.uv_file.read_text().count('"subprocess"') == 2
    desk.uv_file.write_text(desk.uv_file.read_text() + "# mine\n")
    desk.hushkey("uninstall", "uv")

    assert uv.state_in(desk.uv_file.read_text()) == "\x1fdisabled"


def test_pip_that_reads_no_config_is_an_error(desk: Desk) -> None:
    result = desk.hushkey("install", "pip", code=1, PIP_CONFIG_FILE=os.devnull)

    assert "PIP_KEYRING_PROVIDER=subprocess" in result.stderr


# -- uv --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "before",
    [
        '# mine\nkeyring-provider = "disabled" # odd\n[pip]\nno-build = true\n',
        '[[index]]\nurl = "https://pkgs.example.com/simple"\n',
        "native-tls = true",
    ],
)
def test_uv_s_file_keeps_its_comments_and_comes_back(desk: Desk, before: str) -> None:
    desk.uv_file.parent.mkdir()
    desk.uv_file.write_text(before)

    desk.hushkey("install", "uv")
    after = desk.uv_file.read_text()
    desk.hushkey("uninstall", "uv")

    assert uv.value_in(after) == "subprocess"
    assert ("# mine" in after) == ("# mine" in before)
    assert desk.uv_file.read_text() == before


def test_uv_s_broken_file_is_left_alone(desk: Desk) -> None:
    desk.uv_file.parent.mkdir()
    desk.uv_file.write_text("a = [")

    result = desk.hushkey("install", "uv", code=1)

    assert "cannot be understood" in result.stderr
    assert desk.uv_file.read_text() == "a = ["
    assert list(desk.bin.iterdir()) == []


# -- the launcher ----------------------------------------------------------------


def test_launcher_stays_while_another_tool_needs_it(desk: Desk) -> None:
    desk.hushkey("install", "pip")
    desk.hushkey("install", "uv")

    desk.hushkey("uninstall", "pip")
    assert is_ours(str(desk.bin / "keyring"))
    desk.hushkey("uninstall", "uv")
    assert not (desk.bin / "keyring").is_symlink()


def test_real_keyring_is_never_overwritten(desk: Desk) -> None:
    path = desk.program(".local/bin")

    for words in ((), ("--launcher", str(desk.bin))):
        result = desk.hushkey("install", "pip", *words, code=1)
        assert "--launcher DIR" in result.stderr

    assert path.read_text() == "#!/bin/sh\n"
    assert not desk.file.exists()


def with_hushkey(desk: Desk, keyring: str = "25.7.0") -> Path:
    """Put keyring's own program on PATH, whose environment has our backend."""
    packages = desk.home / "env" / "lib" / "python3.12" / "site-packages"
    for name in (f"keyring-{keyring}", "hushkey-0.2.0"):
        (packages / f"{name}.dist-info").mkdir(parents=True)
    path = desk.program("env/bin")
    path.write_text(f"#!{path.parent}/python\nfrom keyring.cli import main\n")
    (desk.bin / "keyring").symlink_to(path)  # as pipx and uv do
    return path


@pytest.mark.parametrize("tool", ["pip", "uv"])
@pytest.mark.parametrize("words", [(), ("--launcher", "{bin}")])
def test_first_keyring_that_leads_to_us_will_do(
    desk: Desk, tool: str, words: tuple[str, ...]
) -> None:
    path = with_hushkey(desk)
    (desk.home / "later").mkdir()
    desk.environ["PATH"] = f"{desk.bin}{os.pathsep}{desk.home / 'later'}"
    folder = [w.replace("{bin}", str(desk.home / "later")) for w in words]

    result = desk.hushkey("install", tool, *folder)

    assert "+keyring" in result.stdout
    assert "hushkey-keyring" not in result.stdout
    assert (desk.bin / "keyring").resolve() == path
    assert list((desk.home / "later").iterdir()) == []
    desk.hushkey("uninstall", tool)
    assert (desk.bin / "keyring").resolve() == path


def beside(desk: Desk) -> Path:
    """Put pip and hushkey into one environment that is first on PATH."""
    folder = with_hushkey(desk).parent
    (desk.bin / "keyring").unlink()
    (folder.parent / "pyvenv.cfg").touch()
    pip = folder / "pip"
    pip.write_text(f"#!{folder}/python\n")
    pip.chmod(0o755)
    desk.environ["PATH"] = f"{folder}{os.pathsep}{desk.bin}"
    return folder


def problems(desk: Desk) -> list[Finding]:
    """What doctor has against the pip on PATH."""
    found = pip.PIP.checks(Installation(desk.environ, "/", ["pip"]))
    return [each for each in found if each.level == PROBLEM]


def test_pip_beside_hushkey_gets_a_launcher_that_it_looks_at(desk: Desk) -> None:
    beside(desk)

    desk.hushkey("install", "uv")
    assert list(desk.bin.iterdir()) == []
    desk.hushkey("install", "pip")
    assert (desk.bin / "keyring").resolve() == (BIN / "hushkey-keyring").resolve()
    assert problems(desk) == []

    desk.hushkey("uninstall", "pip")
    assert list(desk.bin.iterdir()) == []


def test_pip_beside_hushkey_that_finds_no_other_keyring_is_told(desk: Desk) -> None:
    folder = beside(desk)
    desk.environ["PATH"] = f"{folder}{os.pathsep}/usr/bin"

    said = desk.hushkey("install", "pip").stderr
    (found,) = problems(desk)

    assert f"note: the one in {folder} does not: it looks past" in said
    assert "pipx" in said
    assert f"pip: {folder}/pip looks past" in found.text
    assert found.command == "hushkey install pip --launcher DIR"
    assert found.mend is None

    desk.environ["PATH"] += f"{os.pathsep}{desk.bin}"
    (found,) = problems(desk)
    assert found.command == "hushkey install pip"
    desk.hushkey("install", "pip")
    assert problems(desk) == []


def test_launcher_in_pip_s_own_folder_is_refused(desk: Desk) -> None:
    folder = beside(desk)

    said = desk.hushkey("install", "pip", "--launcher", str(folder), code=1).stderr

    assert "looks past the program keyring in its own folder" in said
    assert not desk.file.exists()


@pytest.mark.parametrize(
    ("prefix", "debian", "folder"),
    [
        ("/opt/env", False, "/opt/env/bin"),
        ("/usr/local", False, "/usr/local/bin"),
        ("/usr", False, "/usr/bin"),
        ("/usr", True, "/usr/local/bin"),
        ("", False, ""),
    ],
)
def test_folder_of_pip_s_programs(
    monkeypatch: pytest.MonkeyPatch, prefix: str, debian: bool, folder: str
) -> None:
    monkeypatch.setattr(os.path, "isdir", lambda path: debian and "dist-" in path)

    assert pip.scripts_of(prefix) == folder


def test_first_keyring_that_does_not_know_pip_s_words_will_not_do(desk: Desk) -> None:
    with_hushkey(desk, keyring="25.0.0")

    assert "first keyring on PATH" in desk.hushkey("install", "pip", code=1).stderr


def test_script_of_the_user_s_that_starts_ours_will_do(desk: Desk) -> None:
    path = desk.program(".local/bin")
    path.write_text(f'#!/bin/sh\nexec {BIN}/hushkey-keyring "$@"\n')

    desk.hushkey("install", "pip")

    assert desk.file.read_text() == SET
    assert not path.is_symlink()


def test_dead_link_of_somebody_else_is_no_launcher(desk: Desk) -> None:
    """It is left behind, for example, where `pipx uninstall keyring` was killed."""
    (desk.bin / "keyring").symlink_to(desk.home / "gone" / "keyring")

    for words in ((), ("--launcher", str(desk.bin))):
        result = desk.hushkey("install", "pip", *words, code=1)
        assert f"{desk.bin}/keyring exists already" in result.stderr
    assert not desk.file.exists()


def test_launcher_made_anew_is_still_needed_by_the_others(desk: Desk) -> None:
    for tool in ("pip", "uv"):
        desk.hushkey("install", tool)
    (desk.bin / "keyring").unlink()
    desk.hushkey("install", "pip")

    desk.hushkey("uninstall", "pip")

    assert (desk.bin / "keyring").exists()
    desk.hushkey("uninstall", "uv")
    assert list(desk.bin.iterdir()) == []


def test_folders_on_path_may_be_written_oddly(desk: Desk) -> None:
    desk.program("real")
    odd = f"{desk.home}//real/{os.pathsep}{desk.environ['PATH']}"

    result = desk.hushkey(
        "install", "pip", "--launcher", str(desk.bin), code=1, PATH=odd
    )

    assert "comes first on PATH" in result.stderr


def test_launcher_goes_before_the_real_one(desk: Desk) -> None:
    desk.program("other")
    path = f"{desk.home}/other{os.pathsep}{desk.bin}"

    after = desk.hushkey("install", "pip", PATH=path, code=1)
    path = f"{desk.bin}{os.pathsep}{desk.home}/other"
    desk.hushkey("install", "pip", PATH=path)

    assert "is the first keyring on PATH" in after.stderr
    assert is_ours(str(desk.bin / "keyring"))


def test_launcher_goes_where_the_user_says(desk: Desk) -> None:
    chosen = desk.home / "chosen"
    chosen.mkdir()
    nowhere = desk.hushkey("install", "pip", "--launcher", str(chosen), code=1)
    path = f"{chosen}{os.pathsep}{desk.environ['PATH']}"

    desk.hushkey("install", "pip", "--launcher", str(chosen), PATH=path)

    assert "is not on PATH" in nowhere.stderr
    assert is_ours(str(chosen / "keyring"))
    assert list(desk.bin.iterdir()) == []


@pytest.mark.parametrize("mark", ["pyvenv.cfg", "conda-meta"])
def test_environment_s_folder_gets_no_launcher(desk: Desk, mark: str) -> None:
    project = desk.home / "project" / "bin"
    project.mkdir(parents=True)
    (project.parent / mark).mkdir()
    path = f"{project}{os.pathsep}{desk.bin}"

    desk.hushkey("install", "pip", PATH=path)

    assert list(project.iterdir()) == []


def test_no_folder_of_the_user_is_an_error(desk: Desk) -> None:
    result = desk.hushkey("install", "pip", PATH="/usr/bin:bin::", code=1)

    assert "no folder of yours is on PATH" in result.stderr
    assert not desk.file.exists()


def test_link_that_became_somebody_else_s_stays(desk: Desk) -> None:
    desk.hushkey("install", "pip")
    (desk.bin / "keyring").unlink()
    path = desk.program(".local/bin")

    desk.hushkey("uninstall", "pip")

    assert path.exists()
    assert not desk.file.exists()


def test_launcher_is_our_program(desk: Desk) -> None:
    desk.hushkey("install", "pip")

    assert (desk.bin / "keyring").resolve() == (BIN / "hushkey-keyring").resolve()


def test_launcher_outlives_the_environment_behind_it(desk: Desk) -> None:
    """pipx and uv put links on PATH; another install leads them elsewhere."""
    program = desk.bin / "hushkey-keyring"
    old, new = desk.home / "old/hushkey-keyring", BIN / "hushkey-keyring"
    old.parent.mkdir()
    old.write_bytes(new.read_bytes())
    old.chmod(0o755)
    program.symlink_to(old)
    desk.hushkey("install", "pip")
    assert (desk.bin / "keyring").readlink() == program
    program.unlink()
    program.symlink_to(new)
    old.unlink()

    assert is_ours(str(desk.bin / "keyring"))
    assert (desk.bin / "keyring").resolve() == new.resolve()
    (found,) = pip.PIP.checks(Installation(desk.environ, "/"))
    assert found.code == "pip-door"


def test_link_to_a_hushkey_that_has_gone_is_made_anew(desk: Desk) -> None:
    for words in ((), ("--launcher", str(desk.bin))):
        link = desk.bin / "keyring"
        link.unlink(missing_ok=True)
        link.symlink_to("/no/such/venv/bin/hushkey-keyring")

        desk.hushkey("install", "pip", *words)

        assert link.resolve() == (BIN / "hushkey-keyring").resolve()


@pytest.mark.parametrize("config", ["[settings", '[host."a.b"]\nidentity = "x"\n'])
@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_uninstall_needs_no_valid_config(desk: Desk, tool: str, config: str) -> None:
    desk.hushkey("install", tool)
    desk.configure(text=config)

    desk.hushkey("uninstall", tool)

    assert not desk.file.exists()
    assert not desk.uv_file.exists()
    assert list(desk.bin.iterdir()) == []
