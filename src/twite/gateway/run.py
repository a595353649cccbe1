"""Run: the sending half of the gateway, from start to a graceful stop."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from twite.domain.destination import RATE_WINDOW, Destination
from twite.gateway.breaker import Breaker
from twite.gateway.dispatch import Lane, Pace
from twite.gateway.flight import Flight
from twite.gateway.notices import Observer
from twite.gateway.ports import Chance, Depot, Pause
from twite.gateway.post import Post
from twite.gateway.quota import Quota
from twite.gateway.steady import SteadyClock
from twite.gateway.sweep import Sweep
from twite.gateway.tags.lanes import TagLanes
from twite.gateway.tags.rule import Rule


class Run:
    """Lanes for all pixels and tags, and the sweep."""

    def __init__(
        self,
        *,
        destinations: Iterable[Destination],
        outbox: Depot,
        post: Post,
        clock: SteadyClock,
        chance: Chance,
        observer: Observer,
        pace: Pace,
        tags: TagLanes | None = None,
    ) -> None:
        self._tags = tags
        self._destinations = tuple(destinations)
        self._outbox = outbox
        self._post = post
        self._clock = clock
        self._chance = chance
        self._observer = observer
        self._pace = pace
        self._lanes: dict[str, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        # The leases of what flies here: nothing but its end ends them.
        self._holding: set[int] = set() if tags is None else tags.holding
        self._sweep = Sweep(
            outbox=outbox,
            clock=clock,
            observer=observer,
            wake_all=self.wake_all,
            lease=pace.lease,
            holding=self._holding,
            cautious=frozenset(
                [one.pixel for one in self._destinations if one.is_cautious]
                + [one.pixel for one in self._rules() if one.is_cautious]
            ),
        )

    def wake(self, pixel: str) -> None:
        """Hear that a pixel has something due. An unknown pixel is nobody's."""
        lane = self._lanes.get(pixel)
        if lane is not None:
            lane.wake()

    def wake_all(self) -> None:
        """Hear that any pixel may have something due."""
        for lane in self._lanes.values():
            lane.wake()

    def send_to(self, destination: Destination) -> None:
        """Send to a further pixel from now on, or with other credentials to one that is known."""
        lane = self._lanes.get(destination.pixel)
        if lane is not None:
            lane.use(destination)
        elif not self._stopping.is_set():
            quota = Quota(
                limit=destination.rate, clock=self._clock, past=(), pixels=[destination.pixel]
            )
            lane = self._lanes[destination.pixel] = self._lane(destination, quota, ())
            task = asyncio.create_task(lane.run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def leave(self, pixel: str) -> None:
        """Send to a pixel no more. What flies lands; what is pending waits."""
        lane = self._lanes.pop(pixel, None)
        if lane is not None:
            lane.stop()

    async def hold(self, pixel: str, *, who: str) -> bool:
        """Pause a pixel by hand; return whether it is sent to at all. Raises LedgerUnavailable."""
        lane = self._lanes.get(pixel)
        if lane is not None:
            await lane.hold(who)
        return lane is not None

    async def release(self, pixel: str) -> bool:
        """End any pause of a pixel; return whether it is sent to at all."""
        lane = self._lanes.get(pixel)
        if lane is not None:
            await lane.release()
        return lane is not None

    @property
    def trouble(self) -> str | None:
        """Why the store cannot be written to, or None when it could be a moment ago."""
        return self._sweep.trouble

    async def start(self) -> None:
        """Take up where the last process left off. Raises LedgerUnavailable."""
        timed = await self._outbox.timed()
        self._clock.resume(latest=timed.latest, ahead=timed.ahead)
        await self._sweep.once()
        pauses = list(await self._outbox.pauses())
        quotas = await self._quotas(timed.last)
        for destination in self._destinations:
            self._lanes[destination.pixel] = self._lane(
                destination, quotas[destination.meter], pauses
            )
        if self._tags is not None:
            past = await self._outbox.spent(since=self._clock.now() - RATE_WINDOW)
            for rule in self._tags.rules:
                self._lanes[rule.pixel] = self._tags.lane(
                    rule, past=past.get(rule.pixel, ()), pause=_whole(pauses, rule.pixel)
                )
        for lane in self._lanes.values():
            self._tasks.add(asyncio.create_task(lane.run()))
        self._tasks.add(asyncio.create_task(self._sweep.run(self._stopping)))

    async def stop(self, *, within: int) -> bool:
        """Claim no more and let what flies land; return whether all did within the deadline (ms).

        What did not is sending in the ledger, and is resent as ambiguous after the next start.
        """
        self._stopping.set()
        for lane in self._lanes.values():
            lane.stop()
        if not self._tasks:
            return True
        _, flying = await asyncio.wait(self._tasks, timeout=within / 1_000)
        for task in flying:
            task.cancel()
        if flying:
            await asyncio.wait(flying)
        return not flying

    def _rules(self) -> tuple[Rule, ...]:
        return () if self._tags is None else self._tags.rules

    async def _quotas(self, last: int) -> Mapping[str, Quota]:
        """One quota for each account, filled with what was sent before this start.

        As if no time had gone by since the `last` moment on record: how long it was in truth, a
        clock that was moved meanwhile does not tell, and too early is worse than a little late.
        """
        now = self._clock.now()
        away = max(0, now - last) if last else 0
        since = now - away - RATE_WINDOW
        spent = await self._outbox.spent(since=since)
        past: dict[str, list[tuple[int, int]]] = {}
        limits: dict[str, int] = {}
        for destination in self._destinations:
            past.setdefault(destination.meter, []).extend(
                (at + away, many) for at, many in spent.get(destination.pixel, ())
            )
            limits[destination.meter] = destination.rate
        closed = {one.pixel: one.until + away for one in await self._outbox.closures(now=since)}
        quotas = {}
        for name, sent in past.items():
            pixels = [one.pixel for one in self._destinations if one.meter == name]
            quota = Quota(limit=limits[name], clock=self._clock, past=sent, pixels=pixels)
            until = max((closed.get(pixel, 0) for pixel in pixels), default=0)
            if until:
                quota.obey(left=0, reset=until)
                quota.noted(until)
            quotas[name] = quota
        return quotas

    def _lane(self, destination: Destination, quota: Quota, pauses: Sequence[Pause]) -> Lane:
        breaker = Breaker(
            pixel=destination.pixel,
            outbox=self._outbox,
            clock=self._clock,
            observer=self._observer,
            pause=_whole(pauses, destination.pixel),
        )
        flight = Flight(
            destination=destination,
            depot=self._outbox,
            post=self._post,
            quota=quota,
            breaker=breaker,
            clock=self._clock,
            chance=self._chance,
            observer=self._observer,
            lease=self._pace.lease,
            in_flight=self._pace.in_flight,
            pauses=[one for one in pauses if one.pixel == destination.pixel and one.event],
        )
        return Lane(
            pixel=destination.pixel,
            outbox=self._outbox,
            flight=flight,
            quota=quota,
            breaker=breaker,
            clock=self._clock,
            observer=self._observer,
            pace=self._pace,
            holding=self._holding,
            cautious=destination.is_cautious,
        )


def _whole(pauses: Iterable[Pause], pixel: str) -> Pause | None:
    """Return the pause of a pixel itself, not of an event of it."""
    return next((one for one in pauses if (one.pixel, one.event) == (pixel, "")), None)
