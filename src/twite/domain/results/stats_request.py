"""A request for X's statistics, its limits, and what X reports of it. [doc CM]"""

from collections.abc import Sequence
from datetime import tzinfo
from typing import Final, Self

import msgspec

from twite.domain.results.account_days import AccountDay, Granularity, spelled_hour
from twite.domain.results.figures import FigureGroup, ResultCell

# Of one request; of active entities; of one job; jobs at a time; and ids in a request for the state
# of jobs. Jobs may have 90 days; a connector's documentation says 45 for hours.
MOST_ENTITIES: Final = 20
MOST_DAYS: Final = 7
MOST_ACTIVE_DAYS: Final = 90
MOST_JOB_DAYS: Final = 45
MOST_PROCESSING: Final = 100
MOST_POLLED: Final = 200
# A request names one of these places of ads; the whole is their sum.
PLACEMENTS: Final = ("ALL_ON_TWITTER", "SPOTLIGHT", "TREND")


class StatsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask: campaigns, a placement, a group, and a range of days (ISO 8601).

    X answers with a series of figures; `lengths` has how many of them each day has.
    """

    campaigns: Sequence[str]
    placement: str
    group: FigureGroup
    start: str
    end: str
    lengths: Sequence[int]
    granularity: Granularity = Granularity.DAY

    @classmethod
    def of(
        cls,
        days: Sequence[AccountDay],
        granularity: Granularity,
        zone: tzinfo,
        *,
        campaigns: Sequence[str],
        placement: str,
        group: FigureGroup,
    ) -> Self:
        """Return the request for consecutive days of an account's time zone."""
        by_hour = granularity is Granularity.HOUR
        return cls(
            campaigns=campaigns,
            placement=placement,
            group=group,
            start=spelled_hour(days[0].start, zone),
            end=spelled_hour(days[-1].end, zone),
            lengths=[day.hours if by_hour else 1 for day in days],
            granularity=granularity,
        )


class JobReport(msgspec.Struct, frozen=True, kw_only=True):
    """X's state of a job. `url` is that of its file, once it is done."""

    id: str
    is_done: bool
    is_failed: bool
    url: str | None = None
    expires_at: str | None = None


class ReadStats(msgspec.Struct, frozen=True, kw_only=True):
    """The cells of each day, in order, and what Twite could not read."""

    cells: Sequence[Sequence[ResultCell]]
    unreadable: tuple[str, ...] = ()
