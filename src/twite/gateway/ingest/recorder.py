"""Record submissions: commit, wake the workers, report the result, remember the last failure."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from twite.domain.errors import LedgerUnavailable, NameTaken
from twite.domain.submission import AcceptedConversion, Endpoint, Recorded, Submission
from twite.domain.times import SECOND
from twite.gateway.ingest.entries import accepted_notice, is_typical, notices_of
from twite.gateway.ingest.value_rules import rule_notices
from twite.gateway.ports.events import Observer, ProblemPlace, ProblemSeen
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.store import Intake

PROBLEM_FOR: Final = 5 * SECOND

Done = Callable[[Sequence[Recorded | Exception]], None]


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class SubmissionRecorder:
    """Commits submissions. `wake` is called for each pixel with new deliveries."""

    intake: Intake
    clock: Clock
    wake: Callable[[str], None]
    observer: Observer
    # Requests in progress, each with a future if a caller waits for its end.
    _begun: dict[object, asyncio.Future[None] | None] = field(init=False, default_factory=dict)
    # When a commit last failed (monotonic), and why.
    _failed: tuple[int, str] | None = field(init=False, default=None)
    _failure_reported_at: int = field(init=False)

    def __post_init__(self) -> None:
        self._failure_reported_at = self.clock.elapsed() - PROBLEM_FOR

    @property
    def problem(self) -> str | None:
        """Why a commit failed recently, or None.

        The reason expires after a few seconds. Otherwise, a load balancer that stops traffic
        because of it would never notice that commits succeed again.
        """
        if self._failed is None:
            return None
        at, reason = self._failed
        return reason if self.clock.elapsed() - at < PROBLEM_FOR else None

    async def passed(self) -> None:
        """Wait until all current requests are committed or refused."""
        loop = asyncio.get_running_loop()
        for request, end in self._begun.items():
            self._begun[request] = end or loop.create_future()
        ends = [end for end in self._begun.values() if end is not None]
        if ends:
            await asyncio.wait(ends)

    def begin(self) -> object:
        """Record that a request is in progress. The caller passes the result to `end`."""
        request = object()
        self._begun[request] = None
        return request

    def end(self, request: object) -> None:
        end = self._begun.pop(request)
        if end is not None:
            end.set_result(None)

    async def record(
        self, submission: Submission, fired: Sequence[AcceptedConversion] = ()
    ) -> Recorded:
        """Commit a submission, wake the workers of its pixels, and return the result.

        `fired` contains the entries of tags. Raises QueueFull, LedgerUnavailable, NameTaken.
        """
        try:
            recorded = await self.intake.record(submission)
        except LedgerUnavailable as error:
            self._note_failure(error)
            raise
        self._note(submission, recorded, fired)
        return recorded

    def record_soon(self, submissions: Sequence[Submission], done: Done) -> None:
        """Commit each submission as `record` does.

        `done` gets the result or the error of each, in order, and must not raise.
        """
        request = self.begin()

        def committed(results: Sequence[Recorded | Exception]) -> None:
            self.end(request)
            done(self._noted(submissions, results))

        try:
            self.intake.record_soon(submissions, committed)
        except BaseException:
            self.end(request)
            raise

    def _noted(
        self, submissions: Sequence[Submission], results: Sequence[Recorded | Exception]
    ) -> Sequence[Recorded | Exception]:
        """Report the results of a commit. All typical submissions are reported in one notice."""
        noted = list(results)
        typical: dict[tuple[str, Endpoint], list[int]] = {}
        for place, (submission, result) in enumerate(zip(submissions, results, strict=True)):
            if isinstance(result, Exception):
                if isinstance(result, LedgerUnavailable):
                    self._note_failure(result)
            elif is_typical(submission, result):
                typical.setdefault((submission.source, submission.endpoint), []).append(place)
            else:
                try:
                    self._note(submission, result, ())
                except Exception as fault:  # noqa: BLE001 - the caller handles it
                    noted[place] = fault
        for (source, endpoint), places in typical.items():
            self._failed = None
            try:
                self._note_typical(source, endpoint, [submissions[place] for place in places])
            except Exception as fault:  # noqa: BLE001 - as above
                for place in places:
                    noted[place] = fault
        return noted

    def _note_typical(
        self, source: str, endpoint: Endpoint, submissions: Sequence[Submission]
    ) -> None:
        entries = [submission.entries[0] for submission in submissions]
        for pixel in {entry.pixel for entry in entries}:
            self.wake(pixel)
        self.observer.see(accepted_notice(source, endpoint, accepted=len(entries)))
        for notice in rule_notices(source, entries):
            self.observer.see(notice)

    def _note(
        self, submission: Submission, recorded: Recorded, fired: Sequence[AcceptedConversion]
    ) -> None:
        """Wake the workers, and report the result of a commit. Raises NameTaken."""
        self._failed = None
        if recorded.conflict:
            raise NameTaken("this idempotency key was used for a different request")
        for pixel in {entry.pixel for entry in submission.entries}:
            self.wake(pixel)
        for notice in notices_of(submission, fired, recorded.duplicates):
            self.observer.see(notice)

    def _note_failure(self, unavailable: LedgerUnavailable) -> None:
        now = self.clock.elapsed()
        self._failed = now, unavailable.reason
        if now - self._failure_reported_at >= PROBLEM_FOR:
            # Report only at intervals, because under load there are thousands of identical errors.
            self._failure_reported_at = now
            self.observer.see(ProblemSeen(where=ProblemPlace.LEDGER, reason=unavailable.reason))
