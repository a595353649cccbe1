"""History of a conversion (attempts, state), and counts of all conversions by state."""

from collections.abc import Iterable
from typing import Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.delivery import AMBIGUITY_WINDOW, NO_REQUEST, State
from twite.domain.joins import GainedIdentifier
from twite.domain.secret import Masked
from twite.domain.test_mode import is_test
from twite.domain.times import spelled
from twite.domain.value_change import ValueChange

# Why an ambiguous delivery is not sent again, until it is held.
TOO_OLD_TO_RESEND: Final = (
    "it may have arrived, and 40 hours have passed since, so it is not sent again. A running "
    "gateway holds it, usually within 5 minutes"
)


class PastAttempt(Masked, frozen=True, kw_only=True):
    """One attempt. `at` is in milliseconds; `answer` is untrusted text from X.

    `size` is the number of conversions in the request.
    """

    in_repr = ("at", "outcome", "status")
    at: int
    outcome: str
    status: int | None
    answer: str
    ambiguous: bool = False
    size: int = 1

    @property
    def is_without_request(self) -> bool:
        """Whether the attempt was a tag run that made no request."""
        return self.status is None and self.answer.startswith(NO_REQUEST)


class TagNotFired(msgspec.Struct, frozen=True, kw_only=True):
    """A tag that did not fire for a conversion. `why` completes "did not fire:"."""

    tag: str
    why: str


class Rival(msgspec.Struct, frozen=True, kw_only=True):
    """Another copy of a dead or held conversion: sent, queued, or received later."""

    delivery: int
    state: State


class History(Masked, frozen=True, kw_only=True):
    """The history of one conversion. Times are milliseconds since the epoch.

    `sent` is the body sent to X (JSON), empty after pruning; `cause` and `reason` say why it is
    held, dead or suppressed; `duplicates` counts repeats; `paused` is why its pixel is paused;
    `spent` is the rate limit that is used up until `spent_until`; `consent` is the stored decision
    (JSON); X may have received it at `ambiguous_since` or later; `called` is the source's own id;
    `superseded_by` is the later copy with the same dedup key, `supersedes` are the earlier ones;
    `rival` is another copy that sending this one would duplicate; `gained` are the identifiers that
    other events of the visitor added, for which it waits while `is_joining`; `value_change` is what
    a value rule made of its amount.
    """

    in_repr = ("pixel", "event", "conversion_id", "state")
    delivery: int
    pixel: str
    event: str
    conversion_id: str
    state: State
    source: str
    receipt: str
    received_at: int
    deadline_at: int
    sent: bytes
    attempts: tuple[PastAttempt, ...]
    duplicates: int = 0
    cause: DeliveryCause | None = None
    reason: str | None = None
    due_at: int | None = None
    paused: str | None = None
    spent: str | None = None
    spent_until: int = 0
    consent: bytes | None = None
    not_fired: tuple[TagNotFired, ...] = ()
    ambiguous_since: int | None = None
    called: str | None = None
    superseded_by: int | None = None
    supersedes: tuple[int, ...] = ()
    rival: Rival | None = None
    gained: tuple[GainedIdentifier, ...] = ()
    is_joining: bool = False
    value_change: ValueChange | None = None


def waiting(history: History, *, now: int) -> str | None:  # noqa: PLR0911  a reason each
    """Return why a queued conversion is not sent now; None if it is next in the queue.

    `now` is in ms.
    """
    if history.state is not State.QUEUED:
        return None
    if history.ambiguous_since is not None and now - history.ambiguous_since > AMBIGUITY_WINDOW:
        return TOO_OLD_TO_RESEND
    if history.paused is not None:
        return f"sending is paused: {history.paused}"
    if history.spent is not None and history.spent_until > now:
        return f"{history.spent}, until {spelled(history.spent_until)}"
    if history.due_at is not None and history.due_at > now:
        until = spelled(history.due_at)
        if history.is_joining:
            return f"it waits for identifiers of the visitor, until {until}"
        return f"the next attempt is at {until}"
    return None


class ConversionCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one source's and pixel's conversions by state; `pixel` is "" if unknown."""

    source: str
    pixel: str
    received: int = 0
    delivered: int = 0
    duplicate: int = 0
    suppressed: int = 0
    rejected: int = 0
    dead: int = 0
    held: int = 0
    pending: int = 0

    @property
    def conversions(self) -> int:
        """The received conversions without duplicates, as lists show them."""
        return self.received - self.duplicate

    @property
    def balance(self) -> int:
        """Received conversions that no state accounts for: must be 0."""
        return self.received - (
            self.delivered
            + self.duplicate
            + self.suppressed
            + self.rejected
            + self.dead
            + self.held
            + self.pending
        )


def without_tests(accounts: Iterable[ConversionCounts]) -> list[ConversionCounts]:
    """Return the counts of real conversions."""
    return [account for account in accounts if not is_test(account.source)]


def tests_of(accounts: Iterable[ConversionCounts]) -> list[ConversionCounts]:
    """Return the counts of test conversions."""
    return [account for account in accounts if is_test(account.source)]


def total(accounts: Iterable[ConversionCounts]) -> ConversionCounts:
    """Return the sum of all counts; its source and pixel are empty."""
    sums = dict.fromkeys(ConversionCounts.__struct_fields__[2:], 0)
    for account in accounts:
        for name in sums:
            sums[name] += getattr(account, name)
    return ConversionCounts(source="", pixel="", **sums)
