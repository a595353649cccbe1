"""Recorder: commits queued submissions in groups, several groups at a time."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Final

from twite.domain.errors import LedgerUnavailable
from twite.domain.submission import Recorded, Submission
from twite.stores.intake_queue import IntakeQueue, Recording
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

# Submissions, and the version of the opt-out list that was used to decide about them.
_Waiting = tuple[Recording, int]


class Recorder(IntakeQueue):
    """Commits queued submissions, from `start` to `close`."""

    def __init__(
        self, database: PostgresDatabase, *, most_conversions: int, most_bytes: int
    ) -> None:
        super().__init__(self._add, most_conversions=most_conversions, most_bytes=most_bytes)
        self._database = database
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        # The number of conversions being written, the number of groups so far, and whether the next
        # group waits until it has as many conversions.
        self._writing = 0
        self._groups = 0
        self._collects = False
        self._tasks: list[asyncio.Task[None]] = []
        # Whether this process has a lease: erasures then wait until it has read the opt-out list.
        self.follows_opt_outs: Callable[[], bool] = lambda: True

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run()) for _ in range(_WRITERS)]

    def _add(self, recording: Recording) -> None:
        self._queue.append((recording, self._database.names.opt_outs.version))
        if self._is_ready:
            self._wake.set()

    @property
    def _is_ready(self) -> bool:
        """Whether the queue contains the next group."""
        queued = self._waiting_conversions - self._writing
        return queued >= self._writing or not self._collects or self._closing

    def _stop_collecting(self, group: int) -> None:
        if group == self._groups:
            self._collects = False
            self._wake.set()

    async def close(self) -> None:
        """Commit the queued submissions, and stop."""
        self._closing = True
        self._wake.set()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self) -> None:
        while True:
            while not (self._queue and self._is_ready):
                if self._closing and not self._queue:
                    return
                self._wake.clear()
                await self._wake.wait()
            group = self._gathered()
            conversions = sum([recording.count for recording, _ in group])
            self._writing += conversions
            self._groups += 1
            self._collects = True
            self._loop.call_later(COLLECT_FOR, self._stop_collecting, self._groups)
            try:
                await self._commit(group)
            finally:
                self._writing -= conversions
                self._release(recording for recording, _ in group)

    def _gathered(self) -> list[_Waiting]:
        group = [self._queue.popleft()]
        together = group[0][0].count
        while self._queue and together + self._queue[0][0].count <= _MOST_TOGETHER:
            group.append(self._queue.popleft())
            together += group[-1][0].count
        return group

    async def _commit(self, group: Sequence[_Waiting]) -> None:
        """Commit a group. If one submission may have made it fail, commit each separately."""
        parts = [([*recording.submissions], version) for recording, version in group]
        try:
            recorded = iter(await self._database.write(partial(self._record, parts), begins=True))
        except Exception as error:  # noqa: BLE001 - the error goes to the caller, and must not end the recorder
            if sum(len(submissions) for submissions, _ in parts) > 1 and _is_of_one(error):
                await self._commit_each(group)
                return
            self._deliver((recording.done, None, error) for recording, _ in group)
            return
        self._deliver(
            (recording.done, list(islice(recorded, len(recording.submissions))), None)
            for recording, _ in group
        )

    async def _commit_each(self, group: Sequence[_Waiting]) -> None:
        """Commit each submission separately, until so many have failed that the rest would, too."""
        failed = 0
        final: Exception | None = None
        for recording, version in group:
            results: list[Recorded | Exception] = []
            for submission in recording.submissions:
                if final is not None:
                    results.append(final)
                    continue
                alone = partial(self._record, [([submission], version)])
                try:
                    results += await self._database.write(alone)
                except Exception as error:  # noqa: BLE001 - as above
                    results.append(error)
                    failed += isinstance(error, LedgerUnavailable)
                    if failed == MOST_FAILED or not _is_of_one(error):
                        final = error
            self._deliver([(recording.done, results, None)])

    def _record(
        self, parts: Sequence[tuple[list[Submission], int]], session: PostgresSession
    ) -> list[Recorded]:
        if not self.follows_opt_outs():
            # Its lease has expired, for example because the process was suspended.
            current = session.opt_outs.refresh()
            if any(version != current for _, version in parts):
                raise LedgerUnavailable(
                    reason="people have opted out since this gateway lost its lease",
                    retry_after=_RETRY_AFTER,
                )
        return record(session, [each for submissions, _ in parts for each in submissions])


def _is_of_one(error: Exception) -> bool:
    """Whether an error of a group may be due to only one of its submissions."""
    return not (isinstance(error, LedgerUnavailable) and is_passing(error.__cause__))


def record(session: PostgresSession, submissions: list[Submission]) -> list[Recorded]:
    """Write submissions inside the running transaction."""
    session.lock_names(
        submission.idempotency.key for submission in submissions if submission.idempotency
    )
    return intake.record(session, submissions)
