"""Post: bodies → a signed request → X's answer → one outcome."""

from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from twite.domain.destination import Destination, OAuthKeys, PixelToken
from twite.domain.outcome import Errored, Outcome
from twite.domain.times import SECOND
from twite.gateway.ports import Answer, Chance, Clock, NoAnswer, Parcel, Transport
from twite.x import spec
from twite.x.decode import decode, limit_of
from twite.x.encode import batch_body, conversions_url
from twite.x.oauth1 import sign

# X's Date header has whole seconds, and an answer takes its time: smaller offsets are noise.
_NOTICEABLE: Final = 5 * SECOND


class Post:
    """Sends requests to one X. Learns from X's answers how far off our clock is."""

    def __init__(
        self, *, transport: Transport, clock: Clock, chance: Chance, api_url: str, version: str
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._chance = chance
        self._api_url = api_url
        self._version = version
        self.clock_offset = 0
        # How far X's clock is ahead, noise and all: X's moments are read by it.
        self._ahead = 0

    async def send(
        self, destination: Destination, bodies: Sequence[bytes]
    ) -> tuple[Answer | NoAnswer, Outcome]:
        """Send one request, signed anew: X takes a nonce once. Nothing is raised."""
        url = conversions_url(api_url=self._api_url, version=self._version, pixel=destination.pixel)
        parcel = Parcel(url=url, headers=self._headers(destination, url), body=batch_body(bodies))
        came = await self._transport.post(parcel)
        if isinstance(came, NoAnswer):
            return came, Errored(reason=came.reason, ambiguous=came.left)
        self._learn_offset(came.headers)
        outcome = decode(
            status=came.status,
            headers=came.headers,
            body=came.body,
            whole=came.whole,
            sent=len(bodies),
            now=self._clock.now() + self._ahead,
        )
        if isinstance(outcome, Errored) and outcome.retry_at is not None:
            ours = outcome.retry_at - self._ahead
            outcome = msgspec.structs.replace(outcome, retry_at=ours)
        return came, outcome

    def limit(self, came: Answer) -> tuple[int, int] | None:
        """Return (conversions remaining, reset in ms of our clock) as X's headers say."""
        limit = limit_of(came.headers)
        return None if limit is None else (limit[0], limit[1] - self._ahead)

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
                    nonce=self._chance.nonce(),
                    timestamp=(self._clock.now() + self.clock_offset) // SECOND,
                )
        return headers

    def _learn_offset(self, headers: Mapping[str, str]) -> None:
        """X refuses stale timestamps; its Date header says what it takes for now. [doc OA]"""
        try:
            theirs = parsedate_to_datetime(headers["date"]).timestamp()
        except (KeyError, ValueError, TypeError, OverflowError):
            return
        # Whole seconds, cut: what X names comes up to one later by our clock, and never earlier.
        offset = self._ahead = int(theirs) * SECOND - self._clock.now()
        self.clock_offset = offset if abs(offset) >= _NOTICEABLE else 0
