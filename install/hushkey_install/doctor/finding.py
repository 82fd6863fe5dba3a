"""Whom doctor looks at.

A topic is a function from a `Installation` to findings; it asks no server, changes
nothing, and never prompts. `hushkey_install.doctor.run` lists the topics.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property

from hushkey.config import rules
from hushkey.errors import ConfigError, HushkeyError
from hushkey_install.common.context import Context
from hushkey_install.common.finding import NOTE as NOTE
from hushkey_install.common.finding import PROBLEM as PROBLEM
from hushkey_install.common.finding import Finding as Finding
from hushkey_install.tools.gitfile import Git


class Installation:
    """One user's installation: what several topics need, looked up once."""

    def __init__(self, environ: Mapping[str, str], folder: str) -> None:
        """Look at *environ*, and at the repository in *folder*, if it is one."""
        self.environ = dict(environ)
        self.folder = folder

    @cached_property
    def _opened(self) -> Context | ConfigError:
        try:
            return Context(self.environ)
        except ConfigError as error:
            return error

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


def installation() -> Installation:
    """Return this user's installation, seen from the working directory."""
    try:
        folder = os.getcwd()
    except OSError:  # it was deleted
        folder = "/"
    return Installation(os.environ, folder)
