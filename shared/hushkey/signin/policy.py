"""May we ask a person here, and how? One pure function over one value.

The order is the design's, section 5: the first line that says no gives the reason.
A mode in the config (`interactive = "browser"`) picks the method where asking is
allowed at all; it does not override a caller that wants no interaction, as git's
hourly background maintenance does. `HUSHKEY_INTERACTIVE` does, but where nobody
waits for the call at all.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from hushkey.errors import Permanent
from hushkey.model import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import KW_ONLY

#: the methods, in the order in which they are tried
METHODS = ("browser", "paste", "device")
MODES = ("auto", *METHODS, "never")

_OFF = ("", "0", "false", "no", "off")
_NEVER = ("0", "false", "never", "no", "off")
_CI = (
    "CI",
    "TF_BUILD",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "BUILDKITE",
    "JENKINS_URL",
    "TEAMCITY_VERSION",
    "CODEBUILD_BUILD_ID",
)


class PromptEnvironment(Frozen):
    """All that the decision depends on.

    ``switch`` is HUSHKEY_INTERACTIVE, ``host_mode`` and ``settings_mode`` are the
    config's; ``interactive`` is git's credential.interactive as the caller set it.
    ``no_terminal`` and ``ci`` name the variable or option that says so, ``flows``
    the methods of the identity (empty: all). ``unattended`` says by what is known that
    nobody waits. ``login`` is an explicit `hushkey login`.
    """

    _: KW_ONLY
    switch: str = "auto"
    tool_may_ask: bool = True
    host_mode: str = ""
    settings_mode: str = "auto"
    interactive: str = ""
    no_terminal: str = ""
    unattended: str = ""
    ci: str = ""
    ssh: bool = False
    display: bool = False
    browser: bool = False
    terminal: bool = False
    login: bool = False
    flows: tuple[str, ...] = ()


class PromptDecision(Frozen):
    """The methods to try, in this order; when there is none, one phrase says why."""

    methods: tuple[str, ...]
    reason: str = ""


def decide(prompt_environment: PromptEnvironment) -> PromptDecision:
    """Return how a person may be asked; raises Permanent for an unknown switch."""
    if prompt_environment.switch not in MODES:
        raise Permanent(
            f"HUSHKEY_INTERACTIVE has the unknown value {prompt_environment.switch!r}",
            hint=f"set it to one of {', '.join(MODES)}",
        )
    reason = _refusal(prompt_environment)
    if reason:
        return PromptDecision((), reason)
    possible = _possible(prompt_environment)
    if not possible:
        return PromptDecision((), _missing(prompt_environment))
    methods = tuple(
        r
        for r in possible
        if not prompt_environment.flows or r in prompt_environment.flows
    )
    if not methods:
        allowed = ", ".join(prompt_environment.flows)
        return PromptDecision(
            (), f"the identity allows only {allowed}, which cannot work here"
        )
    return PromptDecision(methods)


def _refusal(s: PromptEnvironment) -> str:
    """Return why nobody may be asked at all, or nothing."""
    if s.switch == "never":
        return "HUSHKEY_INTERACTIVE is never"
    if not s.tool_may_ask:
        return "this tool must not wait for a person"
    if "never" in (s.host_mode, s.settings_mode):
        return 'the config says interactive = "never"'
    if s.unattended:
        return s.unattended
    if s.switch == "auto" and _is_never(s.interactive):
        return f"credential.interactive is {s.interactive}"
    if s.switch == "auto" and s.ci:
        return f"this is a CI job ({s.ci} is set)"
    return ""


def _is_never(value: str) -> bool:
    """Tell whether *value* is `never`, or false to git (git-config(1), "Values")."""
    text = value.strip().lower()
    return text in _NEVER or (text.isdigit() and not int(text))


def _possible(s: PromptEnvironment) -> tuple[str, ...]:
    """Return the methods that can work here, chosen ones without further questions.

    A device code is only shown, so one that was asked for by name needs no
    terminal: standard error will do. A paste has to be read.
    """
    if s.switch != "auto":
        return () if s.switch == "paste" and not s.terminal else (s.switch,)
    terminal = s.terminal and not s.no_terminal
    mode = s.host_mode or s.settings_mode
    if mode in METHODS:
        return (mode,) if mode == "browser" or terminal else ()
    local = s.browser or (s.display and not s.ssh)
    return (
        *(("browser",) if local else ()),
        *(("paste", "device") if terminal else ()),
    )


def _missing(s: PromptEnvironment) -> str:
    """Return what is not there, when nothing forbids a sign-in and nothing works."""
    if s.no_terminal and s.terminal:
        terminal = f"{s.no_terminal} forbids the terminal"
    else:
        terminal = "there is no terminal in the foreground"
    if s.switch == "paste" or (s.switch == "auto" and _config_wants_terminal(s)):
        return terminal
    browser = "an SSH session has no browser" if s.ssh else "there is no display"
    return f"{browser} and {terminal}"


def _config_wants_terminal(s: PromptEnvironment) -> bool:
    return (s.host_mode or s.settings_mode) in ("paste", "device")


def prompt_environment(
    environ: Mapping[str, str],
    *,
    terminal: bool,
    platform: str = sys.platform,
    tool_may_ask: bool = True,
    host_mode: str = "",
    settings_mode: str = "auto",
    interactive: str = "",
    no_terminal: str = "",
    unattended: str = "",
    login: bool = False,
    flows: tuple[str, ...] = (),
) -> PromptEnvironment:
    """Return the situation that *environ* describes, joined with what callers know.

    *no_terminal* is an option that forbids the terminal (`--no-input`), if the
    caller's command line has one. *terminal*: see
    `hushkey.signin.terminal.has_terminal`.
    """
    return PromptEnvironment(
        switch=environ.get("HUSHKEY_INTERACTIVE", "").strip().lower() or "auto",
        tool_may_ask=tool_may_ask,
        host_mode=host_mode,
        settings_mode=settings_mode,
        interactive=interactive,
        # A person who types `hushkey login` is at the terminal, whatever git was told.
        no_terminal="" if login else no_terminal or _forbidding_terminal(environ),
        unattended="" if login else unattended,
        ci=ci(environ),
        ssh=over_ssh(environ),
        display=_has_display(environ, platform),
        browser=bool(environ.get("BROWSER", "").strip()),
        terminal=terminal,
        login=login,
        flows=flows,
    )


def over_ssh(environ: Mapping[str, str]) -> bool:
    """Tell whether the person sits at another machine."""
    return bool(environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"))


def ci(environ: Mapping[str, str]) -> str:
    """Return the variable that says that this is a CI job, or nothing."""
    return next((name for name in _CI if _is_on(environ, name)), "")


def _is_on(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").strip().lower() not in _OFF


def _forbidding_terminal(environ: Mapping[str, str]) -> str:
    """Return the variable with which the caller keeps us off the terminal."""
    prompt = environ.get("GIT_TERMINAL_PROMPT")
    if prompt is not None and prompt.strip().lower() in _OFF:
        return f"GIT_TERMINAL_PROMPT={prompt}"
    return "PIP_NO_INPUT" if _is_on(environ, "PIP_NO_INPUT") else ""


def _has_display(environ: Mapping[str, str], platform: str) -> bool:
    """Tell whether a window can open; WSL opens one on Windows' side."""
    if platform in ("win32", "darwin"):
        return True
    names = ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "WSL_INTEROP")
    return any(environ.get(name) for name in names)
