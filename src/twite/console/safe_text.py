"""Untrusted text made visible. It imports no templates."""

from typing import Final

LONGEST: Final = 200


def shown(text: object, longest: int = LONGEST) -> str:
    """Format untrusted text: escape invisible and text-reversing characters, and shorten it."""
    held = str(text)
    cut = held[:longest]
    visible = "".join(c if c.isprintable() else _spelled_out(c) for c in cut)
    return visible if len(held) <= longest else f"{visible}…"


def _spelled_out(c: str) -> str:
    if c in "\n\t":
        return " "
    if "\ud800" <= c <= "\udfff":
        return "\N{REPLACEMENT CHARACTER}"
    return f"⟨U+{ord(c):04X}⟩"
