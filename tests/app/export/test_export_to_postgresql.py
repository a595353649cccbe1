"""An export into PostgreSQL has one row for each conversion, and follows its state."""

from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import pytest
from export_stage import NOW, STATES, ExportStage, rows_of, states_of, table_target
from msgspec.structs import replace

from store_contract.actions import dead_lettered, postponed
from twite.domain.errors import ClientError
from twite.domain.submission import RejectedConversion
from twite.domain.times import DAY, HOUR, SECOND
from twite.gateway.operations.export_rows import NAMES, SCHEMA_VERSION
from twite.gateway.ports.outbox import Discard, Replay
from twite.gateway.ports.queries import ByReceipt

AT = datetime.fromtimestamp(NOW / SECOND, UTC)


async def delivery_of(stage, receipt):
    (history,) = await stage.store.find(ByReceipt(receipt=receipt))
    return history.delivery


async def test_first_export_has_all_conversions_with_their_states(stage):
    await stage.fill()

    run = await stage.export()

    assert (run.rows, run.rejected, run.read) == (6, 1, 6)
    assert await states_of(stage.url) == {name: name for name in (*STATES, "rejected")}
    first = (await rows_of(stage.url))[0]
    assert tuple(first) == NAMES
    assert first == {
        "key": "r1-0",
        "number": 1,
        "received_at": AT,
        "occurred_at": AT,
        "state": "delivered",
        "reason": None,
        "cause": None,
        "attempts": 1,
        "last_attempt_at": AT,
        "last_status": 200,
        "pixel": "o8z6j",
        "event": "o8z6k",
        "event_name": "purchase",
        "conversion_id": "delivered",
        "receipt": "r1",
        "source": "shop",
        "endpoint": "native",
        "test": False,
        "value": Decimal("49.90"),
        "currency": "EUR",
        "identifiers": "click_id",
        "flag": None,
        "schema_version": SCHEMA_VERSION,
        "updated_at": first["updated_at"],
    }


async def test_next_run_exports_changed_states_and_new_conversions(stage):
    await stage.fill()
    await stage.export()
    stage.pass_look_back()
    await stage.settle()
    await stage.queue("new")
    dead, held = await delivery_of(stage, "r2"), await delivery_of(stage, "r4")
    await stage.store.move(Replay(deliveries=[dead], sure=[dead]), now=stage.clock.now())
    await stage.store.move(Discard(deliveries=[held], note="not ours"), now=stage.clock.now())
    before = {row["key"]: row["updated_at"] for row in await rows_of(stage.url)}

    run = await stage.export()
    later = {row["key"]: row["updated_at"] for row in await rows_of(stage.url)}

    assert run.rows == 4
    assert await states_of(stage.url) == {
        "delivered": "delivered",
        "dead": "queued",
        "suppressed": "suppressed",
        "held": "suppressed",
        "queued": "delivered",
        "new": "queued",
        "rejected": "rejected",
    }
    assert {key for key in before if later[key] > before[key]} == {"r2-0", "r4-0", "r5-0"}
    assert len(await rows_of(stage.url)) == 7


async def test_run_without_changes_writes_nothing(stage):
    await stage.fill()
    await stage.export()
    before = await rows_of(stage.url)

    soon = await stage.export()
    stage.pass_look_back()
    later = await stage.export()
    much_later = await stage.export()

    assert (soon.rows, later.rows, much_later.rows) == (0, 0, 0)
    # Only dead, held and queued conversions are read again.
    assert much_later.read == 3
    assert await rows_of(stage.url) == before


async def test_retries_change_the_number_of_attempts(stage):
    await stage.queue("order-1")
    await stage.settle(lambda batch: postponed(batch, until=NOW + SECOND), status=503)
    await stage.export()
    stage.clock.jump(HOUR)
    await stage.settle(dead_lettered, status=400)

    before = await rows_of(stage.url, "state, attempts, last_status")
    await stage.export()
    after = await rows_of(stage.url, "state, attempts, last_status, reason")

    assert before == [{"state": "queued", "attempts": 1, "last_status": 503}]
    assert after == [{"state": "dead", "attempts": 2, "last_status": 400, "reason": "refused"}]


async def test_conversion_that_commits_late_is_exported(stage):
    """On PostgreSQL, a number may be lower than one that was exported before."""
    await stage.queue("first")
    await stage.queue("late")
    await stage.queue("last")
    late = await delivery_of(stage, "r2")

    with stage.changed(lambda found: [each for each in found if each.delivery != late]):
        await stage.export()
    missing = await states_of(stage.url)
    await stage.export()

    assert missing.keys() == {"first", "last"}
    assert (await states_of(stage.url)).keys() == {"first", "late", "last"}


