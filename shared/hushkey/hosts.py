"""Host patterns and request origins in one normal form, and how they match.

``host[:port][/path prefix]``, ``*.`` for exactly one label in front, and
``http://`` only if written (design 5). Everything is compared on label and
segment boundaries after normalising case, IDNA, a trailing dot, IPv6 spelling
and the default port. A pattern without a port means the default port, as in
git's own URL matching (gitcredentials(7)). What cannot be normalised safely is
nobody's host: the parsers return None or raise ValueError, never a guess.
"""

from hushkey.model import Frozen, Request

DEFAULT_PORTS = {"https": 443, "http": 80}
_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_HEX = frozenset("0123456789abcdefABCDEF")


class Pattern(Frozen):
    """A parsed host pattern; ``wild`` means one more label in front of *host*."""

    __slots__ = ("host", "path", "port", "scheme", "wild")
    scheme: str
    host: str
    port: int
    path: "tuple[str, ...]"
    wild: bool

    def __init__(
        self, scheme: str, host: str, port: int, path: "tuple[str, ...]", wild: bool
    ) -> None:
        self._set(scheme=scheme, host=host, port=port, path=path, wild=wild)


def parse_pattern(text: str) -> Pattern:
    """Return the pattern that *text* writes; ValueError says what is wrong."""
    scheme, marker, rest = text.partition("://")
    if not marker:
        scheme, rest = "https", text
    if scheme not in DEFAULT_PORTS:
        raise ValueError(f"{scheme}:// is not a scheme that hushkey serves")
    if "@" in rest:
        raise ValueError("a user name does not belong in a host pattern")
    if "?" in rest or "#" in rest:
        raise ValueError("a host pattern has no query or fragment")
    origin, _, path = rest.partition("/")
    wild = origin.startswith("*.")
    found = parse_origin(scheme, origin[2:] if wild else origin)
    segments = split_path(path)
    if found is None:
        raise ValueError("not a host name: host[:port][/path], `*.` only in front")
    if segments is None:
        raise ValueError("a path prefix may not hold empty, `.` or `..` segments")
    host, port = found
    if wild and ("." not in host or host.startswith("[")):
        raise ValueError("`*.` needs a domain of at least two labels behind it")
    return Pattern(scheme, host, port, segments, wild)


def parse_origin(scheme: str, text: str) -> "tuple[str, int] | None":
    """Return host and port of ``[user@]host[:port]``, or None if it is not one."""
    userinfo, _, text = text.rpartition("@")
    if any(c in "/?#\\" or c <= " " for c in userinfo):
        return None  # where such a host ends, each URL parser says something else
    if text.startswith("["):
        literal, bracket, tail = text[1:].partition("]")
        host = _ipv6(literal) if bracket and (not tail or tail[0] == ":") else None
        digits = tail[1:]
        colon = bool(tail)
    else:
        name, separator, digits = text.partition(":")
        host, colon = _name(name), bool(separator)
    port = _port(digits) if colon else DEFAULT_PORTS.get(scheme)
    if host is None or port is None:
        return None
    return host, port


def split_path(path: str) -> "tuple[str, ...] | None":
    """Return the decoded segments of *path*, or None if it could climb.

    A server resolves ``contoso/../fabrikam``; a prefix rule must not be fooled
    by it, written plainly or percent-encoded. Trailing slashes do not count.
    """
    if not path.strip("/"):
        return ()
    segments = []
    for raw in path.removeprefix("/").rstrip("/").split("/"):
        segment = _decode(raw)
        if (
            segment is None
            or segment in ("", ".", "..")
            # What a second decoding, or a servlet container, would make climb.
            or segment.startswith(("..;", ".;"))
            or "%2e" in segment.lower()
            or "%2f" in segment.lower()
            or any(c in "/\\" or c < " " or c == "\x7f" for c in segment)
        ):
            return None
        segments.append(segment)
    return tuple(segments)


def parse_url(url: str) -> Request:
    """Return the request that *url* (or a bare ``host/path``) stands for.

    Raises ValueError for anything that is not http or https.
    """
    scheme, marker, rest = url.strip().partition("://")
    if not marker:
        scheme, rest = "https", url.strip()
    scheme = scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise ValueError(f"{scheme}:// is not a scheme that hushkey serves")
    if any(c <= " " or c == "\x7f" for c in rest):
        raise ValueError("a URL holds no spaces or control characters")
    rest = rest.partition("#")[0].partition("?")[0]
    origin, _, path = rest.partition("/")
    userinfo, _, host = origin.rpartition("@")
    if not host:
        raise ValueError("the URL names no host")
    username = _decode(userinfo.partition(":")[0]) or ""
    if "\\" in origin or any(c < " " or c == "\x7f" for c in username):
        raise ValueError("the URL's user name holds a backslash or a control character")
    return Request(scheme, host, path, username)


def origin_text(scheme: str, host: str, port: int) -> str:
    """Return the origin as people write it, without a default port."""
    shown = host if port == DEFAULT_PORTS.get(scheme) else f"{host}:{port}"
    return shown if scheme == "https" else f"{scheme}://{shown}"


def ignores_case(host: str) -> bool:
    """Tell whether the paths of *host* mean the same in any case (Azure DevOps)."""
    return host in ("dev.azure.com", "pkgs.dev.azure.com") or host.endswith(
        ".visualstudio.com"
    )


def is_loopback(host: str) -> bool:
    """Tell whether the normalised *host* is this machine, whatever DNS says."""
    if host in ("localhost", "[::1]"):
        return True
    labels = host.split(".")
    return labels[0] == "127" and len(labels) == 4 and all(map(_is_octet, labels))


def _is_octet(label: str) -> bool:
    return label.isascii() and label.isdigit() and len(label) <= 3 and int(label) < 256


def _name(name: str) -> "str | None":
    if not name.isascii():
        name = _idna(name) or ""
    name = name.lower().removesuffix(".")
    if not name or len(name) > 253 or not _HOST_CHARACTERS.issuperset(name):
        return None
    if any(not label or len(label) > 63 for label in name.split(".")):
        return None
    return name


def _idna(name: str) -> "str | None":
    """Return the A-label form; None for a name that only looks like an ASCII one.

    UTS 46 maps full-width and other compatibility letters to ASCII. No user
    types those: a name that turns into plain ASCII is a look-alike.
    """
    import idna

    try:
        encoded = idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return None
    return encoded if "xn--" in encoded else None


def _ipv6(literal: str) -> "str | None":
    import ipaddress

    if "%" in literal:
        return None  # a zone means something on one machine only
    try:
        return f"[{ipaddress.IPv6Address(literal).compressed}]"
    except ValueError:
        return None


def _port(digits: str) -> "int | None":
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 5:
        return None
    port = int(digits)
    return port if 0 < port < 65536 else None


def _decode(text: str) -> "str | None":
    """Percent-decode *text* once as UTF-8; None if it is not validly encoded."""
    if "%" not in text:
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
