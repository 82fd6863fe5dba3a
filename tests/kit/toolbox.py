"""A machine on which Python tools are installed, each in an environment of its own."""

from pathlib import Path

from kit.oauth import Machine


class Toolbox(Machine):
    """A home with a folder for PATH."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.bin = home / "bin"
        self.bin.mkdir()

    def tool(self, name: str, *distributions: str) -> None:
        """Put a Python tool on PATH whose environment has *distributions*."""
        prefix = self.home / "env" / name
        program = prefix / "bin" / name
        program.parent.mkdir(parents=True)
        program.write_text(f"#!{prefix}/bin/python\n")
        program.chmod(0o755)
        for distribution in distributions:
            info = f"lib/python3.11/site-packages/{distribution}.dist-info"
            (prefix / info).mkdir(parents=True)
        (self.bin / name).symlink_to(program)