async def test_export_continues_in_a_store_that_is_an_older_copy(stage, tmp_path):
    await stage.queue("order-1")
    await stage.settle()
    stage.clock.jump(HOUR)
    for number in range(2, 6):
        await stage.queue(f"lost-{number}")
        await stage.settle()
    stage.clock.jump(HOUR)
    await stage.export()
    copy = await ExportStage.begin(tmp_path / "copy", stage.target)
    copy.store.salt = stage.store.salt
    await copy.queue("order-1")
    copy.received = 100
    copy.clock.jump(3 * HOUR)
    for number in range(2, 8):
        await copy.queue(f"new-{number}")

    await copy.export()
    await copy.store.close()

    names = set(await states_of(stage.url))
    assert names == {"order-1"} | {f"lost-{n}" for n in range(2, 6)} | {
        f"new-{n}" for n in range(2, 8)
    }


async def test_range_bounds_the_conversions_by_their_receipt(stage):
    for day in range(4):
        await stage.queue(f"day-{day}")
        stage.clock.jump(DAY)

    middle = await stage.export(since=NOW + DAY, until=NOW + 2 * DAY)
    only = await states_of(stage.url)
    await stage.export(since=NOW + 2 * DAY)
    rest = await states_of(stage.url)
    await stage.export()

    assert middle.rows == 1
    assert set(only) == {"day-1"}
    assert set(rest) == {"day-1", "day-2", "day-3"}
    assert set(await states_of(stage.url)) == {f"day-{day}" for day in range(4)}


async def test_amounts_of_pruned_bodies_are_kept(stage):
    await stage.queue("order-1")
    await stage.export()
    stage.pass_look_back()
    await stage.settle()
    with stage.pruned_bodies():
        await stage.export()

    (row,) = await rows_of(stage.url, "state, value, currency, identifiers, occurred_at")
    assert row == {
        "state": "delivered",
        "value": Decimal("49.90"),
        "currency": "EUR",
        "identifiers": "click_id",
        "occurred_at": AT,
    }


async def test_amount_that_an_edit_removed_is_removed(stage):
    await stage.queue("order-1")
    await stage.export()
    body = b'{"conversion_time":"2026-11-25T09:46:40.000Z"}'
    with stage.changed(lambda found: [replace(each, body=body) for each in found]):
        await stage.export()

    assert await rows_of(stage.url, "key, value, currency, identifiers") == [
        {"key": "r1-0", "value": None, "currency": None, "identifiers": ""}
    ]


async def test_table_of_another_schema_version_is_refused(stage, monkeypatch):
    await stage.queue("order-1")
    await stage.export()
    monkeypatch.setattr("twite.app.export.run.SCHEMA_VERSION", SCHEMA_VERSION + 1)

    with pytest.raises(ClientError, match="Export to another table"):
        await stage.export()


async def test_table_may_be_in_a_schema_and_tell_its_version(stage):
    connection = await asyncpg.connect(stage.url)
    await connection.execute("CREATE SCHEMA analytics")
    await stage.queue("order-1")

    await stage.export(table_target(stage.url, table="analytics.conversions"))

    comment = await connection.fetchval("SELECT obj_description('analytics.conversions'::regclass)")
    names = await connection.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'analytics'"
    )
    await connection.close()
    assert comment.endswith(f"Schema version {SCHEMA_VERSION}")
    assert {row["table_name"] for row in names} == {
        "conversions", "conversions_tracked", "conversions_position"
    }  # fmt: skip


async def test_role_that_may_not_create_tables_can_write_existing_ones(stage):
    await stage.queue("order-1")
    await stage.export()
    connection = await asyncpg.connect(stage.url)
    await connection.execute(
        "DROP ROLE IF EXISTS loader; CREATE ROLE loader LOGIN; "
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC; "
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO loader"
    )
    await stage.queue("order-2")
    role = stage.url.replace("twite@", "loader@").replace("user=twite", "user=loader")

    run = await stage.export(table_target(role))
    with pytest.raises(ClientError, match="GRANT USAGE, CREATE ON SCHEMA public TO loader"):
        await stage.export(table_target(role, table="another"))
    await connection.execute("DROP OWNED BY loader; DROP ROLE loader")
    await connection.close()

    assert role != stage.url
    assert run.rows == 1


async def test_nul_in_a_refused_id_stops_no_export(stage):
    refusal = RejectedConversion(
        index=0, pixel="o8z6j", errors=(), conversion_id="a\0b", event="x\0y"
    )
    await stage.record(refusals=(refusal,))
    await stage.queue("order-1")

    await stage.export()

    found = await rows_of(stage.url, "conversion_id, event")
    assert {row["conversion_id"]: row["event"] for row in found} == {
        "order-1": "o8z6k",
        "a\\u0000b": None,
    }
