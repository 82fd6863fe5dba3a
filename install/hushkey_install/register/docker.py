"""Registering with docker and podman: one key of `credHelpers` for each registry.

Neither knows wildcards, so every registry has a key of its own. `credsStore` would
hand hushkey every registry there is, Docker Hub's password too: only on request. What
is written is noted, so that `uninstall` restores exactly that.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import click

from hushkey import origins
from hushkey.errors import HushkeyError, Permanent
from hushkey.store import typed_index
from hushkey.system import locks, paths, programs
from hushkey_helpers.docker import registries, typed
from hushkey_install.common import output, programs_missing
from hushkey_install.common.context import Context
from hushkey_install.common.filechange import Change, drop_backup, remove
from hushkey_install.common.finding import NOTE, PROBLEM, Finding
from hushkey_install.register import hiddenlogins
from hushkey_install.register.registration import Plan, Registration
from hushkey_install.tools import jsontext, ociconfig, otherhelper, purposes
from hushkey_install.tools.installation import Installation

#: what takes over logins that are no longer used
TAKE_OVER = "hushkey import docker"
#: seconds for docker's helper of before to list what it has
_HELPERS_PATIENCE = 10
#: seconds for another install to end
_PATIENCE = 30


class Client(Registration):
    """One client's config file, and what hushkey does to it."""

    farewell = ""
    takes_hosts = True
    kind = purposes.DOCKER

    def file(self, environ: Mapping[str, str]) -> str:
        """Return the path of the config file."""
        raise NotImplementedError

    def files(self, environ: Mapping[str, str]) -> Iterator[str]:
        """Yield the config file."""
        yield self.file(environ)

    def alone(self, environ: Mapping[str, str]) -> AbstractContextManager[None]:
        """Keep another `hushkey install` out, which would write what it read before."""
        folder = os.path.join(paths.data_folder(environ), "locks")
        return locks.held(os.path.join(folder, f"install-{self.name}.lock"), _PATIENCE)

    def key(self, registry: registries.Registry) -> str:
        """Return *registry* as this client calls it."""
        raise NotImplementedError

    def inherited(self, context: Context) -> dict[str, str]:
        """Return the helpers that it finds in another client's file, too."""
        return {}

    def others(self, text: str) -> str:
        """Return its helper for all registries without one of their own, if any."""
        return ""

    def is_elsewhere(self, context: Context, key: str) -> bool:
        """Tell whether *key* is asked for by another client, and not by this one."""
        return False

    def login_file(self, environ: Mapping[str, str]) -> str:
        """Return the file whose helpers its `login` goes by; nothing if unknown."""
        return self.file(environ)

    def logout(self, environ: Mapping[str, str], server: str) -> str:
        """Return the command that takes a login out of the config file."""
        return f"{self.name} logout {shlex.quote(server)}"

    # -- install ----------------------------------------------------------------

    def plan(
        self,
        environ: dict[str, str],
        hosts: tuple[str, ...],
        *,
        all_hosts: bool = False,
        **more: Any,
    ) -> Plan:
        """Return what registers *hosts*, else the registries that it knows."""
        context = Context(environ)
        _check_found(context.environ, self.name)
        path = self.file(context.environ)
        before = ociconfig.text_of(path)
        keys = self._keys(context, before, hosts)
        if not keys and not all_hosts:
            raise Permanent(
                "no registry is known by name",
                hint=f"name it: `hushkey install {self.name} contoso.azurecr.io`, or "
                'set `tools = ["docker"]` in its [host."..."] table',
            )
        steps: list[tuple[str, ...]] = [(ociconfig.HELPERS, key) for key in keys]
        steps += [(ociconfig.STORE,)] if all_hosts else []
        record = _record(environ, self.name, path)
        after = before
        for step in steps:
            after = _noted(path, after, step, record)

        def apply() -> None:
            _remember(environ, self.name, record)
            Change(path, before, after).apply()
            self._say_what_now(context, keys, all_hosts=all_hosts)

        def show() -> bool:
            shown = _shown(path, before, after)
            if shown:
                self._say_what_is_hidden(context, before, None if all_hosts else keys)
            return shown

        return Plan(show, apply, due=lambda: before != after)

    def _say_what_is_hidden(
        self, context: Context, text: str, keys: Iterable[str] | None
    ) -> None:
        path, store = self.file(context.environ), self.others(text)
        store = "" if store == ociconfig.SUFFIX else store
        listed = _listed(store, context.environ)
        for login in hiddenlogins.find(context, path, text, store, keys, listed):
            take = "" if login.identity else f"; to take it over: {TAKE_OVER}"
            output.say(f"note: {login.line(self.name)}{take}", err=True)

    def _say_what_now(
        self, context: Context, keys: dict[str, bool], *, all_hosts: bool
    ) -> None:
        names = [*keys, *(["every other registry"] if all_hosts else [])]
        output.say(f"{self.name} asks hushkey for: {', '.join(names)}", err=True)
        for key in (key for key, has_identity in keys.items() if not has_identity):
            what = f"note: {key} has no identity in {context.config.source}"
            output.say(f"{what}: {self._kept(context.environ, key)}", err=True)
        if registries.HUB_KEY in keys and _has_podman(context.environ):
            output.say(
                f"note: podman, buildah and skopeo call Docker Hub {registries.HUB}, "
                f"for them run: hushkey install podman {registries.HUB}",
                err=True,
            )

    def _kept(self, environ: Mapping[str, str], key: str) -> str:
        """Return where the password goes that the client's `login` is told."""
        path, written = self.file(environ), self.login_file(environ)
        if written == path:
            return f"hushkey keeps what `{self.name} login` is told, encrypted"
        return (
            f"`{self.name} login` keeps its password in {written or 'its own file'}; "
            f"`{self.name} login --authfile {shlex.quote(path)} {key}` has hushkey "
            "keep it, encrypted"
        )

    def _keys(
        self, context: Context, text: str, wanted: tuple[str, ...]
    ) -> dict[str, bool]:
        """Return the registries to register, and whether each has an identity."""
        found: dict[str, bool] = {}
        for word in wanted:
            registry = _registry(word, self.name)
            found[self.key(registry)] = serves(context, registry)
        return found if wanted else dict.fromkeys(self.known(context, text), True)

    def known(self, context: Context, text: str) -> list[str]:
        """Return the registries with an identity that config or client name."""
        names = [*_configured(context), *ociconfig.used(text)]
        parsed = (registries.parse(name) for name in names)
        keys = (self.key(r) for r in parsed if r and serves(context, r))
        return list(dict.fromkeys(keys))

    # -- uninstall ----------------------------------------------------------------

    def undo(
        self, environ: dict[str, str], hosts: tuple[str, ...], **more: Any
    ) -> Plan:
        """Return what takes out ours, for *hosts* or for all; no config is asked."""
        path = self.file(environ)
        before = ociconfig.text_of(path)
        record = _record(environ, self.name, path)
        only = {self.key(_registry(word, self.name)) for word in hosts}
        after = before
        for step in list(ociconfig.ours(before)):
            if only and step[-1] not in only:
                continue
            old = record["previous"].pop("\n".join(step), None)
            after = (
                jsontext.take(after, step)
                if old is None
                else jsontext.put(after, step, old)
            )
        after = _emptied(after, record) if after != before else after

        def apply() -> None:
            drop_backup(path)
            ours_still = any(ociconfig.ours(after))
            if record["existed"] or ours_still or jsontext.value(after):
                Change(path, before, after).apply(backup=False)
            else:
                remove(path)  # it was made by install
            if ours_still:
                _remember(environ, self.name, record)
            else:
                ociconfig.install_record(environ, self.name, path).write({})
            where = f" for {', '.join(sorted(only))}" if only and ours_still else ""
            output.say(f"{self.name} no longer asks hushkey{where}", err=True)

        def shown() -> bool:
            for key in sorted(only - {step[-1] for step in ociconfig.ours(before)}):
                told = f"{self.name} was not told to ask hushkey for {key}"
                output.say(told, err=True)
            return _shown(path, before, after)

        return Plan(shown, apply, lambda: None if only else drop_backup(path))

    def urls_in_use(self, installation: Installation) -> Iterator[str]:
        """Yield the registries that somebody signed in to, or that ask us."""
        try:
            text = ociconfig.text_of(self.file(installation.environ))
        except HushkeyError:
            return  # has a finding of its own
        names = [*ociconfig.used(text), *ociconfig.registered(text)]
        for registry in filter(None, map(registries.parse, names)):
            for request in registry.requests():
                yield f"{request.protocol}://{request.host}/{request.path}"

    # -- doctor -------------------------------------------------------------------

    def checks(self, installation: Installation) -> Iterator[Finding]:
        """Yield what is wrong with its use of hushkey."""
        context = installation.context
        if context is not None:
            yield from self._findings(context)

    def _findings(self, context: Context) -> Iterator[Finding]:
        path = self.file(context.environ)
        try:
            text = ociconfig.text_of(path)
        except HushkeyError as error:
            command = f"${{EDITOR:-vi}} {shlex.quote(path)}"
            yield Finding(f"{self.name}-file", PROBLEM, error.what, command)
            return
        ours = [step[-1] for step in ociconfig.ours(text)]
        if ours and programs.find(ociconfig.HELPER, context.environ) is None:
            cause = programs_missing.cause(context.environ)
            yield Finding(
                f"{self.name}-helper-missing",
                PROBLEM,
                f"{path} names {ociconfig.HELPER} for {', '.join(ours)}, and it is not "
                f"on PATH: {self.name} fails for them, public images too",
                programs_missing.command(context.environ),
                cause=cause,
                tool=self.name,
            )
        folder = paths.data_folder(context.environ)
        for key in (key for key in ours if key != ociconfig.STORE):
            registry = registries.parse(key)
            if registry is None or _is_known(context, registry):
                continue
            if not typed_index.holds(folder, *typed.keys_of(registry)):
                yield Finding(
                    f"{self.name}-stale",
                    NOTE,
                    f"{path} gives {key} to hushkey, which has no identity and no "
                    "password for it",
                    f"hushkey uninstall {self.name} {shlex.quote(key)}",
                    partial(self.uninstall, (key,), False),
                )
        found = programs.find(self.name, context.environ)
        if found is not None or os.path.exists(path):
            yield from self._unregistered(context, path, text)
            yield from self._hidden(context, path, text)

    def _hidden(self, context: Context, path: str, text: str) -> Iterator[Finding]:
        """Yield logins that the client has and no longer finds, since it asks us."""
        store = self.others(text)
        keys: list[str] | None = [step[-1] for step in ociconfig.ours(text) if step[1:]]
        if store == ociconfig.SUFFIX:
            store = ociconfig.former_store(context.environ, self.name, path)
            keys = None
        for login in hiddenlogins.find(context, path, text, store, keys):
            command = TAKE_OVER
            if login.identity:
                if not login.in_file:
                    continue  # none is missed, and none lies about
                command = self.logout(context.environ, login.server)
            yield Finding(
                f"{self.name}-hidden-login", NOTE, login.line(self.name), command
            )

    def _unregistered(
        self, context: Context, path: str, text: str
    ) -> Iterator[Finding]:
        """Yield registries that go another way."""
        helpers = self.inherited(context) | ociconfig.registered(text)
        everything = ociconfig.store(text) == ociconfig.SUFFIX
        for key in self.known(context, text):
            helper = helpers.get(key, "")
            command = f"hushkey install {self.name} {key}"
            mend = partial(self.install, (key,), False)
            if helper not in ("", ociconfig.SUFFIX):
                yield Finding(
                    f"{self.name}-other-helper",
                    PROBLEM,
                    f"{key} has an identity here, but {path} gives it to "
                    f"docker-credential-{helper}: two tools for one registry",
                    command,
                    mend,
                )
            elif not helper and not everything and not self.is_elsewhere(context, key):
                yield Finding(
                    f"{self.name}-unregistered",
                    NOTE,
                    f"{key} has an identity, and {self.name} does not ask hushkey for "
                    "it",
                    command,
                    mend,
                )


