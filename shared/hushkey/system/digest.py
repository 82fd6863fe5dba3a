"""BLAKE2 (RFC 7693) without what `hashlib` brings along: OpenSSL, a second time."""

from __future__ import annotations

try:
    from _blake2 import blake2s
except ImportError:  # another Python than CPython
    from hashlib import blake2s

__all__ = ["blake2s"]
