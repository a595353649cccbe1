"""The suspects of a pixel without a worker."""

from builders import NOW
from fakes import MovingClock
from twite.domain.delivery import Delivery
from twite.gateway.delivery.in_flight import RequestsInFlight
from twite.gateway.delivery.suspects import Suspects

EVENT, OTHER = "o8z6m", "o8z6k"


class Pixel(Suspects):
    def __init__(self):
        self.clock = MovingClock()
        self.requests = RequestsInFlight(clock=self.clock, slots=4)
        super().__init__(clock=self.clock, requests=self.requests)
        self.other = 1_000_000

    def accepts_another(self):
        self.other += 1
        self.took(group(self.other), event=OTHER)

    def isolates(self, *ids, event=EVENT, refusal=None):
        for id_ in ids:
            self.found(delivery(id_), refusal, event=event)


def delivery(id_):
    return Delivery(id=id_, conversion_id=f"c{id_}", body=b"{}", received_at=NOW)


def group(*ids):
    return tuple(map(delivery, ids))