class Docker(Client):
    """docker, which may hand us every registry there is."""

    trial = "docker pull {host}/IMAGE"

    install_options = (
        click.option(
            "--all-hosts",
            is_flag=True,
            help="Every registry, as `credsStore`: hushkey keeps all passwords.",
        ),
    )

    def file(self, environ: Mapping[str, str]) -> str:
        """Return the path of docker's config file."""
        return ociconfig.docker_file(environ)

    def key(self, registry: registries.Registry) -> str:
        """Return *registry* as docker calls it."""
        return registry.key

    def is_elsewhere(self, context: Context, key: str) -> bool:
        """Tell whether podman has been told to ask us, and docker never logged in."""
        try:
            podman = ociconfig.text_of(ociconfig.podman_file(context.environ))
            docker = ociconfig.text_of(self.file(context.environ))
        except HushkeyError:
            return False
        registry = registries.parse(key)
        ours = {place for step in ociconfig.ours(podman) for place in step[1:]}
        used = {r.place for r in map(registries.parse, ociconfig.used(docker)) if r}
        return bool(registry and registry.place in ours - used)

    def others(self, text: str) -> str:
        """Return docker's `credsStore`."""
        return ociconfig.store(text)

    def _findings(self, context: Context) -> Iterator[Finding]:
        yield from super()._findings(context)
        if context.environ.get("DOCKER_AUTH_CONFIG"):
            yield Finding(
                "docker-auth-config",
                NOTE,
                "DOCKER_AUTH_CONFIG is set: docker takes what it holds before any "
                "helper",
                "unset DOCKER_AUTH_CONFIG",
            )


