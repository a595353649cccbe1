"""X client: sign and send a request to X's Conversion API, and decode the response."""

from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from twite.domain.destination import Destination, MissingCredentials, OAuthKeys, PixelToken
from twite.domain.outcome import Delivered, Errored, Outcome, Rejected, RejectionScope
from twite.domain.times import SECOND
from twite.gateway.delivery.monotonic_clock import NOTICEABLE, MonotonicClock
from twite.gateway.ports.machine import Randomness
from twite.gateway.ports.transport import NoResponse, OutboundRequest, Response, Transport
from twite.redaction.mask_tree import masked_words
from twite.x import spec
from twite.x.decode import decode, limit_of
from twite.x.encode import batch_body, conversions_url
from twite.x.oauth1 import sign

# The reason of a pixel without credentials.
NOBODY_SIGNED_IN: Final = "nobody has signed in for this pixel: run twite login"


class XClient:
    """Sends requests to one X. The clock learns X's time from the Date header of responses."""

    def __init__(
        self,
        *,
        transport: Transport,
        clock: MonotonicClock,
        randomness: Randomness,
        api_url: str,
        version: str,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._randomness = randomness
        self._api_url = api_url
        self._version = version

    async def send(
        self, destination: Destination, bodies: Sequence[bytes]
    ) -> tuple[Response | NoResponse, Outcome]:
        """Send one request, signed anew: X accepts a nonce once. Raises nothing."""
        if isinstance(destination.credentials, MissingCredentials):
            nothing = NoResponse(reason=NOBODY_SIGNED_IN, left=False)
            return nothing, Rejected(scope=RejectionScope.PIXEL, reason=NOBODY_SIGNED_IN)
        url = conversions_url(api_url=self._api_url, version=self._version, pixel=destination.pixel)
        outbound = OutboundRequest(
            url=url, headers=self._headers(destination, url), body=batch_body(bodies)
        )
        began = self._clock.elapsed()
        response = await self._transport.post(outbound)
        if isinstance(response, NoResponse):
            return response, Errored(reason=response.reason, ambiguous=response.left)
        theirs = _dated(response)
        if theirs is not None:
            self._clock.hear(theirs, took=self._clock.elapsed() - began)
        outcome = decode(
            status=response.status,
            headers=response.headers,
            body=response.body,
            whole=response.whole,
            sent=len(bodies),
            now=self._clock.now() + self._ahead(response),
        )
        if isinstance(outcome, Errored) and outcome.retry_at is not None:
            ours = outcome.retry_at - self._ahead(response)
            outcome = msgspec.structs.replace(outcome, retry_at=ours)
        if not isinstance(outcome, Delivered):
            # X echoes refused values. Mask them: reasons are shown, and error groups go by them.
            outcome = msgspec.structs.replace(outcome, reason=_on_one_line(outcome.reason))
        return response, outcome

    def limit(self, response: Response) -> tuple[int, int] | None:
        """Return (conversions remaining, reset in ms of our clock) from X's headers."""
        limit = limit_of(response.headers)
        return None if limit is None else (limit[0], limit[1] - self._ahead(response))

    def was_misdated(
        self, destination: Destination, response: Response | NoResponse, *, at: int
    ) -> bool:
        """Whether a request was signed with a wrong time: X refuses stale timestamps.

        `at` is the time signed; X's Date header says its own. [doc OA]
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
                    nonce=self._randomness.nonce(),
                    timestamp=self._clock.theirs() // SECOND,
                )
        return headers

    def _ahead(self, response: Response) -> int:
        """Return how far X's clock is ahead (ms), to convert X's times to ours.

        X's Date has whole seconds, so a converted time is up to one second late, never early.
        """
        theirs = _dated(response)
        return (self._clock.theirs() if theirs is None else theirs) - self._clock.now()


def _on_one_line(words: str) -> str:
    shown = masked_words(words)
    return "".join(char if char.isprintable() else " " for char in shown)


def _dated(response: Response) -> int | None:
    """Return X's Date in milliseconds, or None where there is none that a calendar holds."""
    try:
        seconds = parsedate_to_datetime(response.headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    return int(seconds) * SECOND
