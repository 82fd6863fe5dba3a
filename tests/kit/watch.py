"""Run by every Python of .venv below a Desk: writes down what it starts, and how.

An audit hook sees each child before it runs, however short it lives. One line
for each: "arguments" or "environment", and their repr.
"""

import os
import sys


def _write(kind: str, content: object) -> None:
    line = f"{kind} {content!r}\n".encode("utf-8", "backslashreplace")
    file = os.path.join(os.environ["CANARY_FOLDER"], str(os.getpid()))
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _hook(event: str, args: tuple[object, ...]) -> None:
    if event == "subprocess.Popen":
        _, argv, _, environ = args
    elif event in ("os.exec", "os.posix_spawn"):
        _, argv, environ = args
    elif event == "os.system":
        argv, environ = args[0], None
    elif event == "os.putenv":
        return _write("environment", args)
    else:
        return None
    _write("arguments", argv)
    return _write("environment", dict(os.environ) if environ is None else environ)


if "CANARY_FOLDER" in os.environ:
    _write("arguments", sys.orig_argv)
    _write("environment", dict(os.environ))
    sys.addaudithook(_hook)
