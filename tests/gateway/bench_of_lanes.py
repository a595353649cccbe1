"""A gateway's sending half on a memory store, a moving clock and a scripted way to X."""

from collections.abc import Iterable

from twite.domain.destination import Destination
from twite.gateway.dispatch import Pace
from twite.gateway.notices import Notice
from twite.gateway.post import Post
from twite.gateway.run import Run
from twite.gateway.steady import SteadyClock
from twite.testing.builders import a_destination, a_submission, an_entry
from twite.testing.chance import SeededChance
from twite.testing.clock import MovingClock
from twite.testing.memory import MemoryStore
from twite.testing.transport import Reply, ScriptedTransport, conversions_of


class Seen:
    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def see(self, notice: Notice) -> None:
        self.notices.append(notice)


class Setting:
    def __init__(
        self,
        *,
        replies: Iterable[Reply] = (),
        destinations: Iterable[Destination] = (),
        pace: Pace | None = None,
        clock: MovingClock | None = None,
    ) -> None:
        self.clock = clock or MovingClock()
        self.store = MemoryStore()
        self.transport = ScriptedTransport(replies)
        self.seen = Seen()
        self.pace = pace or Pace()
        self.destinations = tuple(destinations) or (a_destination(),)
        self.run = self.new_run()

    def new_run(self) -> Run:
        chance = SeededChance()
        clock = self.steady = SteadyClock(self.clock)
        post = Post(
            transport=self.transport,
            clock=clock,
            chance=chance,
            api_url="https://x.example",
            version="12",
        )
        return Run(
            destinations=self.destinations,
            outbox=self.store,
            post=post,
            clock=clock,
            chance=chance,
            observer=self.seen,
            pace=self.pace,
        )

    async def record(self, *ids: str, pixel: str = "o8z6j", event: str = "o8z6k") -> None:
        entries = (an_entry(one, pixel=pixel, event=event, index=i) for i, one in enumerate(ids))
        receipt = f"{pixel}-{event}-{ids[0]}"
        await self.store.record(
            a_submission(*entries, receipt=receipt, received_at=self.steady.now())
        )
        self.run.wake(pixel)

    def sent(self) -> list[list[str]]:
        """Return the conversion ids of each request, in order."""
        return [
            [str(one["conversion_id"]) for one in conversions_of(parcel)]
            for parcel in self.transport.sent
        ]

    async def state(self, conversion_id: str, pixel: str = "o8z6j", event: str = "o8z6k") -> str:
        lives = await self.store.life(pixel=pixel, events=[event], conversion_id=conversion_id)
        return lives[0].state
