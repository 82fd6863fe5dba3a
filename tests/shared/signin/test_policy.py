from typing import Any

import pytest

from hushkey.errors import Permanent
from hushkey.signin.policy import PromptEnvironment, decide, prompt_environment

ALL = ("browser", "paste", "device")
ON_TERMINAL = ("paste", "device")
DESKTOP: dict[str, Any] = {"display": True, "terminal": True}
NONE: tuple[str, ...] = ()

# facts, rungs, what the reason has to say
TABLE: list[tuple[dict[str, Any], tuple[str, ...], str]] = [
    (DESKTOP, ALL, ""),
    # never, in three places, and nothing is above it
    (DESKTOP | {"switch": "never"}, NONE, "HUSHKEY_INTERACTIVE"),
    (DESKTOP | {"switch": "never", "login": True}, NONE, "HUSHKEY_INTERACTIVE"),
    (DESKTOP | {"tool_may_ask": False}, NONE, "tool"),
    (DESKTOP | {"tool_may_ask": False, "switch": "browser"}, NONE, "tool"),
    (DESKTOP | {"host_mode": "never"}, NONE, "config"),
    (DESKTOP | {"settings_mode": "never"}, NONE, "config"),
    (DESKTOP | {"settings_mode": "never", "switch": "browser"}, NONE, "config"),
    # either never is enough; else the host's own rule is the more specific one
    (DESKTOP | {"settings_mode": "never", "host_mode": "auto"}, NONE, "config"),
    (DESKTOP | {"settings_mode": "device", "host_mode": "browser"}, ("browser",), ""),
    # an explicit switch wins over what follows ...
    (DESKTOP | {"switch": "device"}, ("device",), ""),
    (DESKTOP | {"switch": "paste", "interactive": "never"}, ("paste",), ""),
    ({"switch": "browser", "interactive": "false"}, ("browser",), ""),
    ({"switch": "browser", "ci": "CI", "ssh": True}, ("browser",), ""),
    ({"switch": "device", "host_mode": "browser"}, ("device",), ""),
    ({"switch": "device"}, ("device",), ""),
    ({"switch": "paste", "terminal": True, "no_terminal": "x"}, ("paste",), ""),
    # ... but nobody can paste into nothing
    ({"switch": "paste", "display": True}, NONE, "no terminal"),
    # a mode in the config picks the rung, and does not override the caller
    (DESKTOP | {"settings_mode": "device"}, ("device",), ""),
    (DESKTOP | {"host_mode": "paste"}, ("paste",), ""),
    ({"settings_mode": "browser", "ssh": True}, ("browser",), ""),
    (DESKTOP | {"settings_mode": "browser", "interactive": "never"}, NONE, "is never"),
    (DESKTOP | {"settings_mode": "browser", "ci": "CI"}, NONE, "CI job"),
    ({"settings_mode": "device", "display": True}, NONE, "no terminal"),
    (
        DESKTOP | {"host_mode": "device", "no_terminal": "--no-input"},
        NONE,
        "--no-input",
    ),
    # the caller's own setting
    *[
        (DESKTOP | {"interactive": word}, NONE, f"credential.interactive is {word}")
        for word in ("false", "never", "0", "no", "off", "Never")
    ],
    (DESKTOP | {"interactive": "00"}, NONE, "credential.interactive is 00"),
    (DESKTOP | {"interactive": "true"}, ALL, ""),
    # nobody waits: whatever else is set
    (DESKTOP | {"unattended": "cron started this"}, NONE, "cron started this"),
    (DESKTOP | {"unattended": "cron", "switch": "browser"}, NONE, "cron"),
    (DESKTOP | {"unattended": "cron", "settings_mode": "browser"}, NONE, "cron"),
    (DESKTOP | {"interactive": "auto"}, ALL, ""),
    # nothing on the terminal: a browser may still open on a desktop
    (DESKTOP | {"no_terminal": "GIT_TERMINAL_PROMPT=0"}, ("browser",), ""),
    ({"terminal": True, "no_terminal": "PIP_NO_INPUT"}, NONE, "PIP_NO_INPUT"),
    # CI
    (DESKTOP | {"ci": "CI"}, NONE, "this is a CI job (CI is set)"),
    (DESKTOP | {"ci": "TF_BUILD", "login": True}, NONE, "TF_BUILD"),
    # SSH, display, terminal
    (DESKTOP | {"ssh": True}, ON_TERMINAL, ""),
    (DESKTOP | {"ssh": True, "browser": True}, ALL, ""),
    ({"ssh": True, "display": True}, NONE, "SSH session"),
    ({"terminal": True}, ON_TERMINAL, ""),
    ({"browser": True}, ("browser",), ""),
    ({"display": True}, ("browser",), ""),
    ({}, NONE, "there is no display and there is no terminal"),
    # the identity's flows
    (DESKTOP | {"flows": ("device",)}, ("device",), ""),
    (DESKTOP | {"flows": ("device", "browser")}, ("browser", "device"), ""),
    ({"display": True, "flows": ("device",)}, NONE, "allows only device"),
    ({"switch": "browser", "flows": ("device",)}, NONE, "allows only device"),
]


