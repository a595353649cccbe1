"""Past conversions as they are read under other settings, before earlier ones are considered.

A candidate depends only on its request and the settings, so that other processes can read requests.
Which dedup keys are taken and which amounts are usual depends on the order: `PastIntake` adds that.
"""

from collections.abc import Sequence

import msgspec

from twite.domain.conversion import Conversion
from twite.domain.secret import Masked
from twite.domain.submission import AcceptedConversion
from twite.gateway.ports.past_requests import PastConversion, PastRequest
from twite.gateway.what_if.verdict import IntakeVerdict


class Candidate(Masked, frozen=True, kw_only=True, array_like=True):
    """A conversion under the new settings.

    `past_verdict` was decided at intake, and `past` is what was stored. If `verdict` is None,
    `accepted` is what intake would store, if it is no copy and its amount is usual. Its body is
    empty if X would get the same as then; otherwise `fields` are the fields that differ.
    `conversion` has its amount after the rules, but neither identifiers nor items. `names` are
    (pixel, event, conversion id) of one without `conversion`, if known.

    `source` is the name of the source, or that of its tests. `lacks` names identifiers that would
    be sent, and are not stored. `is_consent_assumed` is whether it is a repeat of which is only
    known that it was not denied. If it has no id of its own, `derived_id` is the one that is
    derived from its content, and `is_mapped_alike` whether both settings map the same conversions
    to its event.
    """

    in_repr = ("place", "past_verdict", "verdict")
    place: int
    past_verdict: IntakeVerdict
    source: str
    past: PastConversion | None = None
    verdict: IntakeVerdict | None = None
    conversion: Conversion | None = None
    names: tuple[str, str, str] | None = None
    accepted: AcceptedConversion | None = None
    fields: tuple[str, ...] | None = None
    lacks: tuple[str, ...] = ()
    is_consent_assumed: bool = False
    derived_id: str | None = None
    is_mapped_alike: bool = False


class CopiesCandidate(Masked, frozen=True, kw_only=True, array_like=True):
    """What a request would be now if it was one for a certain pixel, and all were copies.

    `past_keys` are the dedup keys that its conversions had then, and `keys` those they have now.
    """

    past_keys: Sequence[bytes]
    keys: Sequence[bytes]
    conversions: Sequence[Candidate]


class RequestCandidate(Masked, frozen=True, kw_only=True, array_like=True):
    """A stored request under the new settings. The fields are as in `PastRequest`.

    If the pixel of a request in X's format is unknown, `copies` are what it may be.
    """

    in_repr = ("receipt", "source")
    receipt: str
    source: str
    received_at: int
    entries: int
    refused: frozenset[int]
    conversions: Sequence[Candidate]
    copies: Sequence[CopiesCandidate] = ()


class RequestsPart(Masked, frozen=True, array_like=True):
    """Stored requests to read. If `is_beside_intake`, short bursts are needed."""

    requests: Sequence[PastRequest]
    is_beside_intake: bool


def encoded(items: RequestsPart | Sequence[RequestCandidate]) -> bytes:
    """Return requests or candidates for another process."""
    return msgspec.msgpack.encode(items)


def decoded_part(message: bytes) -> RequestsPart:
    return msgspec.msgpack.decode(message, type=RequestsPart)


def decoded_candidates(message: bytes) -> list[RequestCandidate]:
    return msgspec.msgpack.decode(message, type=list[RequestCandidate])
