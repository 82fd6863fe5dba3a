"""Time pip and uv with each way to a credential, and keyring with and without us.

    .venv/bin/python tests/bench/installers.py [RUNS]

As `tests/bench`: whole processes in turn, Markdown. The index is pypiserver behind
Apache, which checks the token; the key is in a private Secret Service.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.__main__ import Case, measure, table, weigh
from kit.desk import BIN, Desk
from servers.authority import Authority
from servers.browser import Browser
from servers.issuer import Issuer
from servers.packages import CLIENTS, SCOPE, PackageIndex, client
from servers.process import clean_environ
from servers.secretservice import SecretService

FOREIGN = "https://packages.example.com/simple/"


@contextlib.contextmanager
def desk() -> Iterator[Desk]:
    """Somebody who is signed in to a real index on loopback."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority = Authority(folder / "authority")
        issuer = stack.enter_context(Issuer(authority=authority, path="/oidc"))
        index = stack.enter_context(PackageIndex(authority, issuer))
        service = stack.enter_context(SecretService("unlocked"))
        visitor = Browser(folder, ca_file=authority.ca_file)
        (folder / "desk").mkdir()
        made = Desk(folder / "desk", issuer, index, visitor, authority.ca_file)
        launchers = folder / "launchers"
        launchers.mkdir()
        (launchers / "keyring").symlink_to(BIN / "hushkey-keyring")
        made.extra = {
            **service.environ,
            "PATH": f"{launchers}{os.pathsep}/usr/bin",
            "PIP_CERT": str(authority.ca_file),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_KEYRING_PROVIDER": "subprocess",
            "SSL_CERT_FILE": str(authority.ca_file),
            "UV_KEYRING_PROVIDER": "subprocess",
            "UV_NO_CACHE": "1",
        }
        rule = f'[host."{index.host}"]\nidentity = "corp"\nscopes = ["{SCOPE}"]\n'
        made.configure(hosts=rule, key_store="keyring")
        os.environ.update(service.environ)
        done = made.start(str(BIN / "hushkey-keyring"), "get", index.simple, "me")
        assert done.returncode == 0, done.stderr
        yield made


def stock(words: list[str]) -> list[str]:
    """Return *words* with the real `keyring`, our backend in it, on PATH."""
    return ["/usr/bin/env", f"PATH={CLIENTS / 'plugin' / 'bin'}:/usr/bin", *words]


def packages(folder: Path, *, ours: bool) -> str:
    """Return a folder with keyring and what it needs, and hushkey if *ours*."""
    place = folder / ("with" if ours else "without")
    place.mkdir()
    (found,) = (CLIENTS / "plugin" / "lib").glob("python*/site-packages")
    for path in found.iterdir():
        if ours or not path.name.startswith(("hushkey", "_hushkey")):
            (place / path.name).symlink_to(path)
    root = Path(__file__).parents[2]
    if ours:
        for name in ("shared/hushkey", "helpers/hushkey_helpers"):
            (place / Path(name).name).symlink_to(root / name)
    return str(place)


def cases(made: Desk) -> list[Case]:
    index = made.apache
    assert isinstance(index, PackageIndex)
    (token,) = made.tokens()
    in_url = index.simple.replace("//", f"//me:{token}@", 1)
    named = index.simple.replace("//", "//me@", 1)
    pip = [client("plain", "pip"), "index", "versions", "pear", "--index-url"]
    uv = [client("plain", "uv"), "pip", "install", "--dry-run", "--no-config"]
    uv += ["--target", str(made.folder / "t"), "pear", "--index-url"]
    ask = [str(BIN / "hushkey-keyring"), "get"]
    python = sys.executable

    def keyring(ours: bool) -> list[str]:
        path = packages(made.folder, ours=ours)
        # Not ours and not there is exit code 1.
        code = "from keyring.cli import main\ntry: main()\nexcept SystemExit: pass"
        words = [python, "-S", "-c", code, "get", FOREIGN, "me"]
        return ["/usr/bin/env", f"PYTHONPATH={path}", *words]

    return [
        Case("pip, credentials in the URL", [*pip, in_url]),
        Case("pip, hushkey-keyring", [*pip, index.simple]),
        Case("pip, `keyring` with our backend", stock([*pip, index.simple])),
        Case("uv, credentials in the URL", [*uv, in_url]),
        Case("uv, hushkey-keyring", [*uv, named]),
        Case("uv, `keyring` with our backend", stock([*uv, named])),
        Case("`hushkey-keyring get`", [*ask, index.simple, "me"]),
        Case("`keyring get`, our backend", stock(["keyring", *ask[1:], named, "me"])),
        Case("`keyring get`, a host not ours, hushkey not installed", keyring(False)),
        Case("`keyring get`, a host not ours, hushkey installed", keyring(True)),
    ]


#: in a process that has keyring: our import, the first foreign host, the next one
_TAX = f"""
import time
import keyring.core
ticks = [time.perf_counter()]
import hushkey_helpers.backend as backend
ticks.append(time.perf_counter())
ring = backend.Keyring()
for _ in range(2):
    ring.get_password("{FOREIGN}", "me")
    ticks.append(time.perf_counter())
print(*[(b - a) * 1000 for a, b in zip(ticks, ticks[1:])])
"""


def tax(runs: int, environ: dict[str, str]) -> str:
    """Return what our backend adds to a program that asks keyring for others."""
    words = [sys.executable, "-c", _TAX]
    rows = [
        subprocess.run(
            words, env=environ, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(runs)
    ]
    medians = [
        statistics.median(map(float, column)) for column in zip(*rows, strict=True)
    ]
    return "import {:.1f} ms, first host not ours {:.1f} ms, next {:.1f} ms".format(
        *medians
    )


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    base = Case("python -c pass", [sys.executable, "-c", "pass"])
    for name in set(os.environ) - set(clean_environ()):
        del os.environ[name]
    with desk() as made:
        rows = cases(made)
        before = made.issuer.token_requests()
        # Nobody listens: the tests' trace and watch would be measured, too.
        environ = {k: v for k, v in made.environ.items() if k not in made.ear.environ}
        measure(rows, base, runs, environ, made.folder)
        for case in (base, *rows):
            weigh(case, environ, made.folder)
        assert made.issuer.token_requests() == before
        taxed = tax(runs, environ)
    print(table(base, rows))
    print(f"\nour backend, inside of a program that asks for other hosts: {taxed}")


if __name__ == "__main__":
    main()
