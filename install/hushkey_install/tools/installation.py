"""Whom doctor looks at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property

from hushkey import origins
from hushkey.config import rules
from hushkey.errors import ConfigError, HushkeyError
from hushkey.store import sealedfile
from hushkey.system import paths
from hushkey_install.common import installrecord
from hushkey_install.common.context import Context
from hushkey_install.common.installrecord import InstallRecord
from hushkey_install.tools.gitfile import Git


class Installation:
    """One user's installation: what several topics need, looked up once."""

    def __init__(
        self,
        environ: Mapping[str, str],
        folder: str,
        keyring_tools: Iterable[str] = (),
        users: Mapping[str, Callable[[Installation], Iterator[str]]] | None = None,
    ) -> None:
        """Look at *environ*, and at the repository in *folder*, if it is one.

        *keyring_tools* are those that `hushkey install` can tell to ask a keyring, and
        *users* tell for each tool by its name which URLs it asks for here.
        """
        self.environ = dict(environ)
        self.folder = folder
        self._keyring_tools = tuple(keyring_tools)
        self._users = dict(users or {})

    def asks_for_ours(self, name: str) -> bool:
        """Tell whether the tool *name* asks here for a host that has a rule."""
        if self.context is None or name not in self._users:
            return False
        for url in self._users[name](self):
            with suppress(ValueError, HushkeyError):
                if self.context.config.rule_for(origins.parse_url(url)):
                    return True
        return False

    @cached_property
    def _opened(self) -> Context | ConfigError:
        try:
            context = Context(self.environ)
        except ConfigError as error:
            return error
        named = self.environ.get("HUSHKEY_CONFIG", "")
        if not named or os.path.lexists(named) or not self._was_set_up():
            return context
        if self.forwarded or context.is_in_use():
            return context
        # Else what the lost file said would be missed by every tool, one by one.
        return ConfigError(
            f"HUSHKEY_CONFIG names {named}, which does not exist",
            hint="unset HUSHKEY_CONFIG",
        )

    def _was_set_up(self) -> bool:
        """Tell whether somebody has signed in or registered a tool, by any config."""
        data = paths.data_folder(self.environ)
        return bool(sealedfile.sealed_files(data)) or installrecord.are_there(data)

    @property
    def context(self) -> Context | None:
        """The config and what opens the store, or None if the config is wrong."""
        return self._opened if isinstance(self._opened, Context) else None

    @property
    def config_error(self) -> ConfigError | None:
        """What is wrong with the config, or None."""
        return self._opened if isinstance(self._opened, ConfigError) else None

    @property
    def config(self) -> rules.Config | None:
        """The config, or None if it is wrong."""
        return self.context.config if self.context else None

    @cached_property
    def forwarded(self) -> bool:
        """Whether `hushkey forward` on another machine answers here now."""
        try:
            return bool(paths.upstream(self.environ))
        except HushkeyError:
            return False  # `explain` says what is wrong with HUSHKEY_UPSTREAM

    @cached_property
    def asking_keyring(self) -> frozenset[str]:
        """The tools that `hushkey install` has told to ask a keyring."""
        records = {
            name: InstallRecord(self.environ, name) for name in self._keyring_tools
        }
        return frozenset(name for name, record in records.items() if record.read())

    @cached_property
    def _found_git(self) -> Git | HushkeyError:
        try:
            return Git(self.environ)
        except HushkeyError as error:
            return error

    @property
    def git(self) -> Git | None:
        """git, or None where there is none."""
        return self._found_git if isinstance(self._found_git, Git) else None

    @property
    def git_error(self) -> HushkeyError | None:
        """Why there is no git."""
        return None if isinstance(self._found_git, Git) else self._found_git
