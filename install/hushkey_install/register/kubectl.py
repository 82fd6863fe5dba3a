"""Registering with kubectl, helm and k9s: one user, for some contexts.

kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins.
Only the ``user`` of those contexts changes, and one entry of ``users`` is ours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from hushkey import origins
from hushkey.errors import HushkeyError, Permanent, plain
from hushkey.system import paths
from hushkey_install.common.filechange import read_text
from hushkey_install.register.setting import (
    Form,
    Setting,
    SettingsRegistration,
    Setup,
)
from hushkey_install.tools import textlines, yamltext

_USER = "hushkey"
_HINT = "hushkey is gone: install it again, or run `hushkey uninstall kubectl` with it"


def _value(text: str) -> str:
    """Return each context's user, and our entry, all as they are written."""
    contexts = yamltext.listing(text, "contexts")
    users = yamltext.listing(text, "users")
    lines = textlines.split(text)
    said: dict[str, Any] = {"contexts": {}, "entry": None}
    said["users"] = yamltext.header(text, "users")
    for item in contexts.items if contexts else ():
        if user := item.scalars.get(("context", "user")):
            said["contexts"][item.says("name")] = yamltext.source(lines, user)
    for item in users.items if users else ():
        if _is_ours(item):
            said["entry"] = "".join(lines[item.first : item.after]).rstrip("\r\n")
    return json.dumps(said, sort_keys=True)


def _edited(text: str, value: str) -> str:
    said = json.loads(value)
    contexts = yamltext.listing(text, "contexts")
    for item in contexts.items if contexts else ():
        made, user = said["contexts"].get(item.says("name")), _user(item)
        if user and made is not None:
            text = yamltext.rewrite(text, user, made)
    if json.loads(_value(text))["entry"] != said["entry"]:
        text = yamltext.without_item(text, "users", said["users"], _is_ours)
        if said["entry"]:
            text = yamltext.with_item(text, "users", said["entry"])
    return text


def _is_ours(item: yamltext.Item) -> bool:
    return item.says("name") == _USER


def _user(item: yamltext.Item) -> yamltext.Scalar | None:
    return item.scalars.get(("context", "user"))


def _without(text: str, value: str) -> str:
    """Return *text* without us, although somebody has edited it since."""
    before, now = json.loads(value), json.loads(_value(text))
    for name, user in now["contexts"].items():
        if user == _USER and name in before["contexts"]:
            now["contexts"][name] = before["contexts"][name]
    return _edited(text, json.dumps({**now, "entry": None, "users": before["users"]}))


class KubectlRegistration(SettingsRegistration):
    """kubectl, helm and k9s, by the kubeconfig files of this user."""

    takes_hosts = several = True
    programs = ("kubectl", "helm", "k9s", "oc")
    about = "kubectl, helm and k9s ask hushkey for the clusters of these contexts"

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return, for each file with a context that is meant, its users."""
        texts = {path: _text(path) for path in _files(setup.environ)}
        servers: dict[str, str] = {}
        for path, text in texts.items():
            for item in _items(path, text, "clusters"):
                servers.setdefault(item.says("name"), item.says("cluster", "server"))
        found: dict[str, list[str]] = {}
        words, userless = set(setup.words), list[str]()
        for path, text in texts.items():
            for item in _items(path, text, "contexts"):
                name = item.says("name")
                server = servers.get(item.says("context", "cluster"), "")
                if not (meant := _meant(setup, name, server)):
                    continue
                if not _user(item):
                    userless.append(name)
                    continue
                found.setdefault(path, []).append(name)
                words -= meant
        if userless and (words or not found):
            raise Permanent(
                f"the user of context {plain(userless[0])} is not on a separate line",
                hint="run `kubectl config set-context NAME --user=hushkey` first",
            )
        if words or not found:
            which = f"called or at {plain(min(words))}" if words else "at such a host"
            named = "KUBECONFIG" if setup.environ.get("KUBECONFIG") else ""
            where = ", ".join(_files(setup.environ))
            raise Permanent(
                f"{where} has no context of a cluster {which}",
                hint=f"look at the variable {named}, or name a context"
                if named
                else "name a context, or add one with `kubectl config`",
            )
        return [_setting(path, names, setup) for path, names in found.items()]

    def form(self, environ: Mapping[str, str], words: tuple[str, ...]) -> Form:
        """Return the contexts' users and our entry."""
        return Form(_edited, _value, _without)


def _setting(path: str, names: list[str], setup: Setup) -> Setting:
    def wanted(text: str) -> str:
        said = json.loads(_value(text))
        users = yamltext.listing(text, "users")
        said["contexts"] |= {name: _USER for name in names if name in said["contexts"]}
        said["entry"] = _entry(users.indent if users else "", setup.program)
        return json.dumps({**said, "users": ""}, sort_keys=True)

    return Setting(path, wanted)


def _entry(indent: str, program: str) -> str:
    lines = (
        f"- name: {_USER}",
        "  user:",
        "    exec:",
        "      apiVersion: client.authentication.k8s.io/v1",
        "      args:",
        "      - kubectl",
        f"      command: {yamltext.written(program)}",
        f"      installHint: {yamltext.written(_HINT)}",
        "      interactiveMode: IfAvailable",
        "      provideClusterInfo: true",
    )
    return "\n".join(indent + line for line in lines)


def _meant(setup: Setup, context: str, server: str) -> frozenset[str]:
    """Return which words mean *context*, of the cluster at *server*; "": none is said.

    A word is a context's name or a cluster's host; none: every cluster with a rule.
    """
    if setup.words:
        meant = {word for word in setup.words if word == context or _same(word, server)}
        if meant:
            setup.context.rule(server)  # or says why not
        return frozenset(meant)
    try:
        setup.context.rule(server)
    except HushkeyError:
        return frozenset()
    return frozenset(("",))


def _same(word: str, server: str) -> bool:
    try:
        one, other = origins.parse_url(word), origins.parse_url(server)
    except ValueError:
        return False
    return (one.protocol, one.host) == (other.protocol, other.host)


def _items(path: str, text: str, name: str) -> list[yamltext.Item]:
    try:
        found = yamltext.listing(text, name)
    except ValueError as error:
        raise Permanent(
            f"{path} cannot be understood: {plain(str(error))}", hint="fix it first"
        ) from error
    return found.items if found else []


def _text(path: str) -> str:
    try:
        return read_text(path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Permanent(f"cannot read {path}: {error.strerror or error}") from error


def _files(environ: Mapping[str, str]) -> list[str]:
    """Return the files that client-go reads."""
    named = environ.get("KUBECONFIG", "").split(os.pathsep)
    found = [path for path in named if os.path.isabs(path)]
    return found or [os.path.join(paths.home(environ), ".kube", "config")]


KUBECTL = KubectlRegistration("kubectl")
