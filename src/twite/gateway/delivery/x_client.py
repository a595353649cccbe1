"""X client: sign and send a request to X's Conversion API, and decode the response."""

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import msgspec

from twite.domain.delivery import LAST_CEILING, Attempt, Group, NewDeliveries, ambiguous_of
from twite.domain.destination import Destination, MissingCredentials, OAuthKeys, PixelToken
from twite.domain.errors import TransientError
from twite.domain.outcome import Delivered, Errored, Outcome, Rejected, RejectionScope
from twite.domain.test_mode import is_test, real_name
from twite.domain.times import SECOND
from twite.gateway.delivery.credentials import CredentialChooser
from twite.gateway.delivery.monotonic_clock import NOTICEABLE, MonotonicClock
from twite.gateway.delivery.rate_limit import RateLimit
from twite.gateway.delivery.requests_in_flight import RequestsInFlight
from twite.gateway.delivery.settler import InFlightBatch, Settler, attempt
from twite.gateway.ports.events import Attempted, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import Randomness
from twite.gateway.ports.state import RateLimitWindow
from twite.gateway.ports.tracing import SentRequest, Tracing
from twite.gateway.ports.transport import (
    NoResponse,
    OutboundRequest,
    Response,
    Transport,
    always,
)
from twite.redaction.mask_tree import masked_words
from twite.x import spec
from twite.x.decode import decode, ignored_waits, limit_of, names_window
from twite.x.encode import batch_body, conversions_url, joined_body
from twite.x.oauth1 import sign

NO_EMULATOR: Final = "test conversions are not sent: this gateway has no emulator"
# The reason that a pixel without credentials is paused.
NOBODY_SIGNED_IN: Final = "no user has signed in for this pixel: run twite login"


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class XClient:
    """Sends requests to X. The clock is told X's time, from the Date header of responses."""

    transport: Transport
    clock: MonotonicClock
    randomness: Randomness
    api_url: str
    version: str
    # Returns False once another gateway may have claimed this gateway's deliveries.
    may_send: Callable[[], bool] = always
    tracing: Tracing | None = None
    # Where test conversions go, whatever the settings say.
    test_transport: Transport | None = None

    async def send(
        self, destination: Destination, body: bytes, *, count: int
    ) -> tuple[Response | NoResponse, Outcome]:
        """Send one request of `count` conversions. Never raises.

        Each request is signed anew, because X accepts a nonce only once.
        """
        if isinstance(destination.credentials, MissingCredentials):
            nothing = NoResponse(reason=NOBODY_SIGNED_IN, left=False)
            return nothing, Rejected(scope=RejectionScope.PIXEL, reason=NOBODY_SIGNED_IN)
        transport = self.test_transport if is_test(destination.pixel) else self.transport
        if transport is None:
            nothing = NoResponse(reason=NO_EMULATOR, left=False)
            return nothing, Errored(reason=NO_EMULATOR, ambiguous=False)
        pixel = real_name(destination.pixel)
        url = conversions_url(api_url=self.api_url, version=self.version, pixel=pixel)
        outbound = OutboundRequest(
            url=url,
            headers=self._headers(destination, url),
            body=body,
            may_send=self.may_send,
        )
        began = self.clock.elapsed()
        response = await transport.post(outbound)
        if isinstance(response, NoResponse):
            return response, Errored(reason=response.reason, ambiguous=response.left)
        theirs = _dated(response)
        if theirs is not None and transport is self.transport:
            self.clock.observe(theirs, took=self.clock.elapsed() - began)
        outcome = decode(
            status=response.status,
            headers=response.headers,
            body=response.body,
            whole=response.whole,
            sent=count,
            now=self.clock.now() + self._ahead(response),
        )
        if isinstance(outcome, Errored) and outcome.retry_at is not None:
            ours = outcome.retry_at - self._ahead(response)
            outcome = msgspec.structs.replace(outcome, retry_at=ours)
        if not isinstance(outcome, Delivered):
            # X echoes refused values. They are masked, because reasons are shown to users, and
            # errors are grouped by them.
            outcome = msgspec.structs.replace(outcome, reason=_on_one_line(outcome.reason))
        return response, outcome

    def limit(self, response: Response) -> tuple[int, int] | None:
        """Return (conversions remaining, reset in ms of Twite's clock) from X's headers."""
        limit = limit_of(response.headers)
        return None if limit is None else (limit[0], limit[1] - self._ahead(response))

    def ignored_waits(self, response: Response) -> str:
        """Say which times in X's headers are ignored, because they are too far ahead."""
        x_now = self.clock.now() + self._ahead(response)
        return ignored_waits(response.status, response.headers, x_now)

    def was_misdated(
        self, destination: Destination, response: Response | NoResponse, *, at: int
    ) -> bool:
        """Whether a request was signed with the wrong time, which X refuses.

        `at` is the signed time; X's own time is in the Date header. [doc OA]
        """
        if not isinstance(destination.credentials, OAuthKeys) or not isinstance(response, Response):
            return False
        theirs = _dated(response)
        return theirs is not None and abs(theirs - at) >= NOTICEABLE

    def _headers(self, destination: Destination, url: str) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        match destination.credentials:
            case PixelToken(token=token):
                headers[spec.PIXEL_TOKEN_HEADER] = token.reveal()
            case OAuthKeys() as keys:
                headers["Authorization"] = sign(
                    method="POST",
                    url=url,
                    keys=keys,
                    nonce=self.randomness.nonce(),
                    timestamp=self.clock.theirs() // SECOND,
                )
        return headers

    def _ahead(self, response: Response) -> int:
        """Return how far X's clock is ahead (ms), to convert X's times to Twite's clock.

        X's Date has whole seconds, so a converted time is up to one second late, never early.
        """
        theirs = _dated(response)
        return (self.clock.theirs() if theirs is None else theirs) - self.clock.now()


