"""Registering with Terraform and OpenTofu: a credentials helper.

developer.hashicorp.com/terraform/internals/credentials-helpers. One helper only may be
set; it is a program of a fixed name in a plug-in folder.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping

from hushkey import origins
from hushkey.errors import Permanent, plain
from hushkey.system import paths
from hushkey_install.common.filechange import read_text
from hushkey_install.common.finding import PROBLEM, Finding
from hushkey_install.register.door import Door
from hushkey_install.register.setting import (
    Form,
    Setting,
    SettingsRegistration,
    Setup,
)
from hushkey_install.tools import hcltext
from hushkey_install.tools.installation import Installation

_TYPE, _NAME = "credentials_helper", "hushkey"
_VARIABLE, _SIGN_INS = "TF_TOKEN_", "credentials.tfrc.json"
_BLOCK = 'credentials_helper "hushkey" {\n  args = []\n}'


def _value(text: str) -> str:
    """Return which helper is set."""
    blocks = [block for block in hcltext.blocks(text) if block.type == _TYPE]
    return "\n".join(" ".join(block.labels) for block in blocks)


def _edited(text: str, value: str) -> str:
    if value == _value(text):
        return text
    for block in reversed(hcltext.blocks(text)):
        if (block.type, block.labels) == (_TYPE, (_NAME,)):
            text = hcltext.without(text, block)
    return hcltext.added(text, _BLOCK) if value == _NAME else text


def _wanted(text: str) -> str:
    there = _value(text)
    if there and there != _NAME:
        raise ValueError(f"it sets another helper, {there}, and only one is allowed")
    return _NAME


class TerraformRegistration(SettingsRegistration):
    """Terraform or OpenTofu, by the CLI configuration of this user."""

    overridden_by = (rf"{_VARIABLE}.+",)

    def __init__(
        self,
        name: str,
        config: Callable[[Mapping[str, str]], str],
        folder: Callable[[Mapping[str, str]], str],
    ) -> None:
        """*config* is where its settings are, *folder* the one of its plug-ins."""
        super().__init__(name)
        self.programs = (name,)
        self.about = f"{name} asks hushkey for every host; it shows no error of ours"
        self._config = config
        self._folder = folder

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return the block that sets the helper."""
        return [Setting(self._config(setup.environ), _wanted)]

    def form(self, environ: Mapping[str, str], words: tuple[str, ...]) -> Form:
        """Return the blocks."""
        return Form(_edited, _value, _edited)

    def doors(self, setup: Setup) -> Iterable[Door]:
        """Return the program of the fixed name."""
        folder = os.path.join(self._folder(setup.environ), "plugins")
        path = os.path.join(folder, "terraform-credentials-hushkey")
        return [Door(setup.environ, self.name, path, (setup.program, "terraform"))]

    def overriding(self, text: str) -> Iterator[str]:
        """Yield the hosts with a token of their own."""
        try:
            blocks = hcltext.blocks(text)
        except ValueError:
            return
        for block in blocks:
            if block.type == "credentials" and block.labels:
                yield f'credentials "{block.labels[0]}"'

    def concerns(self, what: str, installation: Installation) -> bool:
        """Tell whether the host in *what* is one that hushkey answers for."""
        context = installation.context
        try:
            request = origins.parse_url(_host(what))
        except ValueError:
            return False
        return bool(context and context.config.rule_for(request))

    def checks(self, installation: Installation) -> Iterator[Finding]:
        """Yield also the sign-ins of `terraform login`, which go before helpers."""
        yield from super().checks(installation)
        if not self._noted(installation.environ).known:
            return
        path = os.path.join(self._folder(installation.environ), _SIGN_INS)
        for host in _signed_in(path):
            if self.concerns(f'credentials "{host}"', installation):
                text = f"{self.name}: {path} has a token for {plain(host)}, which "
                yield Finding(
                    f"{self.name}-overridden",
                    PROBLEM,
                    f"{text}{self.name} takes without asking hushkey",
                    shlex.join([self.name, "logout", host]),
                )


def _host(what: str) -> str:
    """Return the host of a ``credentials`` block or of a variable with a token.

    developer.hashicorp.com/terraform/cli/config/config-file "Environment Variable
    Credentials": dots are underscores there, and hyphens may be two of them.
    """
    if what.startswith(_VARIABLE):
        name = what.removeprefix(_VARIABLE)
        return name.replace("__", "-").replace("_", ".")
    return what.partition('"')[2].rstrip('"')


def _signed_in(path: str) -> list[str]:
    """Return the hosts of the file that `terraform login` writes."""
    try:
        said = json.loads(read_text(path))
    except (OSError, ValueError):
        return []
    found = said.get("credentials") if isinstance(said, dict) else None
    return sorted(found) if isinstance(found, dict) else []


def _named(environ: Mapping[str, str]) -> str:
    named = environ.get("TF_CLI_CONFIG_FILE", "")
    if named and not os.path.isabs(named):
        raise Permanent("TF_CLI_CONFIG_FILE is not an absolute path", hint="unset it")
    return named


def _terraform(environ: Mapping[str, str]) -> str:
    if named := _named(environ):
        return named
    home = paths.home(environ)
    if sys.platform == "win32":
        return os.path.join(environ.get("APPDATA", home), "terraform.rc")
    return os.path.join(home, ".terraformrc")


def _tofu(environ: Mapping[str, str]) -> str:
    home = paths.home(environ)
    if named := _named(environ):
        return named
    own = os.path.join(home, ".tofurc")
    for path in (own, os.path.join(home, ".terraformrc")):
        if os.path.exists(path):
            return path
    xdg = _tofu_xdg(environ)
    return os.path.join(xdg, "tofurc") if xdg else own


def _terraform_folder(environ: Mapping[str, str]) -> str:
    return os.path.join(paths.home(environ), ".terraform.d")


def _tofu_folder(environ: Mapping[str, str]) -> str:
    legacy, xdg = _terraform_folder(environ), _tofu_xdg(environ)
    return xdg if xdg and not os.path.exists(legacy) else legacy


def _tofu_xdg(environ: Mapping[str, str]) -> str:
    """Return OpenTofu's folder where the user has named one for settings."""
    folder = paths.xdg_config(environ)
    usual = os.path.join(paths.home(environ), ".config")
    return "" if folder == usual else os.path.join(folder, "opentofu")


TERRAFORM = TerraformRegistration("terraform", _terraform, _terraform_folder)
TOFU = TerraformRegistration("tofu", _tofu, _tofu_folder)
