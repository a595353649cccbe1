"""Map a tag's event name to the event name in twite.toml (`events` of the pixel)."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from twite.domain.submission import Ignored
from twite.redaction.scrub_text import free_text

IGNORE: Final = "ignore"
MAX_NAME: Final = 64
_LONGEST_NAME: Final = 256

# Reasons to ignore an event, with their meaning. The reference page lists them.
REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "told_to": "the source's `events` maps it to `ignore`",
        "not_configured": "the pixel has no event for it",
        "no_name": "the tag sent no event name",
        "preview": "from a tag manager's preview page, not from a visit",
        "bot": "a bot or an automated browser",
        "value_limit": "worth more than the source's `browser_value_limit`: send it from a server",
    }
)

# X is not told of these; tags may fire for them all the same.
UNKNOWN_TO_X: Final = frozenset({"told_to", "not_configured"})

# Names that mean one of X's event types [doc WEB]: of each group, the name that the pixel has
# counts. The first is the name in our own examples; GA4's recommended names are among them.
SPELLINGS: Final = (
    ("purchase", "order", "complete_payment"),
    ("sign_up", "complete_registration", "registration"),
    ("lead", "generate_lead", "submit_form"),
    ("add_to_cart",),
    ("checkout", "begin_checkout", "initiate_checkout", "checkout_initiated"),
    ("add_payment_info", "added_payment_info"),
    ("add_to_wishlist",),
    ("view_item", "view_content", "content_view"),
    ("search",),
    ("page_view", "site_visit", "landing_page_view"),
    ("download", "file_download"),
    ("start_trial", "trial"),
    ("subscribe", "subscription"),
    ("product_customization", "customize_product"),
)

_NOT_A_LETTER: Final = re.compile(r"[\W_]+")


def our_name(name: str, *, chosen: Mapping[str, str], known: Iterable[str]) -> str | Ignored:
    """Return the name among `known` for a tag's event, or the reason why it has none.

    `chosen` is the source's own mapping, which wins. Else it is the pixel's event of that name, of
    one that differs only in capitals, spaces and hyphens, or of one with the same meaning.
    """
    plain = name.strip().lower()
    if not plain:
        return ignored_as("", "no_name")
    target = chosen.get(plain)
    if target == IGNORE:
        return ignored_as(name, "told_to")
    names = tuple(known)
    if target is not None:
        return target if target in names else ignored_as(name, "not_configured")
    if plain in names:
        return plain
    squashed = {_squashed(name): name for name in names}
    # Bounds the cache.
    own = _squashed(plain) if len(plain) <= _LONGEST_NAME else plain
    for spelling in (own, *_SAME.get(own, ())):
        if spelling in squashed:
            return squashed[spelling]
    return ignored_as(name, "not_configured")


def ignored_as(name: str, reason: str) -> Ignored:
    """Return it with a name that is safe to show: one line, no personal data."""
    line = "".join(letter if letter.isprintable() else " " for letter in name.strip()[:256])
    return Ignored(name=(free_text(line) or "")[:MAX_NAME], reason=reason)


@lru_cache(maxsize=1_024)
def _squashed(name: str) -> str:
    """`Add to Cart`, `addToCart` and `add-to-cart` become the same."""
    return _NOT_A_LETTER.sub("", name.lower())


_SAME: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        _squashed(name): tuple(_squashed(alias) for alias in group)
        for group in SPELLINGS
        for name in group
    }
)
