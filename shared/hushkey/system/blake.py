"""BLAKE2s (RFC 7693), without hashlib where CPython has it by itself.

hashlib loads OpenSSL's library, which costs as much as half of an answer that is at
hand already.
"""

from __future__ import annotations

try:
    from _blake2 import blake2s
except ImportError:  # another Python than CPython
    from hashlib import blake2s

__all__ = ["blake2s"]
