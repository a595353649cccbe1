"""Recorder: commits queued submissions in groups, several groups at a time."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from twite.domain.errors import LedgerUnavailable, QueueFull
from twite.domain.submission import Recorded, Submission
from twite.stores.postgres.database import PostgresDatabase
from twite.stores.postgres.driver.errors import is_passing
from twite.stores.postgres.session import PostgresSession
from twite.stores.sql import intake

# While one group is written, the next is collected.
_WRITERS: Final = 2
# The maximum number of conversions in a group; ids are allocated for as many.
_MOST_TOGETHER: Final = 2_000
# If each of this many submissions fails when committed separately, the rest of the group is not
# tried.
MOST_FAILED: Final = 3
# While one group is written, the next waits until it has as many conversions, but at most for this
# time: a large group needs no more statements than a small one.
COLLECT_FOR: Final = 0.05  # seconds
_RETRY_AFTER: Final = 1


Done = Callable[[Recorded | Exception], None]


@dataclass(slots=True, eq=False)
class _Waiting:
    submission: Submission
    done: Done
    size: int
    opt_outs: int  # the version of the opt-out list that was used to decide about it


class _Results:
    """Collects the results of some submissions, and calls `done` when it has them all."""

    def __init__(self, many: int, done: Callable[[Sequence[Recorded | Exception]], None]) -> None:
        self._results: dict[int, Recorded | Exception] = {}
        self._many = many
        self._done = done

    def set(self, place: int, result: Recorded | Exception) -> None:
        self._results[place] = result
        if len(self._results) == self._many:
            self._done([self._results[each] for each in range(self._many)])


class Recorder:
    """Commits queued submissions, from `start` to `close`."""

    def __init__(
        self, database: PostgresDatabase, *, most_conversions: int, most_bytes: int
    ) -> None:
        self._database = database
        self._most_conversions = most_conversions
        self._most_bytes = most_bytes
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._conversions = 0
        self._bytes = 0
        # The number of conversions being written, the number of groups so far, and whether the next
        # group waits until it has as many conversions.
        self._writing = 0
        self._groups = 0
        self._collects = False
        self._tasks: list[asyncio.Task[None]] = []
        # Whether this process has a lease: erasures then wait until it has read the opt-out list.
        self.follows_opt_outs: Callable[[], bool] = lambda: True
        # Why submissions are refused while other operations continue, or None.
        self.refusing: str | None = None

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run()) for _ in range(_WRITERS)]

    async def submit(self, submission: Submission) -> Recorded:
        """Commit a submission with other queued ones. Raises QueueFull, LedgerUnavailable."""
        future: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()

        def done(result: Recorded | Exception) -> None:
            if future.done():
                return  # its request was canceled
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

        self._submit(submission, done)
        return await future

    def submit_soon(
        self,
        submissions: Sequence[Submission],
        done: Callable[[Sequence[Recorded | Exception]], None],
    ) -> None:
        """Commit like `submit`, and call `done` with the result or the error of each."""
        results = _Results(len(submissions), done)
        for place, submission in enumerate(submissions):
            self._submit(submission, partial(results.set, place))

    def _submit(self, submission: Submission, done: Done) -> None:
        error = self._refusal(submission)
        if error is not None:
            done(error)
            return
        size = _size_of(submission)
        self._conversions += max(1, len(submission.entries))
        self._bytes += size
        version = self._database.names.opt_outs.version
        self._queue.append(_Waiting(submission, done, size, version))
        if self._is_ready:
            self._wake.set()

    @property
    def _is_ready(self) -> bool:
        """Whether the queue contains the next group."""
        queued = self._conversions - self._writing
        return queued >= self._writing or not self._collects or self._closing

    def _stop_collecting(self, group: int) -> None:
        if group == self._groups:
            self._collects = False
            self._wake.set()

    def _refusal(self, submission: Submission) -> LedgerUnavailable | QueueFull | None:
        """Return why a submission cannot be queued, or None."""
        if self._closing:
            return LedgerUnavailable(reason="the store is closing", retry_after=_RETRY_AFTER)
        if self.refusing is not None:
            return LedgerUnavailable(reason=self.refusing, retry_after=_RETRY_AFTER)
        # A submission larger than the limit is accepted if the queue is empty.
        if self._conversions and (
            self._conversions + max(1, len(submission.entries)) > self._most_conversions
            or self._bytes + _size_of(submission) > self._most_bytes
        ):
            return QueueFull(
                reason="too many writes are queued for the database", retry_after=_RETRY_AFTER
            )
        return None

    async def close(self) -> None:
        """Commit the queued submissions, and stop."""
        self._closing = True
        self._wake.set()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not (self._queue and self._is_ready):
                if self._closing and not self._queue:
                    return
                self._wake.clear()
                await self._wake.wait()
            group = self._gathered()
            conversions = sum([max(1, len(waiting.submission.entries)) for waiting in group])
            self._writing += conversions
            self._groups += 1
            self._collects = True
            loop.call_later(COLLECT_FOR, self._stop_collecting, self._groups)
            try:
                await self._commit(group)
            finally:
                self._conversions -= conversions
                self._writing -= conversions
                self._bytes -= sum([waiting.size for waiting in group])

    def _gathered(self) -> list[_Waiting]:
        group = [self._queue.popleft()]
        together = len(group[0].submission.entries)
        while self._queue and together + len(self._queue[0].submission.entries) <= _MOST_TOGETHER:
            group.append(self._queue.popleft())
            together += len(group[-1].submission.entries)
        return group

    async def _commit(self, group: list[_Waiting]) -> None:
        """Commit a group. If one submission may have made it fail, commit each separately."""
        try:
            recorded = await self._database.write(partial(self._record, group), begins=True)
        except Exception as error:  # noqa: BLE001 - the error goes to the caller, and must not end the recorder
            if len(group) > 1 and _is_of_one(error):
                await self._commit_each(group)
                return
            self._fail(group, error)
            return
        for waiting, result in zip(group, recorded, strict=True):
            waiting.done(result)

    async def _commit_each(self, group: list[_Waiting]) -> None:
        """Commit each submission separately, until so many have failed that the rest would, too."""
        failed = 0
        for place, waiting in enumerate(group, 1):
            try:
                (result,) = await self._database.write(partial(self._record, [waiting]))
            except Exception as error:  # noqa: BLE001 - as above
                self._fail([waiting], error)
                failed += isinstance(error, LedgerUnavailable)
                if failed == MOST_FAILED or not _is_of_one(error):
                    self._fail(group[place:], error)
                    return
            else:
                waiting.done(result)

    def _fail(self, group: list[_Waiting], error: Exception) -> None:
        for waiting in group:
            waiting.done(error)

    def _record(self, group: list[_Waiting], session: PostgresSession) -> list[Recorded]:
        if not self.follows_opt_outs():
            # Its lease has expired, for example because the process was suspended.
            version = session.opt_outs.refresh()
            if any(waiting.opt_outs != version for waiting in group):
                raise LedgerUnavailable(
                    reason="people have opted out since this gateway lost its lease",
                    retry_after=_RETRY_AFTER,
                )
        return record(session, [waiting.submission for waiting in group])


def _is_of_one(error: Exception) -> bool:
    """Whether an error of a group may be due to only one of its submissions."""
    return not (isinstance(error, LedgerUnavailable) and is_passing(error.__cause__))


def _size_of(submission: Submission) -> int:
    return len(submission.body) + sum([len(entry.body) for entry in submission.entries])


def record(session: PostgresSession, submissions: list[Submission]) -> list[Recorded]:
    """Write submissions inside the running transaction."""
    session.lock_names(
        submission.idempotency.key for submission in submissions if submission.idempotency
    )
    return intake.record(session, submissions)
