"""Flight: one claimed batch, from the first request to the last settlement."""

from collections.abc import Sequence
from typing import Final, TypeGuard

from twite.domain.delivery import Attempt, Batch, Delivery, Fate, Settlement, Trigger
from twite.domain.destination import Destination
from twite.domain.errors import PassingError
from twite.domain.outcome import Delivered, Errored, Outcome, Rejected, Scope
from twite.domain.times import MINUTE
from twite.gateway.breaker import REFUSED_ALIKE, Breaker
from twite.gateway.isolate import Group, Isolation
from twite.gateway.notices import Attempted, Moved, Observer, Troubled
from twite.gateway.ports import Answer, Chance, Clock, NoAnswer, Outbox
from twite.gateway.post import Post
from twite.gateway.quota import Quota
from twite.gateway.settle import attempt, fates
from twite.x import spec

# What isolation did not come to is tried again after this: its budget is for a minute.
ISOLATION_PAUSE: Final = MINUTE


class Flight:
    """Takes a pixel's batches to their end, one after the other or several at once."""

    def __init__(
        self,
        *,
        destination: Destination,
        outbox: Outbox,
        post: Post,
        quota: Quota,
        breaker: Breaker,
        clock: Clock,
        chance: Chance,
        observer: Observer,
        lease: int,
    ) -> None:
        self._destination = destination
        self._outbox = outbox
        self._post = post
        self._quota = quota
        self._breaker = breaker
        self._clock = clock
        self._chance = chance
        self._observer = observer
        self._lease = lease
        # What isolation did not come to, of batches of which X took something.
        self._mixed: set[int] = set()
        # How many the next batch may hold: fewer while the limit leaves none for isolation, or the
        # same bad batch would spend all of each window and come to nothing.
        self.most = spec.MAX_CONVERSIONS

    async def take(self, batch: Batch) -> None:
        """Send a batch and settle every delivery of it.

        Trouble with the store leaves what was sent as sending in the ledger: its lease lapses, and
        it is sent again as ambiguous.
        """
        try:
            outcome = await self._try(batch, batch.deliveries)
            if not _is_refused(outcome):
                self._mixed.difference_update(_ids(batch.deliveries))
                self.most = min(spec.MAX_CONVERSIONS, self.most * 2)
                return
            if len(batch.deliveries) > 1:
                await self._isolate(batch, outcome)
            else:
                self._mixed.difference_update(_ids(batch.deliveries))
                await self._bury(batch, [(batch.deliveries[0], outcome)])
        except PassingError as error:
            self._observer.see(Troubled(where="outbox", reason=error.reason))

    async def _try(self, batch: Batch, group: Group) -> Outcome:
        """Send a group, counted already, and settle it unless X refuses conversions of it."""
        at, began = self._clock.now(), self._clock.elapsed()
        came, outcome = await self._post.send(self._destination, [one.body for one in group])
        self._note(batch, group, came, outcome, took=self._clock.elapsed() - began)
        decided: tuple[Fate, ...] = ()
        if not _is_refused(outcome):
            chance = self._chance.fraction()
            decided = fates(group, outcome, now=self._clock.now(), chance=chance)
        tried = attempt(group, outcome, came, pixel=batch.pixel, event=batch.event, at=at)
        try:
            await self._settle(batch, tried, decided)
        except PassingError:
            # Trouble with the store is no reason to ask a pixel again that X refuses.
            await self._mind_the_pixel(outcome)
            raise
        await self._mind_the_pixel(outcome)
        return outcome

    async def _isolate(self, batch: Batch, refusal: Rejected) -> None:
        mixed = self._mixed.intersection(_ids(batch.deliveries))
        isolation = Isolation(batch.deliveries, refusal, mixed)
        rest: Group = ()
        while (group := isolation.next()) is not None:
            if not await self._allowed(len(group)):
                rest = group
                self.most = max(1, len(batch.deliveries) // 2)
                break
            outcome = await self._try(batch, group)
            if isinstance(outcome, Delivered):
                isolation.took(group)
            elif _is_refused(outcome):
                isolation.learn(group, outcome)
            else:
                break
        rest = (*rest, *isolation.give_up())
        self._mixed -= mixed
        self._mixed.update(one.id for one in rest if isolation.taken or one.id in mixed)
        if isolation.is_the_account:
            await self._blame_the_account(batch, isolation.refused)
        else:
            await self._bury(batch, isolation.refused)
        if rest:
            due = self._clock.now() + (0 if isolation.is_the_account else ISOLATION_PAUSE)
            await self._decide(
                batch, Fate(trigger=Trigger.POSTPONED, deliveries=_ids(rest), due_at=due)
            )

    async def _allowed(self, count: int) -> bool:
        """Spend the limit for so many, if they are left."""
        async with self._quota.turn:
            if self._quota.left() < count:
                return False
            self._quota.spend(count)
            return True

    async def _bury(self, batch: Batch, refused: Sequence[tuple[Delivery, Rejected]]) -> None:
        """Give up what X refused by itself: with X's words, and no other's."""
        if refused and self._breaker.blames_conversions:
            await self._blame_the_account(batch, refused)
            return
        for delivery, refusal in refused:
            fate = Fate(trigger=Trigger.BURIED, deliveries=(delivery.id,), reason=refusal.reason)
            await self._decide(batch, fate)

    async def _blame_the_account(
        self, batch: Batch, refused: Sequence[tuple[Delivery, Rejected]]
    ) -> None:
        """Hold them: many were refused alike and none was taken, so it is not their fault."""
        reason = refused[0][1].reason
        ids = tuple(delivery.id for delivery, _ in refused)
        await self._decide(
            batch,
            Fate(trigger=Trigger.HELD, deliveries=ids, reason=f"{REFUSED_ALIKE}: {reason}"),
        )
        await self._breaker.trip(f"{REFUSED_ALIKE}: {reason}", blames_conversions=True)

    async def _decide(self, batch: Batch, fate: Fate) -> None:
        """Settle deliveries whose attempt is on record already."""
        await self._settle(batch, None, (fate,))

    async def _settle(self, batch: Batch, tried: Attempt | None, decided: tuple[Fate, ...]) -> None:
        await self._outbox.settle(
            Settlement(
                lease=batch.lease,
                attempt=tried,
                fates=decided,
                lease_until=self._clock.now() + self._lease,
            )
        )
        for fate in decided:
            self._observer.see(
                Moved(
                    pixel=batch.pixel,
                    trigger=fate.trigger,
                    deliveries=len(fate.deliveries),
                    reason=fate.reason or "",
                )
            )

    async def _mind_the_pixel(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Errored):
            self._breaker.stood()
        match outcome:
            case Delivered():
                await self._breaker.passed()
            case Rejected(scope=Scope.PIXEL, reason=reason):
                await self._breaker.trip(reason)
            case Rejected(scope=Scope.EVENT):
                # X knows who asks: only the event is wrong.
                await self._breaker.passed()
            case Rejected() if not self._breaker.blames_conversions:
                # It knows who asks, and judges what is asked.
                await self._breaker.passed()
            case Errored(limited=False):
                self._breaker.stumbled(chance=self._chance.fraction())

    def _note(
        self, batch: Batch, group: Group, came: Answer | NoAnswer, outcome: Outcome, *, took: int
    ) -> None:
        self._observer.see(
            Attempted(
                pixel=batch.pixel,
                event=batch.event,
                outcome=type(outcome).__name__.lower(),
                status=came.status if isinstance(came, Answer) else None,
                conversions=len(group),
                took=took,
                reason="" if isinstance(outcome, Delivered) else outcome.reason,
                ambiguous=isinstance(outcome, Errored) and outcome.ambiguous,
            )
        )
        if isinstance(outcome, Errored) and outcome.limited and outcome.retry_at is not None:
            self._quota.obey(left=0, reset=outcome.retry_at)
        elif isinstance(came, Answer) and (limit := self._post.limit(came)) is not None:
            left, reset = limit
            self._quota.obey(left=left, reset=reset)


def _is_refused(outcome: Outcome) -> TypeGuard[Rejected]:
    """Whether X refuses the request for what is in it: its conversions, or their number."""
    return isinstance(outcome, Rejected) and outcome.scope in {Scope.CONVERSION, Scope.SIZE}


def _ids(group: Group) -> tuple[int, ...]:
    return tuple(delivery.id for delivery in group)
