"""Passwords that are hashed at once and not at all safely: for tests."""

from typing import Final

_PREFIX: Final = "plain:"
_FORMER: Final = "former:"


class PlainPasswords:
    """Keeps what it is given. A hash that begins with `former:` is as good, and not current.

    `verified` counts how often a password was looked at.
    """

    def __init__(self) -> None:
        self.verified = 0

    async def hash(self, password: str) -> str:
        return _PREFIX + password

    async def verify(self, hash_: str, password: str) -> bool:
        self.verified += 1
        return hash_ in {_PREFIX + password, _FORMER + password}

    def is_current(self, hash_: str) -> bool:
        return hash_.startswith(_PREFIX)
