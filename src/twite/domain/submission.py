"""Submission: an accepted request without personal data: accepted, rejected and ignored items."""

import re
from collections.abc import Collection, Iterator
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.fault import Fault, MaskedFault
from twite.domain.joins import JoinRequest, KnownIdentifier
from twite.domain.normalize import visible_line
from twite.domain.secret import Masked
from twite.domain.stats.deduplication import DedupRow
from twite.domain.stats.match_keys import Flaw
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.test_mode import real_name
from twite.domain.times import DAY, LATEST
from twite.domain.value_change import ValueChange

# Names per source and day. The rest is counted as OTHER, because pages may generate names.
MOST_NAMES: Final = 100
OTHER: Final = "other"
# For a tag that did not fire, the reason has this prefix, and the name is the tag's.
NOT_FIRED: Final = "tag_"
# How long rejections are kept, and how many for each source and pixel.
KEPT_FOR: Final = 7 * DAY
MOST_KEPT: Final = 5_000
# What one rejection may store: the number of faults, and the characters of each text.
MOST_FAULTS: Final = 8
LONGEST_VALUE: Final = 64
LONGEST_TEXT: Final = 256


class Endpoint(StrEnum):
    NATIVE = "native"  # POST /v1/conversions
    X_API = "x_api"  # POST /12/measurement/conversions/{pixel}
    BEACON = "beacon"  # POST /t, from Twite's script
    GA4 = "ga4"  # /g/collect
    MEASUREMENT_PROTOCOL = "measurement_protocol"  # POST /mp/collect
    DATA_TAG = "data_tag"  # /data, from Stape's Data Tag
    SGTM = "sgtm"  # POST /v1/sgtm, from Twite's tag in a server container
    STAPE = "stape"  # POST /stape-api/{key}/v1/twitter/auth-proxy
    WEBHOOK = "webhook"  # POST /webhooks/{name}
    SEGMENT = "segment"  # POST /v1/track, /v1/batch, …: SDKs of Segment and RudderStack
    TAG = "tag"  # a tag template in Twite that sends to X, or creates an event
    CLIENT = "client"  # a client template in Twite that ran the container


class Ignored(msgspec.Struct, frozen=True, kw_only=True):
    """An item that its source does not treat as a conversion. It is counted, but not stored.

    `name` is its name at the endpoint, such as `scroll`, cut to 64 characters.
    """

    name: str
    reason: str


class NotFiredReason(StrEnum):
    PAUSED = "paused"  # by the container or the operator, or outside its schedule
    CONSENT = "consent"  # a signal that it requires is not granted
    TRIGGER = "trigger"  # no trigger matches
    EXCEPTION = "exception"  # an exception matches
    BESIDE = "beside"  # a setup or teardown tag that it needs does not run
    UNFILLED = "unfilled"  # its fields, or a condition, cannot be evaluated


