"""Sign in once; git, Docker, pip and friends are answered silently."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hushkey.journal import Journal
    from hushkey.model import Site
    from hushkey.want import Want

#: set by `hushkey.journal.begin`, which nobody imports without HUSHKEY_LOG
_journal: "Journal | None" = None


def step(
    name: str,
    want: "Want | None" = None,
    *,
    site: "Site | None" = None,
    host: str = "",
    verb: str = "",
    url: str = "",
    status: "int | None" = None,
    correlation: "str | None" = None,
    error: "BaseException | None" = None,
    began: "float | None" = None,
) -> None:
    """Note one step in the journal, if there is one (HUSHKEY_LOG).

    What can be said is what has a name here: no secret, no text of a server or
    a person. Of *url* only host and path count, of *error* only its class and
    codes; *verb* is one of our own words or an HTTP method; *began* is when the
    step began, by time.monotonic().
    """
    if _journal is not None:
        if want is not None:
            site, host = want.site, want.host
        rule = site.pattern if site is not None else ""
        _journal.note(
            name,
            verb=verb,
            host=host,
            rule=rule,
            url=url,
            status=status,
            correlation=correlation,
            error=error,
            began=began,
        )
