"""Time whole helper processes against `python -c pass` and peers, in turn.

    .venv/bin/python tests/bench [RUNS]

Prints a Markdown table: median milliseconds, the ratio to `python -c pass` of the
same environment (the median of pair-by-pair ratios), and peak memory. Everything
runs on loopback: npm's oidc-provider, a private Secret Service, git's own helper.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))

from hushkey.config import rules
from hushkey.store.typed import StoredCredential, open_typed_credentials
from hushkey.store.typed_index import CredentialKey
from kit.desk import BIN, Desk
from servers.apache import Apache
from servers.authority import Authority
from servers.browser import Browser
from servers.issuer import Issuer
from servers.process import clean_environ
from servers.secretservice import SecretService

FEW_AND_MANY = (10, 10_000)
LIBSECRET = Path("/usr/share/doc/git/contrib/credential/libsecret")


@dataclass
class Case:
    """One row: how to start it, and what to do before each run."""

    name: str
    argv: list[str]
    stdin: bytes = b""
    before: Callable[[], None] = lambda: None
    code: int = 0
    extra: dict[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    mebibytes: float = 0.0


def once(case: Case, environ: dict[str, str], folder: Path) -> float:
    """Run *case* once; return wall seconds and keep its peak memory."""
    case.before()
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as out:
        stdin.write(case.stdin)
        stdin.seek(0)
        began = time.perf_counter()
        process = subprocess.Popen(
            case.argv,
            stdin=stdin,
            stdout=out,
            stderr=out,
            env=environ | case.extra,
            cwd=folder,
        )
        process.wait()
        took = time.perf_counter() - began
        if process.returncode != case.code:
            out.seek(0)
            raise SystemExit(f"{case.name} failed: {out.read().decode()}")
    return took


#: A process inherits the peak of the one that it was forked from: this one is small.
_WEIGH = """
import os, sys
child = os.fork()
if not child:
    os.execv(sys.argv[1], sys.argv[1:])
print(os.wait4(child, 0)[2].ru_maxrss, file=sys.stderr)
"""


def weigh(case: Case, environ: dict[str, str], folder: Path) -> None:
    """Run *case* once more and note its peak memory."""
    case.before()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _WEIGH, *case.argv],
        input=case.stdin,
        capture_output=True,
        env=environ | case.extra,
        cwd=folder,
        check=True,
    )
    case.mebibytes = int(done.stderr.split()[-1]) / 1024


def measure(
    cases: list[Case], base: Case, runs: int, environ: dict[str, str], folder: Path
) -> None:
    """Run all cases in turn, *runs* times after a warm-up, each beside the base."""
    for number in range(runs + 1):
        for case in cases:
            reference = once(base, environ, folder)
            took = once(case, environ, folder)
            if number:
                case.seconds.append(took)
                case.ratios.append(took / reference)
                base.seconds.append(reference)


@contextlib.contextmanager
def desk() -> Iterator[Desk]:
    """Everything real, on loopback, with the key in a private keyring."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority = Authority(folder / "authority")
        issuer = stack.enter_context(Issuer(authority=authority, path="/oidc"))
        apache = stack.enter_context(Apache(authority, issuer))
        service = stack.enter_context(SecretService("unlocked"))
        visitor = Browser(folder, ca_file=authority.ca_file)
        (folder / "desk").mkdir()
        made = Desk(folder / "desk", issuer, apache, visitor, authority.ca_file)
        made.extra = dict(service.environ)
        made.configure(key_store="keyring")
        os.environ.update(service.environ)
        done = made.get()
        assert done.returncode == 0, done.stderr
        yield made


def libsecret(folder: Path) -> str | None:
    """Build git's own helper for the Secret Service from the sources Debian ships."""
    if not LIBSECRET.is_dir() or not shutil.which("make"):
        return None
    copy = shutil.copytree(LIBSECRET, folder / "libsecret")
    subprocess.run(["make", "-s"], cwd=copy, check=False, capture_output=True)
    program = copy / "git-credential-libsecret"
    return str(program) if program.exists() else None


@contextlib.contextmanager
def password_store(made: Desk) -> Iterator[None]:
    """Give the desk a password store with a key of its own, if `pass` is here."""
    home = made.folder / "gpg"
    home.mkdir(mode=0o700)
    names = {"GNUPGHOME": str(home), "PASSWORD_STORE_DIR": str(made.folder / "pass")}
    made.extra |= names
    key = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", "me@corp.test"]
    try:
        for words in (key, ["pass", "init", "me@corp.test"]):
            if shutil.which(words[0]):
                subprocess.run(words, env=made.environ, check=True, capture_output=True)
        yield
    finally:
        if kill := shutil.which("gpgconf"):
            kill_agent = [kill, "--kill", "gpg-agent"]
            subprocess.run(kill_agent, env=made.environ, check=False)


