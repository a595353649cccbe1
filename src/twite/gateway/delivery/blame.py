"""Blame: whose fault an answer is: one conversion's, its event's, the pixel's, or X's own.

X says so of what it read. Of a 5xx, of no answer, of a 401, or of a page of HTML it says nothing:
what it takes meanwhile does.
"""

from collections.abc import Sequence
from typing import Final, TypeGuard

from twite.domain.delivery import Delivery
from twite.domain.outcome import Delivered, Errored, Outcome, Rejected, RejectionScope
from twite.gateway.delivery.bisect import Group
from twite.gateway.delivery.circuit_breaker import CircuitBreaker
from twite.gateway.delivery.event_pauses import REFUSED_ALIKE, EventPauses
from twite.gateway.delivery.suspects import Suspects, is_failed, is_refused_as_such
from twite.gateway.ports.store import Randomness

# How the reason begins of an event's pause that X fails at, whatever it is sent.
FAILS_AT_ALL: Final = "all conversions failed alike"
# So many different ones refused as such, of events that are not paused, and none taken or judged
# between: whatever is suspected of them, it may be the pixel.
MOST_IN_A_ROW: Final = 20
# So many of what came to nothing are told from others when a pixel is probed.
_MOST_FAILED: Final = 1_000


class Blame:
    """One pixel's."""

    def __init__(
        self,
        *,
        suspects: Suspects,
        circuit_breaker: CircuitBreaker,
        pauses: EventPauses,
        randomness: Randomness,
        cautious: bool,
    ) -> None:
        self._suspects = suspects
        self._circuit_breaker = circuit_breaker
        self._pauses = pauses
        self._randomness = randomness
        self._cautious = cautious
        # What came to nothing since X took anything, and its event.
        self.failed: dict[int, str] = {}
        # The first of each group that was refused as such since X took or judged anything.
        self._row: set[int] = set()

    def is_open(self, event: str, group: Group, outcome: Outcome, why: Outcome | None) -> bool:
        """Whether one of these is at fault, or their event, and it is to be found out."""
        many = len(group) > 1
        if is_refused(outcome):
            return True
        if is_refused_as_such(outcome):
            if why is not None and is_refused_as_such(why):
                return True
            if event in self._pauses.paused() or self._suspects.explain(group):
                return True
            unclear = outcome.scope is RejectionScope.UNCLEAR or self._suspects.is_shown(outcome)
            return many and unclear and not self._circuit_breaker.paused
        if not many or self._cautious or not is_failed(outcome):
            return False
        return (why is not None and is_failed(why)) or self._suspects.explain(group)

    async def hear(self, event: str, group: Group, outcome: Outcome, *, is_open: bool) -> None:
        """Hear an answer to what was sent. Raises LedgerUnavailable."""
        suspects, is_known = self._suspects, self._suspects.explain(group)
        if isinstance(outcome, Delivered):
            suspects.took(group, event=event)
            self.failed.clear()
        elif is_refused_as_such(outcome) or is_failed(outcome):
            suspects.note(group, event=event)
        if not isinstance(outcome, Errored):
            self._circuit_breaker.record_response()
        self._count(event, group, outcome)
        match outcome:
            case Rejected(scope=RejectionScope.PIXEL | RejectionScope.UNCLEAR) if (
                is_open and len(self._row) < MOST_IN_A_ROW
            ):
                pass
            case Rejected(scope=RejectionScope.PIXEL | RejectionScope.UNCLEAR):
                await self._stop(event, group, outcome)
            case Delivered() | Rejected():
                # X knows who asks, and judges what is asked.
                await self._circuit_breaker.passed()
            case Errored(limited=False):
                if is_failed(outcome) and suspects.is_the_event(event):
                    await self._pauses.trip(event, f"{FAILS_AT_ALL}: {outcome.reason}")
                elif not (is_open or is_known) or not is_failed(outcome):
                    # X itself may be in trouble, not with these: others tell.
                    self._remember(event, group)
                    self._circuit_breaker.record_failure(randomness=self._randomness.fraction())

    def _remember(self, event: str, group: Sequence[Delivery]) -> None:
        for one in group[: max(0, _MOST_FAILED - len(self.failed))]:
            self.failed[one.id] = event

    def _count(self, event: str, group: Group, outcome: Outcome) -> None:
        if is_refused_as_such(outcome):
            if event not in self._pauses.paused():
                self._row.add(group[0].id)
        elif not isinstance(outcome, Errored):
            self._row.clear()

    async def all_alike(self, event: str, found: Sequence[tuple[Delivery, Rejected]]) -> None:
        """Hear that these were refused as such by themselves, and none was taken beside them."""
        refusal = found[-1][1]
        self._suspects.blamed(refusal)
        await self._stop(event, [one for one, _ in found], refusal)

    async def _stop(self, event: str, group: Sequence[Delivery], refusal: Rejected) -> None:
        """Send no more until another one has told: of the event, or of the whole pixel."""
        self._remember(event, group)
        if self._suspects.is_the_event(event):
            await self._pauses.trip(event, f"{REFUSED_ALIKE}: {refusal.reason}")
        elif refusal.scope is RejectionScope.UNCLEAR or self._suspects.is_shown(refusal):
            await self._circuit_breaker.doubt(refusal.reason)
        else:
            await self._circuit_breaker.trip(refusal.reason)


def is_refused(outcome: Outcome) -> TypeGuard[Rejected]:
    """Whether X refuses the request for what is in it: its conversions, or their number."""
    return isinstance(outcome, Rejected) and outcome.scope in {
        RejectionScope.CONVERSION,
        RejectionScope.SIZE,
    }
