"""Record in which hours each webhook delivered genuine messages, to notice when one falls silent.

Every gateway on a store records its own deliveries; the leader reads those of all.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from twite.domain.stats.traffic import KEPT_HOURS, HourlyTraffic, noted
from twite.domain.webhook_delivery import CATCH_UP, DeliveryVerdict, WebhookDelivery
from twite.gateway.ports.state import StateStore

# No source has such a name.
_PREFIX: Final = "/webhooks/"
_NOT_GENUINE: Final = frozenset({DeliveryVerdict.REFUSED, DeliveryVerdict.FAILED})


class WebhookCounts:
    """The genuine messages of each webhook that are not in the store yet."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, delivery: WebhookDelivery) -> None:
        # An order that `twite sync` submits does not show that the sender delivers.
        if delivery.verdict not in _NOT_GENUINE and delivery.message != CATCH_UP:
            self._counts[delivery.webhook] += 1

    async def store(self, state: StateStore, *, now: int) -> Mapping[str, list[HourlyTraffic]]:
        """Store the counts; return the hours of each webhook. Raises LedgerUnavailable."""
        hours: dict[str, list[HourlyTraffic]] = {}
        for hour in await state.load(HourlyTraffic, prefix=_PREFIX):
            hours.setdefault(hour.source.removeprefix(_PREFIX), []).append(hour)
        counts = dict(self._counts)
        latest = {f"{_PREFIX}{name}": some[-1] for name, some in hours.items()}
        received = {
            key: many + (latest[key].received if key in latest else 0)
            for name, many in counts.items()
            if (key := f"{_PREFIX}{name}")
        }
        changed = noted(latest, received, now=now)
        if changed:
            await state.put(changed)
        self._counts.subtract(counts)
        for hour in changed:
            some = hours.setdefault(hour.source.removeprefix(_PREFIX), [])
            some[:] = [old for old in some if hour.hour - KEPT_HOURS <= old.hour < hour.hour]
            some.append(hour)
        return hours
