"""What intake decided about a conversion, or would decide under other settings."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec


class IntakeOutcome(StrEnum):
    """The values are part of the command's JSON: never change one."""

    SENT = "sent"  # queued for X
    TEST = "test"  # queued for the built-in emulator: the source is in test mode
    HELD = "held"
    SUPPRESSED = "suppressed"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    IGNORED = "ignored"
    UNKNOWN = "unknown"  # it depends on data that is no longer stored


class NotStored(StrEnum):
    """Which data an unknown outcome depends on. The values are part of the command's JSON."""

    BODY = "body_not_stored"
    IDENTIFIERS = "identifiers_not_stored"
    CONSENT_STRINGS = "consent_strings_not_stored"
    FAULTS = "faults_not_stored"
    REJECTED = "rejected_not_stored"
    ID = "id_not_stored"
    PIXEL = "pixel_not_stored"
    VISITOR = "visitor_not_stored"
    TAGS = "tags_not_stored"
    COPY = "copy_unknown"
    AMOUNTS = "amounts_unknown"


MEANINGS: Final[Mapping[NotStored, str]] = {
    NotStored.BODY: "the request was deleted after store.keep_bodies, or cannot be read",
    NotStored.IDENTIFIERS: "consent would allow more, but the identifiers were not stored, because "
    "consent was denied, or were erased",
    NotStored.CONSENT_STRINGS: "the new policy reads strings of the IAB otherwise, and only their "
    "hashes are stored",
    NotStored.FAULTS: "the conversion was rejected or incomplete, and its faults are not stored",
    NotStored.REJECTED: "the new settings know its event, but a request in which every conversion "
    "is rejected is not stored",
    NotStored.ID: "it has no conversion id of its own, and what its id was derived from is not "
    "stored",
    NotStored.PIXEL: "the pixel of a rejected or repeated conversion is not stored",
    NotStored.VISITOR: "ids of users and visitors are not stored, so it is unknown what a "
    "conversion without identifiers would gain by waiting",
    NotStored.TAGS: "only tags received a part of the request",
    NotStored.COPY: "an earlier copy with this conversion id is unknown, was perhaps ignored, or "
    "was not read, because it is from before the deduplication window or the time was over",
    NotStored.AMOUNTS: "the value guard may hold it, which depends on earlier conversions that are "
    "unknown",
}


class IntakeVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome, and its reason as a code; "" if it needs none."""

    outcome: IntakeOutcome
    reason: str = ""

    @property
    def is_accepted(self) -> bool:
        """Whether the conversion gets the dedup key, and its amount is learned."""
        return self.outcome in _ACCEPTED


SENT: Final = IntakeVerdict(outcome=IntakeOutcome.SENT)
TEST: Final = IntakeVerdict(outcome=IntakeOutcome.TEST)
DUPLICATE: Final = IntakeVerdict(outcome=IntakeOutcome.DUPLICATE)
_ACCEPTED: Final = frozenset({IntakeOutcome.SENT, IntakeOutcome.TEST, IntakeOutcome.HELD})


def unknown(not_stored: NotStored) -> IntakeVerdict:
    return IntakeVerdict(outcome=IntakeOutcome.UNKNOWN, reason=not_stored.value)
