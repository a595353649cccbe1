"""A pixel whose responses are judged: see `gateway.delivery.settlement.Blame`."""

from fakes import MovingClock
from memory_store.store import MemoryStore
from twite.domain.delivery import Delivered, Delivery, Errored, Rejected, RejectionScope
from twite.gateway.delivery.circuit_breaker import CircuitBreaker, EventPauses
from twite.gateway.delivery.in_flight import RequestsInFlight
from twite.gateway.delivery.settlement import Blame
from twite.gateway.delivery.suspects import ROW, Suspects
from worker_bench import Seen

EVENT, OTHER = "o8z6k", "o8z6m"
DELIVERED = Delivered(debug_id="d")
FAILED = Errored(reason="503", ambiguous=True)
UNSENT = Errored(reason="no connection", ambiguous=False)
LIMITED = Errored(reason="429", ambiguous=False, limited=True)
BAD, LARGE, WRONG_EVENT, NOT_YOU, PAGE = (
    Rejected(scope=scope, reason=f"{status} refused")
    for scope, status in (
        (RejectionScope.CONVERSION, 400), (RejectionScope.SIZE, 413), (RejectionScope.EVENT, 404),
        (RejectionScope.PIXEL, 401), (RejectionScope.UNCLEAR, 403),
    )
)  # fmt: skip


def group_of(*ids):
    return tuple(
        Delivery(id=id_, conversion_id=f"c{id_}", body=b"{}", received_at=0) for id_ in ids
    )


class Pixel(Blame):
    """The blame of a pixel, with its own breaker, pauses and suspects."""

    def __init__(self, *, cautious=False):
        self.clock, self.draw = MovingClock(), 0.0
        common = {"pixel": "p", "state": MemoryStore(), "clock": self.clock, "observer": Seen()}
        super().__init__(
            suspects=Suspects(
                clock=self.clock, requests=RequestsInFlight(clock=self.clock, slots=4)
            ),
            circuit_breaker=CircuitBreaker(**common, pause=None),
            pauses=EventPauses(**common, pauses=()),
            randomness=self,
            cautious=cautious,
        )

    def fraction(self):
        return self.draw

    async def hears(self, outcome, *ids, event=EVENT, is_open=False):
        await self.record_outcome(event, group_of(*ids), outcome, is_open=is_open)

    def opens(self, outcome, *ids, why=None):
        return self.is_open(EVENT, group_of(*ids), outcome, why)

    def suspect(self, *ids):
        """Let these deliveries fail; then make X accept another one."""
        self.suspects.note(group_of(*ids), event=EVENT)
        self.suspects.took(group_of(99), event=OTHER)

    def refuse_alone(self, delivery, refusal):
        """Make X refuse a delivery alone twice, and accept another before each refusal."""
        for _ in range(2):
            self.suspects.took(group_of(99), event=OTHER)
            self.suspects.found(*group_of(delivery), refusal, event=EVENT)

    def blame_the_event(self):
        """Make the event fail again and again, while X accepts another event."""
        for number in range(ROW):
            self.suspects.took(group_of(99), event=OTHER)
            self.suspects.note(group_of(1_000 + number), event=EVENT)
