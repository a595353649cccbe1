"""Credentials that tags bring along, for pixels that the settings do not know.

They are kept sealed, under the source that brought them first: no other source can change them.
"""

from collections.abc import Callable, MutableMapping
from typing import Final

import msgspec

from twite.domain.destination import Destination, OAuthKeys, Source
from twite.domain.errors import LedgerUnavailable
from twite.domain.secret import Secret
from twite.gateway.vault import Strongroom

PREFIX: Final = "stape/"
# One pixel is one lane that looks for work: whoever brings credentials must not make any number.
MOST_PIXELS: Final = 1_000


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is sealed. It holds secrets: it does not print."""

    source: str
    consumer_key: str
    consumer_secret: str
    token: str
    token_secret: str

    def __repr__(self) -> str:
        return f"Kept({self.source})"


class TooManyPixels(Exception):
    """Credentials of a further pixel are not taken."""


class Lent:
    """Who brought which credentials. `destinations` are those that the gateway accepts for."""

    def __init__(
        self,
        *,
        strongroom: Strongroom,
        destinations: MutableMapping[str, Destination],
        rate: int,
        send_to: Callable[[Destination], None],
    ) -> None:
        """`send_to` is called with each destination that is new, or has new credentials."""
        self._strongroom = strongroom
        self._destinations = destinations
        self._rate = rate
        self._send_to = send_to
        self._owners: dict[str, str] = {}

    async def load(self) -> None:
        """Take up the destinations that were lent before. Raises NotOpened."""
        for name, plain in await self._strongroom.all(PREFIX):
            pixel = name.removeprefix(PREFIX)
            if pixel in self._destinations:
                # Configured since: what the settings say goes, and nothing else is kept.
                await self._strongroom.forget(name)
                continue
            kept = msgspec.json.decode(plain, type=Kept)
            self._owners[pixel] = kept.source
            destination = self._destination(pixel, _keys_of(kept))
            self._destinations[pixel] = destination
            self._send_to(destination)

    async def destination(
        self, pixel: str, *, source: Source, brought: OAuthKeys | None
    ) -> Destination | None:
        """Return where a pixel's conversions go; None where this source has no credentials for it.

        Raises TooManyPixels, and LedgerUnavailable where they cannot be kept.
        """
        known = self._destinations.get(pixel)
        owner = self._owners.get(pixel)
        if known is not None and owner is None:
            return known if pixel in source.pixels else None
        if known is not None and (brought is None or brought == known.credentials):
            return known if owner == source.name else None
        if brought is None or owner not in {None, source.name}:
            return None
        if known is None and len(self._owners) >= MOST_PIXELS:
            raise TooManyPixels
        # Taken before anything is waited for: another source may bring the same pixel meanwhile.
        self._owners[pixel] = source.name
        try:
            plain = msgspec.json.encode(_kept(source.name, brought))
            await self._strongroom.put(f"{PREFIX}{pixel}", plain)
        except LedgerUnavailable:
            if pixel not in self._destinations:
                self._owners.pop(pixel, None)
            raise
        destination = self._destination(pixel, brought)
        self._destinations[pixel] = destination
        self._send_to(destination)
        return destination

    def _destination(self, pixel: str, keys: OAuthKeys) -> Destination:
        return Destination(pixel=pixel, credentials=keys, events={}, rate=self._rate)


def _kept(source: str, keys: OAuthKeys) -> Kept:
    return Kept(
        source=source,
        consumer_key=keys.consumer_key,
        consumer_secret=keys.consumer_secret.reveal(),
        token=keys.token,
        token_secret=keys.token_secret.reveal(),
    )


def _keys_of(kept: Kept) -> OAuthKeys:
    return OAuthKeys(
        consumer_key=kept.consumer_key,
        consumer_secret=Secret(kept.consumer_secret),
        token=kept.token,
        token_secret=Secret(kept.token_secret),
    )
