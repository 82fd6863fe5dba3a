"""A made base environment of conda, as far as install looks at one."""

from pathlib import Path


class CondaBase:
    """The environment at *folder*: conda's program, and the folder of its packages."""

    def __init__(self, folder: Path, version: str = "24.5.0") -> None:
        self.folder = folder
        self.program = folder / "bin" / "conda"
        self.packages = folder / "lib" / "python3.12" / "site-packages"
        (self.packages / f"conda-{version}.dist-info").mkdir(parents=True)
        self.program.parent.mkdir()
        self.program.write_text(f"#!{folder}/bin/python\nfrom conda.cli import main\n")
        self.program.chmod(0o755)
        # conda's own Python has this link
        (folder / "lib" / "python3.1").symlink_to("python3.12")

    def placed(self) -> list[str]:
        """Return the files in it that are called after us."""
        found = self.packages.rglob("*hushkey*")
        return sorted(str(path.relative_to(self.packages)) for path in found)
