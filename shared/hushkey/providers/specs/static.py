"""No server: what people type for a host is kept, as for hosts without a rule."""

from __future__ import annotations

from hushkey.providers.spec import ProviderSpec


class Static(ProviderSpec):
    """A secret that somebody types."""

    name = "static"
    typed = True
