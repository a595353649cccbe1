"""Blame: decide whose fault a bad response is: one conversion, its event, the pixel, or X itself.

X's error codes say so for conversions it read. For a 5xx, a 401, a page of HTML or no answer,
the conversions that X accepts meanwhile decide.
"""

from collections.abc import Sequence
from typing import Final, TypeGuard

from twite.domain.delivery import Delivery
from twite.domain.outcome import Delivered, Errored, Outcome, Rejected, RejectionScope
from twite.gateway.delivery.bisect import Group
from twite.gateway.delivery.circuit_breaker import CircuitBreaker
from twite.gateway.delivery.event_pauses import REFUSED_ALIKE, EventPauses
from twite.gateway.delivery.suspects import Suspects, is_failed, is_refused_as_such
from twite.gateway.ports.machine import Randomness

# The beginning of the reason of an event pause after failures.
FAILS_AT_ALL: Final = "all conversions failed alike"
# After this many different deliveries refused in a row, and none accepted or judged between, the
# pixel may be at fault, whatever is suspected of them. Paused events and deliveries that X refused
# alone before do not count: they say nothing new.
MOST_IN_A_ROW: Final = 20
# Failed deliveries remembered, so that a probe picks another one.
_MOST_FAILED: Final = 1_000


class Blame:
    """Reads the responses of one pixel and trips its circuit breaker or event pauses."""

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
        # Deliveries (id → event) that failed since X last accepted one.
        self.failed: dict[int, str] = {}
        # Those of them that were alone in their request.
        self._failed_alone: set[int] = set()
        # First delivery of each group refused since X last accepted or judged one.
        self._row: set[int] = set()

    def is_open(self, event: str, group: Group, outcome: Outcome, why: Outcome | None) -> bool:
        """Whether one of these or their event is at fault, and a bisect must find it."""
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
        """Record the outcome of a request. Raises LedgerUnavailable."""
        suspects, is_known = self._suspects, self._suspects.explain(group)
        if isinstance(outcome, Delivered):
            suspects.took(group, event=event)
            self.failed.clear()
            self._failed_alone.clear()
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
                # X accepted the credentials and judged the content.
                await self._circuit_breaker.passed()
            case Errored(limited=False):
                if is_failed(outcome) and suspects.is_the_event(event):
                    await self._pauses.trip(event, f"{FAILS_AT_ALL}: {outcome.reason}")
                elif not (is_open or is_known) or not is_failed(outcome):
                    # X itself may be down: try others.
                    self._remember(event, group)
                    self._circuit_breaker.record_failure(randomness=self._randomness.fraction())

    def _remember(self, event: str, group: Sequence[Delivery]) -> None:
        for delivery in group[: max(0, _MOST_FAILED - len(self.failed))]:
            self.failed[delivery.id] = event

        if len(group) == 1:
            self._failed_alone.add(group[0].id)

    def retry_failed(self) -> None:
        """Forget the failed deliveries that were not alone; if all were alone, forget all."""
        kept = {id_: event for id_, event in self.failed.items() if id_ in self._failed_alone}
        if len(kept) == len(self.failed):
            kept = {}
            self._failed_alone.clear()
        self.failed = kept

    def _count(self, event: str, group: Group, outcome: Outcome) -> None:
        if is_refused_as_such(outcome):
            is_old = len(group) == 1 and self._suspects.was_refused_alone(group[0])
            if event not in self._pauses.paused() and not is_old:
                self._row.add(group[0].id)
        elif not isinstance(outcome, Errored):
            self._row.clear()

    async def all_alike(self, event: str, found: Sequence[tuple[Delivery, Rejected]]) -> None:
        """Record that all of these were refused alone, and none of their batch accepted."""
        refusal = found[-1][1]
        self._suspects.blamed(refusal)
        await self._stop(event, [delivery for delivery, _ in found], refusal)

    async def _stop(self, event: str, group: Sequence[Delivery], refusal: Rejected) -> None:
        """Pause the event or the pixel until a probe is accepted."""
        self._remember(event, group)
        if self._suspects.is_the_event(event):
            await self._pauses.trip(event, f"{REFUSED_ALIKE}: {refusal.reason}")
        else:
            unclear = refusal.scope is RejectionScope.UNCLEAR or self._suspects.is_shown(refusal)
            await self._circuit_breaker.doubt(
                refusal.reason, alone=len(group) == 1, is_likely=not unclear
            )


def is_refused(outcome: Outcome) -> TypeGuard[Rejected]:
    """Whether X refused the request for its content: conversions, or their number."""
    return isinstance(outcome, Rejected) and outcome.scope in {
        RejectionScope.CONVERSION,
        RejectionScope.SIZE,
    }
