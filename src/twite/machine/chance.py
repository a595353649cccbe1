"""Chance, from the operating system."""

import secrets
import time
from random import SystemRandom
from typing import Final

_RANDOM: Final = SystemRandom()
_MASK: Final = (1 << 128) - 1


class SystemChance:
    """Random numbers, nonces and receipts that nobody can guess."""

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        return _RANDOM.random()

    def nonce(self) -> str:
        """Return 32 hexadecimal digits."""
        return secrets.token_hex(16)

    def receipt(self) -> str:
        """Return a UUID version 7 (RFC 9562, 5.7): 48 bits of milliseconds, then chance."""
        bits = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
        bits = bits & ~(0xF << 76) | 0x7 << 76
        bits = bits & ~(0x3 << 62) | 0x2 << 62
        text = f"{bits & _MASK:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
