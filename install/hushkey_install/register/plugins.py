"""Registering with twine and poetry: the backend, in the environment they run in.

They import keyring, so a program on PATH does not help them. What changes an
environment is that environment's own tool, shown and run on consent.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import distribution
from json import loads
from typing import Any
from urllib.parse import unquote, urlsplit

from hushkey.errors import Permanent
from hushkey.system import programs
from hushkey_install.common import output
from hushkey_install.common.context import Context
from hushkey_install.common.finding import Finding
from hushkey_install.common.installrecord import InstallRecord
from hushkey_install.register.keyringchecks import check, importing
from hushkey_install.register.registration import Plan, Registration
from hushkey_install.tools import pythontools
from hushkey_install.tools.installation import Installation
from hushkey_install.tools.pythontools import Client

#: seconds that a package manager may take
_PATIENCE = 600


class Plugin(Registration):
    """One tool that imports keyring: hushkey goes into its environment."""

    asks_keyring = True

    def plan(
        self,
        environ: dict[str, str],
        hosts: tuple[str, ...],
        *,
        yes: bool = False,
        **more: Any,
    ) -> Plan:
        """Return what adds hushkey where the tool runs; *yes*: without asking."""
        environ = Context(environ).environ
        client = self._client(environ)
        if client.has("hushkey"):
            return _NOTHING
        notes = {"prefix": client.prefix}
        return self._plan(adding(client, package(), environ), environ, notes, yes)

    def undo(
        self,
        environ: dict[str, str],
        hosts: tuple[str, ...],
        *,
        yes: bool = False,
        **more: Any,
    ) -> Plan:
        """Return what takes hushkey out of there, if install put it in."""
        noted = InstallRecord(environ, self.name).read()
        if not noted:
            return _NOTHING
        client = self._client(environ)
        if noted.get("prefix") != client.prefix or not client.has("hushkey"):
            return _NOTHING
        return self._plan(removing(client, environ), environ, {}, yes)

    def checks(self, installation: Installation) -> Iterator[Finding]:
        """Yield how it asks the backend, and why that does not work."""
        look = partial(importing, command=f"hushkey install {self.name}")
        return check(self.name, installation, look)

    def _client(self, environ: Mapping[str, str]) -> Client:
        client = pythontools.find(self.name, environ)
        if client is None:
            raise Permanent(
                f"{self.name} is not on PATH", hint=f"run: pipx install {self.name}"
            )
        return client

    def _plan(
        self,
        words: list[str],
        environ: Mapping[str, str],
        notes: Mapping[str, Any],
        yes: bool,
    ) -> Plan:
        def shown() -> bool:
            output.say(shlex.join(words))
            return True

        def apply() -> None:
            if not yes:
                output.confirm("run it?", abort=True)
            _run(words, environ)
            InstallRecord(environ, self.name).write(notes)

        return Plan(shown, apply)


_NOTHING = Plan(lambda: False, lambda: None)


def _run(words: list[str], environ: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            words, timeout=_PATIENCE, check=False, env=dict(environ), cwd=os.sep
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Permanent(f"{words[0]} failed ({type(error).__name__})") from error
    if done.returncode:
        raise Permanent(f"{words[0]} failed", hint="see what it says above")


def package() -> str:
    """Return what to tell a package manager to install: this hushkey.

    From where this one came (PEP 610): a name alone may be anybody's in an index.
    """
    text = distribution("hushkey").read_text("direct_url.json")
    if not text:
        return "hushkey"
    origin = loads(text)
    url = str(origin["url"])
    if url.startswith("file:") and "vcs_info" not in origin:
        return unquote(urlsplit(url).path)
    if vcs := origin.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    if folder := origin.get("subdirectory"):
        url += f"#subdirectory={folder}"
    return f"hushkey @ {url}"


def adding(client: Client, spec: str, environ: Mapping[str, str]) -> list[str]:
    """Return the command that adds *spec* to the environment of *client*."""
    name = client.name
    return _command(
        client,
        environ,
        {
            "pipx": lambda: ["pipx", "inject", name, spec],
            "uv": lambda: _uv_tool(client, spec),
            "poetry": lambda: ["poetry", "self", "add", spec],
            "venv": lambda: [_python(client), "-m", "pip", "install", spec],
        },
    )


def removing(client: Client, environ: Mapping[str, str]) -> list[str]:
    """Return the command that takes hushkey out of the environment of *client*."""
    name = client.name
    out = [_python(client), "-m", "pip", "uninstall", "--yes", "hushkey"]
    return _command(
        client,
        environ,
        {
            "pipx": lambda: ["pipx", "uninject", name, "hushkey"],
            "uv": lambda: _uv_tool(client),
            "poetry": lambda: ["poetry", "self", "remove", "hushkey"],
            "venv": lambda: out,
        },
    )


def _command(
    client: Client,
    environ: Mapping[str, str],
    by_manager: Mapping[str, Callable[[], list[str]]],
) -> list[str]:
    manager = client.manager()
    if not manager:
        raise Permanent(
            f"{client.program} belongs to this system's Python, which is not ours "
            "to change",
            hint=f"run: pipx install {client.name}, then hushkey install {client.name}",
        )
    program, *words = by_manager[manager]()
    found = programs.find(program, environ)
    if found is None:
        raise Permanent(f"{client.program} was made by {program}, not on PATH here")
    return [found, *words]


def _python(client: Client) -> str:
    return os.path.join(client.prefix, "bin", "python")


def _uv_tool(client: Client, *more: str) -> list[str]:
    """Return the command that installs a uv tool again, as it is but for *more*."""
    path = os.path.join(client.prefix, "uv-receipt.toml")
    try:
        with open(path, "rb") as file:
            tool = tomllib.load(file)["tool"]
        needs = {str(need["name"]): need for need in tool["requirements"]}
        needs.pop("hushkey", None)
        asked = {name: _requirement(need) for name, need in needs.items()}
        own = asked.pop(client.name)
        if odd := sorted(_UV_ODD & tool.keys()):
            raise ValueError(odd[0])
        python = ["--python", str(tool["python"])] if "python" in tool else []
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise Permanent(
            f"{path} holds requirements that cannot be repeated",
            hint="add hushkey to your own `uv tool install` command: --with hushkey",
        ) from error
    words = [word for text in (*asked.values(), *more) for word in ("--with", text)]
    return ["uv", "tool", "install", "--force", *python, own, *words]


#: what makes a tool another one, and has no word for it here (uv's tool receipts)
_UV_ODD = {"constraints", "overrides", "excludes", "build-constraint-dependencies"}


def _requirement(need: Mapping[str, Any]) -> str:
    """Return one entry of a receipt as a requirement; ValueError if it is no plain one.

    Without its version a pinned tool would be upgraded.
    """
    if odd := need.keys() - {"name", "extras", "specifier", "marker"}:
        raise ValueError(f"from a {min(odd)}")
    extras = f"[{','.join(need['extras'])}]" if need.get("extras") else ""
    marker = f" ; {need['marker']}" if "marker" in need else ""
    return f"{need['name']}{extras}{need.get('specifier', '')}{marker}"


TWINE, POETRY = Plugin("twine"), Plugin("poetry")
