"""Counts of ignored items, in memory."""

from collections.abc import Sequence

from twite.domain.submission import MOST_NAMES, OTHER, IgnoredTally, Submission, named
from twite.domain.times import DAY


class MemoryIgnored:
    """Counts by day, source, endpoint, name and reason."""

    def __init__(self) -> None:
        self._ignored: dict[tuple[int, str, str, str, str], int] = {}

    def _answer_ignored(self, *, since: int) -> Sequence[IgnoredTally]:
        return [
            IgnoredTally(
                day=day, source=source, endpoint=endpoint, name=name, reason=reason, times=times
            )
            for (day, source, endpoint, name, reason), times in sorted(self._ignored.items())
            if day >= since
        ]

    def _note(self, submission: Submission) -> None:
        day, source, endpoint = (
            submission.received_at // DAY,
            submission.source,
            submission.endpoint.value,
        )
        for name, reason in named(submission):
            key = day, source, endpoint, name, reason
            if key not in self._ignored:
                full = sum(known[:2] == key[:2] for known in self._ignored) >= MOST_NAMES
                key = day, source, endpoint, OTHER if full else name, reason
            self._ignored[key] = self._ignored.get(key, 0) + 1
