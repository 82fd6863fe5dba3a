"""One GET from a server whose certificate is known by its thumbprint alone.

Service Fabric's endpoint has a certificate that nobody signed; its SHA-1 thumbprint is
in the environment (learn.microsoft.com/azure/service-fabric/
how-to-managed-identity-service-fabric-app-code). Nothing is sent before it was
compared.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ssl
import time
from urllib.parse import urlsplit

from hushkey.errors import Permanent, Transient
from hushkey.providers.workload.asking import Reply
from hushkey.system.deadline import Expired, within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_MOST = 64 * 1024


class _Response:
    """An answer in the shape that `Reply` reads."""

    def __init__(self, url: str, status: int, headers: Any, content: bytes) -> None:
        self.url = url
        self.status_code = status
        self.headers = headers
        self.content = content

    def json(self) -> Any:
        import json

        return json.loads(self.content)


def get(url: str, headers: Mapping[str, str], thumbprint: str, seconds: float) -> Reply:
    """Return the answer of *url*, whose certificate has the SHA-1 *thumbprint*."""
    parts = urlsplit(url)

    def whole() -> Reply:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # it is compared below
        link = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=seconds, context=context
        )
        try:
            link.connect()
            certificate = link.sock.getpeercert(binary_form=True) or b""
            # The thumbprint is the platform's own: there is no other in its documents.
            found = hashlib.sha1(certificate, usedforsecurity=False).hexdigest()
            wanted = thumbprint.replace(":", "").lower()
            if not hmac.compare_digest(found, wanted):
                raise Permanent(
                    f"{parts.netloc}: its certificate is not the one that "
                    "IDENTITY_SERVER_THUMBPRINT names",
                    hint="nothing was sent there",
                )
            link.request("GET", f"{parts.path}?{parts.query}", headers=dict(headers))
            answer = link.getresponse()
            content = answer.read(_MOST + 1)
            return Reply(_Response(url, answer.status, answer.headers, content))
        finally:
            link.close()

    end = time.monotonic() + seconds
    try:
        return within(end - time.monotonic(), whole)
    except (TimeoutError, Expired) as error:
        raise Transient(f"{parts.netloc}: no answer in time") from error
    except (OSError, http.client.HTTPException) as error:
        raise Transient(f"{parts.netloc}: cannot be reached") from error