class Podman(Client):
    """podman and its kin, which read docker's file last, and no `credsStore`."""

    trial = "podman pull {host}/IMAGE"

    def file(self, environ: Mapping[str, str]) -> str:
        """Return the path of the config file of podman and its kin."""
        return ociconfig.podman_file(environ)

    def key(self, registry: registries.Registry) -> str:
        """Return *registry* as podman calls it."""
        return registry.place

    def login_file(self, environ: Mapping[str, str]) -> str:
        """Return the file of the session, unless another one is named."""
        return ociconfig.podman_login_file(environ)

    def logout(self, environ: Mapping[str, str], server: str) -> str:
        """Return the command that takes a login out of this very file."""
        path = shlex.quote(self.file(environ))
        return f"podman logout --authfile {path} {shlex.quote(server)}"

    def inherited(self, context: Context) -> dict[str, str]:
        """Return what is ours in docker's own file.

        containers-auth.json(5); with REGISTRY_AUTH_FILE it reads nothing else.
        """
        if context.environ.get("REGISTRY_AUTH_FILE"):
            return {}
        try:
            text = ociconfig.text_of(ociconfig.docker_file(context.environ))
        except HushkeyError:
            return {}  # docker's own finding
        # Looked up as it is written: docker's own key of the Hub is none of podman's.
        keys = (key for step in ociconfig.ours(text) for key in step[1:])
        return dict.fromkeys(keys, ociconfig.SUFFIX)

    def is_elsewhere(self, context: Context, key: str) -> bool:
        """Tell whether docker, whose file podman reads, is to ask first for *key*."""
        environ, registry = context.environ, registries.parse(key)
        if environ.get("REGISTRY_AUTH_FILE") or not programs.find("docker", environ):
            return False
        try:
            used = ociconfig.used(ociconfig.text_of(self.file(environ)))
            docker = ociconfig.registered(ociconfig.text_of(DOCKER.file(environ)))
        except HushkeyError:
            return False
        places = {r.place for r in map(registries.parse, used) if r}
        return bool(registry and key not in places and registry.key not in docker)

    def _findings(self, context: Context) -> Iterator[Finding]:
        yield from super()._findings(context)
        yield from _shadowed(context)

    def _unregistered(
        self, context: Context, path: str, text: str
    ) -> Iterator[Finding]:
        yield from super()._unregistered(context, path, text)
        hub, inherited = registries.HUB, self.inherited(context)
        asked = inherited | ociconfig.registered(text)
        if registries.HUB_KEY not in inherited or hub in asked:
            return
        if hub not in self.known(context, text):
            yield Finding(
                "podman-hub",
                NOTE,
                "docker asks hushkey for Docker Hub; podman, which calls it "
                f"{hub}, does not",
                f"hushkey install podman {hub}",
            )


