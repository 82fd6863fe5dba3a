"""Registering with cargo: a credential provider for every registry.

doc.rust-lang.org/cargo/reference/registry-authentication.html. Later elements of the
list are asked first, and a list that is not there means ``cargo:token``.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping

from hushkey.system import paths
from hushkey_helpers import ANSWER
from hushkey_install.register.setting import (
    Form,
    Setting,
    SettingsRegistration,
    Setup,
    is_ours,
)
from hushkey_install.tools import tomltext

_PATH = ("registry", "global-credential-providers")


def _elements(written: str) -> list[str]:
    found = tomllib.loads(f"x = {written}".replace("\r\n", "\n"))["x"]
    if not isinstance(found, list) or not all(isinstance(e, str) for e in found):
        raise ValueError(f"{'.'.join(_PATH)} is not a list of strings")
    return found


def with_element(written: str, new: str) -> str:
    """Return the list *written* with *new* as its last element."""
    if not written:
        return json.dumps(["cargo:token", new], ensure_ascii=False)
    before, element = _elements(written), json.dumps(new, ensure_ascii=False)
    if before[-1:] == [new]:
        return written
    return _tried(
        (f"{written[:-1]}{glue}{element}]" for glue in (", ", " ", "")),
        [*before, new],
        written,
    )


def without_ours(written: str) -> str:
    """Return the list *written* without our elements."""
    for ours in [each for each in _elements(written) if is_ours(each)]:
        kept = _elements(written)
        kept.remove(ours)
        element = json.dumps(ours, ensure_ascii=False)
        cuts = (f", {element}", f" {element},", f"{element},", f" {element}", element)
        written = _tried(
            (written.replace(cut, "", 1) for cut in cuts), kept, json.dumps(kept)
        )
    return written


def _tried(candidates: Iterable[str], wanted: list[str], last: str) -> str:
    """Return the first of *candidates* that says *wanted*, else *last*."""
    for made in candidates:
        try:
            if _elements(made) == wanted:
                return made
        except ValueError:
            continue
    return last


class CargoRegistration(SettingsRegistration):
    """cargo, by the config of this user."""

    programs = ("cargo",)
    overridden_by = (
        "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS",
        r"CARGO_REGISTRIES_\w+_(TOKEN|CREDENTIAL_PROVIDER)",
    )
    about = "cargo asks hushkey for every registry; it answers for hosts with a rule"

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return the list of providers, with ours as its last."""
        ours = setup.command("cargo")

        def wanted(text: str) -> str:
            return with_element(tomltext.source(text, _PATH), ours)

        return [Setting(_config(setup.environ), wanted)]

    def form(self, environ: Mapping[str, str], words: tuple[str, ...]) -> Form:
        """Return the list as it is written."""
        return Form(
            lambda text, value: tomltext.rewrite(text, _PATH, value),
            lambda text: tomltext.source(text, _PATH),
            _without,
        )

    def overriding(self, text: str) -> Iterator[str]:
        """Yield registries with a provider of their own."""
        try:
            registries = tomltext.value(text, ("registries",))
        except ValueError:
            return
        for name, registry in (registries or {}).items():
            own = registry if isinstance(registry, dict) else {}
            if not is_ours(str(own.get("credential-provider", ANSWER))):
                yield f"registries.{name}.credential-provider"


def _without(text: str, _: str) -> str:
    written = tomltext.source(text, _PATH)
    return tomltext.rewrite(text, _PATH, without_ours(written)) if written else text


def _config(environ: Mapping[str, str]) -> str:
    home = environ.get("CARGO_HOME", "")
    if not os.path.isabs(home):
        home = os.path.join(paths.home(environ), ".cargo")
    older = os.path.join(home, "config")  # read before the newer name
    return older if os.path.isfile(older) else os.path.join(home, "config.toml")


CARGO = CargoRegistration("cargo")
