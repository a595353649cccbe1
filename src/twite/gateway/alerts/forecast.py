"""Forecast when each pixel's backlog will be sent, and how much misses the 48-hour deadline.

The rate is the recent delivery rate, at most the rate limit. Times with an empty queue do not
count, because a low rate then only means little traffic.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from twite.domain.destination import RATE_WINDOW, Destination
from twite.domain.stats.backlog import BacklogHour, Forecast
from twite.domain.times import HOUR, MINUTE, SECOND

# Deliveries are recent if they are within one window of the rate limit.
LOOK_BACK: Final = RATE_WINDOW
# Until the oldest delivery has waited for a whole minute, the rate limit is the better estimate.
LEAST_SEEN: Final = MINUTE
# If nothing is delivered for this long while deliveries wait, delivery has stopped.
LEAST_SILENCE: Final = 10 * SECOND


Deliveries = Sequence[tuple[int, int]]


def forecasts(
    destinations: Iterable[Destination],
    backlog: Iterable[BacklogHour],
    delivered: Mapping[str, Deliveries],
    *,
    now: int,
    paused: Iterable[str] = (),
) -> list[Forecast]:
    """Return the forecast of each pixel.

    `delivered` lists (time, conversions) for the last LOOK_BACK, by pixel. Pixels that share a
    limit are assumed to use it in proportion to their pending deliveries.
    """
    waiting: dict[str, list[BacklogHour]] = {}
    for hour in backlog:
        waiting.setdefault(hour.pixel, []).append(hour)
    known = tuple(destinations)
    pending = {pixel: sum(hour.deliveries for hour in hours) for pixel, hours in waiting.items()}
    shared: dict[str, int] = {}
    for destination in known:
        shared[destination.meter] = shared.get(destination.meter, 0) + pending.get(
            destination.pixel, 0
        )
    stopped = frozenset(paused)
    return [
        _forecast(
            destination,
            sorted(waiting.get(destination.pixel, ()), key=lambda hour: hour.hour),
            delivered.get(destination.pixel, ()),
            share=pending.get(destination.pixel, 0) / (shared[destination.meter] or 1),
            stopped=destination.pixel in stopped,
            now=now,
        )
        for destination in known
    ]


def _forecast(
    destination: Destination,
    waiting: Sequence[BacklogHour],
    delivered: Deliveries,
    *,
    share: float,
    stopped: bool,
    now: int,
) -> Forecast:
    if not waiting:
        return Forecast(pixel=destination.pixel, drained_at=now)
    pending = sum(hour.deliveries for hour in waiting)
    oldest = min(hour.oldest for hour in waiting)
    allowed = destination.rate * share / RATE_WINDOW
    seen = 0.0 if stopped else _seen(delivered, oldest=oldest, now=now)
    rate = allowed if seen is None else min(allowed, seen)
    late, misses = _missing(waiting, rate or allowed, now=now)
    return Forecast(
        pixel=destination.pixel,
        pending=pending,
        oldest=oldest,
        rate=round(rate * HOUR),
        drained_at=round(now + pending / rate) if rate else None,
        late=late,
        misses=misses,
        next_deadline=_next_deadline(waiting, now),
    )


def _seen(delivered: Deliveries, *, oldest: int, now: int) -> float | None:
    """Return conversions per millisecond since the oldest was received; None if too recent.

    The queue has not been empty since then, so this is the rate that can be achieved. Deliveries of
    one minute may be summed at its end. Therefore those of the minute in which the oldest was
    received do not count: they may precede it.
    """
    since = max(oldest, now - LOOK_BACK)
    whole = -(-since // MINUTE) * MINUTE
    sent = sum(many for at, many in delivered if at >= whole)
    if now - whole >= LEAST_SEEN:
        return sent / (now - whole)
    is_known = not any(since <= at < whole for at, _ in delivered)
    if not sent and now - (since if is_known else whole) >= LEAST_SILENCE:
        return 0.0
    return None


def _missing(waiting: Sequence[BacklogHour], rate: float, *, now: int) -> tuple[int, int]:
    """Return how many deliveries are late now, and how many will be, sent oldest first.

    Within an hour, deadlines are assumed to be spread evenly.
    """
    late = misses = 0.0
    before = 0
    for hour in waiting:
        first, last = hour.deadline, hour.deadline + 1
        if hour.deliveries > 1:
            last = max(last, hour.last_deadline)
        span = last - first
        late += hour.deliveries * min(1.0, max(0.0, (now - first) / span))
        # These deliveries are sent from `begin` on; their deadlines range from `first` to `last`.
        begin, took = now + before / rate, hour.deliveries / rate
        misses += hour.deliveries * _too_late(begin - first, begin + took - last)
        before += hour.deliveries
    return round(late), round(misses)


def _too_late(at_the_start: float, at_the_end: float) -> float:
    """Return the share of a straight line between two values that lies above 0."""
    if at_the_start <= 0 and at_the_end <= 0:
        return 0.0
    if at_the_start > 0 and at_the_end > 0:
        return 1.0
    above = max(at_the_start, at_the_end)
    return above / abs(at_the_start - at_the_end)


def _next_deadline(waiting: Sequence[BacklogHour], now: int) -> int | None:
    """Return the next deadline: exact for the oldest of each hour, else the end of the hour."""
    ahead = [
        hour.deadline if hour.deadline > now else hour.last_deadline
        for hour in waiting
        if hour.last_deadline > now
    ]
    return min(ahead, default=None)
