"""Delivery: its states and transitions, the outcome of an attempt, and the back-off."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Final

import msgspec

from twite.domain.errors import IllegalTransition
from twite.domain.times import DAY, HOUR, MINUTE, SECOND

# Exponential back-off with full jitter.
FIRST_CEILING: Final = 5 * SECOND
LAST_CEILING: Final = 10 * MINUTE
_DOUBLINGS: Final = 7  # 5 s doubled seven times is past ten minutes
# X drops the twin of what it received within 48 hours; eight of them are left for X's lag, clocks
# and queues. After that, sending again what X may already have could count it twice.
AMBIGUITY_WINDOW: Final = 40 * HOUR
# What is known not to have reached X may wait far longer: attribution windows reach 90 days.
PATIENCE: Final = 7 * DAY
# From the moment it was received to when it should be at X: within X's window for the pixel's twin.
PROMISED_WITHIN: Final = 48 * HOUR
# What a sender may die of is sent alone; if it dies of that one alone three times, it is given up.
SUSPECT: Final = 2
QUARANTINED: Final = SUSPECT + 3
# So long a sender must have been up before it tries a suspect: who is ended again and again by
# something else must not put it down to what it happens to send.
SETTLED_IN: Final = 10 * SECOND
# So many bytes of conversions go out in one request at most, but for one that is larger by itself.
# X's own limit is not known [unknown]; servers before it often stop at 1 MiB, nginx's default.
MOST_BYTES: Final = 1_000_000
# How much is kept of X's own words.
ANSWER_LIMIT: Final = 2_048

# How the record of a run of a tag begins that asked nobody: it has no answer, and waits for none.
NO_REQUEST: Final = "it made no request"

# Why a store holds a delivery or lets a lease expire, for a person to read.
MAYBE_ARRIVED: Final = "it may have arrived already"  # reasons of holds begin so
MAY_COUNT_TWICE: Final = f"{MAYBE_ARRIVED}: sending it again could count it twice"
WAITED_TOO_LONG: Final = "it has waited too long to be sent"
SENDER_STOPPED: Final = "the sender stopped before it knew the answer"
OLDER_COPY: Final = "the store is an older copy of itself: it may have been sent since"
UNKNOWN_COPY: Final = "the store may be an older copy of itself: it may have been sent since"
RECOVERED: Final = "the store was damaged: it may have been sent already"
# Held for these, it may be at X though no try of it is on record.
MAYBE_SENT: Final = frozenset({OLDER_COPY, UNKNOWN_COPY, RECOVERED})
DAMAGED: Final = "it is damaged in the store, so it is not sent"
SENDER_DIED_OF_IT: Final = "the sender failed three times while it sent this one alone"


class State(StrEnum):
    QUEUED = "queued"  # in the outbox, waiting until it is due
    SENDING = "sending"  # claimed by one sender, under a lease
    DELIVERED = "delivered"  # X has taken it
    HELD = "held"  # sending again could double count, or nobody can: a person decides
    DEAD = "dead"  # given up; only a person brings it back
    SUPPRESSED = "suppressed"  # not sent on purpose, with the reason


class Trigger(StrEnum):
    CLAIMED = "claimed"
    DELIVERED = "delivered"
    POSTPONED = "postponed"
    GIVEN_UP = "buried"
    HELD = "held"
    EXPIRED = "lapsed"
    WITHDRAWN = "withdrawn"
    REPLAYED = "replayed"
    RECALLED = "recalled"
    DISCARDED = "discarded"


TRANSITIONS: Final[Mapping[State, Mapping[Trigger, State]]] = MappingProxyType(
    {
        State.QUEUED: MappingProxyType(
            {
                Trigger.CLAIMED: State.SENDING,
                # Its time ran out while it waited.
                Trigger.HELD: State.HELD,
                # Its person took consent back, or a stricter policy does not send it.
                Trigger.WITHDRAWN: State.SUPPRESSED,
            }
        ),
        State.SENDING: MappingProxyType(
            {
                Trigger.DELIVERED: State.DELIVERED,
                Trigger.POSTPONED: State.QUEUED,
                Trigger.GIVEN_UP: State.DEAD,
                Trigger.HELD: State.HELD,
                # The sender died between claim and settlement: X may have it already.
                Trigger.EXPIRED: State.QUEUED,
            }
        ),
        State.DELIVERED: MappingProxyType({}),
        State.HELD: MappingProxyType(
            {
                Trigger.REPLAYED: State.QUEUED,
                Trigger.DISCARDED: State.SUPPRESSED,
                # It was held in doubt, and X has taken others since.
                Trigger.RECALLED: State.QUEUED,
            }
        ),
        State.DEAD: MappingProxyType(
            {
                Trigger.REPLAYED: State.QUEUED,
                Trigger.DISCARDED: State.SUPPRESSED,
                # Others were refused alike since: it may not be its own fault.
                Trigger.HELD: State.HELD,
            }
        ),
        State.SUPPRESSED: MappingProxyType({}),
    }
)


def after(state: State, trigger: Trigger) -> State:
    """Return the next state. Raises IllegalTransition where the table has none."""
    following = TRANSITIONS[state].get(trigger)
    if following is None:
        raise IllegalTransition(f"{trigger} is not for a delivery that is {state}")
    return following


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One conversion to be sent to one pixel, as claimed by a worker.

    Times are milliseconds since the epoch. `body` is the body sent to X, rendered once and never
    changed; `attempts` counts the tries before this one; `ambiguous_since` is when X may first
    have taken it without our knowing; `crashes` is the count of the sender's failures (see
    `crashed`).
    """

    id: int
    conversion_id: str
    body: bytes
    received_at: int
    attempts: int = 0
    ambiguous_since: int | None = None
    crashes: int = 0

    def __repr__(self) -> str:
        return f"Delivery({self.id}, {self.conversion_id}, body=<{len(self.body)} bytes>)"


