"""Outcomes of a request to X: delivered, errored or rejected."""

from enum import StrEnum
from typing import ClassVar, TypeGuard

import msgspec


class AttemptOutcome(StrEnum):
    """The outcome as stored, and as named in metrics, log and JSON."""

    DELIVERED = "delivered"
    ERRORED = "errored"
    REJECTED = "rejected"


class RejectionScope(StrEnum):
    """The scope of a rejection, from narrow to wide."""

    CONVERSION = "conversion"  # conversions of the request: bisect
    SIZE = "size"  # the size of the request in bytes: split
    COUNT = "count"  # the number of conversions in the request: split
    EVENT = "event"  # the event id is not the account's: hold its conversions
    PIXEL = "pixel"  # credentials, access, route or account: pause the pixel
    UNCLEAR = "unclear"  # unknown, for example from a proxy in front of X


class XComplaint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One of X's errors: untrusted text, since X echoes submitted values, such as `echoed`."""

    code: str
    message: str
    parameter: str = ""
    echoed: str | None = None


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    kind: ClassVar[AttemptOutcome] = AttemptOutcome.DELIVERED
    debug_id: str


class Errored(msgspec.Struct, frozen=True, kw_only=True):
    """A temporary failure.

    `retry_at` (ms) is the retry time from X's response, if there was one. `status` is None without
    a response.
    """

    kind: ClassVar[AttemptOutcome] = AttemptOutcome.ERRORED
    reason: str
    ambiguous: bool
    status: int | None = None
    retry_at: int | None = None
    limited: bool = False


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    kind: ClassVar[AttemptOutcome] = AttemptOutcome.REJECTED
    scope: RejectionScope
    reason: str
    status: int | None = None
    complaints: tuple[XComplaint, ...] = ()


Outcome = Delivered | Errored | Rejected


def is_about_content(outcome: Outcome) -> TypeGuard[Rejected]:
    """Whether X refused the request for its content: conversions, or their number."""
    return isinstance(outcome, Rejected) and outcome.scope in {
        RejectionScope.CONVERSION,
        RejectionScope.SIZE,
        RejectionScope.COUNT,
    }


def is_unexplained(outcome: Outcome) -> TypeGuard[Rejected]:
    """Whether X, or a proxy in front of it, refused without an error about conversions."""
    return isinstance(outcome, Rejected) and outcome.scope in {
        RejectionScope.PIXEL,
        RejectionScope.UNCLEAR,
    }


def is_failure(outcome: Outcome | None) -> TypeGuard[Errored]:
    """Whether the request failed and X may have processed it (rate limits excluded)."""
    return isinstance(outcome, Errored) and outcome.ambiguous and not outcome.limited
