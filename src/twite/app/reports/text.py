"""Texts from outside, as reports show them."""

import re
from typing import Final

from twite.domain.normalize import visible
from twite.redaction.mask_text import masked_text
from twite.redaction.mask_tree import masked_words
from twite.redaction.scrub_text import without_persons

LONGEST: Final = 300
LONGEST_OWN: Final = 1_000
# The user in the URL of a database: with the host, it looks like an email.
_USER: Final = re.compile(r"(?<=://)[^\s/?#@]+@")


def shown(text: str) -> str:
    """Mask a text, escape its invisible characters, and cut it at LONGEST."""
    return _cut(visible(masked_words(text)).replace("\n", " "))


def shown_name(text: str) -> str:
    """Do as `shown`, but keep long words with digits, such as v1.checkout.session.completed."""
    return _cut(visible(masked_text(text, plain=True)).replace("\n", " "))


def own_words(text: str) -> str:
    """Hide persons in a sentence of Twite itself, such as one with a path of the settings.

    A URL loses its user, so that its host is shown.
    """
    return _cut(
        visible(without_persons(_USER.sub("", text))).replace("\n", " "), longest=LONGEST_OWN
    )


def shown_id(text: str) -> str:
    """Return an id or a name unmasked, because users search for it; escape and cut it."""
    return _cut(visible(text).replace("\n", " "))


def _cut(text: str, *, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
