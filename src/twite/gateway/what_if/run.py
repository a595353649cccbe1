"""What-if: decide again about the conversions of a past range, under other settings.

Nothing is written or sent. The store is read a little at a time, in views of their own, so that
intake beside it goes on. Other processes read the requests under the new settings, and this one
decides in the order of receipt.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

from twite.domain.submission import Rejection, RejectionQuery
from twite.domain.times import DAY, MINUTE
from twite.gateway.ports.past_requests import OUT_OF_ORDER, PastRequestsQuery
from twite.gateway.ports.queries import IgnoredQuery, Queries, RejectionsQuery
from twite.gateway.what_if.candidate import (
    RequestCandidate,
    RequestsPart,
    decoded_candidates,
    encoded,
)
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.gateway.what_if.past_ignored import PastIgnored
from twite.gateway.what_if.past_intake import PastIntake
from twite.gateway.what_if.report import ReportBuilder, UnusedSetting, WhatIfReport

# Few beside intake, so that no step takes long: see `breathe`.
AT_ONCE: Final = 50
_AT_ONCE_ALONE: Final = 200
# After so many parts, look again whether intake has received something.
PARTS_PER_LOOK: Final = 20
_QUIET: Final = MINUTE
# More than a store holds.
_MOST_REJECTIONS: Final = 1_000_000

# Reads encoded requests as encoded candidates (`CandidateReader.read_encoded`).
ReadsRequests = Callable[[bytes], Awaitable[bytes]]


class WhatIf:
    """Compares what intake decided with what it would have decided under `new_settings`.

    `current_settings` stand in for those of that time, where the store does not say what they were.
    """

    def __init__(
        self,
        *,
        new_settings: IntakeSettings,
        current_settings: IntakeSettings,
        queries: Queries,
        rejections: Sequence[Rejection],
        read: ReadsRequests,
        ahead: int,
        now: Callable[[], int],
        is_half_over: Callable[[], bool] = lambda: False,
        is_over: Callable[[], bool] = lambda: False,
        breathe: Callable[[], None] = lambda: None,
    ) -> None:
        """`read` is called for up to `ahead` parts at a time; their order does not matter.

        What was received before the range is read until `is_half_over` is true, and the run ends
        when `is_over` is true: the report tells what was not read. If intake has received
        something within the last minute before `now` (ms), `breathe` is called between requests,
        to let other processes go first.
        """
        self._is_half_over, self._is_over = is_half_over, is_over
        self._breathe, self._now, self._is_beside_intake = breathe, now, True
        self._new_settings, self._current_settings = new_settings, current_settings
        self._queries, self._rejections = queries, rejections
        self._read, self._ahead = read, ahead

    async def run(
        self,
        *,
        since: int,
        until: int,
        most: int | None = None,
        not_applied: Sequence[UnusedSetting] = (),
    ) -> WhatIfReport:
        """Return the report for a range of times of receipt, in milliseconds.

        Copies arrive within the deduplication window, so what was received in the longer window of
        both settings before the range is read, too. With `most`, the run ends after so many
        conversions. Raises LedgerUnavailable.
        """
        both = self._new_settings, self._current_settings
        began = since - max(settings.dedup_window for settings in both)
        tallies = await self._queries.answer(IgnoredQuery(since=began // DAY))
        past_ignored = PastIgnored(
            tallies,
            new_settings=self._new_settings,
            current_settings=self._current_settings,
        )
        past_intake = PastIntake(
            new_settings=self._new_settings,
            current_settings=self._current_settings,
            rejections=self._rejections,
            past_ignored=past_ignored,
        )
        builder = ReportBuilder()
        is_cut, skipped_from = False, None
        async with aclosing(self._with_earlier(began, since, until)) as candidates:
            async for candidate in candidates:
                if isinstance(candidate, int):
                    skipped_from = candidate
                    past_intake.leave_earlier_unread()
                    continue
                if self._is_over() or (most is not None and builder.conversions >= most):
                    until, is_cut = candidate.received_at, True
                    break
                if self._is_beside_intake:
                    self._breathe()
                comparisons = past_intake.decide(candidate)
                if candidate.received_at >= since:
                    builder.add_request(candidate, comparisons)
        for comparison in past_intake.decide_rejected(since=since, until=until):
            builder.add(comparison)
        return builder.report(
            since=since,
            until=until,
            ignored=list(past_ignored.now_known(since=since, until=until)),
            not_applied=not_applied,
            is_cut=is_cut,
            skipped_from=skipped_from,
        )

    async def _with_earlier(
        self, began: int, since: int, until: int
    ) -> AsyncGenerator[RequestCandidate | int, None]:
        """Yield the requests of a range, after those that were received earlier.

        If half of the time is over first, yield the time of the first one that is left out.
        """
        async with aclosing(self._candidates(began, until)) as candidates:
            async for candidate in candidates:
                at = candidate.received_at
                if at < since - OUT_OF_ORDER and self._is_half_over():
                    yield max(at, began)
                    break
                if began <= at < until:
                    yield candidate
            else:
                return
        async with aclosing(self._candidates(since, until)) as candidates:
            async for candidate in candidates:
                if since <= candidate.received_at < until:
                    yield candidate

    async def _candidates(self, began: int, until: int) -> AsyncGenerator[RequestCandidate, None]:
        """Yield the requests from a time on, in the order of receipt.

        In PostgreSQL, the order of numbers is another one within about a second.
        """
        waiting: list[tuple[int, int, RequestCandidate]] = []
        latest, place = 0, 0
        async with aclosing(self._by_number(began, until)) as candidates:
            async for candidate in candidates:
                at, place = candidate.received_at, place + 1
                heapq.heappush(waiting, (at, place, candidate))
                latest = max(latest, at)
                while waiting[0][0] < latest - OUT_OF_ORDER:
                    yield heapq.heappop(waiting)[2]
        while waiting:
            yield heapq.heappop(waiting)[2]

    async def _by_number(self, began: int, until: int) -> AsyncGenerator[RequestCandidate, None]:
        """Yield the requests from a time on, in the order of their numbers."""
        number: int | None = None
        parts: deque[asyncio.Task[bytes]] = deque()
        is_end, count = False, 0
        try:
            while parts or not is_end:
                while not is_end and len(parts) < self._ahead:
                    if count % PARTS_PER_LOOK == 0:
                        await self._look()
                    count += 1
                    limit = AT_ONCE if self._is_beside_intake else _AT_ONCE_ALONE
                    query = PastRequestsQuery(since=began, number=number, limit=limit)
                    requests = await self._queries.answer(query)
                    if not requests or requests[0].received_at >= until + OUT_OF_ORDER:
                        is_end = True
                        break
                    number = requests[-1].number + 1
                    message = encoded(RequestsPart(requests, self._is_beside_intake))
                    parts.append(asyncio.ensure_future(self._part(message)))
                if parts:
                    for candidate in decoded_candidates(await parts.popleft()):
                        yield candidate
        finally:
            for part in parts:
                part.cancel()

    async def _look(self) -> None:
        """Note whether intake has lately received something."""
        query = PastRequestsQuery(since=self._now() - _QUIET + OUT_OF_ORDER, limit=1)
        self._is_beside_intake = bool(await self._queries.answer(query))

    async def _part(self, message: bytes) -> bytes:
        return await self._read(message)


async def rejections_of(queries: Queries, settings: IntakeSettings, since: int) -> list[Rejection]:
    """Return the rejections that take part in a what-if of a range that begins at a time (ms)."""
    wanted = RejectionQuery(since=since - settings.dedup_window, limit=_MOST_REJECTIONS)
    return list(await queries.answer(RejectionsQuery(rejection_query=wanted)))
