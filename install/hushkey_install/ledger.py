"""What install changed, kept so that uninstall takes back exactly that.

One small JSON file for each tool, in the data folder.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from hushkey import paths
from hushkey_install.change import Change


class Ledger:
    """The notes of one *tool*."""

    def __init__(self, environ: Mapping[str, str], tool: str) -> None:
        self._path = os.path.join(
            paths.data_folder(environ), "installed", f"{tool}.json"
        )

    def read(self) -> dict[str, Any]:
        """Return what was noted, nothing if there is none that can be read."""
        try:
            with open(self._path, encoding="utf-8") as file:
                found = json.load(file)
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, notes: Mapping[str, Any]) -> None:
        """Keep *notes*; none at all take the file away. StoreError if it cannot."""
        if notes:
            paths.make_private(os.path.dirname(self._path))
            Change(self._path, "", json.dumps(dict(notes))).apply(backup=False)
        elif os.path.exists(self._path):
            os.unlink(self._path)
