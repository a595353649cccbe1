"""Rejected conversions, in memory."""

from collections import defaultdict, deque
from collections.abc import Sequence
from itertools import islice

from twite.domain.submission import MOST_KEPT, Rejection, RejectionQuery, Submission, rejection_of


class MemoryRejections:
    """Keeps the latest of each source and pixel."""

    def __init__(self) -> None:
        self._rejected: dict[tuple[str, str], deque[Rejection]] = defaultdict(
            lambda: deque(maxlen=MOST_KEPT)
        )

    def _answer_rejections(self, wanted: RejectionQuery) -> Sequence[Rejection]:
        all_ = [rejection for some in self._rejected.values() for rejection in reversed(some)]
        all_.sort(key=lambda rejection: rejection.at, reverse=True)
        return list(islice(filter(wanted.wants, all_), wanted.limit))

    def _reject(self, submission: Submission) -> None:
        for refusal in submission.refusals:
            kept = self._rejected[submission.source, refusal.pixel]
            kept.append(rejection_of(submission, refusal))
