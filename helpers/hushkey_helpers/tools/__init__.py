"""The tools that take a command with words: ``hushkey-answer NAME ...``.

One module for each: how its request is read, and how it wants to be answered. What
they share is in `hushkey_helpers.tools.command`.
"""
