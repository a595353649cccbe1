"""A fake password hasher: instant, and not at all safe."""

import asyncio
from typing import Final

_PREFIX: Final = "plain:"
_FORMER: Final = "former:"


class PlainPasswords:
    """Stores passwords in clear. A hash that begins with `former:` is valid, and outdated.

    `verified` and `hashed` count the calls.
    """

    def __init__(self) -> None:
        self.verified = 0
        self.hashed = 0

    async def hash(self, password: str) -> str:
        self.hashed += 1
        return _PREFIX + password

    async def verify(self, hash_: str, password: str) -> bool:
        self.verified += 1
        return hash_ in {_PREFIX + password, _FORMER + password}

    def is_current(self, hash_: str) -> bool:
        return hash_.startswith(_PREFIX)


class HeldPasswords(PlainPasswords):
    """Blocks calls of `verify` or `hash` until the test releases them.

    So a test can act in the time that a slow hash takes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._to_hold = {"verify": 0, "hash": 0}
        self._held = 0
        self._arrival = asyncio.Condition()
        self._go = asyncio.Event()

    def hold(self, what: str, *, times: int = 1) -> None:
        """Hold the next calls, so many, at the end of `verify` or `hash`."""
        self._to_hold[what] = times
        self._held = 0
        self._go = asyncio.Event()

    async def arrived(self, times: int = 1) -> None:
        """Wait until so many calls are held."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: self._held >= times)

    def let_go(self) -> None:
        """Release the held calls."""
        self._go.set()

    async def hash(self, password: str) -> str:
        hashed = await super().hash(password)
        await self._wait("hash")
        return hashed

    async def verify(self, hash_: str, password: str) -> bool:
        right = await super().verify(hash_, password)
        await self._wait("verify")
        return right

    async def _wait(self, what: str) -> None:
        if not self._to_hold[what]:
            return
        self._to_hold[what] -= 1
        go = self._go
        async with self._arrival:
            self._held += 1
            self._arrival.notify_all()
        await go.wait()
