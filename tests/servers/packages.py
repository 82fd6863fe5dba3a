"""A package index: pypiserver, behind an Apache that judges our tokens.

The packages are made here, wheels and sdists, so that nothing else is asked.
"""

import base64
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Sequence
from typing import Any

from servers.apache import Apache
from servers.authority import Authority
from servers.issuer import Issuer
from servers.process import (
    CACHE,
    Missing,
    Program,
    answers,
    clean_environ,
    free_port,
)

CLIENTS = CACHE / "clients"
AUDIENCE, SCOPE = "api://packages", "packages"
#: packages that are always there: name -> what it needs
STOCK = {"apple": (), "pear": ("apple",), "plum": ()}
#: a build backend of its own, inside of the sdist
_BACKEND = """
import base64, hashlib, zipfile

def build_wheel(folder, settings=None, metadata=None):
    import apple  # the build requirement, which comes from the index too

    name = "{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{{folder}}/{{name}}", "w") as wheel:
        for path, text in {files!r}.items():
            wheel.writestr(path, text)
    return name
"""


def client(environment: str, program: str) -> str:
    """Return the path of a client that tests/prepare installed."""
    path = CLIENTS / environment / "bin" / program
    if not path.exists():
        raise Missing(f"{environment}/{program} is not there: run tests/prepare")
    return str(path)


class PackageIndex(Apache):
    """https on 127.0.0.1: PEP 503 pages below /simple/, uploads to the root."""

    def __init__(self, authority: Authority, issuer: Issuer, **options: Any) -> None:
        basic = ('Basic realm="packages"',)
        super().__init__(
            authority, issuer, audience=AUDIENCE, challenges=basic, **options
        )
        self._packages: Program | None = None

    def start(self) -> None:
        program = client("plain", "pypi-server")
        port = free_port()
        self.upstream = f"http://127.0.0.1:{port}"
        super().start()
        shelf = self.folder / "packages"
        shelf.mkdir()
        self._packages = Program(
            [
                *(program, "run", "-p", str(port), "-i", "127.0.0.1"),
                *("-P", ".", "-a", ".", "--disable-fallback", str(shelf)),
            ],
            self.folder / "log" / "pypiserver",
            environ=clean_environ(),
        )
        self._packages.wait_until(lambda: answers(port), "pypiserver")
        self.reset()

    def stop(self) -> None:
        if self._packages is not None:
            self._packages.stop()
            self._packages = None
        super().stop()

    @property
    def simple(self) -> str:
        return f"{self.url}/simple/"

    def reset(self) -> None:
        """Forget what was asked and uploaded; the stock is on the shelf."""
        for path in (self.folder / "packages").iterdir():
            path.unlink()
        for name, needs in STOCK.items():
            self._shelve(f"{name}-1.0-py3-none-any.whl", wheel(name, needs))
        self._shelve("quince-1.0.tar.gz", sdist("quince"))
        super().reset()

    def _shelve(self, name: str, data: bytes) -> None:
        (self.folder / "packages" / name).write_bytes(data)

    def shelf(self) -> set[str]:
        """The files that can be had."""
        return {path.name for path in (self.folder / "packages").iterdir()}


def _files(name: str, needs: Sequence[str] = ()) -> dict[str, str]:
    info = f"{name}-1.0.dist-info"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    files = {
        f"{name}.py": f'NAME = "{name}"\n',
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            f"Summary: a {name}\n{requires}"
        ),
        f"{info}/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n"
        ),
    }
    record = "".join(
        f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items()
    )
    return files | {f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def wheel(name: str, needs: Sequence[str] = ()) -> bytes:
    """Return the wheel of *name* 1.0, which is one module."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in _files(name, needs).items():
            archive.writestr(path, text)
    return data.getvalue()


def sdist(name: str) -> bytes:
    """Return an sdist of *name* 1.0 that needs `apple` to be built."""
    root = f"{name}-1.0"
    files = {
        f"{root}/pyproject.toml": (
            '[build-system]\nrequires = ["apple"]\nbuild-backend = "maker"\n'
            f'backend-path = ["."]\n[project]\nname = "{name}"\nversion = "1.0"\n'
        ),
        f"{root}/maker.py": _BACKEND.format(module=name, files=_files(name)),
        f"{root}/PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
    }
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()
