"""Fill the gaps of a body for X with the identifiers that other events of the visitor named."""

from collections.abc import Collection

from twite.domain.conversion import Identifiers
from twite.domain.joins import GainedIdentifier, Known, gained
from twite.x.encode import CompletedBody, completed


def joined_body(
    body: bytes, known: Known, keys: Collection[str], *, whose: str, since: int
) -> CompletedBody[tuple[GainedIdentifier, ...]] | None:
    """Return a body with the identifiers that are known, and their origins; None if unreadable.

    `keys`, `whose` and `since` are those of the conversion.
    """

    def gaps(own: Identifiers, at: int) -> tuple[Identifiers, tuple[GainedIdentifier, ...]]:
        return gained(known, own=own, keys=keys, whose=whose, since=since, at=at)

    return completed(body, gaps)
