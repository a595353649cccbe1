"""Stape's auth proxy: accept requests from Stape's X tag for the pixels that they name.

If a tag sends credentials for a pixel that is not in the settings, they are sealed and stored for
the source that sent them first: no other source can use or change them. `passing` credentials are
deleted once the queue of their pixel is empty.
"""

import re
from collections.abc import Container, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from twite.domain.destination import Destination, OAuthKeys, PlainOAuthKeys, Source, in_plain_text
from twite.domain.errors import LedgerUnavailable, MalformedRequest, TransientError
from twite.domain.outcome import XComplaint
from twite.domain.submission import Endpoint
from twite.domain.test_mode import is_test
from twite.domain.times import MINUTE
from twite.formats.stape import read as stape
from twite.formats.stape.read import Proxied
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.receipts import XAcceptReceipt, XAcceptRefusal
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.secret_store import SecretStore
from twite.x import spec

PREFIX: Final = "stape/"
STORED: Final = "stored"
PASSING: Final = "passing"
# How often unused passing credentials are deleted, and how long credentials stay after their last
# use.
LOOK: Final = MINUTE
# Each pixel has a worker that polls the queue, so the number of pixels is limited.
MOST_PIXELS: Final = 1_000
_NO_MORE: Final = "The gateway cannot store the credentials of any more pixels"
# The shape of X's pixel ids. The id becomes part of a URL.
_PIXEL: Final = re.compile(r"[0-9a-z]{1,32}", re.ASCII)


class SealedCredentials(PlainOAuthKeys, frozen=True, kw_only=True):
    """The sealed payload."""

    source: str
    passing: bool = False


class SendsForPixel(Protocol):
    """Starts and stops workers: see gateway.delivery.runner.DeliveryRunner."""

    def send_to(self, destination: Destination) -> None: ...

    def leave(self, pixel: str) -> None: ...


