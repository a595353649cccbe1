"""What a row or a document is known by when a delivery runs again, so that its twin is dropped.

Made of the delivery, the place it goes to, and what it says. What says something else (a later
time, another answer) is another one; the same twice in one run is two.
"""

from collections import Counter
from hashlib import blake2b
from typing import Final

import msgspec

from twite.sgtm.tree import Tree

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_ID_LENGTH: Final = 20  # as Firestore's own


class Marks:
    """Those of one run. `of` is what tells it from every other, and is the same when it repeats."""

    def __init__(self, of: bytes) -> None:
        self._of = blake2b(of).digest()
        self._before: Counter[bytes] = Counter()

    def row(self, place: str, said: Tree) -> str:
        """Return the id of a row."""
        return self._mark(place, said).hex()

    def document(self, place: str, said: Tree) -> str:
        """Return the id of a document."""
        number = int.from_bytes(self._mark(place, said))
        letters = []
        for _ in range(_ID_LENGTH):
            number, at = divmod(number, len(_LETTERS))
            letters.append(_LETTERS[at])
        return "".join(letters)

    def _mark(self, place: str, said: Tree) -> bytes:
        told = blake2b(self._of, digest_size=16)
        told.update(place.encode("utf-8", "replace") + b"\0")
        told.update(msgspec.json.encode(said, order="sorted"))
        same = told.digest()
        told.update(self._before[same].to_bytes(4))
        self._before[same] += 1
        return told.digest()