DOCKER = Docker("docker")
PODMAN = Podman("podman")


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
        if registry and serves(context, registry):
            yield Finding(
                "podman-shadowed",
                PROBLEM,
                f"{path} holds a login for {name}, which podman takes before hushkey's",
                f"podman logout {name}",
            )


def serves(context: Context, registry: registries.Registry) -> bool:
    """Tell whether *registry* has an identity in the user's config."""
    try:
        rules = [context.config.rule_for(request) for request in registry.requests()]
    except HushkeyError:
        return True  # several do, and that error says it better when it is used
    return any(rule and not rule.identity.typed for rule in rules)


def _is_known(context: Context, registry: registries.Registry) -> bool:
    """Tell whether any rule is for *registry*, be it for what is typed."""
    try:
        return any(map(context.config.rule_for, registry.requests()))
    except HushkeyError:
        return True  # several are


def _configured(context: Context) -> Iterator[str]:
    """Yield the hosts that the config names one by one, and that are registries."""
    for rule, written in context.own_rules():
        pattern = origins.parse_pattern(written)
        if purposes.DOCKER in purposes.of(rule) and not pattern.wild:
            yield origins.origin_text(pattern.scheme, pattern.host, pattern.port)


def _registry(word: str, client: str) -> registries.Registry:
    """Return the registry that a person names; Permanent where it is none."""
    registry = registries.parse(word)
    if registry is None or "*" in word:
        hint = f"{client} knows no wildcards: name each registry"
        raise Permanent(f"{word!r} is not a registry's address", hint=hint)
    return registry


