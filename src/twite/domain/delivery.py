"""The life of a delivery, as a table of states and triggers."""

from collections.abc import Mapping
from enum import StrEnum, auto
from types import MappingProxyType
from typing import Final

import msgspec

from twite.domain.errors import IllegalTransition
from twite.domain.times import DAY, HOUR

# X drops the twin of what it received within 48 hours; eight of them are left for X's lag, clocks
# and queues. After that, sending again what X may already have could count it twice.
AMBIGUITY_WINDOW: Final = 40 * HOUR
# What is known not to have reached X may wait far longer: attribution windows reach 90 days.
PATIENCE: Final = 7 * DAY
# From the moment it was received to when it should be at X: within X's window for the pixel's twin.
PROMISED_WITHIN: Final = 48 * HOUR
# How much is kept of X's own words.
ANSWER_LIMIT: Final = 2_048

# Why a ledger holds a delivery or lets a lease lapse, for a person to read.
MAY_COUNT_TWICE: Final = "X may have it already: sending it again could count it twice"
WAITED_TOO_LONG: Final = "it has waited too long to be sent"
SENDER_STOPPED: Final = "the sender stopped before it knew the answer"


class State(StrEnum):
    QUEUED = auto()  # in the outbox, waiting until it is due
    SENDING = auto()  # claimed by one sender, under a lease
    DELIVERED = auto()  # X has taken it
    HELD = auto()  # sending again could double count, or nobody can: a person decides
    DEAD = auto()  # given up; only a person brings it back
    SUPPRESSED = auto()  # not sent on purpose, with the reason


class Trigger(StrEnum):
    CLAIMED = auto()
    DELIVERED = auto()
    POSTPONED = auto()
    BURIED = auto()
    HELD = auto()
    LAPSED = auto()
    REPLAYED = auto()
    DISCARDED = auto()


TRANSITIONS: Final[Mapping[State, Mapping[Trigger, State]]] = MappingProxyType(
    {
        State.QUEUED: MappingProxyType(
            {
                Trigger.CLAIMED: State.SENDING,
                # Its time ran out while it waited.
                Trigger.HELD: State.HELD,
            }
        ),
        State.SENDING: MappingProxyType(
            {
                Trigger.DELIVERED: State.DELIVERED,
                Trigger.POSTPONED: State.QUEUED,
                Trigger.BURIED: State.DEAD,
                Trigger.HELD: State.HELD,
                # The sender died between claim and settlement: X may have it already.
                Trigger.LAPSED: State.QUEUED,
            }
        ),
        State.DELIVERED: MappingProxyType({}),
        State.HELD: MappingProxyType(
            {Trigger.REPLAYED: State.QUEUED, Trigger.DISCARDED: State.SUPPRESSED}
        ),
        State.DEAD: MappingProxyType(
            {Trigger.REPLAYED: State.QUEUED, Trigger.DISCARDED: State.SUPPRESSED}
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
    """The promise that one conversion reaches one pixel, as a sender claims it.

    Times are milliseconds since the epoch. `body` is the conversion as X is sent it, rendered once
    and never changed; `attempts` counts the tries before this one; `ambiguous_since` is when X may
    first have taken it without our knowing.
    """

    id: int
    conversion_id: str
    body: bytes
    received_at: int
    attempts: int = 0
    ambiguous_since: int | None = None

    def __repr__(self) -> str:
        return f"Delivery({self.id}, {self.conversion_id}, body=<{len(self.body)} bytes>)"


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


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of some deliveries of an attempt.

    `due_at` goes with POSTPONED; `reason` with HELD and BURIED.
    """

    trigger: Trigger
    deliveries: tuple[int, ...]
    due_at: int | None = None
    reason: str | None = None


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt and the next states, written together.

    Without an attempt, it settles deliveries whose last attempt is on record already. Deliveries of
    the lease that no fate names stay under it, until `lease_until` (milliseconds).
    """

    lease: int
    attempt: Attempt | None
    fates: tuple[Fate, ...]
    lease_until: int
