"""What can be wrong between hushkey and docker, podman and their kin.

Looks at files and at PATH; asks no server, changes nothing, never prompts.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator

from hushkey.errors import HushkeyError
from hushkey.system import paths, programs
from hushkey_helpers.docker import registries
from hushkey_install.common.context import Context
from hushkey_install.common.finding import NOTE, PROBLEM, Finding
from hushkey_install.register import docker, hiddenlogins
from hushkey_install.register.docker import Client
from hushkey_install.tools import ociconfig


def check(context: Context) -> Iterator[Finding]:
    """Yield what is wrong with docker's and podman's use of hushkey."""
    for client in (docker.DOCKER, docker.PODMAN):
        yield from _client(context, client)
    yield from _environment(context)
    yield from _shadowed(context)


def _client(context: Context, client: Client) -> Iterator[Finding]:
    path = client.file(context.environ)
    try:
        text = ociconfig.text_of(path)
    except HushkeyError as error:
        yield Finding(f"{client.name}-file", PROBLEM, error.what)
        return
    ours = [step[-1] for step in ociconfig.ours(text)]
    if ours and programs.find(ociconfig.HELPER, context.environ) is None:
        yield Finding(
            f"{client.name}-helper-missing",
            PROBLEM,
            f"{path} names {ociconfig.HELPER} for {', '.join(ours)}, and it is not on "
            f"PATH: {client.name} fails for them, public images too",
            "pipx ensurepath",
        )
    if not _is_used(context, client, path):
        return
    yield from _unregistered(context, client, path, text)
    yield from _hidden(context, client, path, text)


def _hidden(
    context: Context, client: Client, path: str, text: str
) -> Iterator[Finding]:
    """Yield logins that the client has and no longer finds, since it asks us."""
    store = ociconfig.store(text) if client.has_store else ""
    keys: list[str] | None = [step[-1] for step in ociconfig.ours(text) if step[1:]]
    if store == ociconfig.SUFFIX:
        store = ociconfig.former_store(context.environ, client.name, path)
        keys = None
    for login in hiddenlogins.find(context, path, text, store, keys):
        command = docker.TAKE_OVER
        if login.identity:
            if not login.in_file:
                continue  # none is missed, and none lies about
            where = "" if client.has_store else f"--authfile {shlex.quote(path)} "
            command = f"{client.name} logout {where}{shlex.quote(login.server)}"
        yield Finding(
            f"{client.name}-hidden-login", NOTE, login.line(client.name), command
        )


def _is_used(context: Context, client: Client, path: str) -> bool:
    found = programs.find(client.name, context.environ)
    return found is not None or os.path.exists(path)


def _unregistered(
    context: Context, client: Client, path: str, text: str
) -> Iterator[Finding]:
    """Yield registries with an identity that go another way."""
    helpers = _dockers_ours(context, client) | ociconfig.registered(text)
    everything = ociconfig.store(text) == ociconfig.SUFFIX
    for key in client.known(context, text):
        helper = helpers.get(key, "")
        command = f"hushkey install {client.name} {key}"
        if helper not in ("", ociconfig.SUFFIX):
            yield Finding(
                f"{client.name}-other-helper",
                PROBLEM,
                f"{key} has an identity here, but {path} gives it to "
                f"docker-credential-{helper}: two tools for one registry",
                command,
            )
        elif not helper and not everything:
            yield Finding(
                f"{client.name}-unregistered",
                NOTE,
                f"{key} has an identity, and {client.name} does not ask hushkey for it",
                command,
            )


def _dockers_ours(context: Context, client: Client) -> dict[str, str]:
    """Return what podman finds of ours in docker's own file, which it reads last.

    containers-auth.json(5); with REGISTRY_AUTH_FILE it reads nothing else.
    """
    if client is docker.DOCKER or context.environ.get("REGISTRY_AUTH_FILE"):
        return {}
    try:
        text = ociconfig.text_of(docker.DOCKER.file(context.environ))
    except HushkeyError:
        return {}  # docker's own finding
    # Looked up as it is written: docker's own key of the Hub is none of podman's.
    keys = (key for step in ociconfig.ours(text) for key in step[1:])
    return dict.fromkeys(keys, ociconfig.SUFFIX)


def _environment(context: Context) -> Iterator[Finding]:
    if context.environ.get("DOCKER_AUTH_CONFIG"):
        yield Finding(
            "docker-auth-config",
            NOTE,
            "DOCKER_AUTH_CONFIG is set: docker takes what it holds before any helper",
            "unset DOCKER_AUTH_CONFIG",
        )


def _shadowed(context: Context) -> Iterator[Finding]:
    """Yield logins in podman's session file, which it reads before ours."""
    runtime = paths.xdg_runtime(context.environ)
    if not runtime or context.environ.get("REGISTRY_AUTH_FILE"):
        return
    path = os.path.join(runtime, "containers", "auth.json")
    try:
        held = ociconfig.used(ociconfig.text_of(path))
    except HushkeyError:
        return  # podman itself will say so
    for name in held:
        registry = registries.parse(name)
        if registry and docker.serves(context, registry):
            yield Finding(
                "podman-shadowed",
                PROBLEM,
                f"{path} holds a login for {name}, which podman takes before hushkey's",
                f"podman logout {name}",
            )
