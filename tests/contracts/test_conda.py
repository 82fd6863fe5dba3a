"""The plug-in that install places for conda, with requests as conda uses it.

conda itself cannot be installed here. Of it there are a plug-in's imports, shaped by
its documents, and of its session what matters: one handler for a channel, as ``auth``
of a session of requests.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import pytest
import requests

from kit.condabase import CondaBase
from kit.oauth import BIN, Machine, grant
from servers.authority import Authority
from servers.toolserver import Page, Seen, ToolServer

pytestmark = pytest.mark.contract
TOKEN = "at-c4nary"
CONFIG = """
[settings]
key_store = "file"

[identity.corp]
provider = "oidc"
issuer = "https://id.test"
client_id = "c"

[host."HOST/team"]
identity = "corp"
scopes = ["git"]
"""
INDEX, PACKAGE = "/team/noarch/repodata.json", "/team/linux-64/a-1-0.conda"


class ChannelAuthBase(requests.auth.AuthBase):
    """docs: conda.plugins.types.ChannelAuthBase."""

    def __init__(self, channel_name: str) -> None:
        self.channel_name = channel_name


class CondaAuthHandler(NamedTuple):
    """docs: conda.plugins.types.CondaAuthHandler."""

    name: str
    handler: Callable[[str], requests.auth.AuthBase]


def conda_s_modules(context: SimpleNamespace) -> dict[str, ModuleType]:
    def module(name: str, **content: object) -> ModuleType:
        made = ModuleType(name)
        made.__dict__.update(content)
        return made

    made = (
        module("conda", __path__=[]),
        module("conda.base", __path__=[]),
        module("conda.base.context", context=context),
        module("conda.plugins", __path__=[], hookimpl=lambda function: function),
        module(
            "conda.plugins.types",
            ChannelAuthBase=ChannelAuthBase,
            CondaAuthHandler=CondaAuthHandler,
        ),
    )
    return {each.__name__: each for each in made}


class Conda:
    """conda with our plug-in in it, of a person who may be signed in."""

    def __init__(self, machine: Machine, server: ToolServer, authority: Authority):
        self.machine = machine
        self.server = server
        self.ca_file = str(authority.ca_file)
        self.channel = f"{server.url}/team"
        self.context = SimpleNamespace(offline=False)
        self.plugin: Any = None

    def session(self, channel: str = "") -> requests.Session:
        """Return what conda makes for a channel whose settings say ``auth``."""
        (found,) = self.plugin.conda_auth_handlers()
        assert found.name == "hushkey"
        made = requests.Session()
        made.verify = self.ca_file
        made.auth = found.handler(channel or self.channel)
        return made

    def get(self, url: str = "", channel: str = "", **more: Any) -> requests.Response:
        with self.session(channel) as session:
            return session.get(url or self.server.url + INDEX, timeout=10, **more)

    def redirects(self, to: str, status: int = 302) -> None:
        location = (("Location", to),)
        self.server.pages[INDEX] = Page(b"", status=status, headers=location)


@pytest.fixture
def server(authority: Authority) -> Iterator[ToolServer]:
    with ToolServer(authority.server_context(), lambda token: token == TOKEN) as made:
        made.pages |= {INDEX: Page(b"{}"), PACKAGE: Page(b"a")}
        yield made


@pytest.fixture
def conda(
    home: Path,
    server: ToolServer,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Conda]:
    """The plug-in comes as conda finds it: by the entry points in its packages."""
    machine = Machine(home, "https://id.test")
    machine.configure(text=CONFIG.replace("HOST", server.host))
    base = CondaBase(home / "miniforge3")
    for name, value in machine.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CONDA_EXE", str(base.program))
    monkeypatch.setenv("HUSHKEY_INTERACTIVE", "never")
    made_for = ("conda", f"{server.host}/team")
    done = machine.run("hushkey", "install", *made_for, CONDA_EXE=str(base.program))
    assert done.returncode == 0, done.stderr

    made = Conda(machine, server, authority)
    for name, module in conda_s_modules(made.context).items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.syspath_prepend(base.packages)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (point,) = (
        point
        for distribution in distributions(path=[str(base.packages)])
        for point in distribution.entry_points
        if point.group == "conda"
    )
    made.plugin = point.load()
    assert str(BIN / "hushkey-answer") == made.plugin.PROGRAM
    yield made
    del sys.modules["hushkey_conda"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that are run, and how."""
    lines: list[list[str]] = []
    run = subprocess.run

    def seen(words: list[str], **more: Any) -> Any:
        assert more["stdin"] == subprocess.DEVNULL
        assert more["timeout"] > 0
        lines.append(words[1:])
        return run(words, **more)

    monkeypatch.setattr(subprocess, "run", seen)
    return lines


