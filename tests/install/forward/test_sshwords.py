"""What is typed behind `ssh`, as ssh reads it."""

import pytest

from hushkey_install.forward import sshwords


@pytest.mark.parametrize(
    ("typed", "connection", "session", "destination", "command"),
    [
        ("far", "", "", "far", ""),
        ("-p 22 me@far ls -l", "-p 22", "-p 22", "me@far", "ls -l"),
        ("-p22 far", "-p 22", "-p 22", "far", ""),
        ("-vtp 22 far top", "-v -p 22", "-v -t -p 22", "far", "top"),
        ("far -v -- ls -v", "-v", "-v", "far", "ls -v"),
        ("-- far ls", "", "", "far", "ls"),
        ("-N -L 1:b:2 far", "-L 1:b:2", "-L 1:b:2", "far", ""),
        ("-o Port=2 far git -C /x status", "-o Port=2", "-o Port=2", "far", None),
    ],
)
def test_words_are_taken_apart(
    typed: str,
    connection: str,
    session: str,
    destination: str,
    command: str | None,
) -> None:
    found = sshwords.parse(typed.split())

    assert " ".join(found.connection) == connection
    assert " ".join(found.session) == session
    assert found.destination == destination
    wanted = "git -C /x status" if command is None else command
    assert " ".join(found.command) == wanted
    assert found.silent == ("-N" in typed)


@pytest.mark.parametrize("typed", ["", "-v", "-p 22", "--"])
def test_destination_is_needed(typed: str) -> None:
    with pytest.raises(sshwords.Unusable, match="USER@SERVER"):
        sshwords.parse(typed.split())


@pytest.mark.parametrize("typed", ["-f far", "-vM far", "-S x far", "-O exit far"])
def test_what_the_forward_decides_itself_is_refused(typed: str) -> None:
    with pytest.raises(sshwords.Unusable, match="cannot go with a forward"):
        sshwords.parse(typed.split())