def crashed(crashes: int, *, alone: bool) -> int:
    """Return the count after one more failure of the sender.

    A delivery sent with others is a suspect after two; only what fails alone goes further.
    """
    return max(crashes, SUSPECT) + 1 if alone else min(crashes + 1, max(crashes, SUSPECT))


def rank(*, received_at: int, ambiguous_since: int | None) -> int:
    """Return what deliveries are sent in the order of: the earlier of two deadlines, less 48 h.

    One is 48 hours after it was received, the other 40 hours after X may first have had it.
    """
    if ambiguous_since is None:
        return received_at
    return min(received_at, ambiguous_since - (PROMISED_WITHIN - AMBIGUITY_WINDOW))


def together(deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
    """Return the first due deliveries that may share a request: a suspect goes alone."""
    for place, delivery in enumerate(deliveries):
        if delivery.crashes >= SUSPECT:
            return deliveries[: max(1, place)]
    return deliveries


def fitting(sizes: Iterable[int], most: int) -> int:
    """Return how many of the first may go out in one request of `most` bytes: at least one."""
    total = count = 0
    for size in sizes:
        total += size
        if count and total > most:
            break
        count += 1
    return count


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries claimed together, to go out in one request: one pixel, one event.

    `lease` is the fencing token: only who holds it may settle.
    """

    lease: int
    pixel: str
    event: str
    deliveries: tuple[Delivery, ...]


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One request to X, append-only. `outcome` is delivered, errored or rejected.

    `status` is the HTTP status, None where no answer came; `answer` is X's own words, cut short;
    `deliveries` are the ids of all that the request held.
    """

    at: int
    pixel: str
    event: str
    outcome: str
    deliveries: tuple[int, ...]
    status: int | None = None
    answer: str = ""
    ambiguous: bool = False

    def __repr__(self) -> str:
        return f"Attempt({self.at}, {self.outcome}, {self.status}, {self.deliveries})"


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """A state change of some deliveries.

    `due_at` goes with POSTPONED and EXPIRED; `reason` with HELD and GIVEN_UP. EXPIRED counts a
    crash.
    """

    trigger: Trigger
    deliveries: tuple[int, ...]
    due_at: int | None = None
    reason: str | None = None


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt and the next states, written together.

    Without an attempt, it settles deliveries whose last attempt is on record already. Deliveries of
    the lease that no transition names stay under it, until `lease_until` (milliseconds).
    """

    lease: int
    attempt: Attempt | None
    transitions: tuple[Transition, ...]
    lease_until: int


def backoff(*, attempts: int, randomness: float) -> int:
    """Return milliseconds to wait after `attempts` failed tries, with full jitter.

    `randomness` is in [0, 1). The ceiling doubles from 5 s to 10 min; the whole range below it is
    used, so that many deliveries that failed together do not come back together.
    """
    ceiling = min(LAST_CEILING, FIRST_CEILING << min(max(attempts - 1, 0), _DOUBLINGS))
    return int(ceiling * randomness)


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
