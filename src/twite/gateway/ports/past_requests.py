"""Past requests as they are stored, for what-if: each with what intake decided."""

from collections.abc import Sequence
from typing import Final

from twite.domain.cause import DeliveryCause
from twite.domain.secret import Masked
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.times import SECOND
from twite.gateway.ports.queries import Query

# How much the order of numbers may differ from that of the times of receipt (ms).
OUT_OF_ORDER: Final = 10 * SECOND
# The most conversions in an answer, unless its first request has more.
MOST_AT_ONCE: Final = 2_000


class PastConversion(Masked, frozen=True, kw_only=True):
    """A stored conversion, as intake decided about it.

    `body` is the body for X before any edit, empty once pruned; `suppressed` why it was not sent.
    `held` is why it is held now, and `cause` either as a value; `evidence` is the record of its
    consent decision. `is_joined` is whether the body gained identifiers after intake.
    """

    in_repr = ("delivery", "pixel", "event")
    delivery: int
    pixel: str
    event: str
    conversion_id: str
    body: bytes
    suppressed: str | None = None
    held: str | None = None
    cause: DeliveryCause | None = None
    evidence: bytes | None = None
    flag: ValueFlag | None = None
    is_joined: bool = False


class PastRequest(Masked, frozen=True, kw_only=True):
    """A stored request with at least one accepted conversion.

    `body` has the conversions as `Submission.body`, empty once pruned, and `refused` the places of
    the rejected ones among them. The others have the deliveries from `first` on, followed by those
    of tags: `entries` in all. A delivery that `conversions` lack was a duplicate.
    """

    in_repr = ("number", "receipt", "source", "endpoint")
    number: int
    receipt: str
    source: str
    endpoint: str
    received_at: int
    first: int
    entries: int
    body: bytes
    refused: frozenset[int]
    conversions: dict[int, PastConversion]


class PastRequestsQuery(Query[Sequence[PastRequest]], frozen=True, kw_only=True):
    """Requests in the order of their numbers, at most `limit`; nothing at the end.

    That is the order of receipt, except for differences of up to OUT_OF_ORDER. They begin with the
    request `number`, or if that is None, a little before a time (ms).
    """

    since: int
    number: int | None = None
    limit: int
