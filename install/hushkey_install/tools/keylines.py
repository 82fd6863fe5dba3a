"""Lines of the form KEY=VALUE, of those programs that have no grammar for more.

Which lines are meant is a pattern with the groups ``key`` and ``value``; all others,
comments among them, stay as they are. What the lines say is one text: a JSON object
from each key to its value, or nothing. Raises ValueError for any other text.
"""

from __future__ import annotations

import json
import re

from hushkey_install.tools import textlines

_HEADER = re.compile(r"\s*\[([^\]]*)\]\s*$")


def packed(values: dict[str, str]) -> str:
    """Return the one text that says what each key's value is."""
    return json.dumps(values, sort_keys=True) if values else ""


def unpacked(text: str) -> dict[str, str]:
    """Return what `packed` was given."""
    return {str(k): str(v) for k, v in json.loads(text).items()} if text else {}


class KeyLines:
    """The lines that *pattern* matches, in ``[section]`` alone if one is named.

    *form* is a new line, with ``{key}`` and ``{value}``. A key that stands there
    twice has its last value.
    """

    def __init__(
        self, pattern: str, form: str = "{key}={value}", section: str = ""
    ) -> None:
        self._pattern = re.compile(pattern)
        self._form = form
        self._section = section

    def value(self, text: str) -> str:
        """Return what the lines of *text* say."""
        return packed({key: found["value"] for _, key, found in self._found(text)})

    def edit(self, text: str, value: str) -> str:
        """Return *text* with lines that say *value*."""
        wanted = unpacked(value)
        lines = textlines.split(text)
        last = {key: (at, found) for at, key, found in self._found(text)}
        for key, (at, found) in last.items():
            if key in wanted and wanted[key] != found["value"]:
                start, end = found.span("value")
                lines[at] = lines[at][:start] + wanted[key] + lines[at][end:]
        gone = [at for at, key, _ in self._found(text) if key not in wanted]
        text = "".join(lines)
        for at in reversed(gone):
            text = textlines.without(text, at, at + 1)
        for key in wanted.keys() - last.keys():
            line = self._form.format(key=key, value=wanted[key])
            text = self._added(text, line)
        return text

    def _found(self, text: str) -> list[tuple[int, str, re.Match[str]]]:
        lines = textlines.split(text)
        first, after = self._area(lines)
        matches = ((at, self._pattern.match(lines[at])) for at in range(first, after))
        return [(at, found["key"], found) for at, found in matches if found]

    def _area(self, lines: list[str]) -> tuple[int, int]:
        """Return the numbers of the first line that is meant, and of the one after."""
        if not self._section:
            return 0, len(lines)
        heads = [
            (at, found[1])
            for at, line in enumerate(lines)
            if (found := _HEADER.match(line))
        ]
        for number, (at, name) in enumerate(heads):
            if name == self._section:
                after = heads[number + 1][0] if number + 1 < len(heads) else len(lines)
                return at + 1, after
        return 0, 0

    def _added(self, text: str, line: str) -> str:
        if not self._section:
            return textlines.appended(text, line)
        first, after = self._area(textlines.split(text))
        if not first:
            raise ValueError(f"there is no [{self._section}]")
        lines = textlines.split(text)
        while after > first and not lines[after - 1].strip():
            after -= 1  # empty lines before the next section
        return textlines.inserted(text, after, line)
