"""Alerts in an SQLite database."""

import sqlite3
from contextlib import closing

import pytest

from builders import NOW
from twite.domain.alert import Alert, AlertKind
from twite.domain.stats.traffic import HourlyTraffic
from twite.gateway.ports.store import StoreOptions
from twite.stores.sqlite import SQLiteReader, SQLiteStore

ALERT = Alert(
    id="a",
    kind=AlertKind.PIXEL_PAUSED,
    subject="o8z6j",
    reason="404",
    opened_at=NOW,
    reported_at=NOW,
)


@pytest.mark.parametrize("change", ["kind = 'moon_full'", "unsent_phase = 'sung'"])
async def test_alert_written_by_another_version_is_ignored(tmp_path, change):
    path = str(tmp_path / "twite.db")
    store = await SQLiteStore.open(path)
    await store.put([ALERT])
    await store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE alert SET {change}")  # noqa: S608  words of this test
    connection.close()

    store = await SQLiteStore.open(path)
    found = await store.load(Alert)
    await store.close()

    assert found == []


async def test_command_can_read_alerts_while_the_gateway_runs(tmp_path):
    path = str(tmp_path / "twite.db")
    store = await SQLiteStore.open(path)
    await store.put([ALERT])

    reader = await SQLiteReader.open(path)
    found = (
        list(await reader.load(Alert)),
        list(await reader.load(HourlyTraffic)),
        list(await reader.backlog()),
    )
    await reader.close()
    await store.close()

    assert found == ([ALERT], [], [])


async def test_durations_of_commits_are_measured(tmp_path):
    took = []
    store = await SQLiteStore.open(str(tmp_path / "twite.db"), StoreOptions(timed=took.append))
    took.clear()

    await store.put([ALERT])
    await store.close()

    assert took
    assert all(seconds > 0 for seconds in took)
