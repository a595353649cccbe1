"""Who asks what happened: a source about its own, or a program with a key that people gave it."""

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from twite.domain.history import ConversionCounts
from twite.domain.people.users import ApiKey, KeyScope
from twite.gateway.identity.accounts import KEY_PREFIX
from twite.http.responses import HttpRefusal, error
from twite.http.source_keys import WRONG_KEY, SourceKeys, bearer

_OURS: Final = KEY_PREFIX.encode()


class FindsKeys(Protocol):
    """Knows the programs' keys: see gateway.key_ring."""

    async def find(self, text: str) -> ApiKey | None:
        """Return the key, unless it is unknown or revoked. Raises LedgerUnavailable."""
        ...


class NoKeys:
    """There are none."""

    async def find(self, _text: str) -> ApiKey | None:
        """Return nothing."""
        return None


class Requester(msgspec.Struct, frozen=True, kw_only=True):
    """What may be seen: of these pixels (None: all), and of the balance one source (None: all)."""

    pixels: frozenset[str] | None
    source: str | None = None

    def sees(self, pixel: str) -> bool:
        """Return whether a pixel's conversions may be seen."""
        return self.pixels is None or pixel in self.pixels

    def counts(self, account: ConversionCounts) -> bool:
        """Return whether an account is part of the balance that may be seen."""
        return account.source == self.source if self.source else self.sees(account.pixel)


class Authorization:
    """Tells them by their keys."""

    def __init__(self, *, keys: SourceKeys, ring: FindsKeys) -> None:
        self._keys = keys
        self._ring = ring

    async def require(self, headers: Mapping[bytes, bytes], scope: KeyScope) -> Requester:
        """Return who asks. Raises Refused: 401, and 403 where a key is for something else."""
        offered = bearer(headers)
        if offered is None or not offered.startswith(_OURS):
            source = self._keys.require(headers)
            return Requester(pixels=source.pixels, source=source.name)
        key = await self._ring.find(offered.decode("latin-1"))
        if key is None:
            raise HttpRefusal(WRONG_KEY)
        if scope not in key.scopes:
            raise HttpRefusal(
                error(403, "key_scope", f"this key is not for {scope}: it has no scope")
            )
        return Requester(pixels=None if key.pixels is None else frozenset(key.pixels))

    async def may_see_metrics(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether a program's key is for what tells of every pixel."""
        offered = bearer(headers) or b""
        key = (
            await self._ring.find(offered.decode("latin-1")) if offered.startswith(_OURS) else None
        )
        return key is not None and KeyScope.METRICS in key.scopes and key.pixels is None
