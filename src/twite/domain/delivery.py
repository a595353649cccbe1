"""Delivery: its states and transitions, the outcome of an attempt, and the back-off."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, overload

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.errors import IllegalTransition
from twite.domain.secret import Masked
from twite.domain.times import DAY, HOUR, MINUTE, SECOND

# Exponential back-off with full jitter.
FIRST_CEILING: Final = 5 * SECOND
LAST_CEILING: Final = 10 * MINUTE
_DOUBLINGS: Final = 7  # 5 s doubled seven times exceeds ten minutes
# X drops a copy within 48 hours. Eight of these are reserved for X's delays, clocks and queues.
# After 40 hours, a resent conversion that X may have could count twice.
AMBIGUITY_WINDOW: Final = 40 * HOUR
# Deliveries that have not reached X may wait longer: attribution windows reach 90 days.
PATIENCE: Final = 7 * DAY
# The deadline after receipt: X's window for dropping the pixel's copy.
PROMISED_WITHIN: Final = 48 * HOUR
# After two crashes of the sender, a delivery is sent alone. After three more, it is given up.
SUSPECT: Final = 2
QUARANTINED: Final = SUSPECT + 3
# A sender tries a suspect only after this uptime, because something else may restart the sender
# repeatedly.
SETTLED_IN: Final = 10 * SECOND
# The maximum number of conversions in one request [doc WEB].
MOST_CONVERSIONS: Final = 500
# The maximum bytes of conversions in one request, unless a single conversion is larger. X's limit
# is [unknown]; proxies often have a limit of 1 MiB, the default of nginx.
MOST_BYTES: Final = 1_000_000
# Stored bytes of X's response.
ANSWER_LIMIT: Final = 2_048

# The prefix of the response text of a tag run that made no request.
NO_REQUEST: Final = "it made no request"

# Reasons, shown to users, why a store holds a delivery or lets a lease expire.
MAYBE_ARRIVED: Final = "it may have arrived already"
MAY_COUNT_TWICE: Final = f"{MAYBE_ARRIVED}: sending it again could count it twice"
WAITED_TOO_LONG: Final = "it has waited too long to be sent"
SENDER_STOPPED: Final = "the sender stopped before it knew the answer"
OLDER_COPY: Final = "the store is an older copy of itself: it may have been sent since"
UNKNOWN_COPY: Final = "the store may be an older copy of itself: it may have been sent since"
RECOVERED: Final = "the store was damaged: it may have been sent already"
DAMAGED: Final = "it is damaged in the store, so it is not sent"
SENDER_DIED_OF_IT: Final = "the sender failed three times while it sent this one alone"


class State(StrEnum):
    QUEUED = "queued"  # in the outbox, waiting until it is due
    SENDING = "sending"  # claimed by one sender, under a lease
    DELIVERED = "delivered"  # accepted by X
    HELD = "held"  # a user must decide, for example because resending could count twice
    DEAD = "dead"  # given up; only a user can requeue it
    SUPPRESSED = "suppressed"  # deliberately not sent, with the reason


class Trigger(StrEnum):
    CLAIMED = "claimed"
    DELIVERED = "delivered"
    POSTPONED = "postponed"
    GIVEN_UP = "given_up"
    HELD = "held"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    NOT_FIRED = "not_fired"
    REPLAYED = "replayed"
    RECALLED = "recalled"
    DISCARDED = "discarded"


TRANSITIONS: Final[Mapping[State, Mapping[Trigger, State]]] = MappingProxyType(
    {
        State.QUEUED: MappingProxyType(
            {
                Trigger.CLAIMED: State.SENDING,
                # The delivery was in the queue for too long.
                Trigger.HELD: State.HELD,
                # The person withdrew consent, or a policy that is now stricter forbids sending.
                Trigger.WITHDRAWN: State.SUPPRESSED,
            }
        ),
        State.SENDING: MappingProxyType(
            {
                Trigger.DELIVERED: State.DELIVERED,
                Trigger.POSTPONED: State.QUEUED,
                Trigger.GIVEN_UP: State.DEAD,
                Trigger.HELD: State.HELD,
                # The sender ended between claim and settlement: X may already have it.
                Trigger.EXPIRED: State.QUEUED,
                # A tag's trigger needed a value that had to be looked up, and did not match.
                Trigger.NOT_FIRED: State.SUPPRESSED,
            }
        ),
        State.DELIVERED: MappingProxyType({}),
        State.HELD: MappingProxyType(
            {
                Trigger.REPLAYED: State.QUEUED,
                Trigger.DISCARDED: State.SUPPRESSED,
                # X's error may not be about this delivery; X has since accepted others.
                Trigger.RECALLED: State.QUEUED,
            }
        ),
        State.DEAD: MappingProxyType(
            {
                Trigger.REPLAYED: State.QUEUED,
                Trigger.DISCARDED: State.SUPPRESSED,
                # X has since refused others with the same error, so this one may not be the cause.
                Trigger.HELD: State.HELD,
            }
        ),
        State.SUPPRESSED: MappingProxyType({}),
    }
)


def after(state: State, trigger: Trigger) -> State:
    """Return the next state. Raises IllegalTransition if the trigger is not allowed."""
    following = TRANSITIONS[state].get(trigger)
    if following is None:
        raise IllegalTransition(f"{trigger} is not for a delivery that is {state}")
    return following


class Delivery(Masked, frozen=True, kw_only=True, gc=False):
    """One conversion to be sent to one pixel, as claimed by a worker.

    Times are milliseconds since the epoch. `body` is the body sent to X, never changed once it is
    ready; `attempts` counts the tries before this one; `ambiguous_since` is when X may first have
    received it without a known result; `crashes` is the count of the sender's failures (see
    `crashed`).
    """

    in_repr = ("id", "conversion_id")
    id: int
    conversion_id: str
    body: bytes
    received_at: int
    attempts: int = 0
    ambiguous_since: int | None = None
    crashes: int = 0


Place = tuple[int, int]  # in the queue: the rank and the id of a delivery


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class NewDeliveries(Sequence[Delivery]):
    """Deliveries that were not sent before, as columns.

    `bodies` has their bodies, joined by commas as in a request; `accounts` has the stored numbers
    of their accounts, if the store needs them. Most batches need only the columns, so the
    `Delivery` objects are built only when code accesses one.
    """

    ids: tuple[int, ...]
    conversion_ids: Sequence[str]
    received_at: Sequence[int]
    sizes: Sequence[int]
    bodies: bytes
    accounts: Sequence[int] = ()
    _built: tuple[Delivery, ...] = field(init=False, default=())

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> Delivery: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Delivery]: ...
    def __getitem__(self, place: int | slice) -> Delivery | Sequence[Delivery]:
        return self._all()[place]

    def __iter__(self) -> Iterator[Delivery]:
        return iter(self._all())

    def _all(self) -> tuple[Delivery, ...]:
        if not self._built:
            bodies = split_bodies(self.bodies, self.sizes)
            columns = zip(self.ids, self.conversion_ids, bodies, self.received_at, strict=True)
            self._built = tuple(
                Delivery(id=id_, conversion_id=conversion_id, body=bytes(body), received_at=at)
                for id_, conversion_id, body, at in columns
            )
        return self._built


def last_place(deliveries: Sequence[Delivery]) -> Place:
    """Return the place of the last of some deliveries in the queue."""
    if isinstance(deliveries, NewDeliveries):
        return deliveries.received_at[-1], deliveries.ids[-1]
    last = deliveries[-1]
    return rank(received_at=last.received_at, ambiguous_since=last.ambiguous_since), last.id


def split_bodies(joined: bytes, sizes: Sequence[int]) -> list[memoryview]:
    """Split bodies that are joined by commas, without copying them."""
    view = memoryview(joined)
    bodies = []
    start = 0
    for size in sizes:
        end = start + size
        bodies.append(view[start:end])
        start = end + 1
    return bodies


Group = Sequence[Delivery]


def ids_of(group: Iterable[Delivery]) -> tuple[int, ...]:
    if isinstance(group, NewDeliveries):
        return group.ids
    return tuple([delivery.id for delivery in group])


def received_of(group: Group) -> Sequence[int]:
    """Return when each delivery was received."""
    if isinstance(group, NewDeliveries):
        return group.received_at
    return [delivery.received_at for delivery in group]


def ambiguous_of(group: Group) -> list[int]:
    """Return, for each delivery that X may already have received, since when that is so."""
    if isinstance(group, NewDeliveries):
        return []
    return [delivery.ambiguous_since for delivery in group if delivery.ambiguous_since is not None]


def rank(*, received_at: int, ambiguous_since: int | None) -> int:
    """Return the sort key of the queue: the earlier of two deadlines, minus 48 hours.

    The deadlines are 48 hours after receipt, and 40 hours after X may first have received the
    delivery.
    """
    if ambiguous_since is None:
        return received_at
    return min(received_at, ambiguous_since - (PROMISED_WITHIN - AMBIGUITY_WINDOW))


def together(deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
    """Return the first due deliveries that may share a request; suspects are sent alone."""
    if isinstance(deliveries, NewDeliveries):
        return deliveries
    for place, delivery in enumerate(deliveries):
        if delivery.crashes >= SUSPECT:
            return deliveries[: max(1, place)]
    return deliveries


def fitting(sizes: Iterable[int], most: int) -> int:
    """Return how many of the first deliveries fit into `most` bytes: at least one."""
    total = count = 0
    for size in sizes:
        total += size
        if count and total > most:
            break
        count += 1
    return count


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries claimed for one request: one pixel, one event. `lease` is the fencing token."""

    lease: int
    pixel: str
    event: str
    deliveries: Sequence[Delivery]


