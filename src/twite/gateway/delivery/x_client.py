"""Post: bodies → a signed request → X's answer → one outcome."""

from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from twite.domain.destination import Destination, MissingCredentials, OAuthKeys, PixelToken
from twite.domain.outcome import Delivered, Errored, Outcome, Rejected, RejectionScope
from twite.domain.times import SECOND
from twite.gateway.delivery.monotonic_clock import NOTICEABLE, MonotonicClock
from twite.gateway.ports.store import NoResponse, OutboundRequest, Randomness, Response, Transport
from twite.redaction.mask_tree import masked_words
from twite.x import spec
from twite.x.decode import decode, limit_of
from twite.x.encode import batch_body, conversions_url
from twite.x.oauth1 import sign

# What a pixel waits for whose credentials nobody has stored yet.
NOBODY_SIGNED_IN: Final = "nobody has signed in for this pixel: run twite login"


class XClient:
    """Sends requests to one X. The clock learns from X's answers what X takes for now."""

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
        """Send one request, signed anew: X takes a nonce once. Nothing is raised."""
        if isinstance(destination.credentials, MissingCredentials):
            nothing = NoResponse(reason=NOBODY_SIGNED_IN, left=False)
            return nothing, Rejected(scope=RejectionScope.PIXEL, reason=NOBODY_SIGNED_IN)
        url = conversions_url(api_url=self._api_url, version=self._version, pixel=destination.pixel)
        outbound = OutboundRequest(
            url=url, headers=self._headers(destination, url), body=batch_body(bodies)
        )
        began = self._clock.elapsed()
        came = await self._transport.post(outbound)
        if isinstance(came, NoResponse):
            return came, Errored(reason=came.reason, ambiguous=came.left)
        theirs = _dated(came)
        if theirs is not None:
            self._clock.hear(theirs, took=self._clock.elapsed() - began)
        outcome = decode(
            status=came.status,
            headers=came.headers,
            body=came.body,
            whole=came.whole,
            sent=len(bodies),
            now=self._clock.now() + self._ahead(came),
        )
        if isinstance(outcome, Errored) and outcome.retry_at is not None:
            ours = outcome.retry_at - self._ahead(came)
            outcome = msgspec.structs.replace(outcome, retry_at=ours)
        if not isinstance(outcome, Delivered):
            # X echoes what it refuses: a reason is shown in many places, and heaps go by it.
            outcome = msgspec.structs.replace(outcome, reason=_on_one_line(outcome.reason))
        return came, outcome

    def limit(self, came: Response) -> tuple[int, int] | None:
        """Return (conversions remaining, reset in ms of our clock) as X's headers say."""
        limit = limit_of(came.headers)
        return None if limit is None else (limit[0], limit[1] - self._ahead(came))

    def was_misdated(
        self, destination: Destination, came: Response | NoResponse, *, at: int
    ) -> bool:
        """Whether a request that was signed at a moment of ours was signed with a wrong time.

        X refuses stale timestamps; its Date header says what it takes for now. [doc OA]
        """
        if not isinstance(destination.credentials, OAuthKeys) or not isinstance(came, Response):
            return False
        theirs = _dated(came)
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

    def _ahead(self, came: Response) -> int:
        """How far X's clock is ahead, noise and all: X's moments are read by it.

        Whole seconds, cut: what X names comes up to one later by our clock, and never earlier.
        """
        theirs = _dated(came)
        return (self._clock.theirs() if theirs is None else theirs) - self._clock.now()


def _on_one_line(words: str) -> str:
    shown = masked_words(words)
    return "".join(letter if letter.isprintable() else " " for letter in shown)


def _dated(came: Response) -> int | None:
    """Return X's Date in milliseconds, or None where there is none that a calendar holds."""
    try:
        seconds = parsedate_to_datetime(came.headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    return int(seconds) * SECOND
