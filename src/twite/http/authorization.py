"""Authorization of read requests: a source sees its own data, an API key what its role allows."""

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
    """Finds API keys: see gateway.identity."""

    async def find(self, text: str) -> ApiKey | None:
        """Return the API key, or None if it is unknown or revoked. Raises LedgerUnavailable."""
        ...


class NoKeys:
    """A deployment without API keys."""

    async def find(self, _text: str) -> ApiKey | None:
        """Return None."""
        return None


class Requester(msgspec.Struct, frozen=True, kw_only=True):
    """What a requester may see: these pixels, and the balance of one source (None: all)."""

    pixels: frozenset[str] | None
    source: str | None = None

    def sees(self, pixel: str) -> bool:
        """Return whether the requester may see a pixel's conversions."""
        return self.pixels is None or pixel in self.pixels

    def counts(self, account: ConversionCounts) -> bool:
        """Return whether an account belongs to the balance that the requester may see."""
        return account.source == self.source if self.source else self.sees(account.pixel)


class Authorization:
    """Identifies requesters by their source key or API key."""

    def __init__(self, *, keys: SourceKeys, ring: FindsKeys) -> None:
        self._keys = keys
        self._ring = ring

    async def require(self, headers: Mapping[bytes, bytes], scope: KeyScope) -> Requester:
        """Return the requester. Raises HttpRefusal: 401, and 403 if the key lacks the scope."""
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
        """Return whether the request's API key may read the metrics, which cover every pixel."""
        offered = bearer(headers) or b""
        key = (
            await self._ring.find(offered.decode("latin-1")) if offered.startswith(_OURS) else None
        )
        return key is not None and KeyScope.METRICS in key.scopes and key.pixels is None
