"""Nothing is pruned by a clock that is not trusted."""

import asyncio
from itertools import count

import pytest
from test_sqlite_pruning import KEEPING, deliver_and_close, record

from builders import NOW
from fakes import MovingClock
from twite.domain.submission import (
    Recorded,
)
from twite.domain.times import HOUR
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.ports.store import StoreOptions
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine import upkeep

IN_2100 = 4_102_444_800_000


@pytest.mark.parametrize(
    ("machine", "is_trusted"),
    [(0, False), (IN_2100, False), (IN_2100, True)],
    ids=["1970", "2100", "2100, trusted"],
)
async def test_gateway_with_an_untrusted_clock_prunes_nothing(
    tmp_path, machine, is_trusted, monkeypatch
):
    # With a trusted clock, this many slices prune everything.
    monkeypatch.setattr(upkeep, "_LOOK_FOR_OLD", 0)
    monkeypatch.setattr(upkeep, "_SHARE", 0)
    path = str(tmp_path / "twite.db")
    moving = MovingClock()
    await deliver_and_close(path, "one", "last", at=moving.now())
    moving.jump(machine - moving.now())
    steady = MonotonicClock(moving)
    turns, enough = count(), asyncio.Event()

    def vouched():
        if next(turns) == 600:
            enough.set()
        return machine if is_trusted else steady.vouched()

    store = await SQLiteStore.open(path, StoreOptions(retention=KEEPING, now=vouched))
    await enough.wait()
    recorded = await record(store, "one", at=NOW + HOUR)
    await store.close()

    assert recorded == Recorded(duplicates=() if is_trusted else (0,))
