"""Asking: one request to X, with the credential that goes first, and what the limit makes of it."""

from http import HTTPStatus

from twite.domain.delivery import Attempt
from twite.domain.destination import Destination
from twite.domain.errors import TransientError
from twite.domain.outcome import Delivered, Errored, Outcome, Rejected
from twite.gateway.delivery.bisect import Group
from twite.gateway.delivery.credentials import CredentialChooser
from twite.gateway.delivery.in_flight_batch import InFlightBatch
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.rate_limit import RateLimit
from twite.gateway.delivery.settlement import Settler, attempt
from twite.gateway.delivery.x_client import XClient
from twite.gateway.ports.events import Attempted, Observer, Troubled, TroublePlace
from twite.gateway.ports.store import DeliveryStore, NoResponse, RateLimitWindow, Response


class RequestSender:
    """One pixel's way to X."""

    def __init__(
        self,
        *,
        destination: Destination,
        delivery_store: DeliveryStore,
        post: XClient,
        rate_limit: RateLimit,
        settling: Settler,
        clock: MonotonicClock,
        observer: Observer,
    ) -> None:
        self._credential_chooser = CredentialChooser(destination, clock=clock, observer=observer)
        self._delivery_store = delivery_store
        self._post = post
        self._rate_limit = rate_limit
        self._settler = settling
        self._clock = clock
        self._observer = observer

    def use(self, destination: Destination) -> None:
        """Ask with other credentials of the same pixel from now on."""
        self._credential_chooser.use(destination)

    async def ask(self, hand: InFlightBatch, group: Group) -> tuple[Response | NoResponse, Outcome]:
        """Send a group, and once more with the pixel's other credential if X refuses the first."""
        first, *others = self._credential_chooser.order()
        came, outcome = await self._ask_as(first, hand, group)
        for other in others:
            refused = self._credential_chooser.hear(first, came, outcome)
            if not refused or not await self.allowed(len(group)):
                return came, outcome
            await self._settler.settle(hand.batch, self.tried(hand, outcome, came), ())
            came, outcome = await self._ask_as(other, hand, group)
            self._credential_chooser.hear(other, came, outcome)
        return came, outcome

    async def _ask_as(
        self, destination: Destination, hand: InFlightBatch, group: Group
    ) -> tuple[Response | NoResponse, Outcome]:
        signed_at = self._clock.theirs()
        came, outcome = await self._send(destination, hand, group)
        if _is_refused_as_such(came, outcome):
            misdated = self._post.was_misdated(destination, came, at=signed_at)
            if misdated and await self.allowed(len(group)):
                # Once: from now on requests are signed with the time of X's answer.
                await self._settler.settle(hand.batch, self.tried(hand, outcome, came), ())
                came, outcome = await self._send(destination, hand, group)
        return came, outcome

    async def _send(
        self, destination: Destination, hand: InFlightBatch, group: Group
    ) -> tuple[Response | NoResponse, Outcome]:
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
        async with self._rate_limit.turn:
            if self._rate_limit.left() < count:
                return False
            self._rate_limit.spend(count)
            return True

    async def note_limit(self) -> None:
        """Write down a reset that X named, before the answer that named it is settled."""
        until = self._rate_limit.unnoted()
        if until is None:
            return
        reason = "X takes no more until its limit is reset"
        try:
            await self._delivery_store.close_limits(
                [
                    RateLimitWindow(pixel=pixel, until=until, reason=reason)
                    for pixel in self._rate_limit.pixels
                ]
            )
        except TransientError as error:
            # Memory has it; the next answer tries again.
            self._observer.see(Troubled(where=TroublePlace.OUTBOX, reason=error.reason))
        else:
            self._rate_limit.noted(until)

    def tried(self, hand: InFlightBatch, outcome: Outcome, came: Response | NoResponse) -> Attempt:
        batch = hand.batch
        return attempt(hand.group, outcome, came, pixel=batch.pixel, event=batch.event, at=hand.at)

    def _now(self) -> int:
        return self._clock.now()

    def _note(
        self, hand: InFlightBatch, came: Response | NoResponse, outcome: Outcome, *, took: int
    ) -> None:
        self._observer.see(
            Attempted(
                pixel=hand.batch.pixel,
                event=hand.batch.event,
                outcome=outcome.kind,
                status=came.status if isinstance(came, Response) else None,
                conversions=len(hand.group),
                took=took,
                reason="" if isinstance(outcome, Delivered) else outcome.reason,
                ambiguous=isinstance(outcome, Errored) and outcome.ambiguous,
                isolating=len(hand.group) < len(hand.batch.deliveries),
                again=sum(one.ambiguous_since is not None for one in hand.group),
            )
        )
        if isinstance(outcome, Errored) and outcome.limited and outcome.retry_at is not None:
            self._rate_limit.obey(left=0, reset=outcome.retry_at)
        elif isinstance(came, Response) and (limit := self._post.limit(came)) is not None:
            left, reset = limit
            self._rate_limit.obey(left=left, reset=reset)


def _is_refused_as_such(came: Response | NoResponse, outcome: Outcome) -> bool:
    """Whether X says that it does not know who asks."""
    return (
        isinstance(came, Response)
        and came.status == HTTPStatus.UNAUTHORIZED
        and isinstance(outcome, Rejected)
    )
