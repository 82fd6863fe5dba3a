"""Forgejo, which Codeberg runs: Gitea under its other name (forgejo.org)."""

from __future__ import annotations

from hushkey.providers.specs.gitea import Gitea


class Forgejo(Gitea):
    """codeberg.org, or the server at ``base_url``."""

    name = "forgejo"
    realms = ("Forgejo",)
