"""Fill the gaps of a body for X with the identifiers that other events of the visitor named."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from twite.domain.conversion import Identifiers
from twite.domain.joins import GainedIdentifier, JoinKind, KnownIdentifier, gained
from twite.x.encode import CompletedBody, completed

# How many links are followed from the keys of a conversion: an order leads to its visitor, and the
# visitor to the user.
STEPS: Final = 2

Known = Mapping[str, Sequence[KnownIdentifier]]  # by key


def joined_body(
    body: bytes, known: Known, keys: Sequence[str], *, whose: str, since: int, received_at: int
) -> CompletedBody[tuple[GainedIdentifier, ...]] | None:
    """Return a body with the identifiers that are known, and their origins; None if unreadable.

    `keys`, `whose`, `since` and `received_at` are those of the conversion.
    """
    rows = [row for key in sorted(_linked(known, keys)) for row in known.get(key, ())]
    return completed(body, partial(_gaps, rows, whose=whose, since=since, received_at=received_at))


def _gaps(
    rows: Sequence[KnownIdentifier],
    identifiers: Identifiers,
    *,
    whose: str,
    since: int,
    received_at: int,
) -> tuple[Identifiers, tuple[GainedIdentifier, ...]]:
    return gained(rows, own=identifiers, whose=whose, since=since, received_at=received_at)


def _linked(known: Known, keys: Sequence[str]) -> set[str]:
    """Return these keys, and those that they are linked to."""
    found = newest = set(keys)
    for _ in range(STEPS):
        newest = {
            row.value for key in newest for row in known.get(key, ()) if row.kind is JoinKind.LINK
        } - found
        found = found | newest
    return found