# -- what install does -------------------------------------------------------------


def _check_found(environ: Mapping[str, str], client: str) -> None:
    """Raise Permanent where a client could not find us: every pull would fail."""
    if programs.find(ociconfig.HELPER, environ) is None:
        raise Permanent(
            f"{ociconfig.HELPER} is not on PATH, and {client} fails without it",
            hint="add hushkey's bin folder to PATH (`pipx ensurepath`), then again",
        )


def _noted(path: str, text: str, step: tuple[str, ...], record: dict[str, Any]) -> str:
    """Put our name at *step*, and note what was there."""
    old = jsontext.value(text, *step)
    if old == ociconfig.SUFFIX:
        return text
    record["previous"]["\n".join(step)] = old  # another tool may have come since
    for depth in range(len(step)):
        written = jsontext.source(text, step[:depth])
        if depth and not written:
            record["made"] = True
        elif not jsontext.value(text, *step[:depth]):
            record["empty"]["\n".join(step[:depth])] = written
    if old is not None and not isinstance(old, str):
        raise Permanent(f"{path}: {'.'.join(step)} is not a name")
    return jsontext.put(text, step, ociconfig.SUFFIX)


def _emptied(text: str, record: dict[str, Any]) -> str:
    """Return *text* with what is empty again as it was before install filled it."""
    path, empty = (ociconfig.HELPERS,), record["empty"]
    if jsontext.value(text, *path) == {}:
        if record["made"]:
            text = jsontext.take(text, path)
        elif path[0] in empty:
            text = jsontext.rewrite(text, path, empty[path[0]])
    return text if jsontext.value(text) else empty.get("", text)


def _shown(path: str, before: str, after: str) -> bool:
    """Show the change, by key: other lines may hold passwords. False: there is none."""
    if before == after:
        return False
    output.say(path)
    old, new = _named(before), _named(after)
    for key in dict.fromkeys([*old, *new]):
        for sign, values in (("-", old), ("+", new)):
            if key in values and old.get(key) != new.get(key):
                output.say(f"{sign} {key}: {values[key]}")
    return True


def _named(text: str) -> dict[str, str]:
    found = {
        f"{ociconfig.HELPERS} {key}": name
        for key, name in ociconfig.registered(text).items()
    }
    return found | (
        {ociconfig.STORE: ociconfig.store(text)} if ociconfig.store(text) else {}
    )


def _has_podman(environ: Mapping[str, str]) -> bool:
    return any(programs.find(n, environ) for n in ("podman", "buildah", "skopeo"))


def _listed(store: str, environ: Mapping[str, str]) -> list[str]:
    """Return the servers that the helper *store* has a login for, if it says so."""
    program = otherhelper.find(store, environ)
    try:
        found = program and otherhelper.said(
            program, "list", "unused", environ, patience=_HELPERS_PATIENCE
        )
    except Permanent:
        return []  # it is docker's helper, not ours: docker has its marks, too
    return list(found or ())


# -- what was done -----------------------------------------------------------------


def _record(environ: Mapping[str, str], client: str, path: str) -> dict[str, Any]:
    """Return what earlier installs noted about *path*, else an empty note."""
    return ociconfig.install_record(environ, client, path).about(
        path, ociconfig.SHAPE
    ) or {
        "path": path,
        "existed": os.path.lexists(path),
        "made": False,
        "previous": {},
        "empty": {},
    }


def _remember(environ: Mapping[str, str], client: str, record: dict[str, Any]) -> None:
    """Note it before it is done: what could not be undone is not done."""
    ociconfig.install_record(environ, client, record["path"]).write(record)
