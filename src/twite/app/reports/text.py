"""Texts from outside, as reports show them."""

from typing import Final

from twite.gateway.operations.explain import visible
from twite.redaction.mask_text import masked_text
from twite.redaction.mask_tree import masked_words

LONGEST: Final = 300


def shown(text: str) -> str:
    """Mask a text, escape its invisible characters, and cut it at LONGEST."""
    return _cut(visible(masked_words(text)).replace("\n", " "))


def shown_name(text: str) -> str:
    """Do as `shown`, but keep long words with digits, such as v1.checkout.session.completed."""
    return _cut(visible(masked_text(text, plain=True)).replace("\n", " "))


def shown_id(text: str) -> str:
    """Return an id or a name unmasked, because users search for it; escape and cut it."""
    return _cut(visible(text).replace("\n", " "))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