class TooManyPixels(Exception):
    """The limit on pixels with tag credentials is reached."""


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class TagCredentials:
    """Stores the credentials that tags send, by source.

    `destinations` are the pixels for which the gateway accepts conversions.
    """

    secret_store: SecretStore
    destinations: MutableMapping[str, Destination]
    rate: int
    sends: SendsForPixel
    queries: Queries
    clock: Clock
    observer: Observer
    most: int = MOST_PIXELS
    _owners: dict[str, str] = field(init=False, default_factory=dict)
    # Pixel → last use of its passing credentials (monotonic).
    _used: dict[str, int] = field(init=False, default_factory=dict)

    def replace(self, destinations: MutableMapping[str, Destination]) -> None:
        """Use other pixels, after a reload of the settings."""
        before, self.destinations = self.destinations, destinations
        for pixel in list(self._owners):
            known = destinations.get(pixel)
            if known is not None and known is not before.get(pixel):
                # The pixel is now in the settings, which take precedence.
                del self._owners[pixel]
                self._used.pop(pixel, None)

    async def load(self) -> None:
        """Load the stored destinations, including other gateways'. Raises NotOpened."""
        for name, plain in await self.secret_store.all(PREFIX):
            pixel = name.removeprefix(PREFIX)
            if pixel in self.destinations and pixel not in self._owners:
                # The pixel is now in the settings, which take precedence.
                await self.secret_store.forget(name)
                continue
            kept = msgspec.json.decode(plain, type=SealedCredentials)
            self._owners[pixel] = kept.source
            if not kept.passing:
                self._used.pop(pixel, None)
            elif pixel not in self._used:
                self._used[pixel] = self.clock.elapsed()
            keys, known = kept.keys, self.destinations.get(pixel)
            if known is None or known.credentials != keys:
                self._take_up(pixel, keys)

    def stored(self, settings: Container[str]) -> dict[str, Destination]:
        """Return the pixels with stored credentials, except those in the settings."""
        return {
            pixel: self.destinations[pixel]
            for pixel in self._owners
            if pixel in self.destinations and pixel not in settings
        }

    async def destination(
        self, pixel: str, *, source: Source, keys: OAuthKeys | None
    ) -> Destination | None:
        """Return a pixel's destination; None if this source has no credentials for it.

        Raises TooManyPixels, and LedgerUnavailable if credentials cannot be stored.
        """
        known = self.destinations.get(pixel)
        owner = self._owners.get(pixel)
        if known is not None and owner is None:
            return known if pixel in source.pixels else None
        passing = source.stape_credentials == PASSING
        if owner not in {None, source.name} or (keys is None and (known is None or passing)):
            return None
        same = known is not None and keys in {None, known.credentials}
        if same and (pixel in self._used) == passing:
            self._note_use(pixel, passing=passing)
            return known
        if keys is None or _PIXEL.fullmatch(pixel) is None:
            return known
        if known is None and len(self._owners) >= self.most:
            raise TooManyPixels
        return await self._keep(pixel, keys, source=source, passing=passing)

    async def run(self) -> None:
        """Delete unused `passing` credentials periodically, until cancelled."""
        while True:
            await self.clock.sleep(LOOK)
            try:
                await self.forget_settled()
            except TransientError as problem:
                self.observer.see(
                    ProblemSeen(where=ProblemPlace.TAG_CREDENTIALS, reason=problem.reason)
                )

    async def forget_settled(self) -> None:
        """Delete the passing credentials of pixels with an empty queue.

        Recently used credentials are kept, because their conversions may not be committed yet.
        """
        before = self.clock.elapsed() - LOOK
        idle = [pixel for pixel, used in self._used.items() if used < before]
        if not idle:
            return
        pending = {waiting.pixel for waiting in await self.queries.backlog()}
        for pixel in idle:
            # Check again, because the credentials may have been used while the backlog was read.
            if pixel in pending or self._used.get(pixel, before) >= before:
                continue
            del self._used[pixel], self._owners[pixel]
            self.destinations.pop(pixel, None)
            self.sends.leave(pixel)
            await self.secret_store.forget(f"{PREFIX}{pixel}")

    async def _keep(
        self, pixel: str, keys: OAuthKeys, *, source: Source, passing: bool
    ) -> Destination:
        # Claim the pixel before the first await, because another source may name it meanwhile.
        self._owners[pixel] = source.name
        self._note_use(pixel, passing=passing)
        try:
            sealed = SealedCredentials(**in_plain_text(keys), source=source.name, passing=passing)
            plain = msgspec.json.encode(sealed)
            await self.secret_store.put(f"{PREFIX}{pixel}", plain)
        except LedgerUnavailable:
            if pixel not in self.destinations:
                self._owners.pop(pixel, None)
                self._used.pop(pixel, None)
            raise
        if pixel not in self._owners and pixel in self.destinations:
            return self.destinations[pixel]  # a reload has added the pixel to the settings
        return self._take_up(pixel, keys)

    def _note_use(self, pixel: str, *, passing: bool) -> None:
        if passing:
            self._used[pixel] = self.clock.elapsed()
        else:
            self._used.pop(pixel, None)

    def _take_up(self, pixel: str, keys: OAuthKeys) -> Destination:
        destination = Destination(pixel=pixel, credentials=keys, events={}, rate=self.rate)
        self.destinations[pixel] = destination
        self.sends.send_to(destination)
        return destination


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class StapeProxy:
    """Accepts requests from Stape's X tag.

    Without `tag_credentials`, the credentials of tags are never used.
    """

    accept: Accept
    clock: Clock
    salt: bytes
    destinations: Mapping[str, Destination]
    tag_credentials: TagCredentials | None = None

    async def take(self, *, source: Source, body: bytes) -> tuple[XAcceptReceipt, str | None]:
        """Accept a request; return the receipt, and the account that X's response would name.

        Raises XAcceptRefusal, QueueFull, LedgerUnavailable; nothing is stored then.
        """
        source = source.at(self.accept.clock.now())
        try:
            proxied = stape.read(body, now=self.clock.now(), salt=self.salt)
        except MalformedRequest as wrong:
            message = f"Invalid request body: {wrong.message}"
            raise _refused(400, spec.INVALID_PARAMETER, message, wrong.path) from None
        destination = await self._destination(source, proxied)
        receipt = await self.accept.from_x(
            destination=destination,
            body=proxied.body,
            source=source.name,
            endpoint=Endpoint.STAPE,
        )
        return receipt, destination.account

    async def _destination(self, source: Source, proxied: Proxied) -> Destination:
        pixel = proxied.pixel
        has_own = source.stape_credentials in {STORED, PASSING} and not is_test(source.name)
        if has_own and self.tag_credentials is not None:
            try:
                found = await self.tag_credentials.destination(
                    pixel, source=source, keys=proxied.keys
                )
            except TooManyPixels:
                raise _refused(400, spec.INVALID_PARAMETER, _NO_MORE, "pixel_id") from None
        else:
            found = self.destinations.get(pixel) if pixel in source.pixels else None
        if found is None:
            message = f"pixel_id ({_shown(pixel)}) was not found"
            raise _refused(404, spec.NOT_FOUND, message, "pixel_id")
        return found


def _refused(status: int, code: str, message: str, parameter: str = "") -> XAcceptRefusal:
    complaint = XComplaint(code=code, message=message, parameter=parameter)
    return XAcceptRefusal(status=status, complaints=(complaint,))


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:64])
