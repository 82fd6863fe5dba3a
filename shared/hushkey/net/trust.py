"""Whose certificates count, for every connection of ours.

OpenSSL reads SSL_CERT_FILE and SSL_CERT_DIR itself wherever its defaults are asked
for, relative ones from the working directory: a repository would bring its own trust.
So it is never asked for them; what counts is handed to it by path.
"""

from __future__ import annotations

import os
import ssl
import sys
from contextlib import suppress

from hushkey.errors import Permanent, StoreError
from hushkey.system import ownership

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
#: where distributions keep their bundle, for a Python whose own OpenSSL knows nothing
_BUNDLES = (
    "/etc/ssl/cert.pem",  # Alpine, Arch, BSD
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/ssl/certs/ca-certificates.crt",  # Debian
    "/etc/ssl/ca-bundle.pem",  # SUSE
)


def context(ca_file: str, environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return whom to trust: *ca_file*, else the environment's, else the OS.

    Raises Permanent where a file that was
    chosen cannot be read, or others can change *ca_file*.
    """
    try:
        check(ca_file)
    except StoreError as error:
        raise Permanent(f"`ca_file`: {error.what}", hint=error.hint) from error
    path, _ = chosen(ca_file, environ)
    try:
        if path:
            folder = os.path.isdir(path)
            return ssl.create_default_context(
                cafile=None if folder else path, capath=path if folder else None
            )
        folders = environ.get("SSL_CERT_DIR", "").split(os.pathsep)
        return _system([p for p in folders if os.path.isabs(p) and os.path.isdir(p)])
    except (OSError, ssl.SSLError) as error:
        raise Permanent(
            f"cannot read certificates from {path or 'the system'}",
            hint="run `hushkey config set ca_file FILE`",
        ) from error


def add(context: ssl.SSLContext, places: tuple[str, ...], named: str) -> None:
    """Let *context* trust the files and folders *places*, too.

    Raises Permanent, about what is *named* so, where one cannot be read or others can
    change it.
    """
    for place in places:
        try:
            check(place)
            folder = os.path.isdir(place)
            context.load_verify_locations(
                None if folder else place, place if folder else None
            )
        except StoreError as error:
            raise Permanent(f"{named}: {error.what}", hint=error.hint) from error
        except (OSError, ssl.SSLError) as error:
            raise Permanent(
                f"{named}: cannot read certificates from {place}",
                hint="fix it, or set `ca_file`",
            ) from error


def identify(context: ssl.SSLContext, certificate: str, key: str, named: str) -> None:
    """Let *context* show a client *certificate* to servers that ask for one.

    Raises Permanent, about what is *named* so, where it cannot be used, because its
    *key* has a passphrase for example: nobody is asked for it here.
    """
    try:
        context.load_cert_chain(certificate, key or None, password="")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise Permanent(
            f"{named}: cannot use the client certificate in {certificate}",
            hint="its key must be readable, and have no passphrase",
        ) from error


def chosen(ca_file: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the path of the certificates that somebody chose, and where; or nothing.

    A relative path in *environ* is passed over.
    """
    if ca_file:
        return ca_file, "ca_file"
    for name in _FILES:
        if os.path.isabs(environ.get(name, "")):
            return environ[name], name
    return "", ""


def check(ca_file: str) -> None:
    """Raise StoreError unless *ca_file*, if any, is to be believed as the config is.

    Of a folder, each file in it. ``foreign`` and ``open`` as
    `ownership.check_trusted`: whoever writes it can read every token.
    """
    if not ca_file:
        return
    with suppress(OSError):  # told where it is read
        ownership.check_trusted(ca_file)
        for name in os.listdir(ca_file) if os.path.isdir(ca_file) else ():
            ownership.check_trusted(os.path.join(ca_file, name))


def _system(folders: list[str]) -> ssl.SSLContext:
    """Return the OS's trust; *folders* take the place of OpenSSL's own folder.

    As SSL_CERT_DIR has it (SSL_CTX_set_default_verify_paths(3)); macOS and Windows
    have a store of their own instead.
    """
    if sys.platform in ("darwin", "win32") and not folders:
        import truststore

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    built_in = ssl.get_default_verify_paths()
    file, folder = built_in.openssl_cafile, built_in.openssl_capath
    if not folders and os.path.isdir(folder) and os.listdir(folder):
        folders = [folder]
    if not os.path.isfile(file):
        file = next((p for p in _BUNDLES if not folders and os.path.isfile(p)), "")
    if file or folders:
        made.load_verify_locations(file or None, os.pathsep.join(folders) or None)
    return made
