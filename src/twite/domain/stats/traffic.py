"""Traffic of a source by hour, and whether its silence is unusual."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from twite.domain.times import DAY, HOUR

# A week and a day: whatever the day, the last weekend lies whole within it.
LEARNT_FROM: Final = 8 * DAY
# Nothing is said of a source that has been known for less.
LEAST_KNOWN: Final = 7 * DAY
# How many hours before its last a source's past is of use.
KEPT_HOURS: Final = 16 * 24
SHORTEST_SILENCE: Final = HOUR
# A silence of twice the longest of these days is none of the usual ones.
TIMES_THE_LONGEST: Final = 2
# So many came in the same hours a week ago. Were it a twentieth of that today, a holiday say,
# nothing at all would still come by chance in less than one case of a hundred.
EXPECTED: Final = 100
_A_WEEK_OF_HOURS: Final = 7 * 24


class HourlyTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """One hour in which something came from a source, as looks from time to time have seen it.

    `hour` is in whole hours since the epoch; `first_at` and `last_at` are the looks (milliseconds)
    at which there was more than before; `count` is how many conversions came in this hour, and
    `received` how many had come since the beginning.
    """

    source: str
    hour: int
    count: int
    first_at: int
    last_at: int
    received: int


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """How long nothing has come, and how long that is usual; milliseconds.

    `expected` is how many came in the same whole hours a week before.
    """

    source: str
    lasts: int
    usual: int
    expected: int

    @property
    def unusual(self) -> bool:
        """Whether somebody should look."""
        missed = self.expected >= EXPECTED and self.lasts >= SHORTEST_SILENCE
        return missed or self.lasts > self.usual


def noted(
    latest: Mapping[str, HourlyTraffic], received: Mapping[str, int], *, now: int
) -> list[HourlyTraffic]:
    """Return the hours that a look has changed: `received` is what each source has sent so far.

    `latest` is the last hour of each source. Of what came before the first look nobody knows when:
    it counts as one.
    """
    changed = []
    for source, many in received.items():
        before = latest.get(source)
        more = many - before.received if before else min(many, 1)
        if not more:
            continue
        hour = now // HOUR
        if before is not None and (before.hour >= hour or more < 0):
            # Within the hour; or the clock or the count went back, and it goes on from there.
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
    """Judge the silence of one source. None while too little is known of it.

    `hours` are all that are known of it; `since` is when somebody began to listen: before that,
    nothing could come. What is learnt from are the days before the last conversion, so that a long
    silence does not become the usual one.
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
    """Add up what came a week before in whole hours that are over."""
    counts = {hour.hour: hour.count for hour in known}
    return sum(counts.get(hour - _A_WEEK_OF_HOURS, 0) for hour in missing)
