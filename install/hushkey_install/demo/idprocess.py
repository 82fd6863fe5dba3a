"""The identity server's process: django-oauth-toolkit, configured in one place.

Everything is thrown away afterwards: the database, the signing key, the secrets.
"""

from __future__ import annotations

import secrets
from importlib.metadata import version
from pathlib import Path
from typing import Any

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from hushkey_install.demo import service

APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "oauth2_provider",
]
SCOPES = {
    "openid": "Know who you are",
    "profile": "Know your name",
    "offline_access": "Stay signed in",
    "git": "Read and write repositories",
}


class QuietHandler(WSGIRequestHandler):
    """werkzeug's request handler, without its line per request."""

    def log(self, type: str, message: str, *args: Any) -> None: ...


def build(facts: dict[str, Any]) -> tuple[BaseWSGIServer, dict[str, object]]:
    """Return the server, listening on a free port, and its issuer."""
    configure(facts)
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    register(facts)
    server = make_server(
        "127.0.0.1",
        0,
        get_wsgi_application(),
        threaded=True,
        request_handler=QuietHandler,
    )
    return server, {
        "issuer": f"http://127.0.0.1:{server.server_port}/o",
        "version": version("django-oauth-toolkit"),
    }


def configure(facts: dict[str, Any]) -> None:
    """Configure Django: a database file, a sign-in page, OpenID Connect."""
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        SECRET_KEY=secrets.token_urlsafe(),
        USE_TZ=True,
        # Refusals are in the trace; Django's own log goes to stderr as it is.
        LOGGING_CONFIG=None,
        INSTALLED_APPS=APPS,
        # The tables are made from the models: a second faster than migrations.
        MIGRATION_MODULES={name.rpartition(".")[2]: None for name in APPS},
        MIDDLEWARE=[
            "hushkey_install.demo.idpages.Recorder",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        ROOT_URLCONF="hushkey_install.demo.idpages",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [Path(__file__).parent],
            }
        ],
        DATABASES={"default": database(Path(facts["folder"]) / "id.sqlite")},
        # Cookies ignore ports: names of our own keep clear of other local sites.
        SESSION_COOKIE_NAME="hushkey_demo_session",
        CSRF_COOKIE_NAME="hushkey_demo_csrf",
        SESSION_EXPIRE_AT_BROWSER_CLOSE=True,
        LOGIN_URL="/login/",
        LOGIN_REDIRECT_URL="/",
        # The sign-in page shows the password: a slow hash of it protects nothing.
        PASSWORD_HASHERS=["hushkey_install.demo.idpages.OneRound"],
        OAUTH2_PROVIDER=provider(facts),
        DEMO=facts,
    )


def provider(facts: dict[str, Any]) -> dict[str, object]:
    """Return the settings of django-oauth-toolkit."""
    return {
        "OIDC_ENABLED": True,
        "OIDC_RSA_PRIVATE_KEY": signing_key(),
        "OIDC_RESPONSE_TYPES_SUPPORTED": ["code"],
        "OIDC_TOKEN_ENDPOINT_AUTH_METHODS_SUPPORTED": ["none", "client_secret_basic"],
        "OAUTH2_VALIDATOR_CLASS": "hushkey_install.demo.idpages.Validator",
        "PKCE_REQUIRED": True,
        "ACCESS_TOKEN_EXPIRE_SECONDS": facts["access_seconds"],
        "REFRESH_TOKEN_EXPIRE_SECONDS": facts["refresh_seconds"],
        "ROTATE_REFRESH_TOKEN": True,
        "REFRESH_TOKEN_REUSE_PROTECTION": True,
        "ALLOWED_REDIRECT_URI_SCHEMES": ["http"],
        "SCOPES": SCOPES,
    }


def database(path: Path) -> dict[str, object]:
    """Return the settings of a file that eight clients may write to at once."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            "timeout": 20,
            # A transaction that begins as a reader cannot wait to become a writer.
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=off;",
        },
    }


def signing_key() -> str:
    """Return a new RSA key in PEM, for signing ID tokens."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def register(facts: dict[str, Any]) -> None:
    """Create the user, hushkey's public client, and the git server's own."""
    application = apps.get_model("oauth2_provider", "Application")
    apps.get_model("auth", "User").objects.create_user(
        facts["user"], f"{facts['user']}@hushkey.test", facts["password"]
    )
    application.objects.create(
        name="hushkey",
        client_id=facts["client_id"],
        client_type="public",
        authorization_grant_type="authorization-code",
        redirect_uris=facts["redirect_uri"],
        algorithm="RS256",
        skip_authorization=True,
    )
    application.objects.create(
        name="git server",
        client_id="git-server",
        client_type="confidential",
        authorization_grant_type="client-credentials",
        client_secret=facts["introspection_secret"],
        # Compared at each git request; a slow hash would be the slowest part of it.
        hash_client_secret=False,
    )


if __name__ == "__main__":
    service.run(build)