@pytest.mark.parametrize(("facts", "methods", "reason"), TABLE)
def test_decide(facts: dict[str, Any], methods: tuple[str, ...], reason: str) -> None:
    decision = decide(PromptEnvironment(**facts))

    assert decision.methods == methods
    assert reason in decision.reason
    assert bool(decision.reason) is not bool(methods)


def test_decide_names_the_valid_values_for_an_unknown_switch() -> None:
    with pytest.raises(
        Permanent, match="auto, browser, paste, device, never"
    ) as caught:
        decide(PromptEnvironment(switch="sometimes"))

    assert "'sometimes'" in caught.value.what


# environ, platform, the facts that differ from an empty environment on Linux
FACTS: list[tuple[dict[str, str], str, dict[str, Any]]] = [
    ({}, "linux", {}),
    ({"DISPLAY": ":0"}, "linux", {"display": True}),
    ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", {"display": True}),
    ({"WSL_DISTRO_NAME": "Ubuntu"}, "linux", {"display": True}),
    ({}, "darwin", {"display": True}),
    ({}, "win32", {"display": True}),
    ({"BROWSER": "x"}, "linux", {"browser": True}),
    ({"BROWSER": " "}, "linux", {}),
    ({"SSH_CONNECTION": "1 2 3 4"}, "linux", {"ssh": True}),
    ({"SSH_TTY": "/dev/pts/1"}, "linux", {"ssh": True}),
    ({"HUSHKEY_INTERACTIVE": "Device"}, "linux", {"switch": "device"}),
    ({"HUSHKEY_INTERACTIVE": ""}, "linux", {}),
    ({"CI": "true"}, "linux", {"ci": "CI"}),
    ({"CI": "false"}, "linux", {}),
    ({"TF_BUILD": "True"}, "linux", {"ci": "TF_BUILD"}),
    ({"GITHUB_ACTIONS": "true"}, "linux", {"ci": "GITHUB_ACTIONS"}),
    ({"GITLAB_CI": "true"}, "linux", {"ci": "GITLAB_CI"}),
    ({"BUILDKITE": "true"}, "linux", {"ci": "BUILDKITE"}),
    ({"JENKINS_URL": "http://j"}, "linux", {"ci": "JENKINS_URL"}),
    ({"GIT_TERMINAL_PROMPT": "1"}, "linux", {}),
    (
        {"GIT_TERMINAL_PROMPT": "0"},
        "linux",
        {"no_terminal": "GIT_TERMINAL_PROMPT=0"},
    ),
    ({"PIP_NO_INPUT": "1"}, "linux", {"no_terminal": "PIP_NO_INPUT"}),
    ({"PIP_NO_INPUT": "0"}, "linux", {}),
]


@pytest.mark.parametrize(("environ", "platform", "differs"), FACTS)
def test_situation_reads_the_environment(
    environ: dict[str, str], platform: str, differs: dict[str, Any]
) -> None:
    found = prompt_environment(environ, terminal=False, platform=platform)

    assert found == PromptEnvironment(**differs)
