"""Flight: one claimed batch, from the first request to the last settlement."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Final, TypeGuard

from twite.domain.delivery import AMBIGUITY_WINDOW, Attempt, Batch, Fate, Trigger
from twite.domain.destination import Destination
from twite.domain.errors import PassingError
from twite.domain.outcome import Delivered, Errored, Outcome, Rejected, Scope
from twite.domain.retry import backoff
from twite.domain.times import MINUTE
from twite.gateway.breaker import Breaker
from twite.gateway.burial import Burial
from twite.gateway.credentials import Keyring
from twite.gateway.hand import Hand, ids_of
from twite.gateway.isolate import Group, Isolation
from twite.gateway.notices import Attempted, Observer, Troubled
from twite.gateway.ports import Answer, Chance, Closure, Depot, NoAnswer
from twite.gateway.post import Post
from twite.gateway.quota import Quota
from twite.gateway.repute import Repute
from twite.gateway.settle import Settling, attempt, fates, fault
from twite.gateway.steady import SteadyClock
from twite.x import spec

# What isolation did not come to is tried again after this: its budget is for a minute.
ISOLATION_PAUSE: Final = MINUTE
_GIVING_BACK: Final = 1  # seconds


class Flight:
    """Takes a pixel's batches to their end, one after the other or several at once."""

    def __init__(
        self,
        *,
        destination: Destination,
        depot: Depot,
        post: Post,
        quota: Quota,
        breaker: Breaker,
        clock: SteadyClock,
        chance: Chance,
        observer: Observer,
        lease: int,
    ) -> None:
        self._keyring = Keyring(destination, clock=clock, observer=observer)
        self._cautious = destination.is_cautious
        self._depot = depot
        self._post = post
        self._quota = quota
        self._breaker = breaker
        self._clock = clock
        self._chance = chance
        self._observer = observer
        self._reputes: dict[str, Repute] = defaultdict(Repute)
        self._settling = Settling(depot=depot, clock=clock, observer=observer, lease=lease)
        self._burial = Burial(
            depot=depot,
            settling=self._settling,
            breaker=breaker,
            reputes=self._reputes,
            clock=clock,
            observer=observer,
        )
        # What isolation did not come to, of batches of which X took something.
        self._mixed: set[int] = set()
        self.stopping = False
        # How many the next batch may hold: fewer while the limit leaves none for isolation, or the
        # same bad batch would spend all of each window and come to nothing.
        self.most = spec.MAX_CONVERSIONS
        # And what X itself called too many.
        self._roomy = spec.MAX_CONVERSIONS

    def use(self, destination: Destination) -> None:
        """Send with other credentials of the same pixel from now on."""
        self._keyring.use(destination)
        self._breaker.hope()

    def limits(self) -> Mapping[str, int]:
        """Return how many a batch of an event may hold, where that is fewer than of others."""
        return {
            event: repute.size
            for event, repute in self._reputes.items()
            if repute.size < spec.MAX_CONVERSIONS
        }

    async def take(self, batch: Batch) -> None:
        """Send a batch and settle every delivery of it.

        Trouble with the store leaves what was sent as sending in the ledger: its lease lapses, and
        it is sent again as ambiguous. A fault of ours counts against what was being sent.
        """
        hand = Hand(batch, at=self._now())
        try:
            try:
                await self._fly(hand)
            except PassingError:
                raise
            except asyncio.CancelledError:
                # The stop waits no longer: neither may this, whatever the store does.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_GIVING_BACK):
                        await self.give_back(hand.batch, hand.rest())
                raise
            except Exception as error:  # noqa: BLE001  whatever it is: what was sent must be told
                self._observer.see(Troubled(where="flight", reason=type(error).__name__))
                await self._count_fault(hand, error)
        except PassingError as error:
            self._observer.see(Troubled(where="outbox", reason=error.reason))

    async def give_back(self, batch: Batch, deliveries: Sequence[int]) -> None:
        """Let others send what has not left: nothing is in doubt, and no try is counted."""
        if not deliveries:
            return
        back = Fate(trigger=Trigger.POSTPONED, deliveries=tuple(deliveries), due_at=self._now())
        await self._settling.settle(batch, None, (back,))

    async def _fly(self, hand: Hand) -> None:
        batch = hand.batch
        outcome = await self._try(hand, batch.deliveries)
        if not is_refused(outcome):
            self._mixed.difference_update(ids_of(batch.deliveries))
            self.most = min(self._roomy, self.most * 2)
            if isinstance(outcome, Delivered):
                self._reputes[batch.event].landed(taken=len(batch.deliveries), refused=0)
        elif len(batch.deliveries) > 1:
            await self._isolate(hand, outcome)
        else:
            mixed = {batch.deliveries[0].id} & self._mixed
            self._mixed -= mixed
            found = [(batch.deliveries[0], outcome)]
            await self._burial.bury(batch, found, at_fault=mixed)

    async def _try(self, hand: Hand, group: Group) -> Outcome:
        """Send a group, counted already, and settle it unless X refuses conversions of it."""
        came, outcome = await self._ask(hand, group)
        decided: tuple[Fate, ...] = ()
        if not is_refused(outcome):
            decided = fates(
                group,
                outcome,
                now=self._now(),
                chance=self._chance.fraction(),
                cautious=self._cautious,
            )
        await self._note_limit()
        try:
            await self._settling.settle(hand.batch, self._tried(hand, outcome, came), decided)
        except PassingError:
            # Trouble with the store is no reason to ask a pixel again that X refuses.
            await self._mind_the_pixel(outcome)
            raise
        await self._mind_the_pixel(outcome)
        if isinstance(outcome, Delivered):
            await self._burial.recall(hand.batch)
        return outcome

    async def _ask(self, hand: Hand, group: Group) -> tuple[Answer | NoAnswer, Outcome]:
        """Send a group, and once more with the pixel's other credential if X refuses the first."""
        first, *others = self._keyring.order()
        came, outcome = await self._ask_as(first, hand, group)
        for other in others:
            refused = self._keyring.hear(first, came, outcome)
            if not refused or not await self._allowed(len(group)):
                return came, outcome
            await self._settling.settle(hand.batch, self._tried(hand, outcome, came), ())
            came, outcome = await self._ask_as(other, hand, group)
            self._keyring.hear(other, came, outcome)
        return came, outcome

    async def _ask_as(
        self, destination: Destination, hand: Hand, group: Group
    ) -> tuple[Answer | NoAnswer, Outcome]:
        signed_at = self._clock.theirs()
        came, outcome = await self._send(destination, hand, group)
        if _is_refused_as_such(came, outcome):
            misdated = self._post.was_misdated(destination, came, at=signed_at)
            if misdated and await self._allowed(len(group)):
                # Once: from now on requests are signed with the time of X's answer.
                await self._settling.settle(hand.batch, self._tried(hand, outcome, came), ())
                came, outcome = await self._send(destination, hand, group)
        return came, outcome

    async def _send(
        self, destination: Destination, hand: Hand, group: Group
    ) -> tuple[Answer | NoAnswer, Outcome]:
        hand.group, hand.at = group, self._now()
        began = self._clock.elapsed()
        bodies = [one.body for one in group]
        hand.left = True
        came, outcome = await self._post.send(destination, bodies)
        hand.left = not isinstance(outcome, Rejected)
        self._note(hand, came, outcome, took=self._clock.elapsed() - began)
        return came, outcome

    async def _isolate(self, hand: Hand, refusal: Rejected) -> None:
        batch, repute = hand.batch, self._reputes[hand.batch.event]
        mixed = self._mixed.intersection(ids_of(batch.deliveries))
        isolation = Isolation(batch.deliveries, refusal, mixed | repute.cleared(batch.deliveries))
        if refusal.scope is Scope.SIZE:
            self._roomy = self.most = max(1, len(batch.deliveries) // 2)
        rest: Group = ()
        while not self.stopping and (group := isolation.next()) is not None:
            if self._is_too_late(group):
                rest = group
                break
            if not await self._allowed(len(group)):
                rest = group
                self.most = max(1, len(batch.deliveries) // 2)
                break
            outcome = await self._try(hand, group)
            if isinstance(outcome, Delivered):
                isolation.took(group)
            elif is_refused(outcome):
                isolation.learn(group, outcome)
            else:
                break
        rest = (*rest, *isolation.give_up())
        self._mixed -= mixed
        self._mixed.update(one.id for one in rest if isolation.taken or one.id in mixed)
        repute.landed(taken=isolation.taken, refused=len(isolation.refused))
        if isolation.is_the_account:
            await self._burial.blame_the_account(batch, isolation.refused)
        else:
            at_fault = ids_of(batch.deliveries) if isolation.taken else mixed
            await self._burial.bury(batch, isolation.refused, at_fault=frozenset(at_fault))
        if rest:
            at_once = isolation.is_the_account or self.stopping
            due = self._now() + (0 if at_once else ISOLATION_PAUSE)
            later = Fate(trigger=Trigger.POSTPONED, deliveries=ids_of(rest), due_at=due)
            await self._settling.settle(batch, None, (later,))

    def _is_too_late(self, group: Group) -> bool:
        """Whether the time of any that X may have ran out: to isolate can take half an hour."""
        now = self._now()
        since = [one.ambiguous_since for one in group if one.ambiguous_since is not None]
        return bool(since) and now - min(since) > AMBIGUITY_WINDOW

    async def _allowed(self, count: int) -> bool:
        """Spend the limit for so many, if they are left."""
        async with self._quota.turn:
            if self._quota.left() < count:
                return False
            self._quota.spend(count)
            return True

    async def _count_fault(self, hand: Hand, error: Exception) -> None:
        """Put a fault of ours on record; with what was being sent, it counts as a crash."""
        tries = max(one.attempts for one in hand.group) + 1
        due = self._now() + backoff(attempts=tries, chance=self._chance.fraction())
        tried = fault(
            hand.group,
            error,
            pixel=hand.batch.pixel,
            event=hand.batch.event,
            at=hand.at,
            ambiguous=hand.left,
        )
        blamed = Fate(trigger=Trigger.LAPSED, deliveries=ids_of(hand.group), due_at=due)
        named = set(blamed.deliveries)
        others = tuple(one.id for one in hand.batch.deliveries if one.id not in named)
        back = (Fate(trigger=Trigger.POSTPONED, deliveries=others, due_at=due),) if others else ()
        await self._settling.settle(hand.batch, tried, (blamed, *back))

    async def _note_limit(self) -> None:
        """Write down a reset that X named, before the answer that named it is settled."""
        until = self._quota.unnoted()
        if until is None:
            return
        reason = "X takes no more until its limit is reset"
        try:
            await self._depot.close_limits(
                [Closure(pixel=one, until=until, reason=reason) for one in self._quota.pixels]
            )
        except PassingError as error:
            # Memory has it; the next answer tries again.
            self._observer.see(Troubled(where="outbox", reason=error.reason))
        else:
            self._quota.noted(until)

    def _tried(self, hand: Hand, outcome: Outcome, came: Answer | NoAnswer) -> Attempt:
        batch = hand.batch
        return attempt(hand.group, outcome, came, pixel=batch.pixel, event=batch.event, at=hand.at)

    def _now(self) -> int:
        return self._clock.now()

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

    def _note(self, hand: Hand, came: Answer | NoAnswer, outcome: Outcome, *, took: int) -> None:
        self._observer.see(
            Attempted(
                pixel=hand.batch.pixel,
                event=hand.batch.event,
                outcome=type(outcome).__name__.lower(),
                status=came.status if isinstance(came, Answer) else None,
                conversions=len(hand.group),
                took=took,
                reason="" if isinstance(outcome, Delivered) else outcome.reason,
                ambiguous=isinstance(outcome, Errored) and outcome.ambiguous,
                isolating=len(hand.group) < len(hand.batch.deliveries),
                again=sum(one.ambiguous_since is not None for one in hand.group),
            )
        )
        if isinstance(outcome, Errored) and outcome.limited and outcome.retry_at is not None:
            self._quota.obey(left=0, reset=outcome.retry_at)
        elif isinstance(came, Answer) and (limit := self._post.limit(came)) is not None:
            left, reset = limit
            self._quota.obey(left=left, reset=reset)


def _is_refused_as_such(came: Answer | NoAnswer, outcome: Outcome) -> bool:
    """Whether X says that it does not know who asks."""
    return (
        isinstance(came, Answer)
        and came.status == HTTPStatus.UNAUTHORIZED
        and isinstance(outcome, Rejected)
    )


def is_refused(outcome: Outcome) -> TypeGuard[Rejected]:
    """Whether X refuses the request for what is in it: its conversions, or their number."""
    return isinstance(outcome, Rejected) and outcome.scope in {Scope.CONVERSION, Scope.SIZE}