def test_channel_is_asked_for_once(conda: Conda, asked: list[list[str]]) -> None:
    url = conda.server.url
    assert requests.get(url + INDEX, verify=conda.ca_file, timeout=10).status_code > 400
    conda.machine.has(grant(TOKEN))

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(conda.get, [url + INDEX, url + PACKAGE] * 5))

    assert {answer.status_code for answer in answers} == {200}
    assert asked == [["conda", conda.channel]]


@pytest.mark.parametrize("name", ["team", "defaults"])
def test_channel_of_an_alias_is_told_by_its_url(
    conda: Conda, asked: list[list[str]], name: str
) -> None:
    """conda calls a handler's channel by a name then."""
    conda.machine.has(grant(TOKEN))

    assert conda.get(channel=name).status_code == 200

    assert asked == [["conda", conda.channel]]


@pytest.mark.parametrize("status", [302, 308])
def test_redirect_to_another_host_goes_without(
    conda: Conda, authority: Authority, status: int
) -> None:
    conda.machine.has(grant(TOKEN))
    with ToolServer(authority.server_context(), lambda _: False) as other:
        for name in (other.host, other.host.replace("127.0.0.1", "localhost")):
            conda.redirects(f"https://{name}/elsewhere", status)
            assert conda.get().status_code == 401

        assert [seen.authorization for seen in other.log] == ["", ""]
    assert {seen.authorization for seen in conda.server.log} == {f"Bearer {TOKEN}"}


def test_redirect_to_the_same_host_by_another_name_goes_without(conda: Conda) -> None:
    conda.machine.has(grant(TOKEN))
    conda.redirects(conda.server.url.replace("127.0.0.1", "localhost") + PACKAGE)

    assert conda.get().status_code == 401

    assert conda.server.log[-1] == Seen(PACKAGE, "", 401)


def test_redirect_on_the_same_host_keeps_it(conda: Conda) -> None:
    conda.machine.has(grant(TOKEN))
    conda.redirects(PACKAGE)

    assert conda.get().content == b"a"


def test_what_is_not_the_channel_s_is_not_asked_for(
    conda: Conda, asked: list[list[str]]
) -> None:
    conda.machine.has(grant(TOKEN))

    def header(url: str, channel: str = "", **more: Any) -> str | None:
        request = requests.Request("GET", url, **more)
        prepared = conda.session(channel).prepare_request(request)
        return prepared.headers.get("Authorization")

    assert header(conda.channel.replace("https:", "http:") + "/a/b") is None
    assert header("https://foreign.test/team/noarch/a") is None
    own = "/t/own-c4nary/team/noarch/a"  # conda's token, which no argv may show
    assert header(conda.server.url + own) is None
    named = {"Authorization": "Basic own"}
    assert header(conda.server.url + INDEX, headers=named) == "Basic own"
    conda.context.offline = True
    assert header(conda.server.url + INDEX) is None
    assert asked == []


@pytest.mark.parametrize(
    "what", ["signed out", "no rule", "gone", "hangs", "[x", "[1]"]
)
def test_failure_is_said_once_and_conda_goes_on(
    conda: Conda,
    asked: list[list[str]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    what: str,
) -> None:
    says = "run `hushkey doctor`"
    if what == "signed out":
        says = f"hushkey login {conda.server.host}"
    elif what == "no rule":
        says = f"hushkey setup {conda.server.host}"
        conda.machine.configure(text="")
    else:
        program = tmp_path / "program"
        conda.plugin.PROGRAM, conda.plugin.PATIENCE = str(program), 0.5
        script = "exec sleep 60" if what == "hangs" else f"echo '{what}'"
        if what != "gone":
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)

    codes = {
        conda.get(conda.server.url + path).status_code for path in (INDEX, PACKAGE)
    }

    assert codes == {401}
    assert len(asked) == 1
    line = capfd.readouterr().err
    assert says in line
    assert line.startswith("hushkey: ")
    assert line.count("\n") == 1
    assert {seen.authorization for seen in conda.server.log} == {""}


def test_token_near_its_end_is_asked_for_again(
    conda: Conda, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    conda.machine.has(grant(TOKEN, expires_in=3600))
    conda.get()
    (until,) = (until for _, until in conda.plugin.kept.values())
    now = time.time()
    assert now < until <= now + 3600 - 60
    conda.get()
    assert len(asked) == 1
    clock = SimpleNamespace(time=lambda: until)
    monkeypatch.setattr(conda.plugin, "time", clock)

    assert conda.get().status_code == 200

    assert len(asked) == 2
