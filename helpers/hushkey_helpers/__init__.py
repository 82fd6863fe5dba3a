"""Credential helpers; and the first thing that each one does: it reads its request.

Every start of a helper runs this, so it loads nothing but `os`.
"""

import os

#: bytes; one more is read, so that whoever parses it sees that it is too long
REQUEST_BYTES = 1024 * 1024


def read(descriptor: int, *, ends_blank: bool) -> bytes:
    """Read one request: to an empty line or the end, or one byte too many."""
    data = bytearray()
    seen = 0  # where no empty line can begin before
    while len(data) <= REQUEST_BYTES:
        if ends_blank and (data.find(b"\n\n", seen) >= 0 or data[:1] == b"\n"):
            break
        seen = max(0, len(data) - 1)
        piece = os.read(descriptor, 65536)
        if not piece:
            break
        data += piece
    return bytes(data)
