"""Record in which hours each webhook and each sync delivered, to notice when one falls silent.

Every gateway on a store records its own webhooks and runs; the leader reads those of all.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from twite.domain.stats.traffic import KEPT_HOURS, HourlyTraffic, noted
from twite.domain.webhook_delivery import CATCH_UP, DeliveryVerdict, WebhookDelivery
from twite.gateway.ports.state import StateStore

# No source has such a name.
_WEBHOOKS: Final = "/webhooks/"
_SYNCS: Final = "/syncs/"
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
        counts = dict(self._counts)
        hours = await _stored(state, _WEBHOOKS, counts, now=now)
        self._counts.subtract(counts)
        return hours


async def store_sync_rows(
    state: StateStore, counts: Mapping[str, int], *, now: int
) -> Mapping[str, list[HourlyTraffic]]:
    """Store the rows that syncs read; return the hours of each sync. Raises LedgerUnavailable."""
    return await _stored(state, _SYNCS, counts, now=now)


async def _stored(
    state: StateStore, prefix: str, counts: Mapping[str, int], *, now: int
) -> Mapping[str, list[HourlyTraffic]]:
    hours: dict[str, list[HourlyTraffic]] = {}
    for hour in await state.load(HourlyTraffic, prefix=prefix):
        hours.setdefault(hour.source.removeprefix(prefix), []).append(hour)
    latest = {f"{prefix}{name}": some[-1] for name, some in hours.items()}
    received = {
        key: many + (latest[key].received if key in latest else 0)
        for name, many in counts.items()
        if (key := f"{prefix}{name}")
    }
    changed = noted(latest, received, now=now)
    if changed:
        await state.put(changed)
    for hour in changed:
        some = hours.setdefault(hour.source.removeprefix(prefix), [])
        some[:] = [old for old in some if hour.hour - KEPT_HOURS <= old.hour < hour.hour]
        some.append(hour)
    return hours