def docker_cases(made: Desk) -> list[Case]:
    """docker's helpers: ours, and two that keep a password, each with its own."""
    helper = str(BIN / "docker-credential-hushkey")
    ours, foreign = made.apache.host.encode(), b"foreign.example.com"
    rows = [
        Case("docker: hushkey, not ours", [helper, "get"], foreign, code=1),
        Case("docker: hushkey, cached token", [helper, "get"], ours),
    ]
    typed = {"ServerURL": "stored.example.com", "Username": "u", "Secret": "p"}
    helpers = {"hushkey, kept password": helper}
    for name in ("secretservice", "pass"):
        if name == "pass" and not (shutil.which("pass") and shutil.which("gpg")):
            continue
        if found := shutil.which(f"docker-credential-{name}"):
            helpers[f"docker-credential-{name}"] = found
    for name, program in helpers.items():
        done = subprocess.run(
            [program, "store"],
            input=json.dumps(typed).encode(),
            env=made.environ,
            check=False,
            stdout=subprocess.PIPE,
        )
        assert done.returncode == 0, (name, done.stdout)
        stored, other = typed["ServerURL"].encode(), b"foreign.example.com"
        rows.append(Case(f"docker: {name}", [program, "get"], stored))
        if program != helper:
            # Old ones of pass find nothing and call that a success.
            code = int(name != "docker-credential-pass")
            missing = f"docker: {name}, not there"
            rows.append(Case(missing, [program, "get"], other, code=code))
    return rows


def cases(made: Desk) -> list[Case]:
    helper = str(BIN / "git-credential-hushkey")
    ours = f"protocol=https\nhost={made.apache.host}\n\n".encode()
    foreign = b"protocol=https\nhost=foreign.example.com\n\n"
    rows = [
        Case("hushkey: host not ours", [helper, "get"], foreign),
        Case("hushkey: cached token", [helper, "get"], ours),
        Case("hushkey: silent refresh", [helper, "get"], ours, lambda: made.age(3601)),
        Case("`keyring get`", [str(BIN / "keyring"), "get", "hushkey", "data-key"]),
    ]
    for number in FEW_AND_MANY:
        rows += typed(made, number)
    if program := libsecret(made.folder):
        rows += peer(made, program)
    return rows + docker_cases(made)


def stored(number: int, password: str = "") -> bytes:
    """What git sends for one of the typed credentials; with *password* to store."""
    lines = ["protocol=https", f"host=h{number}.example.com", f"username=u{number}"]
    lines += [f"password={password}"] if password else []
    return "".join(f"{line}\n" for line in [*lines, ""]).encode()


def typed(made: Desk, number: int) -> list[Case]:
    """Rows for a store of our own in which *number* credentials were typed."""
    helper = str(BIN / "git-credential-hushkey")
    folder = made.folder / f"typed-{number}"
    settings = rules.load(made.environ).settings
    typed_store = open_typed_credentials(settings, str(folder), print)

    def put(index: int) -> None:
        key = CredentialKey("git", "https", f"h{index}.example.com", None, f"u{index}")
        typed_store.store(StoredCredential(key, {"password": f"p{index}"}))

    with mock.patch.object(os, "fsync"):  # ten thousand times, and not measured
        for index in range(number):
            put(index)
    extra = {"HUSHKEY_DATA_DIR": str(folder)}
    asked, other = stored(5), b"protocol=https\nhost=foreign.example.com\n\n"
    erased = stored(number, f"p{number}")
    new = Case(f"hushkey: store, {number} typed", [helper, "store"], extra=extra)

    def renew() -> None:
        new.stdin = stored(5, f"{time.time_ns()}")

    new.before = renew
    return [
        Case(f"hushkey: nothing, {number} typed", [helper, "get"], other, extra=extra),
        Case(f"hushkey: get, {number} typed", [helper, "get"], asked, extra=extra),
        new,
        Case(
            f"hushkey: erase, {number} typed",
            [helper, "erase"],
            erased,
            before=lambda: put(number),
            extra=extra,
        ),
    ]


def peer(made: Desk, program: str) -> list[Case]:
    """Rows for git's own helper, with ten credentials in the keyring."""

    def put(index: int) -> None:
        subprocess.run(
            [program, "store"],
            input=stored(index, f"p{index}"),
            env=made.environ,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    for index in range(10):
        put(index)
    name, new = "git-credential-libsecret", stored(5, "another")
    return [
        Case(f"{name}: get", [program, "get"], stored(5)),
        Case(f"{name}: store", [program, "store"], new),
        Case(f"{name}: erase", [program, "erase"], stored(10, "p10"), lambda: put(10)),
    ]


def table(base: Case, rows: list[Case]) -> str:
    """Return the Markdown table."""
    lines = [
        "| what | median ms | x `python -c pass` | peak MiB |",
        "|---|---:|---:|---:|",
        f"| `python -c pass` | {statistics.median(base.seconds) * 1000:.0f} | 1.0 "
        f"| {base.mebibytes:.0f} |",
    ]
    lines += [
        f"| {row.name} | {statistics.median(row.seconds) * 1000:.0f} "
        f"| {statistics.median(row.ratios):.1f} | {row.mebibytes:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    base = Case("python -c pass", [sys.executable, "-c", "pass"])
    for name in set(os.environ) - set(clean_environ()):
        del os.environ[name]
    with desk() as made, password_store(made):
        rows = cases(made)
        before = len(made.issuer.log())
        measure(rows, base, runs, made.environ, made.folder)
        for case in (base, *rows):
            weigh(case, made.environ, made.folder)
        refreshes = made.issuer.refreshes()
        requests = len(made.issuer.log()) - before
    print(table(base, rows))
    print(f"\n{requests} requests to the server for {refreshes} silent refreshes")


if __name__ == "__main__":
    main()
