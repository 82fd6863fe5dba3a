"""`python -I -m hushkey_install`: the command where no sh script starts (Windows)."""

from __future__ import annotations

from hushkey_install.cli import main

if __name__ == "__main__":
    main(prog_name="hushkey")
