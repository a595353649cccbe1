"""Send one request to X: choose the credential, spend the rate limit, re-sign a misdated one."""

from http import HTTPStatus

import msgspec

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
from twite.gateway.ports.outbox import DeliveryStore
from twite.gateway.ports.state import RateLimitWindow
from twite.gateway.ports.transport import NoResponse, Response


class RequestSender:
    """Sends the requests of one pixel."""

    def __init__(
        self,
        *,
        destination: Destination,
        delivery_store: DeliveryStore,
        x_client: XClient,
        rate_limit: RateLimit,
        settler: Settler,
        clock: MonotonicClock,
        observer: Observer,
    ) -> None:
        self._credential_chooser = CredentialChooser(destination, clock=clock, observer=observer)
        self._delivery_store = delivery_store
        self._x_client = x_client
        self._rate_limit = rate_limit
        self._settler = settler
        self._clock = clock
        self._observer = observer

    def use(self, destination: Destination) -> None:
        """Use other credentials of the same pixel from now on."""
        self._credential_chooser.use(destination)

    async def ask(
        self, in_flight: InFlightBatch, group: Group
    ) -> tuple[Response | NoResponse, Outcome]:
        """Send a group, and once more with the pixel's other credential if X refuses the first."""
        first, *others = self._credential_chooser.order()
        response, outcome = await self._ask_as(first, in_flight, group)
        for other in others:
            refused = self._credential_chooser.hear(first, response, outcome)
            if not (refused and await self._may_resend(in_flight, group)):
                return response, outcome
            await self._settler.settle(
                in_flight.batch, self.tried(in_flight, outcome, response), ()
            )
            response, outcome = await self._ask_as(other, in_flight, group)
            self._credential_chooser.hear(other, response, outcome)
        return response, outcome

    async def _ask_as(
        self, destination: Destination, in_flight: InFlightBatch, group: Group
    ) -> tuple[Response | NoResponse, Outcome]:
        signed_at = self._clock.theirs()
        response, outcome = await self._send(destination, in_flight, group)
        if _is_refused_as_such(response, outcome):
            misdated = self._x_client.was_misdated(destination, response, at=signed_at)
            if misdated and await self._may_resend(in_flight, group):
                # Retry once: the clock has learned X's time from this response.
                await self._settler.settle(
                    in_flight.batch, self.tried(in_flight, outcome, response), ()
                )
                response, outcome = await self._send(destination, in_flight, group)
        return response, outcome

    async def _may_resend(self, in_flight: InFlightBatch, group: Group) -> bool:
        """Whether a refused group may be sent once more; spend the rate limit for it.

        Not if any of it was denied meanwhile, or its person opted out: the queue sees to that.
        """
        named = msgspec.structs.replace(in_flight.batch, deliveries=group)
        if await self._delivery_store.withdrawn(named):
            return False
        return await self.allowed(len(group))

    async def _send(
        self, destination: Destination, in_flight: InFlightBatch, group: Group
    ) -> tuple[Response | NoResponse, Outcome]:
        in_flight.group, in_flight.at = group, self._now()
        began = self._clock.elapsed()
        bodies = [delivery.body for delivery in group]
        in_flight.left = True
        response, outcome = await self._x_client.send(destination, bodies)
        in_flight.left = not isinstance(outcome, Rejected)
        self._note(in_flight, response, outcome, took=self._clock.elapsed() - began)
        return response, outcome

    async def allowed(self, count: int) -> bool:
        """Spend the rate limit for `count` conversions; return False if too few are left."""
        async with self._rate_limit.lock:
            if self._rate_limit.left() < count:
                return False
            self._rate_limit.spend(count)
            return True

    async def note_limit(self) -> None:
        """Store a rate limit reset that X named, before its response is settled."""
        until = self._rate_limit.unnoted()
        if until is None:
            return
        reason = "X accepts no more until its limit is reset"
        try:
            await self._delivery_store.put(
                [
                    RateLimitWindow(pixel=pixel, until=until, reason=reason)
                    for pixel in self._rate_limit.pixels
                ]
            )
        except TransientError as error:
            # The limit holds in memory; the next response tries to store it again.
            self._observer.see(Troubled(where=TroublePlace.OUTBOX, reason=error.reason))
        else:
            self._rate_limit.noted(until)

    def tried(
        self, in_flight: InFlightBatch, outcome: Outcome, response: Response | NoResponse
    ) -> Attempt:
        batch = in_flight.batch
        return attempt(
            in_flight.group,
            outcome,
            response,
            pixel=batch.pixel,
            event=batch.event,
            at=in_flight.at,
        )

    def _now(self) -> int:
        return self._clock.now()

    def _note(
        self,
        in_flight: InFlightBatch,
        response: Response | NoResponse,
        outcome: Outcome,
        *,
        took: int,
    ) -> None:
        self._observer.see(
            Attempted(
                pixel=in_flight.batch.pixel,
                event=in_flight.batch.event,
                outcome=outcome.kind,
                status=response.status if isinstance(response, Response) else None,
                conversions=len(in_flight.group),
                took=took,
                reason="" if isinstance(outcome, Delivered) else outcome.reason,
                ambiguous=isinstance(outcome, Errored) and outcome.ambiguous,
                isolating=len(in_flight.group) < len(in_flight.batch.deliveries),
                again=sum(delivery.ambiguous_since is not None for delivery in in_flight.group),
            )
        )
        if isinstance(outcome, Errored) and outcome.limited and outcome.retry_at is not None:
            self._rate_limit.obey(left=0, reset=outcome.retry_at)
        elif (
            isinstance(response, Response) and (limit := self._x_client.limit(response)) is not None
        ):
            left, reset = limit
            self._rate_limit.obey(left=left, reset=reset)


def _is_refused_as_such(response: Response | NoResponse, outcome: Outcome) -> bool:
    """Whether X answered 401."""
    return (
        isinstance(response, Response)
        and response.status == HTTPStatus.UNAUTHORIZED
        and isinstance(outcome, Rejected)
    )
