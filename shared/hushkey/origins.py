"""Host patterns and request origins in one normal form, and how they match.

``host[:port][/path prefix]``, ``*.`` for exactly one label in front, and
``http://`` or ``smtp://`` only if written. Everything is compared on label and segment
boundaries after normalising case, IDNA, a trailing dot, IPv6 spelling and the
default port. A pattern without a port means the default port, as in git's own
URL matching (gitcredentials(7)). What cannot be normalised safely is nobody's
host: the parsers return None or raise ValueError, never a guess. RFC 3986 says
what a URL is, UTS 46 what a host name in another script is.
"""

from __future__ import annotations

from hushkey.model import Frozen, Request

DEFAULT_PORTS = {"https": 443, "http": 80}
#: what a rule may be for: the web, and mail servers, which `git send-email` names so
SERVED = {**DEFAULT_PORTS, "smtp": 25}
_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_HEX = frozenset("0123456789abcdefABCDEF")
_CONTROLS = frozenset(map(chr, (*range(32), 127)))
#: what ends a segment or hides a part of it; git hands paths over decoded, with
#: what would begin a query or a fragment still in them
_NOT_IN_SEGMENT = _CONTROLS | frozenset("/\\;?#")
#: where readers of a URL disagree on its host
_NOT_IN_USERINFO = frozenset(map(chr, range(33))) | frozenset("/?#\\")
#: combining characters in a row: no language has more, and to sort a run of them
#: costs its length squared (Stream-Safe Text Format, UAX #15 section 13)
_LONGEST_RUN = 30
_LOWER = {number: number + 32 for number in range(ord("A"), ord("Z") + 1)}


class Pattern(Frozen):
    """A parsed host pattern; ``wild`` means one more label in front of *host*."""

    scheme: str
    host: str
    port: int
    path: tuple[str, ...]
    wild: bool


def parse_pattern(text: str) -> Pattern:
    """Return the pattern that *text* writes; ValueError says what is wrong."""
    if text != text.strip():
        raise ValueError("a host pattern neither begins nor ends with a space")
    scheme, marker, rest = text.partition("://")
    if not marker:
        scheme, rest = "https", text
    if scheme not in SERVED:
        raise ValueError(f"{scheme}:// is not a scheme that hushkey serves")
    if "?" in rest or "#" in rest:
        raise ValueError("a host pattern has no query or fragment")
    origin, _, path = rest.partition("/")
    if "@" in origin:
        raise ValueError("a user name does not belong in a host pattern")
    wild = origin.startswith("*.")
    found = parse_origin(scheme, origin[2:] if wild else origin)
    segments = split_path(path)
    if found is None:
        raise ValueError("not a host name: host[:port][/path], `*.` only in front")
    if segments is None:
        raise ValueError(
            "a path prefix may not hold empty, `.` or `..` segments, `;`, `?`, `#`, or "
            "what is encoded twice"
        )
    host, port = found
    if wild and ("." not in host or host.startswith("[")):
        raise ValueError("`*.` needs a domain of at least two labels after it")
    return Pattern(scheme, host, port, segments, wild)


def parse_origin(scheme: str, text: str) -> tuple[str, int] | None:
    """Return host and port of ``[user@]host[:port]``, or None if it is not one."""
    userinfo, _, text = text.rpartition("@")
    if not _is_userinfo(userinfo):
        return None  # where such a host ends, each URL parser says something else
    if text.startswith("["):
        literal, bracket, tail = text[1:].partition("]")
        host = _ipv6(literal) if bracket and (not tail or tail[0] == ":") else None
        digits = tail[1:]
        colon = bool(tail)
    else:
        name, separator, digits = text.partition(":")
        host, colon = _name(name), bool(separator)
    port = _port(digits) if colon else SERVED.get(scheme)
    if host is None or port is None:
        return None
    return host, port


