"""A request for X's statistics, its limits, and what X reports of it. [doc CM]"""

from collections.abc import Sequence
from typing import Final

import msgspec

from twite.domain.results.figures import FigureGroup, ResultCell

# Of one request; of one job; jobs at a time; and ids in a request for the state of jobs.
MOST_ENTITIES: Final = 20
MOST_DAYS: Final = 7
MOST_JOB_DAYS: Final = 90
MOST_PROCESSING: Final = 100
MOST_POLLED: Final = 200
# A request names one of these places of ads; the whole is their sum.
PLACEMENTS: Final = ("ALL_ON_TWITTER", "SPOTLIGHT", "TREND")


class StatsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask: campaigns, a placement, a group, and a range of days (ISO 8601)."""

    campaigns: Sequence[str]
    placement: str
    group: FigureGroup
    start: str
    end: str


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
