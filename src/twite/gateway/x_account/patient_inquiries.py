"""Requests to X that nobody waits for: within a budget, and none before X's reset.

The budget is below X's limit, so that neither delivery nor other programs of the user meet the
limit because of these requests.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from twite.domain.destination import RATE_WINDOW
from twite.domain.errors import OperatorError, XUnanswering
from twite.domain.times import MINUTE, SECOND
from twite.gateway.rate_limiter import RateLimiter
from twite.gateway.x_account.inquiries import XInquiries
from twite.x.analytics import STATS_RATE
from twite.x.inquiry import Inquiry, InquiryRefusal

# The part of X's limit that these requests use.
BUDGET: Final = STATS_RATE * 4 // 5
# Requests for one answer, if X is unavailable.
_MOST_TRIES: Final = 5
T = TypeVar("T")


class NotLeading(OperatorError):
    """Another gateway asks X now."""


class XWait(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing is asked until a time (ms). `is_named`: X named it, for all requests of the user."""

    until: int
    reason: str
    is_named: bool = False


def request_budget() -> RateLimiter:
    """Return the budget of requests, by user: about BUDGET at most in any RATE_WINDOW.

    A full bucket gives all its tokens at once, and as many again while it fills up.
    """
    return RateLimiter(size=BUDGET // 2, per=RATE_WINDOW)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class PatientInquiries(XInquiries):
    """Waits for the budget of a user, and as X asks for. Also raises NotLeading.

    `note_wait` stores how long X asks to wait, so that a restart does not forget it.
    """

    user: str
    budget: RateLimiter
    leads: Callable[[], bool]
    note_wait: Callable[[XWait], Awaitable[None]]

    async def ask(
        self,
        make: Callable[[str, int], Inquiry],
        read: Callable[[int, bytes], T | InquiryRefusal],
        *,
        about: str = "",
    ) -> T:
        """Send a request. Raises the last XUnanswering after several tries."""
        tries = 0
        while True:
            wait = self.budget.spend(self.user, now=self.clock.elapsed())
            if wait:
                await self.clock.sleep(wait)
                continue
            if not self.leads():
                raise NotLeading("another gateway fetches the results")
            try:
                return await XInquiries.ask(self, make, read, about=about)
            except XUnanswering as unanswered:
                pause = unanswered.retry_after * SECOND
                wait_for_x = XWait(
                    until=self.clock.now() + pause,
                    reason=unanswered.reason,
                    is_named=unanswered.is_named,
                )
                await self.note_wait(wait_for_x)
                tries += 1
                # During hours, settings, credentials and the leader may change.
                if tries >= _MOST_TRIES or pause > RATE_WINDOW + MINUTE:
                    raise
                await self.clock.sleep(pause)
