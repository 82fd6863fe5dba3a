"""The compiled config as helpers use it: which rule covers a request.

config.toml, joined with the administrator's, is compiled into a side file in the data
folder that is valid for the mtime (ns), size, inode and device of both, and of the
presets. Reading it back
costs a look at the path and one `marshal.loads`; TOML is parsed only after a change.
A config that others could write is refused. The side file is this user's, mode 0600;
anything else about it and it is ignored, since marshal trusts what it reads.
"""

from __future__ import annotations

import marshal
import os
import stat
import sys
import time
from binascii import crc32

from hushkey import origins, runtime
from hushkey.errors import ConfigError, HushkeyError, Permanent, StoreError
from hushkey.model import HostRule, Identity, Request
from hushkey.system import ownership, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

#: rises with every change of the compiled form, and of what a ProviderSpec puts there
FORMAT = 10
MAX_BYTES = 4 * 1024 * 1024
_EDIT = "run `hushkey config edit`"
# A file changed this recently (seconds) may change again within one tick of
# its timestamp, keeping size and inode: git's "racy" problem. Not kept yet.
_SETTLED = 2.0


class Config:
    """The config as a whole; read it with `load`."""

    def __init__(
        self,
        compiled: Mapping[str, Any],
        source: str,
        system: str = "",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._compiled = compiled
        self._environ = environ or {}
        self.source = source
        self.system = system
        self.settings: Mapping[str, Any] = compiled["settings"]

    def origin_of(self, name: str) -> str:
        """Return where the identity *name* is from: user, system or preset."""
        return str(self._compiled["origins"].get(name, "preset"))

    def identities(self) -> dict[str, Identity]:
        """Return every identity by name."""
        return {name: self.identity(name) for name in self._compiled["identities"]}

    def identity(self, name: str) -> Identity:
        """Return one identity; KeyError if there is none of that *name*."""
        return Identity(name, **self._compiled["identities"][name])

    def rules(self) -> Iterator[HostRule]:
        """Yield every rule that can serve, the user's first."""
        for row in self._compiled["rules"]:
            if not row["missing"]:
                yield self._rule(row)

    def rule_for(self, request: Request, asked: str = "") -> HostRule | None:
        """Return the rule that covers *request*, or None: not ours.

        *asked* is a user name that comes with it, and says nothing of the place.
        Raises Permanent where several identities could serve the host and the
        request does not say which, and where none of those that a rule names is at
        home here; never a guess between identities.
        """
        row = self.row_for(request, asked)
        return self._rule(row, served=True) if row and not row["missing"] else None

    def aliased(self, name: str) -> Request | None:
        """Return the request that a name which is no URL stands for, or None."""
        for row in self._compiled["rules"]:
            if name in row.get("aliases", ()):
                scheme, host, port, _ = row["key"]
                path, user = "/".join(row["path"]), row.get("user", "")
                return Request(scheme, f"{host}:{port}", path, user)
        return None

    def missing_for(self, request: Request) -> str:
        """Return the setting that keeps a known host from being ours, or nothing."""
        row = self.row_for(request)
        return str(row["missing"]) if row else ""

    def missing_of(self, identity: str) -> str:
        """Return the setting that keeps *identity* from serving, or nothing."""
        rows = self._compiled["rules"]
        named = (row["missing"] for row in rows if row["identity"] == identity)
        return str(next(filter(None, named), ""))

    def users_of(self, request: Request) -> list[str]:
        """Return the user names that the rules of *request*'s host ask for."""
        origin = origins.parse_origin(request.protocol, request.host)
        if origin is None:
            return []
        both = (self._rows_at(request.protocol, origin, w) for w in (False, True))
        rows = [row for rows in both for row in rows]
        return list(dict.fromkeys(row["user"] for row in rows if "user" in row))

    def row_for(self, request: Request, asked: str = "") -> Mapping[str, Any] | None:
        """Return the compiled rule for *request*; raises as `rule_for`."""
        origin = origins.parse_origin(request.protocol, request.host)
        if origin is None or request.protocol not in origins.SERVED:
            return None
        for wild in (False, True):
            rows = self._rows_at(request.protocol, origin, wild)
            rows = _of_user(rows, request, request.username or asked, origin)
            if rows and (found := _choose(rows, request, origin)):
                return found
        return None

    def _rows_at(
        self, scheme: str, origin: tuple[str, int], wild: bool
    ) -> list[Mapping[str, Any]]:
        host, port = origin
        if wild:
            host = "" if host.startswith("[") else host.partition(".")[2]
        numbers = self._compiled["index"].get((scheme, host, port, wild), ())
        return [self._compiled["rules"][number] for number in numbers]

    def _rule(self, row: Mapping[str, Any], *, served: bool = False) -> HostRule:
        identity, passed = self._identity_of(row, served=served)
        named = row.get("scopes", identity.default_scopes)
        scopes = dict.fromkeys((*named, *identity.scopes))
        optional = (
            "account",
            "bare",
            "user",
            "username",
            "scheme",
            "exchange",
            "options",
            "tools",
        )
        return HostRule(
            row["pattern"],
            identity,
            scopes=tuple(scopes),
            min_lifetime=row.get("min_lifetime", 0),
            origin=row["origin"],
            tenant=identity.option("tenant"),
            interactive=row.get("interactive", ""),
            passed=passed,
            **{key: row[key] for key in optional if key in row},
        )

    def _identity_of(
        self, row: Mapping[str, Any], *, served: bool
    ) -> tuple[Identity, tuple[tuple[str, str], ...]]:
        """Return the identity of *row*, and the others with why it is not they.

        Of several it is the first that the environment proves to be at home; one that
        is at home but for a setting of its pipeline comes before a person, who could
        not be asked there. Raises Permanent if it is none, and somebody is *served*.
        """
        named = row["identity"]
        if isinstance(named, str):
            return self.identity(named), ()
        from hushkey.system import proofs

        identities = [self.identity(name) for name in named]
        found = [proofs.check(i.proof, self._environ) for i in identities]
        proven = [n for n, proof in enumerate(found) if proof.proven]
        near = [n for n, proof in enumerate(found) if proof.near]
        if proven and not (near and not identities[proven[0]].machine):
            chosen = proven[0]
        elif near:
            chosen = near[0]
        elif served:
            why = ", ".join(f"{named[n]} ({p.lacks})" for n, p in enumerate(found))
            raise Permanent(
                f"none of this host's identities can be used here: {why}",
                host=row["pattern"],
            )
        else:
            chosen = 0
        after = f"comes after {named[chosen]}"
        passed = [
            (named[n], proof.lacks or after)
            for n, proof in enumerate(found)
            if n != chosen
        ]
        return identities[chosen], tuple(passed)


def _choose(
    rows: list[Mapping[str, Any]], request: Request, origin: tuple[str, int]
) -> Mapping[str, Any] | None:
    """Return the best of *rules* (longest path first) for the request's path."""
    by_path = [row for row in rows if row["path"]]
    # One that asks for this user name stands first.
    whole_host = next((row for row in rows if not row["path"]), None)
    if not by_path:
        return whole_host
    path = origins.split_path(request.path)
    shown = origins.origin_text(request.protocol, *origin)
    if path is None:
        # It may end at anybody's: only one rule for all would do.
        raise Permanent(
            "the path holds `..`, `;`, `?`, empty, doubly encoded or broken segments, "
            f"and the rules for {shown} go by path"
        )
    if path:
        lengths = {len(r["path"]) for r in by_path}
        places = {length: origins.place(path[:length]) for length in lengths}
        fits = (r for r in by_path if places[len(r["path"])] == r["path"])
        found = next(fits, whole_host)
        depth = len(found["path"]) if found else 0
        closer = [r for r in by_path if len(r["path"]) > depth]
        _check_letters(path, closer, shown, "path")
        return found
    if whole_host and "user" in whole_host:
        return whole_host
    user = (request.username,) if request.username else ()
    named = [r for r in by_path if "user" in r]
    named = named or [r for r in by_path if origins.place(user) == r["path"][:1]]
    if user and not named:
        first = [{k: r[k][:1] for k in ("path", "letters") if k in r} for r in by_path]
        _check_letters(user, first, shown, "user name")
    # Where the user's rules go by path, a preset for the whole host is a guess.
    guess = whole_host and whole_host["origin"] == "preset"
    if whole_host and not named and not guess:
        return whole_host
    return _single(named or by_path, shown)


def _of_user(
    rows: list[Mapping[str, Any]],
    request: Request,
    user: str,
    origin: tuple[str, int],
) -> list[Mapping[str, Any]]:
    """Return those of *rows* that are for the user name *user*, or for any."""
    if not any("user" in row for row in rows):
        return rows
    name = origins.folded(user)
    fits = [r for r in rows if "user" not in r or origins.folded(r["user"]) == name]
    if user and not any("user" in row for row in fits):
        names = ((row["user"],) for row in rows if "user" in row)
        closer = [
            {"path": origins.place(name), "letters": origins.letters(name)}
            if not name[0].isascii()
            else {"path": origins.place(name)}
            for name in names
        ]
        shown = origins.origin_text(request.protocol, *origin)
        _check_letters((user,), closer, shown, "user name")
    return fits


def _check_letters(
    path: tuple[str, ...], closer: Sequence[Mapping[str, Any]], shown: str, what: str
) -> None:
    """Raise Permanent if to the server *path* may mean one of the *closer* rules.

    Beyond ASCII each server folds case, and composes letters, in its own way. What is
    ASCII in the rule and in the request has been compared already.
    """
    for row in closer:
        asked = path[: len(row["path"])]
        if "letters" not in row and all(map(str.isascii, asked)):
            continue
        letters = origins.letters(asked)
        if letters is None or letters == row.get("letters", row["path"]):
            raise Permanent(
                f"the {what} is that of a rule for {shown}, in letters that the server "
                "may or may not take for the same",
                hint="write it as config.toml does",
            )


def _single(rows: list[Mapping[str, Any]], shown: str) -> Mapping[str, Any]:
    first = rows[0]
    fields = (
        "identity",
        "scopes",
        "account",
        "exchange",
        "options",
        "scheme",
        "missing",
    )
    if all(r.get(f) == first.get(f) for r in rows for f in fields):
        return first
    raise Permanent(
        f"several identities serve {shown}, and the request names no path",
        host=shown,
        hint="run `git config --global credential."
        f"{shown if '://' in shown else 'https://' + shown}.useHttpPath true`",
    )


# -- reading ----------------------------------------------------------------


def load(environ: Mapping[str, str]) -> Config:
    """Return the config that *environ* points at; no file means presets only.

    Raises ConfigError if the file is wrong, unreadable or not a file.
    """
    here = runtime.current()
    if here is None:
        return _load(environ)
    known: Config | None = here.config
    if known is None:
        known = here.config = _load(environ)
    return known


def _load(environ: Mapping[str, str]) -> Config:
    source, system = paths.config_file(environ), paths.system_config_file(environ)
    stamp = (
        FORMAT,
        _trusted(source),
        (system, _roots(system, environ)),
        _stamp(_presets()),
        sys.version_info[:3],
    )
    memory = runtime.memory()
    if memory and (known := memory.config(source, stamp)) is not None:
        return Config(known, source, system, environ)
    side = _side_file(source, environ)
    compiled = _read_side(side, source, stamp)
    if compiled is None:
        runtime.ensure_may_block()
        compiled = _compile(source, system)
        if _is_settled(source) and _is_settled(system):
            _write_side(side, source, stamp, compiled)
    if memory and _is_settled(source) and _is_settled(system):
        memory.keep_config(source, stamp, compiled)
    return Config(compiled, source, system, environ)


def _presets() -> str:
    return os.path.join(os.path.dirname(__file__), "presets.toml")


def _side_file(source: str, environ: Mapping[str, str]) -> str:
    name = f"config-{crc32(os.fsencode(source)):08x}.compiled"
    return os.path.join(paths.data_folder(environ), name)


def _trusted(source: str) -> tuple[int, ...]:
    """Return the stamp of the config file; ConfigError if others could write it."""
    try:
        return _stamped(ownership.check_trusted(source))
    except StoreError as error:
        raise ConfigError(error.what, hint=error.hint) from error
    except OSError as error:
        raise _unreadable(source, error) from error


def _roots(system: str, environ: Mapping[str, str]) -> tuple[int, ...]:
    """Return the stamp of the system config; ConfigError unless it is root's alone.

    A file that HUSHKEY_SYSTEM_CONFIG names may be this user's, too.
    """
    try:
        status = ownership.check_trusted(system) if system else None
        if status is None or not hasattr(os, "geteuid"):
            return _stamped(status)
        if status.st_uid and not environ.get("HUSHKEY_SYSTEM_CONFIG"):
            raise ownership.foreign(system, "so it does not count")
    except StoreError as error:
        hint = f"{error.hint} as root" if error.reason == "open" else ""
        raise ConfigError(
            error.what,
            hint=hint
            or "run `chown root` on it as root, or set "
            "HUSHKEY_SYSTEM_CONFIG=off to go on without it",
        ) from error
    except OSError as error:
        raise _unreadable(system, error) from error
    return _stamped(status)


def _stamp(path: str) -> tuple[int, ...]:
    return _stamped(os.stat(path))


def _stamped(status: os.stat_result | None) -> tuple[int, ...]:
    if status is None:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev


def _unreadable(path: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot read {path}: {error.strerror or error}",
        hint="make it readable, or point HUSHKEY_CONFIG elsewhere",
    )


def _read_side(side: str, source: str, stamp: object) -> Mapping[str, Any] | None:
    try:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(side, flags), "rb") as file:
            data = file.read() if _is_private(file.fileno()) else b""
    except OSError:
        return None
    try:
        found = marshal.loads(data)  # noqa: S302 - ours alone, see above
        if found[0] == source and found[1] == stamp:
            return found[2]  # type: ignore[no-any-return]
    except (ValueError, EOFError, TypeError, LookupError, MemoryError):
        return None  # an older hushkey's, or cut short: compile again
    return None


