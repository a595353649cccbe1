"""Randomness of one process in a trial."""

from random import Random


class TrialChance:
    """Random numbers of a process: the same seed gives the same numbers."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)

    def fraction(self) -> float:
        return self._random.random()

    def nonce(self) -> str:
        return f"{self._random.getrandbits(128):032x}"

    def receipt(self) -> str:
        return f"{self._random.getrandbits(48):012x}-{self._random.getrandbits(64):016x}"
