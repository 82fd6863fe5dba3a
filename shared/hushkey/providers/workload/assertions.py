"""Where a machine's assertion comes from: a signed token that says what runs here.

One class for each source, which `SOURCES` lists. An assertion is read, or asked for,
at each exchange and kept nowhere. What is asked with the job's own secret is asked of
the pipeline's own servers alone, whose names are written here or in the config: a
variable may come from a repository's `.env` as well as from the pipeline.
"""

from __future__ import annotations

import os
import re
import stat

from hushkey import origins
from hushkey.errors import Permanent, Transient, plain
from hushkey.providers.checks import near

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.providers.workload.kind import Context
    from hushkey.system.proofs import Needs

#: bytes of an assertion
_MOST = 64 * 1024
#: seconds for a program that prints one
_PROGRAM = 20.0
#: three parts of base64url (RFC 7515 3.1)
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONE = "a variable's name, such as ID_TOKEN"


class Source:
    """One source; *rest* is what follows the colon in the config."""

    word: str
    #: what has to follow the colon, for the words of an error; empty: nothing may
    wants = ""
    #: a new assertion can be had during the job
    again = True
    #: it signs for whatever audience it is asked
    asks = False

    def fault(self, rest: str) -> str:
        """Return what was expected in place of *rest*, or nothing."""
        return "" if not rest else f"{self.word} alone"

    def proof(self, rest: str) -> Needs:
        """Return what proves that there is such a source here."""
        raise NotImplementedError(self.word)

    def words(self, rest: str, audience: str) -> str:
        """Return what it is, for a person."""
        raise NotImplementedError(self.word)

    def read(self, rest: str, audience: str, context: Context) -> str:
        """Return an assertion; raises Transient or Permanent."""
        raise NotImplementedError(self.word)


class Actions(Source):
    """GitHub Actions, and Forgejo's, which are asked in the same way.

    docs.github.com/en/actions/reference/security/oidc
    """

    word = "github"
    asks = True
    wants = "the host of a GitHub Enterprise Server, or nothing"
    _url, _token = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
    _public = "actions.githubusercontent.com"

    def fault(self, rest: str) -> str:
        good = not rest or origins.parse_origin("https", rest) is not None
        return "" if good else f"{self.word}:HOST"

    def proof(self, rest: str) -> Needs:
        return ("GITHUB_ACTIONS=true",), ((self._url, self._token),)

    def words(self, rest: str, audience: str) -> str:
        return f"GitHub Actions token for audience {audience}"

    def read(self, rest: str, audience: str, context: Context) -> str:
        from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

        url, token = (context.environ.get(n, "") for n in (self._url, self._token))
        if not url or not token:
            missing = self._url if not url else self._token
            what = f"{missing} is not set: the job lacks the permission `id-token`"
            if not context.environ.get("GITHUB_ACTIONS"):
                what = f"{missing} is not set: this is not a job of GitHub Actions"
            raise Permanent(
                what,
                hint="add `permissions: id-token: write` to the job; a run from a fork "
                "cannot have it, and a reusable workflow only if its caller grants it",
            )
        _check_url(url, self._url, self._hosts(rest))
        parts = urlsplit(url)
        # It has a query of its own.
        query = [p for p in parse_qsl(parts.query) if p[0] != "audience"]
        query.append(("audience", audience))
        whole = urlunsplit(parts._replace(query=urlencode(query)))
        return _asked(context, "GET", whole, "bearer " + token, "value")

    def _hosts(self, rest: str) -> tuple[str, ...]:
        return (f".{self._public}", *([rest] if rest else []))


class Forgejo(Actions):
    """Forgejo Actions: its server is the user's own, so the config names it."""

    word = "forgejo"
    wants = "the host of the server"

    def fault(self, rest: str) -> str:
        return super().fault(rest) if rest else "forgejo:HOST"

    def words(self, rest: str, audience: str) -> str:
        return f"Forgejo Actions token of {rest} for audience {audience}"

    def _hosts(self, rest: str) -> tuple[str, ...]:
        return (rest,)


