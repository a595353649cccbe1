"""Insert ids: deduplicate the rows and documents of a delivery that runs again.

Made of the delivery, the place it goes to, and what it says. What says something else (another
answer) is another one; the same twice in one run is two. What time it was in the run is no
difference: the next time it is another by milliseconds.
"""

import re
from collections import Counter
from hashlib import blake2b
from typing import Final

import msgspec

from twite.domain.json_tree import Tree
from twite.domain.times import MINUTE, SECOND

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_ID_LENGTH: Final = 20  # as Firestore's own
# A run lasts a minute at most, and its clock begins at the event's time.
_RUN: Final = 2 * MINUTE
_PER_MILLISECOND: Final = (1_000.0, 1.0, 0.001)  # of seconds, milliseconds, microseconds
_TIME_AS_TEXT: Final = re.compile(r"[0-9]{10}(?:[0-9]{3}){0,2}", re.ASCII)


class InsertIds:
    """Those of one run. `of` is what tells it from every other, and is the same when it repeats.

    `at` is the time that its clock began at, in milliseconds.
    """

    def __init__(self, of: bytes, *, at: int = 0) -> None:
        self._at = at
        self._of = blake2b(of).digest()
        self._before: Counter[bytes] = Counter()

    def row(self, place: str, tree: Tree) -> str:
        """Return the id of a row."""
        return self._mark(place, tree).hex()

    def document(self, place: str, tree: Tree) -> str:
        """Return the id of a document."""
        number = int.from_bytes(self._mark(place, tree))
        letters = []
        for _ in range(_ID_LENGTH):
            number, at = divmod(number, len(_LETTERS))
            letters.append(_LETTERS[at])
        return "".join(letters)

    def _mark(self, place: str, tree: Tree) -> bytes:
        digest = blake2b(self._of, digest_size=16)
        digest.update(place.encode("utf-8", "replace") + b"\0")
        digest.update(msgspec.json.encode(self._without_times(tree), order="sorted"))
        same = digest.digest()
        digest.update(self._before[same].to_bytes(4))
        self._before[same] += 1
        return digest.digest()

    def _without_times(self, tree: Tree) -> Tree:
        match tree:
            case dict():
                return {name: self._without_times(value) for name, value in tree.items()}
            case list():
                return [self._without_times(item) for item in tree]
            case int() | float() if not isinstance(tree, bool) and self._is_time(tree):
                return None
            case str() if _TIME_AS_TEXT.fullmatch(tree) and self._is_time(int(tree)):
                return None
        return tree

    def _is_time(self, number: float) -> bool:
        since = (number * scale - self._at for scale in _PER_MILLISECOND)
        return any(-SECOND < distance < _RUN for distance in since)
