"""The checks of the simulator, by name, with their messages."""

from typing import Final

import msgspec

from twite.domain.times import SECOND

# Every check, and what it requires.
CHECKS: Final = {
    "balance": "received = delivered + … at every sample",
    "nothing_lost": "what was acknowledged ends in exactly one visible state",
    "cause": "what is held, dead or suppressed has a cause",
    "delivered_is_at_x": "what is called delivered, X has taken",
    "drained": "once the trouble is over, nothing stays queued or in flight",
    "same_body": "every request holds a conversion in the same bytes, unless it was corrected",
    "only_dead_is_corrected": "another body goes out only where X refused the one before it",
    "no_resend_after_success": "what was settled as delivered is not sent again",
    "counted_once": "no copy comes more than 48 hours after the first that X took",
    "forty_hours": "what X may have had is not sent again after 40 hours",
    "seven_days": "what was never sent is held after seven days",
    "not_before_reset": "no request before the moment that X named in a 429",
    "reset_outlives_process": "nor by a process that was started since",
    "lease_outlives_jump": "a wall clock put forward does not end the lease of what is under way",
    "rate": "no window of fifteen minutes holds more than the limit",
    "one_probe_a_minute": "a pixel that X refuses as such is asked once a minute, after one more "
    "conversion; where it may be the conversions, that is after twenty that were not refused alone "
    "before",
    "good_is_not_given_up": "no good conversion is given up",
    "poison_is_not_delivered": "no bad conversion is called delivered",
    "suppressed_is_not_sent": "what must not be sent is not",
    "in_flight": "no pixel has more requests under way than it may",
    "one_copy_at_a_time": "a conversion is in one request at a time, once",
    "one_event_a_request": "a request holds conversions of one event, at most as many as it may",
    "others_are_prompt": "one pixel's trouble does not delay another's deliveries",
    "no_fault_of_ours": "nothing is raised that nobody expected",
}

# Checks that are known to fail: counted, but not fatal. See docs/explanation/fault-injection.md.
OPEN: Final[frozenset[str]] = frozenset()


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A failed check. `at` is in milliseconds since the start."""

    check: str
    at: int
    text: str

    def __str__(self) -> str:
        return f"{self.check} at {duration_text(self.at)}: {self.text} ({CHECKS[self.check]})"


def duration_text(ms: int) -> str:
    """Format a duration as days, hours, minutes and seconds."""
    seconds = ms / SECOND
    day, rest = divmod(seconds, 86_400)
    hour, rest = divmod(rest, 3_600)
    minute, second = divmod(rest, 60)
    return f"{day:.0f}d {hour:02.0f}:{minute:02.0f}:{second:06.3f}"