def split_path(path: str) -> tuple[str, ...] | None:
    """Return the decoded segments of *path*, or None if readers may differ on it.

    A server resolves ``contoso/../fabrikam``; a prefix rule must not be fooled by
    it, written plainly, percent-encoded (once or more), as bytes that are no UTF-8
    (overlong dots) or in compatibility letters; nor made to wait by endless runs of
    combining characters; nor fooled by ``contoso;x``, which a
    servlet container reads as ``contoso`` (RFC 3986 3.3), or ``contoso?x``. Trailing
    slashes do not count.
    """
    if not path.strip("/"):
        return ()
    segments = []
    for raw in path.removeprefix("/").rstrip("/").split("/"):
        segment = _decode(raw)
        if segment is None or not _is_flat(segment):
            return None
        segments.append(segment)
    return tuple(segments)


def folded(text: str) -> str:
    """Return *text* with ASCII letters in lower case and all others as they are.

    For paths and user names: forges ignore case in owners and repositories. Beyond
    ASCII each does so in its own way, and letters of other scripts (U+212A) must
    not become ASCII ones.
    """
    return text.lower() if text.isascii() else text.translate(_LOWER)


def place(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return *path* as it is compared: `folded`, without a ``.git`` at its end.

    Forges serve ``team/app`` and ``team/app.git`` as one repository.
    """
    return _without_git(tuple(map(folded, path)))


def letters(path: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return `place` without what servers may or may not tell apart beyond ASCII.

    None for what cannot be said in reasonable time, as in `split_path`.
    """
    from unicodedata import normalize

    if not all(map(_is_stream_safe, path)):
        return None
    normal = (normalize("NFKC", normalize("NFKC", s).casefold()) for s in path)
    return _without_git(tuple(normal))


def _without_git(path: tuple[str, ...]) -> tuple[str, ...]:
    last = path[-1].removesuffix(".git") if path else ""
    return (*path[:-1], last) if last else path


def parse_url(url: str) -> Request:
    """Return the request that *url* (or a bare ``host/path``) stands for.

    What `parse_pattern` takes is read in the same way: a path may hold spaces, which
    people type and RFC 3986 would have encoded. Raises ValueError for anything that is
    not http, https or smtp.
    """
    scheme, marker, rest = url.strip().partition("://")
    if not marker:
        scheme, rest = "https", url.strip()
    scheme = scheme.lower()
    if scheme not in SERVED:
        raise ValueError(f"{scheme}:// is not a scheme that hushkey serves")
    whole, rest = rest, rest.partition("#")[0].partition("?")[0]
    origin, _, path = rest.partition("/")
    if " " in origin or not _CONTROLS.isdisjoint(whole):
        raise ValueError(
            "a URL may not hold control characters, and spaces only in its path"
        )
    userinfo, _, host = origin.rpartition("@")
    if not host:
        raise ValueError("the URL names no host")
    username = _decode(userinfo.partition(":")[0])
    if "\\" in origin or username is None or not _CONTROLS.isdisjoint(username):
        raise ValueError("the URL's user name holds characters that no user name can")
    if not _is_userinfo(userinfo):
        raise ValueError("the URL's user name holds what may end it")
    return Request(scheme, host, path, username)


def request_for(pattern: str, label: str = "any") -> Request:
    """Return a request that the text *pattern* covers; ValueError if it is none.

    *label* stands for the ``*``; with an empty one it is the domain behind it that is
    asked for, which is all that the pattern says.
    """
    parsed = parse_pattern(pattern)
    host = f"{label}.{parsed.host}" if parsed.wild and label else parsed.host
    if parsed.port != SERVED[parsed.scheme]:
        host += f":{parsed.port}"
    # The segments are decoded; read as a path, they would be decoded once more.
    path = (s.replace("%", "%25").replace(" ", "%20") for s in parsed.path)
    return Request(parsed.scheme, host, "/".join(path))


def origin_text(scheme: str, host: str, port: int) -> str:
    """Return the origin as people write it, without a default port."""
    shown = host if port == SERVED.get(scheme) else f"{host}:{port}"
    return shown if scheme == "https" else f"{scheme}://{shown}"


def is_loopback(host: str) -> bool:
    """Tell whether the normalised *host* is this machine, whatever DNS says."""
    if host in ("localhost", "[::1]"):
        return True
    labels = host.split(".")
    return labels[0] == "127" and len(labels) == 4 and all(map(_is_octet, labels))


def is_link_local(host: str) -> bool:
    """Tell whether the normalised *host* is a link-local address (RFC 3927)."""
    labels = host.split(".")
    return (
        labels[:2] == ["169", "254"]
        and len(labels) == 4
        and all(map(_is_octet, labels))
    )


def _is_octet(label: str) -> bool:
    return label.isascii() and label.isdigit() and len(label) <= 3 and int(label) < 256


def _name(name: str) -> str | None:
    if not name.isascii():
        name = _idna(name) or ""
    name = name.lower().removesuffix(".")
    if not name or len(name) > 253 or not _HOST_CHARACTERS.issuperset(name):
        return None
    if any(not label or len(label) > 63 for label in name.split(".")):
        return None
    return name


def _idna(name: str) -> str | None:
    """Return *name* with each label as an A-label or in ASCII; None if it is none.

    Labels are judged one by one: what another one says is no excuse.
    """
    if len(name) > 253:
        return None
    labels = []
    for label in name.split("."):
        encoded = label if label.isascii() else _a_label(label)
        if encoded is None:
            return None
        labels.append(encoded)
    return ".".join(labels)


def _a_label(label: str) -> str | None:
    """Return the A-label of a label in another script; None for a look-alike.

    UTS 46 maps full-width and other compatibility letters to ASCII, and some
    characters to nothing. No user types those.
    """
    import idna

    try:
        for letter in label:
            mapped = "" if letter.isascii() else idna.uts46_remap(letter)
            if not letter.isascii() and (
                not mapped or any(c.isascii() for c in mapped)
            ):
                return None
        encoded = idna.encode(label, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return None
    return encoded if encoded.startswith("xn--") and "." not in encoded else None


def _ipv6(literal: str) -> str | None:
    import ipaddress

    if "%" in literal:
        return None  # a zone means something on one machine only
    try:
        return f"[{ipaddress.IPv6Address(literal).compressed}]"
    except ValueError:
        return None


def _port(digits: str) -> int | None:
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 5:
        return None
    port = int(digits)
    return port if 0 < port < 65536 else None


def _is_userinfo(text: str) -> bool:
    """Tell whether every reader finds the end of the user info *text* at its end.

    It holds no delimiter (RFC 3986 3.2.1), nor what NFKC turns into one: some
    readers normalise before they look for the host.
    """
    if not _NOT_IN_USERINFO.isdisjoint(text):
        return False
    if text.isascii():
        return True
    from unicodedata import normalize

    mapped = (normalize("NFKC", letter) for letter in text if not letter.isascii())
    return (_NOT_IN_USERINFO | frozenset("@:[]")).isdisjoint("".join(mapped))


def _is_flat(segment: str) -> bool:
    """Tell whether the decoded *segment* is one name, however often it is read."""
    if segment in ("", ".", "..") or not _NOT_IN_SEGMENT.isdisjoint(segment):
        return False
    if "%" in segment and any(
        len(part) > 1 and _HEX.issuperset(part[:2]) for part in segment.split("%")[1:]
    ):
        return False
    if segment.isascii():
        return True
    from unicodedata import normalize

    if not _is_stream_safe(segment):
        return False
    normal = normalize("NFKC", segment)
    return normal == segment or _is_flat(normal)


def _is_stream_safe(text: str) -> bool:
    """Tell whether *text* may be normalised in time proportional to its length.

    Letters are decomposed one by one: what combines may show only then (U+FF9E).
    """
    from unicodedata import combining, normalize

    run = 0
    for letter in text:
        for part in normalize("NFKD", letter):
            run = run + 1 if combining(part) else 0
            if run > _LONGEST_RUN:
                return False
    return True


def _decode(text: str) -> str | None:
    """Percent-decode *text* once; None if it is not validly encoded UTF-8."""
    if text.isascii() and "%" not in text:
        return text
    head, *parts = text.split("%")
    try:
        out = bytearray(head.encode("utf-8", "surrogateescape"))
        for part in parts:
            if len(part) < 2 or not _HEX.issuperset(part[:2]):
                return None
            out.append(int(part[:2], 16))
            out += part[2:].encode("utf-8", "surrogateescape")
        return out.decode("utf-8")
    except UnicodeError:
        return None
