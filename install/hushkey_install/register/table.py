"""Every tool that `hushkey install` registers with, in the order of its help."""

from __future__ import annotations

from hushkey_install.register import (
    aws,
    bazel,
    cargo,
    claude,
    codex,
    conan,
    docker,
    git,
    go,
    google,
    keyringchecks,
    kubectl,
    nuget,
    pip,
    plugins,
    pnpm,
    rclone,
    systemd,
    terraform,
    uv,
)
from hushkey_install.register.registration import Checked, Registration

REGISTRATIONS: tuple[Registration, ...] = (
    git.GIT,
    docker.DOCKER,
    docker.PODMAN,
    pip.PIP,
    uv.UV,
    plugins.TWINE,
    plugins.POETRY,
    kubectl.KUBECTL,
    cargo.CARGO,
    go.GO,
    terraform.TERRAFORM,
    terraform.TOFU,
    bazel.BAZEL,
    pnpm.PNPM,
    nuget.NUGET,
    claude.CLAUDE,
    codex.CODEX,
    rclone.RCLONE,
    conan.CONAN,
    aws.AWS,
    google.GOOGLE,
    systemd.AGENT,
)

#: every tool that `hushkey doctor` looks at, in this order
CHECKED: tuple[Checked, ...] = (
    *REGISTRATIONS,
    keyringchecks.PDM,
    keyringchecks.HATCH,
)