class Attempt(Masked, frozen=True, kw_only=True):
    """One request to X. Stored attempts are never changed.

    `status` is None without a response; `answer` is X's text, shortened; `deliveries` are the ids
    of the sent deliveries.
    """

    in_repr = ("at", "outcome", "status", "deliveries")
    at: int
    pixel: str
    event: str
    outcome: str
    deliveries: tuple[int, ...]
    status: int | None = None
    answer: str = ""
    ambiguous: bool = False


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """A state change of some deliveries.

    POSTPONED and EXPIRED have a `due_at`; HELD, GIVEN_UP and NOT_FIRED have a `cause` and a
    `reason`. EXPIRED increases the crash count.
    """

    trigger: Trigger
    deliveries: tuple[int, ...]
    due_at: int | None = None
    cause: DeliveryCause | None = None
    reason: str | None = None


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt and its transitions, written in one transaction.

    Deliveries of the lease without a transition stay leased until `lease_until` (milliseconds).
    """

    lease: int
    attempt: Attempt | None
    transitions: tuple[Transition, ...]
    lease_until: int


def backoff(*, attempts: int, randomness: float) -> int:
    """Return milliseconds to wait after `attempts` failed tries.

    `randomness` is in [0, 1): it spreads the retries of deliveries that failed together.
    """
    ceiling = min(LAST_CEILING, FIRST_CEILING << min(max(attempts - 1, 0), _DOUBLINGS))
    return int(ceiling * randomness)
