"""docker and what speaks its protocol, as tools that ask for credentials."""

from __future__ import annotations

from hushkey_helpers.tool import Tool

_COMMANDS = "attach build bud compose copy create inspect login manifest pull push run"
_KIN = ("podman", "buildah", "skopeo", "nerdctl", "helm", "oras", "crane")
#: they, too, ask for the registries that they need and for no others
_READERS = {
    "cosign": "attest download sign verify",
    "gcrane": "copy pull push",
    "ko": "apply build resolve",
    "tofu": "get init",
    "trivy": "image",
}


def _command() -> str:
    from hushkey.system import callers

    return callers.command_of(TOOL.name)


TOOL = Tool(
    "docker-credential-hushkey",
    callers={
        "docker": f"buildx {_COMMANDS}",
        **dict.fromkeys(_KIN, _COMMANDS),
        **_READERS,
    },
    command=_command,
    own_user=lambda _: "",
)
