"""Record in which hours webhooks, syncs and exports did something, to notice when one falls silent.

Every gateway on a store records its own webhooks and runs; the leader reads those of all.
"""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from twite.domain.stats.traffic import KEPT_HOURS, HourlyTraffic, noted
from twite.domain.webhook_delivery import CATCH_UP, DeliveryVerdict, WebhookDelivery
from twite.gateway.ports.state import StateStore

# No source has such a name.
_WEBHOOKS: Final = "/webhooks/"
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


class RunTraffic:
    """What the runs of one kind of schedule did. No source's name begins with the prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    async def store(
        self, state: StateStore, *, now: int, counts: Mapping[str, int] = MappingProxyType({})
    ) -> Mapping[str, list[HourlyTraffic]]:
        """Store counts by name; return the hours of each name. Raises LedgerUnavailable."""
        return await _stored(state, self._prefix, counts, now=now)


# The rows that each sync read, and the runs of each export that succeeded.
SYNC_ROWS: Final = RunTraffic("/syncs/")
EXPORT_RUNS: Final = RunTraffic("/exports/")


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
