"""`python -I -m hushkey_install`: the command where no sh script starts (Windows)."""

from hushkey_install.cli import main

main(prog_name="hushkey")
