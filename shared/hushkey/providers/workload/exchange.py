"""``exchange``: an assertion, taken by any OAuth or OpenID Connect server.

As RFC 8693 (token exchange), or RFC 7523: as a grant (2.1) or as the client's own
proof (2.2).
"""

from __future__ import annotations

from hushkey.errors import HushkeyError, Permanent, plain
from hushkey.model import Grant
from hushkey.providers.checks import one_of, secure_url, text
from hushkey.providers.workload import assertions, secrets
from hushkey.providers.workload.kind import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hushkey.model import Identity
    from hushkey.net.http import Network
    from hushkey.providers.workload.kind import Context
    from hushkey.system.proofs import Needs

#: how the request is written: as RFC 8693 has it, or as Hugging Face does
_BODIES = ("form", "json")
_TYPE = "urn:ietf:params:oauth:token-type:"
_GRANT = "urn:ietf:params:oauth:grant-type:"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: what an assertion can be called (RFC 8693 3)
_SUBJECTS = ("jwt", "id_token", "access_token")
#: what may be handed out as a bearer token, of what can be issued
_ISSUED = tuple(_TYPE + word for word in ("access_token", "jwt", "id_token"))


class Exchange(Kind):
    """Any server that trusts the issuer of an assertion."""

    name = "exchange"
    keys = {  # noqa: RUF012 - read only
        "issuer": secure_url,
        "token_endpoint": secure_url,
        "assertion": assertions.check,
        "audience": text,
        "grant": one_of("token-exchange", "jwt-bearer", "client-assertion"),
        "subject_token_type": one_of(*_SUBJECTS),
        "target_audience": text,
        "resource": text,
        "secret_from": secrets.secret_from,
        "body": one_of(*_BODIES),
    }
    required = ("assertion",)
    one_of = ("issuer", "token_endpoint")

    def proof(self, table: Mapping[str, Any]) -> Needs:
        source, rest = assertions.source_of(table["assertion"])
        return source.proof(rest)

    def words(self, identity: Identity) -> str:
        source, rest = assertions.source_of(identity.options["assertion"])
        said = source.words(rest, _audience(identity))
        server = identity.option("issuer") or identity.option("token_endpoint")
        client = f" as client {identity.client_id}" if identity.client_id else ""
        return f"{said}, exchanged at {server}{client}"

    def handed(self, identity: Identity, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return the variable with the assertion, where there is no other one."""
        return assertions.handed(identity.options.get("assertion"))

    def mint(self, context: Context) -> Grant:
        from hushkey.providers.workload import claims

        identity = context.identity
        source, rest = assertions.source_of(identity.options["assertion"])
        audience = _audience(identity)

        def attempt() -> Grant:
            assertion = source.read(rest, audience, context)
            signed = identity.option("subject_token_type") != "access_token"
            if signed and not assertions.is_jwt(assertion):
                raise Permanent(f"{source.words(rest, audience)}: not one signed token")
            try:
                return _exchanged(context, assertion)
            except HushkeyError as error:
                raise claims.refused(error, assertion, again=source.again) from error

        return claims.twice(attempt, again=source.again)


def _audience(identity: Identity) -> str:
    """Return whom an assertion is for: the server, if the config names nobody else."""
    server = identity.option("issuer") or identity.option("token_endpoint")
    return identity.option("audience", server)


def _exchanged(context: Context, assertion: str) -> Grant:
    from hushkey.net import answers
    from hushkey.providers.workload.asking import ask

    network = context.network()
    endpoint = _endpoint(context, network)
    form = _form(context, assertion)
    as_json = context.identity.option("body") == "json"
    if as_json:
        # What RFC 8693 leaves out at will: huggingface_hub's own client does.
        form.pop("requested_token_type", None)
        reply = ask(network, "POST", endpoint, json=form)
    else:
        reply = ask(network, "POST", endpoint, form=form)
    found = answers.token(reply.data) if reply.status == 200 else None
    if found is None:
        raise reply.refusal(form)
    issued = found.get("issued_token_type", _ISSUED[0])
    if issued not in _ISSUED:
        raise Permanent(
            f"{reply.server}: gave a token of type {plain(issued, 80)}",
            hint="let the server issue access tokens to this client",
        )
    # What is no access token has no token type (RFC 8693 2.2.1).
    named = found.get("token_type")
    plainly = isinstance(named, str) and named.lower() == "n_a" and issued != _ISSUED[0]
    if not plainly and (fault := answers.type_fault(found)):
        raise fault
    return Grant(
        found["access_token"],
        expires_in=found["expires_in"],
        scopes=answers.scopes(found.get("scope"), context.rule.scopes),
    )


def _endpoint(context: Context, network: Network) -> str:
    if endpoint := context.identity.option("token_endpoint"):
        return endpoint
    from hushkey.net import answers
    from hushkey.net.discovery import Discovery

    issuer = context.identity.option("issuer")
    found = Discovery(issuer, network, context.folder).metadata().get("token_endpoint")
    if not isinstance(found, str):
        raise Permanent(f"{issuer}: the server has no token_endpoint")
    answers.check_secure(found, issuer)
    return found


def _form(context: Context, assertion: str) -> dict[str, str]:
    identity = context.identity
    grant = identity.option("grant", "token-exchange")
    scope = " ".join(context.rule.scopes)
    form = {
        "client_id": identity.client_id,
        "scope": scope,
        "resource": identity.option("resource"),
        "audience": identity.option("target_audience"),
    }
    if place := identity.option("secret_from"):
        form["client_secret"] = secrets.read(place, context.environ)
    if grant == "jwt-bearer":
        form |= {"grant_type": _GRANT + "jwt-bearer", "assertion": assertion}
    elif grant == "client-assertion":
        form |= {
            "grant_type": "client_credentials",
            "client_assertion_type": _ASSERTION,
            "client_assertion": assertion,
        }
    else:
        form |= {
            "grant_type": _GRANT + "token-exchange",
            "subject_token": assertion,
            "subject_token_type": _TYPE + identity.option("subject_token_type", "jwt"),
            "requested_token_type": _TYPE + "access_token",
        }
    return {name: value for name, value in form.items() if value}
