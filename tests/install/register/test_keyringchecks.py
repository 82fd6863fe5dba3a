import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hushkey_install.common.finding import Finding
from hushkey_install.common.installrecord import InstallRecord
from hushkey_install.register import keyringchecks, table
from hushkey_install.tools.installation import Installation
from kit.oauth import BIN
from kit.toolbox import Toolbox

NULL = "keyring.backends.null.Keyring"


class Desk(Toolbox):
    """A home with Python tools in environments of their own, and little else."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.environ = {"HOME": str(home), "PATH": str(self.bin)}

    def launcher(self) -> None:
        (self.bin / "keyring").symlink_to(BIN / "hushkey-keyring")

    def write(self, path: str, text: str) -> str:
        file = self.home / ".config" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return str(file)

    def found(self, **environ: str) -> dict[str, Finding]:
        """What is found of all tools, as if each had been registered."""
        names = [tool.name for tool in table.CHECKED]
        for name in names:
            InstallRecord(self.environ, name).write({"path": "somewhere"})
        looked_at = Installation({**self.environ, **environ}, "/", names)
        found = list(keyring_findings(looked_at))
        assert len({each.code for each in found}) == len(found)
        return {each.code: each for each in found}


def keyring_findings(installation: Installation) -> Iterator[Finding]:
    """Yield what doctor has to say of tools that ask a keyring."""
    for tool in table.CHECKED:
        if tool.name not in ("git", "docker", "podman"):
            yield from tool.checks(installation)


def installation(desk: Desk) -> Installation:
    asking = [tool.name for tool in table.REGISTRATIONS if tool.asks_keyring]
    return Installation(desk.environ, "/", asking)


@pytest.fixture
def desk(home: Path) -> Desk:
    return Desk(home)


def levels(found: dict[str, Finding]) -> dict[str, str]:
    return {code: each.level for code, each in found.items()}


def test_tools_that_are_not_here_are_not_spoken_of(desk: Desk) -> None:
    assert desk.found() == {}


# -- pip -------------------------------------------------------------------------


def test_pip_that_asks_the_program_is_well(desk: Desk) -> None:
    desk.tool("pip", "pip-26.3")
    desk.launcher()
    desk.write("pip/pip.conf", "[global]\nkeyring-provider = subprocess\n")

    assert levels(desk.found()) == {"pip-door": "fine"}


def test_older_pip_wants_a_user_name(desk: Desk) -> None:
    desk.tool("pip", "pip-26.1.2")
    desk.launcher()

    found = desk.found(PIP_KEYRING_PROVIDER="subprocess")

    assert levels(found) == {"pip-door": "fine", "pip-user-name": "fine"}
    assert "26.1.2" in found["pip-user-name"].text


@pytest.mark.parametrize(
    ("provider", "code"),
    [
        ("", "pip-auto"),
        ("auto", "pip-auto"),
        ("disabled", "pip-disabled"),
        ("subprocess", "pip-keyring-program-missing"),
        ("import", "pip-no-backend"),
    ],
)
def test_pip_that_would_not_ask(desk: Desk, provider: str, code: str) -> None:
    desk.tool("pip", "pip-26.3", "keyring-25.7.0")
    if provider:
        desk.write("pip/pip.conf", f"[global]\nkeyring-provider = {provider}\n")

    found = desk.found()

    assert levels(found) == {code: "problem"}
    if provider != "import":
        assert found[code].command.startswith("hushkey install pip")


def test_environment_counts_before_pip_s_file(desk: Desk) -> None:
    desk.tool("pip", "pip-26.3")
    desk.launcher()
    desk.write("pip/pip.conf", "[global]\nkeyring-provider = subprocess\n")

    assert "pip-disabled" in desk.found(PIP_KEYRING_PROVIDER="disabled")


@pytest.mark.parametrize(
    ("files", "environ", "where", "command"),
    [
        ({"user": "I"}, {}, "[install]", "hushkey install pip"),
        ({"user": "G", "site": "I"}, {}, "[install]", "config --site set install."),
        ({"user": "G", "site": "D"}, {}, "[global]", "config --site set global."),
        ({"user": "G", "legacy": "I"}, {}, "[install]", "config --user set install."),
        (
            {"named": "W", "user": "G"},
            {"PIP_CONFIG_FILE": "{named}"},
            "[wheel]",
            "hush",
        ),
        ({"user": "G"}, {"PIP_KEYRING_PROVIDER": "disabled"}, "PROVIDER", "unset PIP"),
        ({"user": "D", "site": "G"}, {}, "", ""),
        ({"legacy": "D", "user": "G"}, {}, "", ""),
        ({"user": "D", "named": "G"}, {"PIP_CONFIG_FILE": "{named}"}, "", ""),
        ({"user": "G"}, {"PIP_CONFIG_FILE": "/no/such/file"}, "", ""),
        ({"user": "D"}, {"PIP_KEYRING_PROVIDER": "subprocess"}, "", ""),
    ],
)
def test_pip_goes_by_what_counts_most(
    desk: Desk,
    files: dict[str, str],
    environ: dict[str, str],
    where: str,
    command: str,
) -> None:
    """G sets it for all commands; D, I and W say disabled, to all or to one."""
    desk.tool("pip", "pip-26.3")
    desk.launcher()
    places = {
        "user": desk.home / ".config" / "pip" / "pip.conf",
        "legacy": desk.home / ".pip" / "pip.conf",
        "site": desk.home / "env" / "pip" / "pip.conf",
        "named": desk.home / "named",
    }
    disabled = "keyring-provider = disabled\n"
    texts = {
        "G": "[global]\nkeyring-provider = subprocess\n",
        "D": f"[global]\n{disabled}",
        "I": f"[install]\n{disabled}[global]\nkeyring-provider = subprocess\n",
        "W": f"[wheel]\n{disabled}[global]\nkeyring-provider = subprocess\n",
    }
    for name, text in files.items():
        places[name].parent.mkdir(parents=True, exist_ok=True)
        places[name].write_text(texts[text])
    named = environ.get("PIP_CONFIG_FILE", "").format(**places)
    environ = environ | ({"PIP_CONFIG_FILE": named} if named else {})

    found = desk.found(**environ)

    assert list(found) == ["pip-disabled" if where else "pip-door"]
    if not where:
        return
    assert where in found["pip-disabled"].text
    assert command in found["pip-disabled"].command
    mend = found["pip-disabled"].mend
    if "config --" in command:
        assert mend is not None
        mend()
        assert list(desk.found(**environ)) == ["pip-door"]


def test_pip_without_any_config_is_told(desk: Desk) -> None:
    desk.tool("pip", "pip-26.3")

    assert levels(desk.found(PIP_CONFIG_FILE=os.devnull)) == {"pip-config": "problem"}


# -- uv --------------------------------------------------------------------------


def test_uv(desk: Desk) -> None:
    desk.tool("uv")
    assert levels(desk.found()) == {"uv-disabled": "problem"}
    desk.write("uv/uv.toml", 'keyring-provider = "subprocess"\n')
    assert levels(desk.found()) == {"uv-keyring-program-missing": "problem"}
    desk.launcher()
    assert levels(desk.found()) == {"uv-door": "fine"}
    assert levels(desk.found(UV_KEYRING_PROVIDER="disabled")) == {
        "uv-disabled": "problem"
    }
    desk.write("uv/uv.toml", "a = [")
    assert levels(desk.found()) == {"uv-config": "problem"}


@pytest.mark.parametrize(
    ("files", "environ", "where"),
    [
        ({"uv/uv.toml": "[pip]\nP='disabled'\nX"}, {}, "uv.toml [pip]"),
        ({"uv/uv.toml": "X", "p/uv.toml": "P='disabled'"}, {}, "p/uv.toml"),
        (
            {"uv/uv.toml": "X", "p/pyproject.toml": "[tool.uv]\nP='disabled'"},
            {},
            "p/py",
        ),
        (
            {"uv/uv.toml": "X", "p/pyproject.toml": "[tool.uv.pip]\nP='disabled'"},
            {},
            "pyproject.toml [pip]",
        ),
        ({"uv/uv.toml": "X"}, {"UV_NO_CONFIG": "1"}, "UV_NO_CONFIG"),
        ({"uv/uv.toml": "X", "c": "P='disabled'"}, {"UV_CONFIG_FILE": "{c}"}, "/c"),
        ({"uv/uv.toml": "X"}, {"UV_KEYRING_PROVIDER": "disabled"}, "UV_KEYRING_PROV"),
        ({"uv/uv.toml": "X", "p/uv.toml": "", "pyproject.toml": "P=1"}, {}, ""),
        ({"x/uv/uv.toml": "X"}, {"XDG_CONFIG_DIRS": "/no:{x}"}, ""),
        ({"p/uv.toml": "X", "uv/uv.toml": "P='disabled'"}, {}, ""),
        ({"uv/uv.toml": "X"}, {"UV_NO_CONFIG": "off"}, ""),
        ({"c": "X"}, {"UV_CONFIG_FILE": "{c}", "UV_NO_CONFIG": "1"}, ""),
    ],
)
def test_uv_goes_by_what_counts_most(
    desk: Desk,
    files: dict[str, str],
    environ: dict[str, str],
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk.tool("uv")
    desk.launcher()
    for name, text in files.items():
        top = "keyring-provider"
        lines = text.replace("P=", f"{top} = ").split("X")
        desk.write(name, (f'{top} = "subprocess"\n' * (len(lines) > 1)) + lines[0])
    folder = desk.home / ".config" / "p" / "src"
    folder.mkdir(parents=True)
    base = str(desk.home / ".config")
    environ = {
        name: value.replace("{", f"{base}/").replace("}", "")
        for name, value in environ.items()
    }

    monkeypatch.chdir(folder)
    found = desk.found(**environ)

    assert list(found) == ["uv-disabled" if where else "uv-door"]
    if not where:
        return
    finding = found["uv-disabled"]
    assert where in finding.text
    if finding.command.startswith("edit"):
        assert finding.mend is not None
        finding.mend()
        assert list(desk.found(**environ)) == ["uv-door"]


# -- the program -----------------------------------------------------------------


def test_real_keyring_without_us_is_no_door(desk: Desk) -> None:
    desk.tool("keyring", "keyring-25.7.0")

    found = keyringchecks.program_problem(desk.environ, ("", ""))

    assert found is not None
    assert found.code == "keyring-program-foreign"
    assert str(desk.bin / "keyring") in found.text


def test_real_keyring_with_us_is_a_door_unless_pinned(desk: Desk) -> None:
    desk.tool("keyring", "keyring-25.7.0", "hushkey-0.1.0")

    pinned = keyringchecks.program_problem(
        desk.environ, (NULL, "PYTHON_KEYRING_BACKEND")
    )

    assert keyringchecks.program_problem(desk.environ, ("", "")) is None
    assert pinned is not None
    assert pinned.command == "unset PYTHON_KEYRING_BACKEND"


def test_launcher_of_ours_is_immune_to_pins_but_not_to_the_switch(desk: Desk) -> None:
    desk.launcher()

    other = keyringchecks.program_problem(desk.environ, ("some.Keyring", "x"))
    off = keyringchecks.program_problem(desk.environ, (NULL, "PYTHON_KEYRING_BACKEND"))
    assert other is None
    assert off is not None
    assert off.command == "unset PYTHON_KEYRING_BACKEND"


@pytest.mark.parametrize("registered", [True, False])
def test_dead_link_of_ours_is_told_where_another_keyring_answers(
    desk: Desk, *, registered: bool
) -> None:
    """Its notes may have gone with the old hushkey, and pip gets no token."""
    desk.tool("pip", "pip-26.3")
    desk.write("pip/pip.conf", "[global]\nkeyring-provider = subprocess\n")
    link = desk.bin / "keyring"
    link.symlink_to("/gone/bin/hushkey-keyring")
    other = desk.home / "other"
    other.mkdir()
    (other / "keyring").write_text("#!/bin/sh\n")
    (other / "keyring").chmod(0o755)
    desk.environ["PATH"] += f"{os.pathsep}{other}"
    if registered:
        InstallRecord(desk.environ, "pip").write({"path": "somewhere"})

    (finding,) = keyring_findings(installation(desk))

    assert (finding.code, finding.level) == ("pip-keyring-program-gone", "problem")
    assert finding.text == f"pip: {link} leads to a hushkey that is gone"
    assert finding.command == f"ln -sfn {BIN}/hushkey-keyring {link}"
    assert finding.mend is not None
    finding.mend()
    assert link.resolve() == (BIN / "hushkey-keyring").resolve()
    assert [f.code for f in keyring_findings(installation(desk))] == ["pip-door"]


def test_dead_link_after_a_keyring_that_answers_is_no_trouble(desk: Desk) -> None:
    desk.launcher()
    later = desk.home / "later"
    later.mkdir()
    (later / "keyring").symlink_to("/gone/bin/hushkey-keyring")
    desk.environ["PATH"] += f"{os.pathsep}{later}"

    assert keyringchecks.program_problem(desk.environ, ("", "")) is None


# -- what imports keyring --------------------------------------------------------


@pytest.mark.parametrize("tool", ["twine", "poetry", "pdm", "hatch"])
def test_tool_with_the_backend_is_well(desk: Desk, tool: str) -> None:
    desk.tool(tool, "keyring-25.7.0", "hushkey-0.1.0")

    assert levels(desk.found()) == {f"{tool}-door": "fine"}


@pytest.mark.parametrize(
    ("tool", "command"),
    [
        ("twine", "hushkey install twine"),
        ("poetry", "hushkey install poetry"),
        ("hatch", ""),
    ],
)
def test_tool_without_the_backend_is_told(desk: Desk, tool: str, command: str) -> None:
    desk.tool(tool, "keyring-25.7.0")

    found = desk.found()

    assert levels(found) == {f"{tool}-no-backend": "problem"}
    assert found[f"{tool}-no-backend"].command == command


def test_pdm_without_keyring_asks_the_program(desk: Desk) -> None:
    desk.tool("pdm")
    assert levels(desk.found()) == {"pdm-keyring-program-missing": "problem"}

    desk.launcher()
    assert levels(desk.found()) == {"pdm-door": "fine"}


def test_pinned_or_switched_off_keyring_is_told(desk: Desk) -> None:
    desk.tool("twine", "keyring-25.7.0", "hushkey-0.1.0")
    by_environ = desk.found(PYTHON_KEYRING_BACKEND="keyrings.alt.file.PlaintextKeyring")
    path = desk.write(
        "my config/python_keyring/keyringrc.cfg",
        f"[backend]\ndefault-keyring={NULL}\n",
    )
    base = str(desk.home / ".config" / "my config")
    by_file = desk.found(XDG_CONFIG_HOME=base)

    assert "pinned to keyrings.alt" in by_environ["twine-keyring-pinned"].text
    assert "switched off" in by_file["twine-keyring-pinned"].text
    assert by_file["twine-keyring-pinned"].command == f"rm '{path}'"


@pytest.mark.parametrize(
    "name",
    [
        "hushkey_helpers.backend.Keyring",
        "keyring.backends.chainer.ChainerBackend",
    ],
)
def test_pin_that_reaches_us_is_no_trouble(desk: Desk, name: str) -> None:
    assert keyringchecks.pinned_backend({"PYTHON_KEYRING_BACKEND": name}) == ("", "")


@pytest.mark.parametrize("text", ["", "[backend]\n", "nonsense", "[backend]\na"])
def test_odd_keyringrc_pins_nothing(desk: Desk, text: str) -> None:
    desk.write("python_keyring/keyringrc.cfg", text)

    assert keyringchecks.pinned_backend(desk.environ) == ("", "")


def test_real_keyring_reads_the_same_file(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keyring import core

    monkeypatch.delenv("XDG_CONFIG_HOME")
    path = desk.write(
        "python_keyring/keyringrc.cfg",
        f"[backend]\ndefault-keyring={NULL}\n",
    )

    assert str(core._config_path()) == path
    assert keyringchecks.pinned_backend(desk.environ) == (NULL, path)


def test_only_a_registered_tool_that_does_not_ask_is_a_problem(
    desk: Desk,
) -> None:
    desk.tool("pip", "pip-26.3")
    desk.tool("uv")
    before = list(keyring_findings(installation(desk)))
    InstallRecord(desk.environ, "pip").write({"path": "somewhere"})

    after = {f.code: f.level for f in keyring_findings(installation(desk))}

    assert before == []
    assert after == {"pip-auto": "problem", "uv-disabled": "fine"}


@pytest.mark.parametrize(("url", "level"), [("git.test", "note"), ("x.test", "fine")])
def test_launcher_of_ours_is_reason_to_look_at_what_asks_for_our_hosts(
    desk: Desk, url: str, level: str
) -> None:
    desk.tool("pip", "pip-26.3")
    desk.launcher()
    desk.configure()
    environ = {**desk.environ, "PIP_INDEX_URL": f"https://{url}/simple"}
    users = {tool.name: tool.urls_in_use for tool in table.REGISTRATIONS}

    looked_at = Installation(environ, "/", (), users)
    found = {f.code: f.level for f in keyring_findings(looked_at)}

    assert found == {"pip-auto": level}
