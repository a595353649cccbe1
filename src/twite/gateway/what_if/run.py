"""What-if: decide again about the conversions of a past range, under other settings.

Nothing is written or sent. The store is read a little at a time, with a pause after each part, so
that intake beside it goes on.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from twite.domain.submission import RejectionQuery
from twite.domain.times import DAY
from twite.gateway.ports.past_requests import OUT_OF_ORDER, PastRequestsQuery
from twite.gateway.ports.queries import IgnoredQuery, Queries, RejectionsQuery
from twite.gateway.what_if.candidate_reader import CandidateReader
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.gateway.what_if.past_ignored import PastIgnored
from twite.gateway.what_if.past_intake import PastIntake
from twite.gateway.what_if.report import ReportBuilder, UnusedSetting, WhatIfReport

AT_ONCE: Final = 200
# More than a store holds.
_MOST_REJECTIONS: Final = 1_000_000


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
        salt: bytes,
        pause: Callable[[], Awaitable[None]],
    ) -> None:
        """`pause` is called after each part, and waits while others need the machine."""
        self._new_settings, self._current_settings = new_settings, current_settings
        self._queries, self._salt, self._pause = queries, salt, pause

    async def run(
        self,
        *,
        since: int,
        until: int,
        most: int | None = None,
        not_applied: Sequence[UnusedSetting] = (),
    ) -> WhatIfReport:
        """Return the report for a range of times of receipt, in milliseconds.

        Copies arrive within the deduplication window, so what was received in the window before the
        range is read, too. With `most`, the run ends after so many conversions. Raises
        LedgerUnavailable.
        """
        began = since - self._new_settings.dedup_window
        wanted = RejectionQuery(since=began, limit=_MOST_REJECTIONS)
        rejections = await self._queries.answer(RejectionsQuery(rejection_query=wanted))
        tallies = await self._queries.answer(IgnoredQuery(since=began // DAY))
        past_ignored = PastIgnored(
            tallies,
            new_settings=self._new_settings,
            current_settings=self._current_settings,
        )
        past_intake = PastIntake(
            new_settings=self._new_settings,
            current_settings=self._current_settings,
            rejections=rejections,
            past_ignored=past_ignored,
        )
        reader = CandidateReader(
            new_settings=self._new_settings,
            current_settings=self._current_settings,
            salt=self._salt,
            rejections=rejections,
        )
        builder = ReportBuilder()
        number: int | None = None
        is_cut = False
        while not is_cut:
            query = PastRequestsQuery(since=began, number=number, limit=AT_ONCE)
            requests = await self._queries.answer(query)
            if not requests or requests[0].received_at >= until + OUT_OF_ORDER:
                break
            for request in requests:
                if not began <= request.received_at < until:
                    continue
                if most is not None and builder.conversions >= most:
                    until, is_cut = request.received_at, True
                    break
                candidate = reader.read(request)
                comparisons = past_intake.decide(candidate)
                if request.received_at >= since:
                    builder.add_request(candidate, comparisons)
            number = requests[-1].number + 1
            await self._pause()
        for comparison in past_intake.decide_rejected(since=since, until=until):
            builder.add(comparison)
        return builder.report(
            since=since,
            until=until,
            ignored=list(past_ignored.now_known(since=since, until=until)),
            not_applied=not_applied,
            is_cut=is_cut,
        )
