"""Hugging Face; source: huggingface.co/docs/hub/oauth."""

from __future__ import annotations

from hushkey.providers.spec import Registration
from hushkey.providers.specs.oidc import Oidc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_ISSUER = "https://huggingface.co"


class HuggingFace(Oidc):
    """huggingface.co: models, data sets and spaces."""

    name = "huggingface"
    keys = {}  # noqa: RUF012 - read only
    required = ("client_id",)
    implied_by = ""
    keeps_old = False
    scheme = "basic"
    scopes = ("openid", "profile", "read-repos", "write-repos")
    implies = {  # noqa: RUF012 - read only
        "manage-repos": ("write-repos", "read-repos", "contribute-repos"),
        "write-repos": ("read-repos", "contribute-repos"),
    }

    refusal_hint = (
        "ask for access on the page of a gated repository ({base}/{owner}); an "
        "organisation is granted on the sign-in page: `hushkey login --force`"
    )

    def options(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return the one issuer."""
        return {"issuer": _ISSUER}

    def registration(self, table: Mapping[str, Any]) -> Registration | None:
        """Return where apps are made."""
        return Registration(
            "https://huggingface.co/settings/applications/new",
            '"Redirect URLs" http://127.0.0.1/, a public app, scopes read-repos and '
            "write-repos; then copy the Client ID",
        )
