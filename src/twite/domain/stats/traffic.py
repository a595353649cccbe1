"""Traffic of a source by hour, and whether its silence is unusual."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from twite.domain.times import DAY, HOUR

# A week and a day, which always include a whole weekend.
LEARNT_FROM: Final = 8 * DAY
# A source with a shorter history is not judged.
LEAST_KNOWN: Final = 7 * DAY
# How many hours are kept before a source's last one.
KEPT_HOURS: Final = 16 * 24
SHORTEST_SILENCE: Final = HOUR
# A silence is unusual if it is longer than this multiple of the longest earlier one.
TIMES_THE_LONGEST: Final = 2
# From this many expected conversions on, a silence is unusual. Even at a twentieth of the usual
# traffic, as on a holiday, the probability that none of them arrives is below 1 %.
EXPECTED: Final = 100
_A_WEEK_OF_HOURS: Final = 7 * 24


class HourlyTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """One hour with conversions of a source, as found by the check that runs every minute.

    `hour` is hours since the epoch; `first_at` and `last_at` are the times (ms) of the first and
    last check that found new conversions; `count` is the conversions of this hour, `received` the
    total so far.
    """

    source: str
    hour: int
    count: int
    first_at: int
    last_at: int
    received: int


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """How long a source has sent nothing, and how long it may usually be silent (ms).

    `expected` is the number of conversions in the same hours one week before.
    """

    source: str
    lasts: int
    usual: int
    expected: int

    @property
    def unusual(self) -> bool:
        """Whether an alert is due."""
        missed = self.expected >= EXPECTED and self.lasts >= SHORTEST_SILENCE
        return missed or self.lasts > self.usual


def noted(
    latest: Mapping[str, HourlyTraffic], received: Mapping[str, int], *, now: int
) -> list[HourlyTraffic]:
    """Return the hours that changed; `received` is the total of each source so far.

    `latest` is the last hour of each source. All conversions before the first check count as one.
    """
    changed = []
    for source, many in received.items():
        before = latest.get(source)
        more = many - before.received if before else min(many, 1)
        if not more:
            continue
        hour = now // HOUR
        if before is not None and (before.hour >= hour or more < 0):
            # Still the same hour, or the clock or the count was set back.
            count = before.count + max(0, more)
            last_at = max(before.last_at, now) if more > 0 else before.last_at
            changed.append(
                msgspec.structs.replace(before, count=count, last_at=last_at, received=many)
            )
        else:
            changed.append(
                HourlyTraffic(
                    source=source,
                    hour=hour,
                    count=more,
                    first_at=now,
                    last_at=now,
                    received=many,
                )
            )
    return changed


def silence(hours: Iterable[HourlyTraffic], *, now: int, since: int) -> Silence | None:
    """Return the silence of one source, or None if there is too little data.

    `since` is when the gateway started listening. Only days before the last conversion count, so
    that a long silence does not become usual.
    """
    known = sorted(hours, key=lambda traffic: traffic.hour)
    if not known:
        return None
    last = known[-1]
    if last.last_at - known[0].first_at < LEAST_KNOWN:
        return None
    late = [hour for hour in known if hour.last_at > last.last_at - LEARNT_FROM]
    longest = max((later.first_at - before.last_at for before, later in pairwise(late)), default=0)
    began = max(last.last_at, since)
    return Silence(
        source=last.source,
        lasts=max(0, now - began),
        usual=max(SHORTEST_SILENCE, TIMES_THE_LONGEST * longest),
        expected=_expected(known, range(began // HOUR + 1, now // HOUR)),
    )


def _expected(known: Sequence[HourlyTraffic], missing: range) -> int:
    """Return how many conversions arrived exactly a week before the given hours."""
    counts = {hour.hour: hour.count for hour in known}
    return sum(counts.get(hour - _A_WEEK_OF_HOURS, 0) for hour in missing)
