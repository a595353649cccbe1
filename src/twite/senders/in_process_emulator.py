"""The emulator of test conversions: the judge of the built-in emulator, in the gateway's process.

It has no socket, so its conversions cannot reach X. The first test conversion loads it.
"""

import random
from collections.abc import Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from twite.domain.destination import Destination, PixelToken, emulator_token
from twite.domain.times import SECOND
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.transport import NoResponse, OutboundRequest, Response

if TYPE_CHECKING:
    from twite_emulator.judge import Judge
    from twite_emulator.process import Json

# The account of the emulator's default world.
_ACCOUNT: Final = "18ce54d4x5t"
# A judge remembers each conversion id, so a new one begins after so many requests.
_MOST_REQUESTS: Final = 10_000
_LEASE_IS_OVER: Final = "another gateway may send the test conversion"


class InProcessEmulator:
    """A transport to the emulator, which knows the pixels of the settings, and their events."""

    def __init__(self, pixels: Sequence[Destination], *, clock: Clock) -> None:
        self._pixels = pixels
        self._clock = clock
        self._judge: Judge | None = None
        self._requests = 0

    def use(self, pixels: Sequence[Destination]) -> None:
        """Know the pixels of reloaded settings."""
        self._pixels, self._judge = pixels, None

    async def post(self, outbound: OutboundRequest) -> Response | NoResponse:
        """Return the emulator's response."""
        from twite_emulator.exchange import XRequestReceived  # noqa: PLC0415  # few gateways test

        if not outbound.may_send():
            return NoResponse(reason=_LEASE_IS_OVER, left=False)
        request = XRequestReceived(
            method="POST",
            url=outbound.url,
            path=urlsplit(outbound.url).path,
            headers={name.lower(): value for name, value in outbound.headers.items()},
            body=outbound.body,
        )
        answer = self._current_judge().answer(request).answer
        headers = dict(answer.headers) | {"date": formatdate(self._now(), usegmt=True)}
        return Response(status=answer.status, headers=headers, body=answer.body)

    def _current_judge(self) -> "Judge":
        from twite_emulator.judge import Judge  # noqa: PLC0415  # as above
        from twite_emulator.switches import Switches  # noqa: PLC0415

        judge = self._judge
        if judge is None or self._requests >= _MOST_REQUESTS:
            tokens = [
                replace(pixel, credentials=emulator_token(pixel.pixel)) for pixel in self._pixels
            ]
            judge = self._judge = Judge(
                switches=Switches(),
                clock=self._now,
                randomness=random.SystemRandom(),
                world=world_of(tokens),
            )
            self._requests = 0
        self._requests += 1
        return judge

    def _now(self) -> float:
        return self._clock.now() / SECOND


def world_of(pixels: Sequence[Destination]) -> "dict[str, Json]":
    """Return pixels and their events as entries of the emulator's world."""
    accounts = {pixel.account or _ACCOUNT for pixel in pixels}
    return {
        "accounts": [{"id": account} for account in sorted(accounts)],
        "pixels": [_pixel(pixel) for pixel in pixels],
        "events": [
            {"id": event, "pixel": pixel.pixel, "name": name}
            for pixel in pixels
            for name, event in pixel.events.items()
        ],
    }


def _pixel(destination: Destination) -> "Json":
    entry: dict[str, Json] = {"id": destination.pixel, "account": destination.account or _ACCOUNT}
    if isinstance(destination.credentials, PixelToken):
        entry["token"] = destination.credentials.token.reveal()
    return entry