class UnfiredTags(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A tag that received an event and did not fire.

    `tag` is the pixel of its deliveries; `why` completes "did not fire:".
    `index` is the conversion's place in the submission; with None, the tag is only counted.
    """

    tag: str
    reason: NotFiredReason
    why: str
    index: int | None = None


class AcceptedConversion(Masked, frozen=True, kw_only=True, gc=False):
    """One accepted conversion, ready for the store.

    `key` is the dedup key (16 bytes); `body` the JSON for X; `suppressed` why it is not sent,
    `held` why it needs a user's decision, and `cause` either as a value; `consent` the stored
    decision (JSON); `index` its place in the submission. `key_set` are its match keys, None if X
    does not match it; `flag` says what is unusual about its amount; `called` is the source's own id
    for it, if different; `join` says for which identifiers it waits; `value_change` is what a value
    rule made of its amount.
    """

    in_repr = ("index", "pixel", "event", "conversion_id")
    index: int
    key: bytes
    pixel: str
    event: str
    conversion_id: str
    body: bytes
    suppressed: str | None = None
    held: str | None = None
    cause: DeliveryCause | None = None
    consent: bytes | None = None
    key_set: int | None = None
    flag: ValueFlag | None = None
    called: str | None = None
    join: JoinRequest | None = None
    value_change: ValueChange | None = None


class FlawedIdentifier(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A flaw of one conversion, accepted or rejected. `pixel` and `event` may be "".

    `wins` says whether the conversion would have a second match key without this flaw.
    """

    index: int
    pixel: str
    event: str
    flaw: Flaw
    wins: bool = False


class RejectedConversion(msgspec.Struct, frozen=True, kw_only=True):
    """One rejected conversion, and why. `pixel` may be ""; `event_id` is X's, "" if unknown.

    `errors` go into the response. `event`, `conversion_id` and `faults` are stored masked; `marks`
    let erasure find the person.
    """

    index: int
    pixel: str
    errors: tuple[Fault, ...]
    event: str = ""
    conversion_id: str = ""
    faults: tuple[MaskedFault, ...] = ()
    marks: tuple[str, ...] = ()
    event_id: str = ""


class Idempotency(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Digests (16 bytes) of a source and its idempotency key, and of the request's content."""

    key: bytes
    said: bytes


class Submission(Masked, frozen=True, kw_only=True):
    """A request as committed, in one transaction.

    `received_at` is in milliseconds; `body` is the JSON received, with email and phone hashed;
    `known` is what its events say about visitors, for conversions that wait.
    """

    in_repr = ("receipt", "source", "entries", "refusals")
    receipt: str
    source: str
    endpoint: Endpoint
    received_at: int
    body: bytes
    entries: tuple[AcceptedConversion, ...]
    refusals: tuple[RejectedConversion, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    dedup_rows: tuple[DedupRow, ...] = ()
    flaws: tuple[FlawedIdentifier, ...] = ()
    unfired: tuple[UnfiredTags, ...] = ()
    idempotency: Idempotency | None = None
    known: tuple[KnownIdentifier, ...] = ()


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a commit: the indexes of duplicate and held conversions.

    Conversions are held if X may have another copy. If `conflict` is set, another request has this
    idempotency key, and nothing was stored.
    """

    duplicates: tuple[int, ...] = ()
    held: tuple[int, ...] = ()
    conflict: bool = False


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """One rejected conversion.

    `at` is in milliseconds; `index` is its place in the request that has this receipt. `pixel`,
    `event` (masked) and `conversion_id` may be ""; `event_id` is X's, "" if the settings have no
    such event.
    """

    at: int
    source: str
    pixel: str
    endpoint: str
    receipt: str
    index: int
    event: str
    conversion_id: str
    faults: tuple[MaskedFault, ...]
    event_id: str = ""

    @property
    def first_fault(self) -> tuple[str, str]:
        """The code and the field of the first fault; places in lists are left out."""
        if not self.faults:
            return "", ""
        fault = self.faults[0]
        return fault.code, re.sub(r"\[\d+\]", "[]", fault.path)

    def is_of(self, events: Collection[str]) -> bool:
        """Return whether it is of one of the events: X's ids, or other names; "" is any other."""
        return self.event_id in events or (not self.event_id and self.event in events)


class RejectionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A filter of rejections: all conditions must hold.

    `code` matches if any fault has it, `first_fault` if it is that of the rejection; `pixels` None
    matches all pixels, and rejections without a pixel; `name` is a conversion id or a receipt. A
    `source` includes its tests. `until` (ms) is excluded.
    """

    since: int = 0
    until: int = LATEST
    code: str | None = None
    first_fault: tuple[str, str] | None = None
    name: str | None = None
    source: str | None = None
    pixels: frozenset[str] | None = None
    limit: int = 1_000

    def wants(self, rejection: Rejection) -> bool:
        """Return whether a rejection matches, regardless of the limit."""
        return (
            self.since <= rejection.at < self.until
            and self.source in {None, rejection.source, real_name(rejection.source)}
            and (self.pixels is None or rejection.pixel in self.pixels)
            and (self.name is None or _is_named(rejection, self.name))
            and self.first_fault in {None, rejection.first_fault}
            and (self.code is None or any(fault.code == self.code for fault in rejection.faults))
        )


def _is_named(rejection: Rejection, name: str) -> bool:
    """Whether a name is that of a rejection. Ids are stored with escapes, as they are shown."""
    return visible_line(name) in {rejection.conversion_id, rejection.receipt}


def rejection_of(submission: Submission, rejected: RejectedConversion) -> Rejection:
    return Rejection(
        at=submission.received_at,
        source=submission.source,
        pixel=rejected.pixel,
        endpoint=submission.endpoint.value,
        receipt=submission.receipt,
        index=rejected.index,
        event=rejected.event,
        conversion_id=rejected.conversion_id,
        faults=rejected.faults,
        event_id=rejected.event_id,
    )


class IgnoredTally(msgspec.Struct, frozen=True, kw_only=True):
    """How often a source's event was ignored on one day (days since 1970, UTC), and why."""

    day: int
    source: str
    endpoint: str
    name: str
    reason: str
    times: int


def named(submission: Submission) -> Iterator[tuple[str, str]]:
    """Yield (name, reason) of ignored items and of tags that did not fire."""
    for ignored in submission.ignored:
        yield ignored.name, ignored.reason
    for tag in submission.unfired:
        yield tag.tag, f"{NOT_FIRED}{tag.reason}"
