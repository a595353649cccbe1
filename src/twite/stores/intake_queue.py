"""The intake queue: admit submissions within its limits, and return the result of each."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from twite.domain.errors import LedgerUnavailable, QueueFull
from twite.domain.submission import Recorded, Submission

T = TypeVar("T")

_RETRY_AFTER: Final = 1
_RETRY_AFTER_FAILURE: Final = 5

Results = Sequence[Recorded | Exception]
# A callback, its result, and the error if there is no result.
Outcome = tuple[Callable[[Any, Exception | None], None], object, Exception | None]


@dataclass(slots=True, eq=False)
class Recording:
    """Submissions that wait for their commit. `done` gets the result or the error of each.

    `count` is the number of their conversions, `size` their bytes; both count against the queue's
    limits.
    """

    submissions: Sequence[Submission]
    done: Callable[[Results | None, Exception | None], None]
    count: int = 0
    size: int = 0


class IntakeQueue:
    """Submissions that wait for their commit. Call it on the event loop's thread."""

    def __init__(
        self, put: Callable[[Recording], object], *, most_conversions: int, most_bytes: int
    ) -> None:
        """`put` queues admitted submissions; `_release` must follow when they are written."""
        self._put = put
        self._most_conversions = most_conversions
        self._most_bytes = most_bytes
        self._loop = asyncio.get_running_loop()
        # Why submissions are refused while other operations continue, or None.
        self.refusing: str | None = None
        self._closing = False
        self._waiting_conversions = 0
        self._waiting_bytes = 0

    async def submit(self, submission: Submission) -> Recorded:
        """Commit a submission with other queued ones. Raises LedgerUnavailable, QueueFull."""
        future: asyncio.Future[Recorded] = self._loop.create_future()
        self.submit_soon([submission], partial(_settle_one, future))
        return await future

    def submit_soon(
        self, submissions: Sequence[Submission], done: Callable[[Results], None]
    ) -> None:
        """Commit submissions together with other queued operations (see Intake)."""
        refused: dict[int, Exception] = {}
        conversions, size = self._waiting_conversions, self._waiting_bytes
        for place, submission in enumerate(submissions):
            error = self._admit(submission)
            if error is not None:
                refused[place] = error
        if refused:
            done = partial(_with_refused, done, refused)
            submissions = [each for place, each in enumerate(submissions) if place not in refused]
            if not submissions:
                done(())
                return
        self._put(
            Recording(
                submissions,
                partial(_pass_on, done, len(submissions)),
                self._waiting_conversions - conversions,
                self._waiting_bytes - size,
            )
        )

    def _admit(self, submission: Submission) -> LedgerUnavailable | QueueFull | None:
        """Count a submission as waiting, or return why it cannot be queued."""
        entries = submission.entries
        count = len(entries) or 1
        size = len(submission.body)
        if count == 1 and entries:
            size += len(entries[0].body)
        else:
            size += sum([len(entry.body) for entry in entries])
        if self._closing:
            return closing()
        if self.refusing is not None:
            return LedgerUnavailable(reason=self.refusing, retry_after=_RETRY_AFTER_FAILURE)
        # A submission larger than the limit is accepted if the queue is empty.
        if self._waiting_conversions and (
            self._waiting_conversions + count > self._most_conversions
            or self._waiting_bytes + size > self._most_bytes
        ):
            return QueueFull(
                reason="too many writes are queued for the store", retry_after=_RETRY_AFTER
            )
        self._waiting_conversions += count
        self._waiting_bytes += size
        return None

    def _release(self, recordings: Iterable[Recording]) -> None:
        """Make room for others in the queue."""
        for recording in recordings:
            self._waiting_conversions -= recording.count
            self._waiting_bytes -= recording.size

    def _deliver(self, outcomes: Iterable[Outcome]) -> None:
        """Pass each outcome to its callback. The error of a callback must not stop the others."""
        for done, result, error in outcomes:
            try:
                done(result, error)
            except Exception as fault:  # noqa: BLE001 - as above
                message = "a callback of the store failed"
                self._loop.call_exception_handler({"message": message, "exception": fault})


def settle(future: asyncio.Future[T], result: T | None, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)  # type: ignore[arg-type]  # there is a result or an error
    else:
        future.set_exception(error)


def _settle_one(future: asyncio.Future[Recorded], results: Results) -> None:
    (result,) = results
    if isinstance(result, Exception):
        settle(future, None, result)
    else:
        settle(future, result, None)


def _pass_on(
    done: Callable[[Results], None], many: int, results: Results | None, error: Exception | None
) -> None:
    """Call `done` with one result or error for each submission."""
    if error is not None:
        results = [error] * many
    done(results or ())


def _with_refused(
    done: Callable[[Results], None], refused: Mapping[int, Exception], results: Results
) -> None:
    """Call `done` with the results and, for submissions that were not queued, their errors."""
    rest = iter(results)
    done([refused[i] if i in refused else next(rest) for i in range(len(results) + len(refused))])


def closing() -> LedgerUnavailable:
    return LedgerUnavailable(reason="the store is closing", retry_after=_RETRY_AFTER_FAILURE)
