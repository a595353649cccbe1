"""Forecast: when the backlog of each pixel is drained, and how many miss their 48 hours.

Pure. The rate is what was delivered of late while there was always something to deliver, and never
more than the limit allows: with an empty outbox, a low rate only says that little came in.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from twite.domain.destination import RATE_WINDOW, Destination
from twite.domain.stats.backlog import BacklogHour
from twite.domain.times import HOUR, MINUTE
from twite.gateway.ports.monitoring import Forecast

# What is delivered is looked at over the window of the limit: a full one holds one whole allowance.
LOOK_BACK: Final = RATE_WINDOW
# Before the oldest has waited for so long, the limit is a better guess than what was seen.
LEAST_SEEN: Final = MINUTE


Deliveries = Sequence[tuple[int, int]]


def forecasts(
    destinations: Iterable[Destination],
    backlog: Iterable[BacklogHour],
    delivered: Mapping[str, Deliveries],
    *,
    now: int,
    paused: Iterable[str] = (),
) -> list[Forecast]:
    """Forecast each pixel. `delivered` are (moment, conversions) of the last LOOK_BACK, by pixel.

    Pixels that share a limit are taken to use it in proportion to what they have pending.
    """
    waiting: dict[str, list[BacklogHour]] = {}
    for some in backlog:
        waiting.setdefault(some.pixel, []).append(some)
    known = tuple(destinations)
    pending = {pixel: sum(one.deliveries for one in some) for pixel, some in waiting.items()}
    shared: dict[str, int] = {}
    for one in known:
        shared[one.meter] = shared.get(one.meter, 0) + pending.get(one.pixel, 0)
    stopped = frozenset(paused)
    return [
        _forecast(
            one,
            sorted(waiting.get(one.pixel, ()), key=lambda some: some.hour),
            delivered.get(one.pixel, ()),
            share=pending.get(one.pixel, 0) / (shared[one.meter] or 1),
            stopped=one.pixel in stopped,
            now=now,
        )
        for one in known
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
    pending = sum(some.deliveries for some in waiting)
    oldest = min(some.oldest for some in waiting)
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
    """Return conversions a millisecond since the oldest began to wait; None if that is too short.

    While it waited there was something to deliver, so this is what can be had.
    """
    span = min(LOOK_BACK, now - oldest)
    if span < LEAST_SEEN:
        return None
    return sum(many for at, many in delivered if at > now - span) / span


def _missing(waiting: Sequence[BacklogHour], rate: float, *, now: int) -> tuple[int, int]:
    """Return how many are late, and how many will be when it is their turn; oldest first.

    Within an hour, deadlines are taken to be spread evenly.
    """
    late = misses = 0.0
    before = 0
    for some in waiting:
        first, last = some.deadline, some.deadline + 1
        if some.deliveries > 1:
            last = max(last, some.last_deadline)
        span = last - first
        late += some.deliveries * _part(now - first, span)
        # While they are sent from `begin` on, their deadlines go from `first` to `last`.
        begin, took = now + before / rate, some.deliveries / rate
        misses += some.deliveries * _too_late(begin - first, begin + took - last)
        before += some.deliveries
    return round(late), round(misses)


def _part(elapsed: float, span: float) -> float:
    return min(1.0, max(0.0, elapsed / span))


def _too_late(at_the_start: float, at_the_end: float) -> float:
    """Return the part of a straight line from one to the other that lies above 0."""
    if at_the_start <= 0 and at_the_end <= 0:
        return 0.0
    if at_the_start > 0 and at_the_end > 0:
        return 1.0
    above = max(at_the_start, at_the_end)
    return above / abs(at_the_start - at_the_end)


def _next_deadline(waiting: Sequence[BacklogHour], now: int) -> int | None:
    """Return the first deadline ahead: exact for the oldest of each hour, else the hour's last."""
    ahead = [
        some.deadline if some.deadline > now else some.last_deadline
        for some in waiting
        if some.last_deadline > now
    ]
    return min(ahead, default=None)
