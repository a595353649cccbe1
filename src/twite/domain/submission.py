"""Submission: an accepted request, scrubbed of persons, with its conversions.

They are accepted, rejected or ignored.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.fault import Fault, MaskedFault
from twite.domain.stats.match_keys import Flaw
from twite.domain.stats.sightings import Sighting
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.times import DAY

# A page that makes names up must not fill the store: beyond these, a source's day has one name.
MOST_NAMES: Final = 100
OTHER: Final = "other"
# How a reason begins that tells what kept a tag from firing: its name is then the tag's.
NOT_FIRED: Final = "tag_"
# How long rejections are kept, and how many of each source and pixel: the latest.
KEPT_FOR: Final = 7 * DAY
MOST_KEPT: Final = 5_000
# What is kept of one: so many faults, and texts of so many characters.
MOST_FAULTS: Final = 8
LONGEST_VALUE: Final = 64
LONGEST_TEXT: Final = 256


class Endpoint(StrEnum):
    """The endpoint of a submission."""

    NATIVE = "native"  # POST /v1/conversions
    X_API = "x_api"  # POST /12/measurement/conversions/{pixel}
    BEACON = "beacon"  # POST /t, from our own script
    GA4 = "ga4"  # /g/collect
    MEASUREMENT_PROTOCOL = "measurement_protocol"  # POST /mp/collect
    DATA_TAG = "data_tag"  # /data, from Stape's Data Tag
    SGTM = "sgtm"  # POST /v1/sgtm, from our own tag in a server container
    STAPE = "stape"  # POST /stape-api/{key}/v1/twitter/auth-proxy
    TAG = "tag"  # a template that runs here, and sent to X
    CLIENT = "client"  # a client template that runs here, and ran the container


class Ignored(msgspec.Struct, frozen=True, kw_only=True):
    """An item that is no conversion of its source: counted, and not stored.

    `name` is what the endpoint called it, as in `scroll`, cut to 64 characters; `reason` is a word.
    """

    name: str
    reason: str


class UnfiredTags(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A tag that received an event and did not fire.

    `tag` is what its deliveries have in place of a pixel; `bar` a word, `why` what a person reads
    after "did not fire:". `index` is the conversion's place in the submission; None where the event
    is none of its source, so that only the count tells of it.
    """

    tag: str
    bar: str
    why: str
    index: int | None = None


class AcceptedConversion(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One accepted conversion, ready for the ledger.

    `key` is the dedup key (16 bytes); `body` is the conversion as X will be sent it, as JSON;
    `suppressed` is the reason it will not be sent, `held` why a person decides, where there is one;
    `consent` is what is kept of that decision, as JSON. `index` is its place in the submission.
    `kit` is which identifiers it carries (twite.domain.stats.match_keys), None where it is not
    for X to match;
    `flag` is a remark on its amount; `called` the id that people know it by, where it is another.
    """

    index: int
    key: bytes
    pixel: str
    event: str
    conversion_id: str
    body: bytes
    suppressed: str | None = None
    held: str | None = None
    consent: bytes | None = None
    key_set: int | None = None
    flag: ValueFlag | None = None
    called: str | None = None

    def __repr__(self) -> str:
        return f"Entry({self.index}, {self.pixel}, {self.event}, {self.conversion_id})"


class FlawedIdentifier(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A flaw of one conversion of a submission, kept or refused. `pixel` and `event` may be "".

    `wins` is whether the conversion would have a second match key without what the code stands for.
    """

    index: int
    pixel: str
    event: str
    flaw: Flaw
    wins: bool = False


class RejectedConversion(msgspec.Struct, frozen=True, kw_only=True):
    """One rejected conversion of a submission, and why. `pixel` may be "".

    `errors` are for its answer. What else there is is kept: `event` and `conversion_id` as it came
    with them, and `faults`, all masked; `marks` identify the person to code that knows the
    identifier.
    """

    index: int
    pixel: str
    errors: tuple[Fault, ...]
    event: str = ""
    conversion_id: str = ""
    faults: tuple[MaskedFault, ...] = ()
    marks: tuple[str, ...] = ()


class Idempotency(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The name a client gave its request, so that it can be told from another under that name.

    `key` is a digest of the source and the client's key, `said` one of what it said under it; both
    are 16 bytes.
    """

    key: bytes
    said: bytes


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the ledger commits it, in one transaction.

    `received_at` is in milliseconds; `body` is the request as it came, as JSON, with email and
    phone replaced by their hashes.
    """

    receipt: str
    source: str
    endpoint: Endpoint
    received_at: int
    body: bytes
    entries: tuple[AcceptedConversion, ...]
    refusals: tuple[RejectedConversion, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    flaws: tuple[FlawedIdentifier, ...] = ()
    unfired: tuple[UnfiredTags, ...] = ()
    idempotency: Idempotency | None = None

    def __repr__(self) -> str:
        return f"Submission({self.receipt}, {self.source}, {self.entries!r}, {self.refusals!r})"


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a commit: the indexes of duplicates; all other entries are new.

    `held` are those that the store holds, since X may have a copy of them with another body.
    `conflict` is whether another request went by its name within the dedup window: nothing of it
    was kept then.
    """

    duplicates: tuple[int, ...] = ()
    held: tuple[int, ...] = ()
    conflict: bool = False


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """One rejected conversion.

    `at` is in milliseconds; `index` is its place in the request that has the receipt. `pixel`,
    `event` (as it was named, masked) and `conversion_id` are "" where it had none.
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


class RejectionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filter of rejections: all given conditions must hold.

    `since` is in milliseconds; `code` is that of any fault; `pixels` None: all, and those that name
    none; `name` is a conversion id or a receipt.
    """

    since: int = 0
    code: str | None = None
    name: str | None = None
    source: str | None = None
    pixels: frozenset[str] | None = None
    limit: int = 1_000

    def wants(self, rejection: Rejection) -> bool:
        """Return whether one is wanted, whatever the limit."""
        return (
            rejection.at >= self.since
            and self.source in {None, rejection.source}
            and (self.pixels is None or rejection.pixel in self.pixels)
            and self.name in {None, rejection.conversion_id, rejection.receipt}
            and (self.code is None or any(fault.code == self.code for fault in rejection.faults))
        )


def rejection_of(submission: Submission, refusal: RejectedConversion) -> Rejection:
    """Return the stored form of a rejection."""
    return Rejection(
        at=submission.received_at,
        source=submission.source,
        pixel=refusal.pixel,
        endpoint=submission.endpoint.value,
        receipt=submission.receipt,
        index=refusal.index,
        event=refusal.event,
        conversion_id=refusal.conversion_id,
        faults=refusal.faults,
    )


class IgnoredTally(msgspec.Struct, frozen=True, kw_only=True):
    """How often a name was ignored on one day (days since 1970, UTC), and why."""

    day: int
    source: str
    endpoint: str
    name: str
    reason: str
    times: int


def named(submission: Submission) -> Iterator[tuple[str, str]]:
    """Yield (name, reason) of what is to be counted: what was ignored, and by which tags."""
    for ignored in submission.ignored:
        yield ignored.name, ignored.reason
    for tag in submission.unfired:
        yield tag.tag, f"{NOT_FIRED}{tag.bar}"
