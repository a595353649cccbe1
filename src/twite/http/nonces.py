"""Remember recent OAuth nonces, so that each is accepted once."""

import hashlib


class NonceMemory:
    """Remembers each nonce for at least `seconds`, and at most twice as long.

    Two generations of 16-byte digests. Only valid signatures have their nonce remembered, so
    strangers cannot fill the memory.
    """

    def __init__(self, *, seconds: int) -> None:
        self._seconds = seconds
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._turned_at = 0

    def use(self, scope: str, nonce: str, *, now: int) -> bool:
        """Record a nonce; return False if it was used before. `now` is in seconds."""
        self._turn(now)
        digest = hashlib.blake2b(f"{scope}\0{nonce}".encode(), digest_size=16).digest()
        if digest in self._young or digest in self._old:
            return False
        self._young.add(digest)
        return True

    def _turn(self, now: int) -> None:
        age = now - self._turned_at
        if age < 0:  # the clock was put back: remember for longer
            self._turned_at = now
        if age < self._seconds:
            return
        self._old = self._young if age < 2 * self._seconds else set()
        self._young = set()
        self._turned_at = now
