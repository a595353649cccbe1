"""Cache Google access tokens until they expire; one request per token at a time."""

import asyncio
from typing import Final

import msgspec

from twite.domain.secret import Secret
from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.google_account import GoogleTokenSource, NoGoogleToken
from twite.gateway.ports.machine import Clock

# A token must still be good when its request arrives.
AHEAD: Final = 2 * MINUTE
# What Google refused it refuses again: callers in between get the same answer.
REFUSED_FOR: Final = 30 * SECOND
# Scopes may hold what an event says, so that there must be an end to them.
MOST_SCOPES: Final = 64

Found = Secret | NoGoogleToken
Scopes = tuple[str, ...]


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    found: Found
    until: int


class TokenCache:
    """For each set of scopes the one token, asked for anew shortly before it ends."""

    def __init__(self, account: GoogleTokenSource, *, clock: Clock) -> None:
        self._account = account
        self._clock = clock
        self._kept: dict[Scopes, _Kept] = {}
        self._asking: dict[Scopes, asyncio.Task[Found]] = {}

    async def of(self, scopes: Scopes) -> Found:
        """Return a token for scopes, or why there is none."""
        key = tuple(sorted(set(scopes)))
        kept = self._kept.get(key)
        if kept is not None and self._clock.elapsed() < kept.until:
            return kept.found
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(key))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        # A caller that gives up leaves the others waiting for the same.
        return await asyncio.shield(asking)

    def forget(self, scopes: Scopes, token: Secret) -> None:
        """Hear that Google does not take a token any more; a newer one stays."""
        key = tuple(sorted(set(scopes)))
        kept = self._kept.get(key)
        if kept is not None and kept.found == token:
            del self._kept[key]

    async def stop(self) -> None:
        """Ask no more."""
        asking = tuple(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await self._account.stop()

    async def _ask(self, key: Scopes) -> Found:
        came = await self._account.token(key)
        now = self._clock.elapsed()
        if isinstance(came, NoGoogleToken):
            if came.refused:
                self._keep(key, _Kept(found=came, until=now + REFUSED_FOR))
            return came
        # One that is shorter than that from the start is good for half of its time.
        life = max(came.life - AHEAD, came.life // 2)
        self._keep(key, _Kept(found=came.text, until=now + life))
        return came.text

    def _keep(self, key: Scopes, kept: _Kept) -> None:
        self._kept.pop(key, None)
        if len(self._kept) >= MOST_SCOPES:
            self._kept.pop(next(iter(self._kept)))
        self._kept[key] = kept
