"""Every tool that `hushkey install` registers with, in the order of its help."""

from __future__ import annotations

from hushkey_install.register import docker, git, pip, plugins, systemd, uv
from hushkey_install.register.registration import Registration

REGISTRATIONS: tuple[Registration, ...] = (
    git.GIT,
    docker.DOCKER,
    docker.PODMAN,
    pip.PIP,
    uv.UV,
    plugins.TWINE,
    plugins.POETRY,
    systemd.AGENT,
)
