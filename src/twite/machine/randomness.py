"""Random numbers, from the operating system."""

import os
import secrets
import time
from collections import deque
from random import SystemRandom
from typing import Final

_RANDOM: Final = SystemRandom()
_MASK: Final = (1 << 128) - 1
# Bytes of randomness in a receipt, and how many receipts' worth is read at once: each read releases
# the GIL, and the accepting thread must wait to get it back.
_CHANCE: Final = 10
_AT_ONCE: Final = 256


class SystemRandomness:
    """Random numbers, nonces and receipts that nobody can guess."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        return _RANDOM.random()

    def nonce(self) -> str:
        """Return 32 hexadecimal digits."""
        return secrets.token_hex(16)

    def receipt(self) -> str:
        """Return a UUID version 7 (RFC 9562, 5.7): 48 bits of milliseconds, then random bits."""
        randomness = int.from_bytes(self._piece(), "big")
        bits = (time.time_ns() // 1_000_000) << 80 | randomness
        bits = bits & ~(0xF << 76) | 0x7 << 76
        bits = bits & ~(0x3 << 62) | 0x2 << 62
        text = f"{bits & _MASK:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def _piece(self) -> bytes:
        """Return bytes that were never returned before; from any thread."""
        while True:
            try:
                return self._pieces.pop()
            except IndexError:
                drawn = os.urandom(_CHANCE * _AT_ONCE)
                self._pieces.extend(
                    drawn[at : at + _CHANCE] for at in range(0, len(drawn), _CHANCE)
                )
