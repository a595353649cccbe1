"""The alert about a sync that finds no new rows."""

from monitor_stage import Stage

from builders import a_destination
from twite.domain.alert import AlertKind
from twite.gateway.alerts.webhook_traffic import store_sync_rows


async def sync_stage():
    """Return a stage with a sync that has found a row on each of nine days."""
    stage = Stage()
    stage.monitor.watch([a_destination()], ["shop"], [], ["orders"])
    for _ in range(9):
        await found(stage)
        await stage.day()
    return stage


async def found(stage, rows=1):
    await store_sync_rows(stage.store, {"orders": rows}, now=stage.clock.now())


async def test_sync_without_rows_opens_an_alert_until_it_finds_one():
    stage = await sync_stage()
    before = stage.open()
    for _ in range(3):
        await found(stage, rows=0)
        await stage.day()
    open_ = stage.open()
    await found(stage)
    await stage.monitor.look()

    assert (AlertKind.SYNC_SILENT, "orders") not in before
    assert (AlertKind.SYNC_SILENT, "orders") in open_
    assert (AlertKind.SYNC_SILENT, "orders") not in stage.open()


async def test_alert_of_a_removed_sync_resolves():
    stage = await sync_stage()
    for _ in range(3):
        await stage.day()

    stage.monitor.watch([a_destination()], ["shop"], [], [])
    await stage.monitor.look()

    assert (AlertKind.SYNC_SILENT, "orders") not in stage.open()
