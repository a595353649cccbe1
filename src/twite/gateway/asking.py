"""Asking: one request to X, with the credential that goes first, and what the limit makes of it."""

from http import HTTPStatus

from twite.domain.delivery import Attempt
from twite.domain.destination import Destination
from twite.domain.errors import PassingError
from twite.domain.outcome import Delivered, Errored, Outcome, Rejected
from twite.gateway.credentials import Keyring
from twite.gateway.hand import Hand
from twite.gateway.isolate import Group
from twite.gateway.notices import Attempted, Observer, Troubled, TroublePlace
from twite.gateway.ports import Answer, Closure, Depot, NoAnswer
from twite.gateway.post import Post
from twite.gateway.quota import Quota
from twite.gateway.settle import Settling, attempt
from twite.gateway.steady import SteadyClock


class Asking:
    """One pixel's way to X."""

    def __init__(
        self,
        *,
        destination: Destination,
        depot: Depot,
        post: Post,
        quota: Quota,
        settling: Settling,
        clock: SteadyClock,
        observer: Observer,
    ) -> None:
        self._keyring = Keyring(destination, clock=clock, observer=observer)
        self._depot = depot
        self._post = post
        self._quota = quota
        self._settling = settling
        self._clock = clock
        self._observer = observer

    def use(self, destination: Destination) -> None:
        """Ask with other credentials of the same pixel from now on."""
        self._keyring.use(destination)

    async def ask(self, hand: Hand, group: Group) -> tuple[Answer | NoAnswer, Outcome]:
        """Send a group, and once more with the pixel's other credential if X refuses the first."""
        first, *others = self._keyring.order()
        came, outcome = await self._ask_as(first, hand, group)
        for other in others:
            refused = self._keyring.hear(first, came, outcome)
            if not refused or not await self.allowed(len(group)):
                return came, outcome
            await self._settling.settle(hand.batch, self.tried(hand, outcome, came), ())
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
            if misdated and await self.allowed(len(group)):
                # Once: from now on requests are signed with the time of X's answer.
                await self._settling.settle(hand.batch, self.tried(hand, outcome, came), ())
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

    async def allowed(self, count: int) -> bool:
        """Spend the limit for so many, if they are left."""
        async with self._quota.turn:
            if self._quota.left() < count:
                return False
            self._quota.spend(count)
            return True

    async def note_limit(self) -> None:
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
            self._observer.see(Troubled(where=TroublePlace.OUTBOX, reason=error.reason))
        else:
            self._quota.noted(until)

    def tried(self, hand: Hand, outcome: Outcome, came: Answer | NoAnswer) -> Attempt:
        batch = hand.batch
        return attempt(hand.group, outcome, came, pixel=batch.pixel, event=batch.event, at=hand.at)

    def _now(self) -> int:
        return self._clock.now()

    def _note(self, hand: Hand, came: Answer | NoAnswer, outcome: Outcome, *, took: int) -> None:
        self._observer.see(
            Attempted(
                pixel=hand.batch.pixel,
                event=hand.batch.event,
                outcome=outcome.kind,
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
