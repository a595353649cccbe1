"""Argon2id password hashes, with the second cost of RFC 9106 (4): 64 MiB, three passes."""

import asyncio
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

# Each takes 64 MiB and a core for tens of milliseconds: strangers must not start many at once.
_AT_ONCE: Final = 2


class Argon2Passwords:
    """Hashes and verifies on other threads, few at once."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def hash(self, password: str) -> str:
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, hash_: str, password: str) -> bool:
        async with self._turn:
            return await asyncio.to_thread(self._verified, hash_, password)

    def is_current(self, hash_: str) -> bool:
        try:
            return not self._hasher.check_needs_rehash(hash_)
        except InvalidHashError:
            return False

    def _verified(self, hash_: str, password: str) -> bool:
        try:
            return self._hasher.verify(hash_, password)
        except (VerificationError, InvalidHashError):
            return False