def _is_private(descriptor: int) -> bool:
    if not hasattr(os, "geteuid"):
        return True
    status = os.fstat(descriptor)
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _compile(source: str, system: str) -> Mapping[str, Any]:
    import hushkey.config.compile

    return hushkey.config.compile.compile_config(
        _text(source), source, _text(system) if system else "", system
    )


def system_text(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return what the administrator wrote, and where; ("", "") where that is nowhere.

    Raises ConfigError as `load`.
    """
    path = paths.system_config_file(environ)
    if not path or not _roots(path, environ):
        return "", ""
    return _text(path), path


def _text(source: str) -> str:
    try:
        # A pipe would be waited for, and could be read only once.
        if stat.S_ISFIFO(os.stat(source).st_mode):
            raise OSError(0, "Is a pipe")
        with open(source, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise _unreadable(source, error) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{source} is larger than {MAX_BYTES >> 20} MiB", hint=_EDIT)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{source}:{line}: not UTF-8 text", hint=_EDIT) from error


def _write_side(side: str, source: str, stamp: Any, compiled: Any) -> None:
    """Keep the compiled form for the next call; failing to is no error."""
    try:  # contextlib costs more than the whole answer may
        paths.make_private(os.path.dirname(side))
        data = marshal.dumps((source, stamp, compiled))
        ownership.replace(side, data, durable=False)
    except (OSError, HushkeyError):
        pass  # it is compiled again next time


def _is_settled(source: str) -> bool:
    try:
        return time.time() - os.stat(source).st_mtime >= _SETTLED
    except OSError:
        return True  # presets only
