"""The dedup keys that stored conversions hold, as intake recorded them.

It is assumed that nobody has decided about held ones.
"""

from typing import Final

from twite.domain.conversion import dedup_key
from twite.domain.times import DAY
from twite.gateway.what_if.candidate import Candidate
from twite.gateway.what_if.verdict import IntakeOutcome

# A held conversion has its key also after the dedup window.
_FOREVER: Final = 1 << 62


class RecordedKeys:
    """Tells of which conversions a copy was one. `window` was the dedup window in milliseconds."""

    def __init__(self, window: int) -> None:
        self._window = window
        # By key, the latest time of receipt, or _FOREVER.
        self._taken: dict[bytes, int] = {}
        self._pruned_at = 0

    def held(self, key: bytes, *, at: int) -> bool:
        """Return whether a stored conversion held a key at a time."""
        taken = self._taken.get(key)
        return taken is not None and taken >= at - self._window

    def learn(self, candidate: Candidate, *, at: int) -> None:
        """Note the key of a conversion, unless it was rejected or a copy."""
        past, accepted = candidate.past, candidate.accepted
        if past is None:
            return
        until = _FOREVER if candidate.past_verdict.outcome is IntakeOutcome.HELD else at
        names = past.pixel, past.event, past.conversion_id
        if accepted and (accepted.pixel, accepted.event, accepted.conversion_id) == names:
            self._taken[accepted.key] = until
        else:
            self._taken[dedup_key(*names)] = until
        if at - self._pruned_at > DAY:
            self._pruned_at, since = at, at - self._window
            self._taken = {key: taken for key, taken in self._taken.items() if taken >= since}