class AzurePipelines(Source):
    """Azure Pipelines, for the service connection that the config names.

    Without one the token is the pipeline's own, which Entra does not know.
    """

    word = "azure-pipelines"
    wants = "the id of a service connection, or nothing"
    _url, _token = "SYSTEM_OIDCREQUESTURI", "SYSTEM_ACCESSTOKEN"

    def fault(self, rest: str) -> str:
        good = re.fullmatch(r"[A-Za-z0-9-]*", rest)
        return "" if good else "azure-pipelines:CONNECTION-ID"

    def proof(self, rest: str) -> Needs:
        return ("TF_BUILD=true",), (("TF_BUILD=true", self._url, self._token),)

    def words(self, rest: str, audience: str) -> str:
        of = f" of service connection {rest}" if rest else ""
        return f"Azure Pipelines token{of} for audience {audience}"

    def read(self, rest: str, audience: str, context: Context) -> str:
        from urllib.parse import urlencode, urlsplit

        url, token = (context.environ.get(n, "") for n in (self._url, self._token))
        if not token and context.environ.get("TF_BUILD"):
            raise Permanent(
                f"{self._token} is not set: it is not mapped into this step",
                hint="add `env: SYSTEM_ACCESSTOKEN: $(System.AccessToken)` to the step",
            )
        if not url or not token:
            raise Permanent(
                f"{self._url if not url else self._token} is not set: this is "
                "not a job of Azure Pipelines",
                hint="use another `assertion` here, or run it there",
            )
        _check_url(url, self._url, ("dev.azure.com", ".visualstudio.com"))
        own = context.environ.get("SYSTEM_COLLECTIONURI", "")
        if own and urlsplit(own).hostname != urlsplit(url).hostname:
            raise _foreign(self._url, urlsplit(url).hostname)
        query = {"api-version": "7.1"} | ({"serviceConnectionId": rest} if rest else {})
        mark = "&" if "?" in url else "?"
        whole = f"{url}{mark}{urlencode(query)}"
        return _asked(context, "POST", whole, "Bearer " + token, "oidcToken")


class Variable(Source):
    """A variable that the pipeline has put an assertion into."""

    word = "env"
    wants = _LONE
    again = False

    def fault(self, rest: str) -> str:
        return "" if _NAME.fullmatch(rest) else f"{self.word}:NAME, {_LONE}"

    def proof(self, rest: str) -> Needs:
        return (), ((rest,),)

    def words(self, rest: str, audience: str) -> str:
        return f"the token in the variable {rest}"

    def read(self, rest: str, audience: str, context: Context) -> str:
        found = context.environ.get(rest, "").strip()
        if not found:
            raise Permanent(f"the variable {rest} is not set", hint=self._missing(rest))
        return found

    def _missing(self, rest: str) -> str:
        return "`assertion` in config.toml names it"


class GitLab(Variable):
    """A variable of a job's ``id_tokens``: issued once, when the job starts.

    docs.gitlab.com/ci/secrets/id_token_authentication
    """

    word = "gitlab"

    def proof(self, rest: str) -> Needs:
        return ("GITLAB_CI=true",), (("GITLAB_CI=true", rest),)

    def words(self, rest: str, audience: str) -> str:
        return f"GitLab's ID token in the variable {rest}"

    def _missing(self, rest: str) -> str:
        return f"add `id_tokens: {rest}: aud: AUDIENCE` to the job in .gitlab-ci.yml"


class TokenFile(Source):
    """A file that something else keeps fresh, as the kubelet does.

    Opened by its name at each exchange: it is a link that is swapped.
    """

    word = "file"
    wants = "an absolute path, or nothing for AZURE_FEDERATED_TOKEN_FILE"
    _variable = "AZURE_FEDERATED_TOKEN_FILE"

    def fault(self, rest: str) -> str:
        return "" if not rest or os.path.isabs(rest) else "file:/ABSOLUTE/PATH"

    def proof(self, rest: str) -> Needs:
        return (), ((f"file:{rest}" if rest else self._variable,),)

    def words(self, rest: str, audience: str) -> str:
        return f"the token in {rest or f'the file that {self._variable} names'}"

    def read(self, rest: str, audience: str, context: Context) -> str:
        path = rest or context.environ.get(self._variable, "")
        if not path:
            raise Permanent(
                f"{self._variable} is not set",
                hint='label the pod `azure.workload.identity/use: "true"`, and create '
                "it again if the webhook came later; or write `assertion = "
                '"file:/PATH"`',
            )
        return _read(path, variable="" if rest else self._variable)


class Program(Source):
    """A program that prints an assertion; the config has its words as a list."""

    word = "command"

    def proof(self, rest: str) -> Needs:
        return (), ((f"program:{rest}",),)

    def words(self, rest: str, audience: str) -> str:
        return f"the token that {os.path.basename(rest)} prints"

    def read(self, rest: str, audience: str, context: Context) -> str:
        words = context.identity.options["assertion"]
        return printed(list(words), context.environ, _PROGRAM)


SOURCES: Mapping[str, Source] = {
    source.word: source
    for source in (
        Actions(),
        Forgejo(),
        GitLab(),
        AzurePipelines(),
        TokenFile(),
        Variable(),
    )
}
_PROGRAMS = Program()


def check(value: Any) -> str | None:
    """Accept a source of assertions, as the config writes it."""
    if isinstance(value, list):
        good = value and all(isinstance(word, str) and word for word in value)
        return None if good else 'a command as a list, such as ["vault", "read", ...]'
    if not isinstance(value, str):
        return "a source of tokens, or a command as a list of words"
    word, _, rest = value.partition(":")
    if word not in SOURCES:
        return (
            f"one of {', '.join(SOURCES)}, or a command as a list{near(word, SOURCES)}"
        )
    return SOURCES[word].fault(rest) or None


