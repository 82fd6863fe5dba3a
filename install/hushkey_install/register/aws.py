"""Registering with AWS's command line and SDKs: ``credential_process`` of profiles.

docs.aws.amazon.com/sdkref "Process credential provider". A word is PROFILE=HOST, or
HOST alone for the profile ``default``; the host is an STS, perhaps with a path.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping

from hushkey.errors import Permanent
from hushkey.system import paths
from hushkey_install.register.setting import (
    Form,
    Setting,
    SettingsRegistration,
    Setup,
    is_ours,
)
from hushkey_install.tools import textlines
from hushkey_install.tools.keylines import KeyLines, packed, unpacked

_KEY = "credential_process"
#: what a rule says whose host gives keys
_EXCHANGE = "sts"
_DEFAULT = "default"
_PROFILE = re.compile(r"[\w.@:+/-]+")


def _named(word: str) -> tuple[str, str]:
    """Return profile and host of *word*."""
    profile, equals, host = word.partition("=")
    return (profile, host) if equals else (_DEFAULT, word)


def _section(profile: str) -> str:
    return profile if profile == _DEFAULT else f"profile {profile}"


def _lines(profile: str, key: str = _KEY) -> KeyLines:
    pattern = rf"(?P<key>{key})[ \t]*=[ \t]*(?P<value>[^\r\n]*)"
    return KeyLines(pattern, "{key} = {value}", _section(profile))


def _has(text: str, profile: str) -> bool:
    head = f"[{_section(profile)}]"
    return any(line.strip() == head for line in textlines.split(text))


def _said(text: str, profile: str) -> dict[str, str] | None:
    """Return what the profile says of us or another program; None: there is none."""
    return unpacked(_lines(profile).value(text)) if _has(text, profile) else None


class AwsRegistration(SettingsRegistration):
    """AWS's command line and SDKs, by the config of this user."""

    takes_hosts = several = True
    sample = "work=sts.eu-west-1.amazonaws.com"
    programs = ("aws",)
    overridden_by = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    about = "AWS's clients ask hushkey for the keys of these profiles"

    def settings(self, setup: Setup) -> Iterable[Setting]:
        """Return the command of each profile."""

        def wanted(text: str) -> str:
            said = json.loads(form.read(text))
            for word in setup.some_words("[PROFILE=]HOST"):
                profile, host = _named(word)
                if not _PROFILE.fullmatch(profile):
                    raise Permanent(
                        f"{profile!r} cannot name a profile",
                        hint="name it PROFILE=HOST",
                    )
                rule = setup.context.rule(host)[0]
                if rule.exchange != _EXCHANGE:
                    raise Permanent(
                        f"{rule.pattern} gives no AWS keys",
                        hint=f'write `exchange = "{_EXCHANGE}"` and a `role` for an '
                        "STS in config.toml: `hushkey help config`",
                    )
                command = setup.command("aws", "--host", setup.place(host))
                said[profile] = {_KEY: command}
            return json.dumps(said, sort_keys=True)

        form = self.form(setup.environ, setup.words)
        return [Setting(_config(setup.environ), wanted)]

    def form(self, environ: Mapping[str, str], words: tuple[str, ...]) -> Form:
        """Return the commands of the profiles."""
        profiles = [_named(word)[0] for word in words]

        def value(text: str) -> str:
            said = {each: _said(text, each) for each in profiles}
            return json.dumps(said, sort_keys=True)

        def without(text: str, before: str) -> str:
            now, old = json.loads(value(text)), json.loads(before)
            for profile, values in now.items():
                if values and is_ours(values.get(_KEY, "")):
                    now[profile] = old.get(profile)
            return _edited(text, json.dumps(now))

        return Form(_edited, value, without)

    def overriding(self, text: str) -> Iterator[str]:
        """Yield the profiles of ours that have keys of their own."""
        for line in textlines.split(text):
            if found := re.match(r"\s*\[(?:profile )?([^\]]+)\]", line):
                profile = found[1]
                ours = is_ours((_said(text, profile) or {}).get(_KEY, ""))
                if ours and _lines(profile, "aws_access_key_id").value(text):
                    yield f"aws_access_key_id of {profile}"


def _edited(text: str, value: str) -> str:
    for profile, values in json.loads(value).items():
        if values is not None and not _has(text, profile):
            text = textlines.appended(text, f"[{_section(profile)}]")
        text = _lines(profile).edit(text, packed(values or {}))
        if values is None:
            text = _without_section(text, profile)
    return text


def _without_section(text: str, profile: str) -> str:
    """Return *text* without the head of *profile*, if nothing is below it."""
    lines = textlines.split(text)
    heads = [at for at, line in enumerate(lines) if line.lstrip().startswith("[")]
    for at in heads:
        after = next((each for each in heads if each > at), len(lines))
        if lines[at].strip() == f"[{_section(profile)}]":
            empty = not "".join(lines[at + 1 : after]).strip()
            return textlines.without(text, at, at + 1) if empty else text
    return text


def _config(environ: Mapping[str, str]) -> str:
    named = environ.get("AWS_CONFIG_FILE", "")
    if os.path.isabs(named):
        return named
    return os.path.join(paths.home(environ), ".aws", "config")


AWS = AwsRegistration("aws")
