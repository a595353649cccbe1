"""Delivery times for charts: those of ended spans are kept, and only the latest read again."""

from collections.abc import Sequence
from typing import Final

import msgspec

from twite.domain.stats.tally import DeliveryTimes
from twite.domain.times import MINUTE
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import Queries, WaitsQuery

# The most scopes and spans that are kept; those least recently used are dropped.
MOST_KEPT: Final = 24
# Commits count deliveries at the time of X's answer. A span changes no more after this time.
SETTLES: Final = 15 * MINUTE

_Key = tuple[QueryScope, int]


class KeptTimes(msgspec.Struct, frozen=True, kw_only=True):
    """All delivery times of spans in `since <= at < until`."""

    since: int
    until: int
    waits: Sequence[DeliveryTimes]


class DeliveryTimesReader:
    """Answers a WaitsQuery from kept spans and the latest ones, which it reads."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._kept: dict[_Key, KeptTimes] = {}

    async def read(self, query: WaitsQuery, *, now: int) -> Sequence[DeliveryTimes]:
        key, since = (query.scope, query.span), query.since
        kept = self._kept.get(key)
        if kept is None or not kept.since <= since <= kept.until <= now:
            kept = KeptTimes(since=since, until=since, waits=())
        latest = await self._queries.answer(msgspec.structs.replace(query, since=kept.until))
        waits = [*(wait for wait in kept.waits if wait.at >= since), *latest]
        until = max(since, (now - SETTLES) // query.span * query.span)
        ended = [wait for wait in waits if wait.at < until]
        self._kept.pop(key, None)
        self._kept[key] = KeptTimes(since=since, until=until, waits=ended)
        while len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return waits