def source_of(value: Any) -> tuple[Source, str]:
    """Return the source that the checked *value* names, and what follows its word."""
    if isinstance(value, list | tuple):
        return _PROGRAMS, str(value[0])
    word, _, rest = str(value).partition(":")
    return SOURCES[word], rest


def handed(value: Any) -> tuple[str, ...]:
    """Return the variable that *value* names, if it is given once for a job."""
    if value is None:
        return ()
    source, rest = source_of(value)
    return () if source.again else (rest,)


def is_jwt(text: str) -> bool:
    """Tell whether *text* is one signed token in compact form (RFC 7515 3.1)."""
    return len(text) <= _MOST and _JWT.fullmatch(text) is not None


def printed(words: list[str], environ: Mapping[str, str], seconds: float) -> str:
    """Return the one line that a program prints; raises Permanent or Transient."""
    import subprocess

    from hushkey.system import programs

    program = programs.find(words[0], environ)
    if program is None:
        raise Permanent(
            f"there is no program {plain(words[0], 80)} on PATH",
            hint="install it, or write its absolute path in config.toml",
        )
    name = os.path.basename(words[0])
    try:
        done = subprocess.run(
            [program, *words[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=os.path.dirname(program),
            env=dict(environ),
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Transient(f"{name} gave no answer within {seconds:g} s") from error
    except OSError as error:
        raise Permanent(f"{name} cannot be started: {error.strerror}") from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        said = f": {plain(lines[-1], 160)}" if lines else ""
        raise Permanent(f"{name} ended with {done.returncode}{said}")
    if len(done.stdout) > _MOST:
        raise Permanent(f"{name} printed more than {_MOST} bytes")
    return done.stdout.decode("utf-8", "replace").strip()


def _read(path: str, *, variable: str) -> str:
    """Return the content of a token file; it must not be the repository's.

    *variable* is the one that names it, if the config does not.
    """
    named = f"{variable} names {path}" if variable else path
    if not os.path.isabs(path):
        raise Permanent(f"{plain(named)}: not an absolute path")
    if _is_below(os.path.realpath(path), _here()):
        raise Permanent(
            f"{plain(named)}: below the working folder, where a repository may have "
            "put it",
            hint="keep token files outside of what is checked out",
        )
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Permanent(f"{plain(named)}: not a regular file")
            data = file.read(_MOST + 1)
    except OSError as error:
        raise Permanent(
            f"{plain(named)}: {error.strerror}",
            hint="it is there once the pod has its projected token, and readable for "
            "the group `fsGroup`",
        ) from error
    if len(data) > _MOST:
        raise Permanent(f"{plain(named)}: longer than {_MOST} bytes")
    return data.decode("ascii", "replace").strip()


def _here() -> str:
    try:
        return os.path.realpath(os.getcwd())
    except OSError:
        return os.path.sep  # it was deleted


def _is_below(path: str, folder: str) -> bool:
    return folder != os.path.sep and path.startswith(folder + os.path.sep)


def _check_url(url: str, variable: str, hosts: tuple[str, ...]) -> None:
    """Raise Permanent unless *url* is one of *hosts*, or on this machine.

    A host with a dot in front stands for those below it.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        origin = origins.parse_origin(parts.scheme, parts.netloc)
        whole = url.isascii() and url.isprintable() and " " not in url
    except ValueError:
        origin, whole = None, False
    if origin is None or not whole or "@" in parts.netloc or parts.fragment:
        raise Permanent(f"{variable} holds no URL that hushkey would ask")
    host, port = origin
    if origins.is_loopback(host) and parts.scheme in ("http", "https"):
        return
    if parts.scheme != "https":
        raise Permanent(f"{variable} names a URL that is not https")
    for good in hosts:
        known = origins.parse_origin("https", good.removeprefix("."))
        if known is None:
            continue
        if good.startswith(".") and host.endswith(f".{known[0]}") and port == known[1]:
            return
        if (host, port) == known:
            return
    raise _foreign(variable, host)


def _foreign(variable: str, host: object) -> Permanent:
    return Permanent(
        f"{variable} names {plain(host, 100)}, which is not the pipeline's own server",
        hint="nothing was sent there; if it is yours, name it in `assertion`",
    )


def _asked(
    context: Context, method: str, url: str, authorization: str, field: str
) -> str:
    from hushkey.providers.workload.asking import ask

    headers = {"Authorization": authorization}
    if method == "POST":
        # Without a type it is refused; with a bad token a page would be the answer.
        headers["Content-Type"] = "application/json"
        headers["X-TFS-FedAuthRedirect"] = "Suppress"
    reply = ask(context.network(), method, url, headers=headers)
    found = (reply.data or {}).get(field) if reply.status == 200 else None
    if isinstance(found, str) and is_jwt(found):
        return found
    raise reply.failure(
        "check the job's permissions: `id-token: write` at GitHub and Forgejo; Azure "
        "Pipelines wants a service connection that the pipeline names"
    )
