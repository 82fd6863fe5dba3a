"""The desktop: whether there is one, on which a browser could show itself."""

from __future__ import annotations

import os
import sys
import webbrowser


def has_browser() -> bool:
    """Return whether the user is likely to see a browser that we open."""
    if any(name in os.environ for name in ("CI", "SSH_CONNECTION")):
        return False
    if sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True
