"""Who looks on live: each a few streams, so that nobody takes all there are.

Invariants. Nobody has more than `each` streams, and together they are at most `most`. Where one
more opens, the oldest of the user with the most ends; an own one, where that is who opens it.
"""

import asyncio
from collections import Counter
from typing import Final

EACH: Final = 4
MOST: Final = 32


class Stream:
    """One that is open. `ended` is set once another has taken its place."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.ended = asyncio.Event()


class Streams:
    """Those that are open, the oldest first."""

    def __init__(self, *, each: int = EACH, most: int = MOST) -> None:
        self._each = each
        self._most = most
        self._open: list[Stream] = []

    def open(self, who: str) -> Stream:
        """Return one more; another ends for it where there are too many."""
        counts = Counter(stream.who for stream in self._open)
        if counts[who] >= self._each:
            self._end_oldest(who)
        elif len(self._open) >= self._most:
            greatest = max(counts.values())
            # Where several have as many: who holds one for longest.
            self._end_oldest(
                next(stream.who for stream in self._open if counts[stream.who] == greatest)
            )
        stream = Stream(who)
        self._open.append(stream)
        return stream

    def close(self, stream: Stream) -> None:
        """Count it no more."""
        if stream in self._open:
            self._open.remove(stream)

    def _end_oldest(self, who: str) -> None:
        oldest = next(stream for stream in self._open if stream.who == who)
        self._open.remove(oldest)
        oldest.ended.set()
