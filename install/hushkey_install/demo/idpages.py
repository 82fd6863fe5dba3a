"""What the identity server serves: sign-in page, OAuth endpoints, its trace.

Django imports this module by name once it is configured, never before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.urls import base_urlpatterns, oidc_urlpatterns
from oauth2_provider.views import ConnectDiscoveryInfoView

from hushkey_install.demo.service import Trace

trace = Trace(Path(settings.DEMO["journal"]))


class Recorder:
    """Writes each request to the trace before it is answered; no secrets."""

    def __init__(self, respond: Callable[[HttpRequest], HttpResponse]) -> None:
        self._respond = respond

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._respond(request)
        trace.write(
            {
                "method": request.method,
                "path": request.path,
                "status": response.status_code,
                **_details(request, response),
            }
        )
        return response


def _details(request: HttpRequest, response: HttpResponse) -> dict[str, object]:
    if request.path == "/o/token/" and request.method == "POST":
        details = {"grant_type": request.POST.get("grant_type")}
        if response.status_code != 200:
            details["error"] = _error(response)
        return details
    if request.path == "/o/authorize/":
        # A sign-in has one state; a hash of it tells windows apart as well.
        state = request.GET.get("state", "")
        return {"window": hashlib.sha256(state.encode()).hexdigest()[:12]}
    return {}


def _error(response: HttpResponse) -> object:
    try:
        return json.loads(response.content).get("error")
    except ValueError:
        return None


class Validator(OAuth2Validator):  # type: ignore[misc]  # untyped
    """Puts a name that people know into the ID token; the default is a number."""

    oidc_claim_scope = None

    def get_additional_claims(self, request: Any) -> dict[str, object]:
        """Return the claims beside the protocol's own."""
        return {
            "sub": request.user.username,
            "preferred_username": request.user.email,
        }


class OneRound(PBKDF2PasswordHasher):  # type: ignore[misc]  # untyped
    """One round, not a quarter of a second of the machine for each sign-in."""

    algorithm = "pbkdf2_one_round"
    iterations = 1


class Discovery(ConnectDiscoveryInfoView):  # type: ignore[misc]  # untyped
    """The metadata, with the two endpoints that the library has but omits."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> JsonResponse:
        """Return the OpenID Connect discovery document."""
        response = super().get(request, *args, **kwargs)
        metadata = json.loads(response.content)
        issuer = metadata["issuer"]
        metadata["revocation_endpoint"] = f"{issuer}/revoke_token/"
        metadata["introspection_endpoint"] = f"{issuer}/introspect/"
        return JsonResponse(metadata)


def home(request: HttpRequest) -> HttpResponse:
    """Say where one is: the page after a sign-in that nobody asked for."""
    return HttpResponse("The identity server of hushkey's demonstration.")


sign_in = LoginView.as_view(
    template_name="signin.html",
    extra_context={
        "user_name": settings.DEMO["user"],
        "password": settings.DEMO["password"],
    },
)
urlpatterns = [
    path("", home),
    path("login/", sign_in),
    path("o/.well-known/openid-configuration", Discovery.as_view()),
    path("o/", include((base_urlpatterns + oidc_urlpatterns, "oauth2_provider"))),
]
