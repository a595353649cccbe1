"""The suspects of a pixel without a worker."""

from builders import NOW
from changing import Changing
from twite.domain.blame.suspects import Suspects
from twite.domain.delivery import Delivery

EVENT, OTHER = "o8z6m", "o8z6k"


class Pixel(Changing):
    def __init__(self):
        super().__init__(Suspects())
        self.other = 1_000_000
        self.elapsed = 0

    def accepts_another(self):
        self.other += 1
        self.took(group(self.other), event=OTHER)

    def isolates(self, *ids, event=EVENT, refusal=None):
        for id_ in ids:
            self.finds(delivery(id_), refusal, event=event)

    def finds(self, found, refusal=None, *, event=EVENT):
        """Return (consecutive refusals with acceptances in between, number of bad requests)."""
        self.found(found, refusal, event=event, elapsed=self.elapsed)
        isolated = self.isolated[found.id]
        return isolated.proven, isolated.times

    def skips(self, *, is_hanging=False):
        return self.skip(elapsed=self.elapsed, is_hanging=is_hanging)


def delivery(id_):
    return Delivery(id=id_, conversion_id=f"c{id_}", body=b"{}", received_at=NOW)


def group(*ids):
    return tuple(map(delivery, ids))