def _on_one_line(words: str) -> str:
    shown = masked_words(words)
    if shown.isprintable():
        return shown
    return "".join([char if char.isprintable() else " " for char in shown])


def _dated(response: Response) -> int | None:
    """Return X's Date in milliseconds; None if it is missing or invalid."""
    try:
        return _milliseconds(response.headers["date"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


@lru_cache(maxsize=8)  # all responses within a second have the same Date
def _milliseconds(date: str) -> int:
    return int(parsedate_to_datetime(date).timestamp()) * SECOND


class RequestSender:
    def __init__(
        self,
        *,
        destination: Destination,
        x_client: XClient,
        rate_limit: RateLimit,
        settler: Settler,
        requests: RequestsInFlight,
        clock: MonotonicClock,
    ) -> None:
        self._requests = requests
        self._observer = settler.observer
        self._credentials = CredentialChooser(destination, clock=clock, observer=self._observer)
        self._delivery_store = settler.delivery_store
        self._x_client = x_client
        self._rate_limit = rate_limit
        self._settler = settler
        self._clock = clock

    def use(self, destination: Destination) -> None:
        self._credentials.use(destination)

    async def ask(
        self, in_flight: InFlightBatch, group: Group
    ) -> tuple[Response | NoResponse, Outcome]:
        """Send a group; if X refuses the credential, try the pixel's other credential."""
        first, *others = self._credentials.order()
        response, outcome = await self._ask_as(first, in_flight, group)
        for other in others:
            refused = self._credentials.record(first, response, outcome)
            if not (refused and await self._may_resend(in_flight, group)):
                return response, outcome
            await self._settler.settle(
                in_flight.batch, self.tried(in_flight, outcome, response), ()
            )
            response, outcome = await self._ask_as(other, in_flight, group)
            self._credentials.record(other, response, outcome)
        return response, outcome

    async def _ask_as(
        self, destination: Destination, in_flight: InFlightBatch, group: Group
    ) -> tuple[Response | NoResponse, Outcome]:
        signed_at = self._clock.theirs()
        response, outcome = await self._send(destination, in_flight, group)
        if _is_unauthorized(response, outcome):
            misdated = self._x_client.was_misdated(destination, response, at=signed_at)
            if misdated and await self._may_resend(in_flight, group):
                # Retry once, because the clock now knows X's time from this response.
                await self._settler.settle(
                    in_flight.batch, self.tried(in_flight, outcome, response), ()
                )
                response, outcome = await self._send(destination, in_flight, group)
        return response, outcome

    async def _may_resend(self, in_flight: InFlightBatch, group: Group) -> bool:
        """Whether a refused group may be sent again; spend the rate limit for it.

        It may not if consent for one of its deliveries was denied meanwhile, or its person opted
        out: the queue then suppresses that delivery.
        """
        named = msgspec.structs.replace(in_flight.batch, deliveries=group)
        if await self._delivery_store.withdrawn(named):
            return False
        return await self.allowed(len(group))

    async def _send(
        self, destination: Destination, in_flight: InFlightBatch, group: Group
    ) -> tuple[Response | NoResponse, Outcome]:
        in_flight.group, in_flight.at = group, self._clock.now()
        began, tracing = self._clock.elapsed(), self._x_client.tracing
        began_ns = 0 if tracing is None else tracing.now()
        body = body_of(group)
        in_flight.left = True
        with self._requests.sending(in_flight.batch):
            response, outcome = await self._x_client.send(destination, body, count=len(group))
        if isinstance(outcome, Delivered):
            self._requests.accepted(in_flight.batch.event, sent_at=began)
        in_flight.was_hanging = self._requests.was_hanging(sent_at=began)
        in_flight.left = not isinstance(outcome, Rejected)
        self._note(in_flight, response, outcome, took=self._clock.elapsed() - began)
        if tracing is not None:
            tracing.sent(_traced(in_flight, response, outcome, tracing, began=began_ns))
        return response, outcome

    async def allowed(self, count: int) -> bool:
        """Spend the rate limit for `count` conversions; return False if too few are left."""
        async with self._rate_limit.lock:
            if self._rate_limit.left() < count:
                return False
            self._rate_limit.spend(count)
            return True

    @property
    def is_closed_by_x(self) -> bool:
        """Whether X has said that the rate limit of the account is used up."""
        return self._rate_limit.is_closed_by_x

    async def store_window(self) -> None:
        """Store the rate limit reset from a response, before the response is settled."""
        until = self._rate_limit.unnoted()
        if until is None:
            return
        windows = [
            RateLimitWindow(pixel=pixel, until=until, reason=self._rate_limit.reason)
            for pixel in self._rate_limit.pixels
        ]
        try:
            await self._delivery_store.put(windows)
            self._rate_limit.noted(until)
        except TransientError as error:
            # The limit is in force in memory; the next response causes another attempt to store it.
            self._observer.see(ProblemSeen(where=ProblemPlace.OUTBOX, reason=error.reason))

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
                again=len(ambiguous_of(in_flight.group)),
            )
        )
        if not isinstance(response, Response):
            return
        limit = self._x_client.limit(response)
        is_limited = isinstance(outcome, Errored) and outcome.limited
        if limit is not None and (limit[0] > 0 or not is_limited):
            self._rate_limit.obey(left=limit[0], reset=limit[1])
        if not isinstance(outcome, Errored):
            return
        ignored = self._x_client.ignored_waits(response)
        if ignored:
            self._observer.see(ProblemSeen(where=ProblemPlace.RATE_LIMIT, reason=ignored))
        if outcome.retry_at is None:
            return
        if outcome.limited:
            self._rate_limit.exceeded(
                (in_flight.batch.pixel, in_flight.batch.event),
                reset=outcome.retry_at,
                names_window=names_window(response.headers),
            )
        elif outcome.retry_at > self._clock.now() + LAST_CEILING:
            # Deliveries back off for less, and a wrong clock could write a later time. So X's time
            # counts for the account, which a restart knows, too.
            reason = f"X asks to wait: {outcome.reason}"
            self._rate_limit.obey(left=0, reset=outcome.retry_at, reason=reason)


def body_of(group: Group) -> bytes:
    """Return the body of a request with these deliveries."""
    if isinstance(group, NewDeliveries):
        return joined_body(group.bodies, len(group))
    return batch_body([delivery.body for delivery in group])


def _is_unauthorized(response: Response | NoResponse, outcome: Outcome) -> bool:
    return (
        isinstance(response, Response)
        and response.status == HTTPStatus.UNAUTHORIZED
        and isinstance(outcome, Rejected)
    )


def _traced(
    in_flight: InFlightBatch,
    response: Response | NoResponse,
    outcome: Outcome,
    tracing: Tracing,
    *,
    began: int,
) -> SentRequest:
    return SentRequest(
        pixel=in_flight.batch.pixel,
        event=in_flight.batch.event,
        outcome=outcome.kind,
        status=response.status if isinstance(response, Response) else None,
        is_ambiguous=isinstance(outcome, Errored) and outcome.ambiguous,
        conversions=len(in_flight.group),
        claimed_at=in_flight.claimed_at,
        began=began,
        ended=tracing.now(),
        deliveries=tuple(
            (delivery.id, delivery.received_at)
            for delivery in in_flight.group
            if tracing.keeps(delivery.received_at)
        ),
    )
