"""What must not reach a person's screen, by Unicode's own tables."""

import unicodedata

#: Default_Ignorable_Code_Point of Unicode 15 (DerivedCoreProperties.txt)
IGNORABLE = (
    *((0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160)),
    *((0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E)),
    *((0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
    *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3)),
    *((0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)
BLANK = "\u2800\U0001d159"
#: one of each kind: escapes, C1, separators, bidi, zero width, tag, filler, selector
HOSTILE = (
    "\x1b[2J\x07\x7f\x9b31m\x85\u2028\u2029\u202e\u2066\u200b\u200d\u2060\ufeff\u00ad"
    "\u034f\u115f\u3164\uffa0\u2800\ufe0f\u180e\U000e0041\U000e0100\ue000\U0001d173"
)


def is_unseen(char: str) -> bool:
    """Whether *char* shows nothing of its own, or acts on a terminal."""
    point = ord(char)
    return (
        unicodedata.category(char) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
        or any(first <= point <= last for first, last in IGNORABLE)
        or char in BLANK
    )


def unseen(text: str, layout: str = "\n\t") -> set[str]:
    """The characters of *text* that must not be in it."""
    return {c for c in text if c not in layout and is_unseen(c)}
