"""The demonstration as a picture of a terminal."""

from __future__ import annotations

import re

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

#: rich's picture, without the fonts it would fetch from the web
_LOCAL_SVG = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def save(console: Console, path: str) -> None:
    """Draw what *console* recorded into the file at *path*."""
    console.save_svg(path, title="hushkey demo", code_format=_LOCAL_SVG)
