"""Every tool that `hushkey install` registers with, in the order of its help."""

from __future__ import annotations

from hushkey_install.register import (
    aws,
    bazel,
    cargo,
    claude,
    codex,
    conan,
    conda,
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
    yarn,
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
    yarn.YARN,
    nuget.NUGET,
    claude.CLAUDE,
    codex.CODEX,
    rclone.RCLONE,
    conan.CONAN,
    conda.CONDA,
    aws.AWS,
    google.GOOGLE,
    systemd.AGENT,
)

#: what is set of each, for the list of them in `hushkey install --help`
WHAT = {
    "git": "credential helper in ~/.gitconfig",
    "docker": "credential helper in ~/.docker/config.json",
    "podman": "credential helper in auth.json, which skopeo and buildah read",
    "pip": "a setting in pip.conf, and a program `keyring`",
    "uv": "a setting in uv.toml, and a program `keyring`",
    "twine": "a keyring backend in twine's own environment",
    "poetry": "a keyring backend in poetry's own environment",
    "kubectl": "a user in kubeconfig; also for helm and k9s",
    "cargo": "credential provider in cargo's config.toml",
    "go": "GOAUTH in go's own environment file",
    "terraform": "credentials helper in ~/.terraformrc",
    "tofu": "credentials helper in ~/.tofurc",
    "bazel": "credential helper in ~/.bazelrc, for each HOST",
    "pnpm": "token helper in pnpm's auth.ini, for each registry",
    "yarn": "a plug-in of Yarn 3 and 4, and each registry in ~/.yarnrc.yml",
    "nuget": "a plug-in of NuGet and dotnet",
    "claude": "API key helper of Claude Code",
    "codex": "command that prints the token of Codex's model providers",
    "rclone": "command that prints the token of rclone's remotes",
    "conan": "a plug-in of Conan 2",
    "conda": "a plug-in in conda's base environment, for each channel's HOST",
    "aws": "credential process in ~/.aws/config, for each profile",
    "google": "a credentials file for Google's libraries and gcloud",
    "agent": "systemd starts the agent at the first question",
}

#: every tool that `hushkey doctor` looks at, in this order
CHECKED: tuple[Checked, ...] = (
    *REGISTRATIONS,
    keyringchecks.PDM,
    keyringchecks.HATCH,
)
