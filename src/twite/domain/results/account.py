"""What is known of an ads account: its campaigns, and how far fetching its results is."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.results.account_days import Granularity
from twite.domain.results.figures import FigureGroup
from twite.domain.times import HOUR, MINUTE

# An alert's subject and X's currency of an account without campaigns.
NO_CURRENCY: Final = ""
# A job that failed or expired this often is given up until the next day.
MOST_TRIES: Final = 5
# As many as fit into one request.
_FEW_CAMPAIGNS: Final = 20


class AdCampaign(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str
    name: str = ""
    currency: str = NO_CURRENCY


class AdLineItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An ad group. `event` is its primary web event tag: what its campaign counts.

    One that is paused or a draft is not active, and counts nothing.
    """

    id: str
    campaign: str
    name: str = ""
    event: str | None = None
    is_active: bool = True


class JobStatus(StrEnum):
    WAITING = "waiting"  # not created at X yet
    PROCESSING = "processing"
    DONE = "done"


class ResultsJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job for older days: `start <= time < end` (ms).

    `id` is X's, `granularity` that of its figures, and `created_at` the time (ms), once it is
    created. `fault` is why it was last created anew.
    """

    campaigns: tuple[str, ...]
    placement: str
    group: FigureGroup
    start: int
    end: int
    id: str = ""
    status: JobStatus = JobStatus.WAITING
    tries: int = 0
    granularity: Granularity = Granularity.DAY
    fault: str = ""
    created_at: int = 0

    def again(self, fault: str) -> "ResultsJob":
        """Return the job to be created anew, after it failed or expired."""
        return msgspec.structs.replace(
            self, id="", status=JobStatus.WAITING, tries=self.tries + 1, fault=fault
        )

    @property
    def is_given_up(self) -> bool:
        return self.tries >= MOST_TRIES


class ResultsAccount(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An account's campaigns, and the state of fetching. Times are in milliseconds.

    `zone` is an IANA name, in use since `zone_since`. `event_types` maps both ids of X's events to
    their types, and `other_ids` each to the other. `first_at` is the time of the first fetch. Until
    `wait_until`, nothing is requested, because of `problem`. Until `user_wait_until`, X has asked
    the user to request nothing, of other accounts either. `unreadable` lists what Twite could not
    read in X's answers.
    """

    account: str
    zone: str = "UTC"
    zone_since: int = 0
    campaigns: tuple[AdCampaign, ...] = ()
    line_items: tuple[AdLineItem, ...] = ()
    event_types: Mapping[str, str] = {}
    other_ids: Mapping[str, str] = {}
    first_at: int = 0
    hourly_at: int = 0
    daily_at: int = 0
    polled_at: int = 0
    wait_until: int = 0
    user_wait_until: int = 0
    problem: str = ""
    jobs: tuple[ResultsJob, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def currencies(self) -> tuple[str, ...]:
        """The currencies of its campaigns, in alphabetical order."""
        return tuple(sorted({campaign.currency for campaign in self.campaigns} - {NO_CURRENCY}))

    @property
    def currency(self) -> str:
        """The currency of its campaigns, NO_CURRENCY if they differ or there are none."""
        return self.currencies[0] if len(self.currencies) == 1 else NO_CURRENCY

    def is_due(self, now: int) -> bool:
        """Return whether the next hourly fetch is due, also after a clock was ahead.

        For a new account, the first pause is a minute, and each pause is twice as long as the one
        before, up to an hour: users who set up Twite look at once. If it has so many campaigns that
        requests are scarce, all pauses are hours.
        """
        is_small = len(self.campaigns) <= _FEW_CAMPAIGNS
        age = self.hourly_at - self.first_at if is_small else HOUR
        return not self.hourly_at <= now < self.hourly_at + min(max(age, MINUTE), HOUR)
