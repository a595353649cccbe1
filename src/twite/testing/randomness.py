"""Repeatable random numbers for tests."""

from random import Random


class SeededRandomness:
    """The same seed gives the same numbers, nonces and receipts."""

    def __init__(self, seed: int = 1) -> None:
        self._random = Random(seed)  # noqa: S311  to be repeated, not to be secret
        self._nonces = 0

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        return self._random.random()

    def nonce(self) -> str:
        """Return text never returned before by this instance."""
        self._nonces += 1
        return f"nonce{self._nonces}"

    def receipt(self) -> str:
        """Return a UUID in shape; later ones sort later."""
        self._nonces += 1
        return f"{self._nonces:08x}-0000-7000-8000-{self._random.getrandbits(48):012x}"
