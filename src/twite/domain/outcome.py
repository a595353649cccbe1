"""Outcome of one attempt: delivered, errored (retry) or rejected (by X).

Delivered   X has taken every conversion of the request
Errored     it may pass: try the same again. `ambiguous` when X may have processed it all the same
Rejected    it will not pass as it is: `scope` says what is at fault
"""

from enum import StrEnum
from typing import ClassVar

import msgspec


class AttemptOutcome(StrEnum):
    """The word for an outcome in the store, the metrics, the log and the JSON of answers."""

    DELIVERED = "delivered"
    ERRORED = "errored"
    REJECTED = "rejected"


class RejectionScope(StrEnum):
    """The scope of a rejection, from the narrowest to the widest."""

    CONVERSION = "conversion"  # one or more conversions of the request: isolate
    SIZE = "size"  # the request has too many: split
    EVENT = "event"  # the event id is not this account's: hold what goes to it
    PIXEL = "pixel"  # credentials, access, route or account, in X's words: pause the pixel
    UNCLEAR = "unclear"  # nobody says what: something before X may dislike one, or all


class XComplaint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One of X's errors, in X's words: untrusted text, since X echoes submitted values."""

    code: str
    message: str
    parameter: str = ""


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    kind: ClassVar[AttemptOutcome] = AttemptOutcome.DELIVERED
    debug_id: str


class Errored(msgspec.Struct, frozen=True, kw_only=True):
    """`retry_at` is X's own word on when, in milliseconds, where it gave one."""

    kind: ClassVar[AttemptOutcome] = AttemptOutcome.ERRORED
    reason: str
    ambiguous: bool
    retry_at: int | None = None
    limited: bool = False


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    kind: ClassVar[AttemptOutcome] = AttemptOutcome.REJECTED
    scope: RejectionScope
    reason: str
    complaints: tuple[XComplaint, ...] = ()


Outcome = Delivered | Errored | Rejected
