"""The alerts about a sync that finds no new rows, and an export that does not finish."""

import pytest
from monitor_stage import Stage

from builders import a_destination
from twite.domain.alert import AlertKind
from twite.gateway.alerts.webhook_traffic import EXPORT_RUNS, SYNC_ROWS

KINDS = {
    AlertKind.SYNC_SILENT: (SYNC_ROWS, "syncs"),
    AlertKind.EXPORT_SILENT: (EXPORT_RUNS, "exports"),
}


class SilenceStage(Stage):
    """A stage with a schedule that has done something on each of nine days."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.traffic, self.table = KINDS[kind]

    def watch(self, *names):
        self.monitor.watch([a_destination()], ["shop"], **{self.table: names})

    async def count(self, number):
        await self.traffic.store(self.store, counts={"orders": number}, now=self.clock.now())

    def is_open(self):
        return (self.kind, "orders") in self.open()


@pytest.fixture(params=KINDS)
async def stage(request):
    stage = SilenceStage(request.param)
    stage.watch("orders")
    for _ in range(9):
        await stage.count(1)
        await stage.day()
    return stage


async def test_silent_schedule_opens_an_alert_until_it_does_something(stage):
    before = stage.is_open()
    for _ in range(3):
        await stage.count(0)
        await stage.day()
    open_ = stage.is_open()
    await stage.count(1)
    await stage.monitor.look()

    assert (before, open_, stage.is_open()) == (False, True, False)


async def test_alert_of_a_removed_schedule_resolves(stage):
    for _ in range(3):
        await stage.day()

    stage.watch()
    await stage.monitor.look()

    assert not stage.is_open()
