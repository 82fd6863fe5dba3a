"""Registering with Google's libraries and gcloud: an executable-sourced account.

google.aip.dev/auth/4117. The file is ours; two variables tell the libraries of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping

from hushkey.errors import Permanent
from hushkey.system import paths
from hushkey_install.common.finding import NOTE, Finding
from hushkey_install.register.setting import (
    Form,
    Setting,
    SettingsRegistration,
    Setup,
    whole_file,
    whole_form,
)
from hushkey_install.tools.installation import Installation

_FILE, _ALLOWED = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES",
)
#: milliseconds; the most that the libraries take, for a sign-in
_PATIENCE = 120_000


def _is_ours(text: str) -> bool:
    return '"external_account"' in text and "hushkey-answer google" in text


class GoogleRegistration(SettingsRegistration):
    """Google's libraries, by a file that says how to ask us."""

    takes_hosts = True
    sample = "sts.example.com //iam.googleapis.com/AUDIENCE"

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return the whole file, for a host and the audience of a pool's provider."""
        audience = setup.words[1] if len(setup.words) == 2 else ""
        if not audience.startswith("//iam.googleapis.com/"):
            raise Permanent(
                "a HOST and a provider's audience are needed",
                hint="run `hushkey install google HOST //iam.googleapis.com/...`",
            )
        command = setup.command("google", "--host", setup.place(setup.words[0]))
        made = {
            "type": "external_account",
            "audience": audience,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": "https://sts.googleapis.com/v1/token",
            "credential_source": {
                "executable": {"command": command, "timeout_millis": _PATIENCE}
            },
        }
        text = json.dumps(made, indent=2) + "\n"
        return [whole_file(_path(setup.environ), text, _is_ours)]

    def form(self, environ: Mapping[str, str], words: tuple[str, ...]) -> Form:
        """Return the whole file."""
        return whole_form(_is_ours)

    def said(self, setup: Setup) -> str:
        """Return the variables that have to be set."""
        return (
            "set, where Google's libraries are to ask hushkey:\n"
            f"  {_FILE}={_path(setup.environ)}\n  {_ALLOWED}=1"
        )

    def checks(self, installation: Installation) -> Iterator[Finding]:
        """Yield also the variables that are missing here."""
        yield from super().checks(installation)
        environ = installation.environ
        if not list(self.files(environ)):
            return
        for name, value in ((_FILE, _path(environ)), (_ALLOWED, "1")):
            if environ.get(name) != value:
                text = f"google: {name} is not {value} here, so hushkey is not asked"
                yield Finding("google-variable", NOTE, text)


def _path(environ: Mapping[str, str]) -> str:
    return os.path.join(os.path.dirname(paths.config_file(environ)), "google.json")


GOOGLE = GoogleRegistration("google")
