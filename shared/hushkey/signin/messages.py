"""Every sentence that a person reads during a sign-in.

Style: lower case, no period after a one-liner; what happened, for which host, what to
do. Whatever a server or a tool named passes `plain` on its way in.
"""

from __future__ import annotations

import shlex
from urllib.parse import quote

from hushkey.errors import plain

# Long enough for an authorization URL with claims; a terminal shows all of it.
_LONG = 16_000


def login_command(host: str, account: str = "") -> str:
    """Return what to run to sign in to *host*, safe to paste into a shell.

    *account* is who is to sign in, if not whoever does.
    """
    scheme, marker, rest = host.rpartition("://")
    user = f"{quote(account, safe='')}@" if account else ""
    return f"hushkey login {shlex.quote(plain(f'{scheme}{marker}{user}{rest}'))}"


def which_account(place: str, names: list[str]) -> str:
    """Return the question which of *names* answers for *place*, from now on."""
    shown = plain(place, 200)
    lines = [f"whose token for {shown}, from now on? type a number, then Enter"]
    lines += [f"{n}: {plain(name, 200)}" for n, name in enumerate(names, 1)]
    return "\n".join(lines)


def no_such_number(last: int) -> str:
    """Return what to say to anything but a number of `which_account`."""
    return f"type a number from 1 to {last}"


def account_chosen(place: str, name: str) -> str:
    """Return what was chosen, and how to choose again."""
    shown = plain(place, 200)
    anew = f"hushkey switch {shlex.quote(shown)}"
    return f"{shown} gets the token of {plain(name, 200)}; to choose again: {anew}"


def who_asks(
    host: str, identity: str = "", account: str = "", command: str = ""
) -> str:
    """Return who needs a sign-in to what: 'git fetch in /repo needs ...'."""
    details = [f"identity {plain(identity)}"] if identity else []
    details += [f"account {plain(account)}"] if account else []
    about = f" ({', '.join(details)})" if details else ""
    need = f"a sign-in to {plain(host)}"
    return f"{plain(command)} needs {need}{about}" if command else f"{need}{about}"


def browser_only(asks: str, url: str, cancel_url: str) -> str:
    """Return the one line for a person who has a browser and no terminal here."""
    return (
        f"{asks}: it opens in your browser; if not, open {url} "
        f"(to cancel, {cancel_url})"
    )


def no_answer_yet(client_id: str, redirect_uri: str, cancel_url: str) -> str:
    """Return what may be wrong where the browser has brought nothing for a while.

    Without a *cancel_url* the browser is on another machine, and cannot reach us.
    """
    far = "if it ends on a page that it cannot reach, paste that page's address; else "
    far, end = ("", f" or open {cancel_url}") if cancel_url else (far, "")
    return (
        f"no answer from the browser yet; {far}its page shows what is wrong, if "
        f"anything: often {plain(redirect_uri)} is not registered as a redirect "
        f"address of client {plain(client_id, 80)}; to stop, press Ctrl-C{end}"
    )


def browser_ended(url: str) -> str:
    """Return what to say where the browser's command has ended at once."""
    return f"the browser's command has ended; if no page opened, open {url}"


def address_follows(opening: bool) -> str:
    """Return the line above the address to open."""
    if opening:
        return "it opens in your browser; if not, open this address yourself:"
    return "open this address in a browser, on this machine or another:"


def how_to_paste(other_way: bool) -> str:
    """Return what to do while waiting; *other_way* when a device code is next."""
    other = "; Enter alone asks for a code to type instead" if other_way else ""
    return (
        "if the browser ends on a page that it cannot reach, copy that page's address, "
        f"paste it here and press Enter (it is not shown){other}; Ctrl-C cancels"
    )


def not_taken() -> str:
    """Return what to say to a paste that is not our redirect."""
    return (
        "that is not the address this sign-in ends on; copy all of the address bar "
        "of the last page, paste it here and press Enter"
    )


def browser_failed() -> str:
    """Return what to say when the browser's command ended with an error."""
    return "the browser could not be started"


def code_follows(uri: str) -> str:
    """Return the line above a device code for the page at *uri*."""
    return f"open {plain(uri, _LONG)} on any device and enter this code:"


def code_waiting(minutes: int) -> str:
    """Return the line below a device code that is good for *minutes*."""
    return (
        f"waiting up to {minutes} min; go on only if you started this sign-in "
        "yourself; Ctrl-C cancels"
    )


def complete_follows() -> str:
    """Return the line above an address that carries the device code already."""
    return "or open this address, which has the code in it:"


def no_code(host: str) -> str:
    """Return what to say where a device code was wished for and there is none."""
    return f"{plain(host)} offers no device code: go on with the address above"


def waiting_for(command: str, cancel_url: str) -> str:
    """Return what to say while the sign-in that *command* has begun takes its time."""
    typed, marker, where = plain(command).partition(" in ")
    whose = f"`{typed}`{marker}{where}" if typed else "another program"
    end = f"; to end it open {cancel_url}" if cancel_url else ""
    return f"waiting for the sign-in that {whose} began{end}"


def token_of(host: str, account: str, asked: str, login: str) -> str:
    """Return whose token goes to *host*, where the URL asks for somebody unknown."""
    return (
        f"{plain(asked)} is not signed in to {plain(host)}: this is the token of "
        f"{plain(account)}; to sign in as {plain(asked)} run: {login}"
    )


def signed_in(host: str, account: str) -> str:
    """Return the last line of a sign-in: who the user is there from now on."""
    return f"signed in to {plain(host)}" + (f" as {plain(account)}" if account else "")


def no_answer(seconds: float) -> str:
    """Return how a sign-in ends that nobody answered."""
    return f"no answer within {seconds:.0f} s"
