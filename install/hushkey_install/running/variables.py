"""Which variable each tool reads a token from, for tools that start no helper.

Nothing is written to a disk: the variables are the started command's alone, and what
it starts inherits them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping

from hushkey import origins
from hushkey.errors import Permanent, plain
from hushkey.model import Frozen
from hushkey_helpers.tools import command
from hushkey_helpers.tools.command import Served
from hushkey_install.common.context import shown
from hushkey_install.running import cargoindex


class Place(Frozen):
    """Where the token goes: the host (a port included), the path, a registry's name."""

    host: str
    path: str
    name: str

    @property
    def bare(self) -> str:
        """The host without a port."""
        origin = origins.parse_origin("https", self.host)
        return origin[0] if origin else self.host


Variables = Callable[[Served, Place, Mapping[str, str]], Mapping[str, str]]


def _npm(prefix: str) -> Variables:
    def variables(
        served: Served, place: Place, _: Mapping[str, str]
    ) -> Mapping[str, str]:
        # docs.npmjs.com "npmrc": scoped to the registry, whose URL ends in a slash
        key = f"{prefix}_config_//{place.host}{place.path}/:_authToken"
        return {key: served.token.value}

    return variables


def _yarn(
    served: Served, place: Place, environ: Mapping[str, str]
) -> Mapping[str, str]:
    """Add a plug-in of ours to YARN_PLUGINS: it keeps the token at its host.

    Yarn sends it to every registry that a project names, and to every archive.
    """
    guard = os.path.join(os.path.dirname(__file__), "yarn-guard-hushkey.cjs")
    plugins = filter(None, (environ.get("YARN_PLUGINS"), guard))
    return {
        "YARN_NPM_AUTH_TOKEN": served.token.value,
        "YARN_NPM_ALWAYS_AUTH": "true",
        "YARN_PLUGINS": ";".join(plugins),
        "HUSHKEY_YARN_REGISTRY": f"https://{place.host}{place.path}",
    }


def _cargo(
    served: Served, place: Place, environ: Mapping[str, str]
) -> Mapping[str, str]:
    """Say where the registry is, too: a project could lead its name elsewhere."""
    if not place.name:
        raise Permanent(
            "cargo reads a token by the registry's name in its config",
            hint="give `--name NAME`",
        )
    variable = cargoindex.variable(place.name)
    try:
        folder = os.getcwd()
    except OSError as error:
        raise Permanent(
            "the folder that this runs in is gone", hint="change to another folder"
        ) from error
    index = cargoindex.find(place.name, folder, environ)
    where = f"{place.host}{place.path}"
    if not index:
        raise Permanent(
            f"cargo's config has no registry {plain(place.name)} here",
            hint=f"give it an index in ~/.cargo/config.toml, or set {variable}",
        )
    if not cargoindex.is_at(index, place.host, place.path):
        raise Permanent(
            f"cargo's config here has the registry {plain(place.name)} at "
            f"{shown(index)}, which is not at https://{where}",
            hint="look at .cargo/config.toml in this folder and those above it",
        )
    return {
        variable.removesuffix("INDEX") + "TOKEN": command.authorization(served),
        "CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS": "cargo:token",
        variable: index,
    }


def _terraform(served: Served, place: Place, _: Mapping[str, str]) -> Mapping[str, str]:
    # developer.hashicorp.com "Environment Variable Credentials"
    # a port stays, behind a colon: Terraform compares the host with it
    origin = origins.parse_origin("https", place.host)
    host = origins.origin_text("https", *origin) if origin else place.host
    name = host.replace("-", "__").replace(".", "_")
    return {f"TF_TOKEN_{name}": served.token.value}


def _maven(served: Served, _: Place, __: Mapping[str, str]) -> Mapping[str, str]:
    """Return what settings.xml may name: ``${env.HUSHKEY_TOKEN}``."""
    return {"HUSHKEY_USER": served.username, "HUSHKEY_TOKEN": served.token.value}


def _gradle(served: Served, _: Place, __: Mapping[str, str]) -> Mapping[str, str]:
    """Return project properties: hushkeyUser, hushkeyToken."""
    return {
        "ORG_GRADLE_PROJECT_hushkeyUser": served.username,
        "ORG_GRADLE_PROJECT_hushkeyToken": served.token.value,
    }


def _composer(
    served: Served, place: Place, environ: Mapping[str, str]
) -> Mapping[str, str]:
    """Add to what COMPOSER_AUTH holds already."""
    before = dict(command.object_in(environ.get("COMPOSER_AUTH", "")))
    if served.rule.scheme == "basic":
        kind = "http-basic"
        value: object = {"username": served.username, "password": served.token.value}
    else:
        kind, value = "bearer", served.token.value
    known = before.get(kind)
    hosts = dict(known) if isinstance(known, dict) else {}
    return {"COMPOSER_AUTH": json.dumps({**before, kind: {**hosts, place.host: value}})}


def _bundler(served: Served, place: Place, _: Mapping[str, str]) -> Mapping[str, str]:
    # bundler.io "bundle config": dots are two underscores, hyphens are three
    name = place.bare.replace("-", "___").replace(".", "__").upper()
    return {f"BUNDLE_{name}": f"{served.username}:{served.token.value}"}


def _huggingface(
    served: Served, place: Place, _: Mapping[str, str]
) -> Mapping[str, str]:
    # huggingface_hub, "Environment variables": without it the token goes to the public
    # hub, or to where a variable of earlier leads
    endpoint = f"https://{place.host}{place.path}"
    return {"HF_TOKEN": served.token.value, "HF_ENDPOINT": endpoint}


def _gh(served: Served, place: Place, _: Mapping[str, str]) -> Mapping[str, str]:
    if place.bare == "github.com" or place.bare.endswith(".ghe.com"):
        return {"GH_TOKEN": served.token.value, "GH_HOST": place.bare}
    return {"GH_ENTERPRISE_TOKEN": served.token.value, "GH_HOST": place.bare}


def _one(name: str) -> Variables:
    return lambda served, _, __: {name: served.token.value}


#: the tools that read a token for each host
SEVERAL = ("npm", "pnpm", "terraform", "tofu", "composer", "bundler")
#: tool -> its variables
VARIABLES: Mapping[str, Variables] = {
    "npm": _npm("npm"),
    "pnpm": _npm("pnpm"),
    "yarn": _yarn,
    "cargo": _cargo,
    "terraform": _terraform,
    "tofu": _terraform,
    "maven": _maven,
    "gradle": _gradle,
    "composer": _composer,
    "bundler": _bundler,
    "huggingface": _huggingface,
    "psql": _one("PGPASSWORD"),
    "gh": _gh,
}
