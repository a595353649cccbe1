"""Attempts to make a sync of a database lose a row, or submit one after the gateway forgot it."""

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pytest
from sync_stage import NOW, QUERY, SyncStage, at

from twite.app.sync.cursor_times import settled_at
from twite.app.sync.state import decide_position, load_state
from twite.domain.errors import ClientError
from twite.domain.times import DAY, HOUR, MINUTE, SECOND
from twite.gateway.operations.control import PositionChoice
from twite.readers.database.connection import DatabaseUnusable

RESULTS = (
    "CREATE TABLE twite_sent(sync TEXT, conversion_id TEXT, verdict TEXT, code TEXT,"
    " message TEXT, at TEXT)"
)


def results(shop):
    with closing(sqlite3.connect(shop.path)) as database, database:
        rows = database.execute("SELECT conversion_id, verdict FROM twite_sent ORDER BY 1")
        found = rows.fetchall()
    database.close()
    return found


async def test_rows_are_submitted_once_while_their_results_cannot_be_written_for_weeks(shop):
    await shop.run()
    shop.order("one")
    for _ in range(3):
        with pytest.raises(DatabaseUnusable, match="no such table"):
            await shop.run(write_back="twite_sent")
        shop.clock.jump(8 * DAY)
        shop.order("one" if shop.clock.now() < NOW else f"at-{shop.clock.now()}")
        shop.intake.forget()

    shop.execute(RESULTS)
    await shop.run(write_back="twite_sent")

    assert shop.intake.received.count("one") == 1
    assert ("one", "accepted") in results(shop)
    assert len(results(shop)) == 4


async def test_write_back_waits_with_at_most_50_000_results_and_then_continues(shop, monkeypatch):
    monkeypatch.setattr("twite.app.sync.write_back.MOST_PAGES", 2)
    for number in range(1_700):
        shop.execute(("INSERT INTO orders VALUES (?, ?, 5, '1.00')", (f"o-{number:04}", at(NOW))))
    for _ in range(3):
        with pytest.raises(DatabaseUnusable):
            await shop.run(write_back="twite_sent")
    before = len(shop.intake.received)

    shop.execute(RESULTS)
    await shop.run(write_back="twite_sent")

    assert before == 1_000
    assert len(shop.intake.received) == len(results(shop)) == 1_700


async def test_result_of_an_order_is_not_replaced_by_one_that_shares_its_id(shop):
    shop.execute(RESULTS)
    for key, total in (("k-1", "1.00"), ("k-2", "2.00")):
        shop.order(key, total=total)

    run = await shop.run(
        write_back="twite_sent", key="k", query=QUERY.replace("id AS", "id AS k, 'o-1' AS")
    )

    assert run.verdicts == {"accepted": 1, "rejected": 1}
    assert results(shop) == [("o-1", "accepted")]


async def test_old_order_that_begins_to_match_the_query_is_sent_and_never_again(shop):
    """Such as a bank transfer: the order is two weeks old when it is paid."""
    await shop.run()
    shop.clock.jump(20 * DAY)
    await shop.run()
    runs = []
    for _ in range(2):
        shop.order("transfer", time=shop.clock.now() - 14 * DAY)
        runs.append((await shop.run()).verdicts)
        shop.intake.forget()
        shop.clock.jump(8 * DAY)

    assert runs == [{"accepted": 1}, {"skipped": 1}]


async def test_longer_history_is_used_only_from_where_it_begins(shop):
    """After keep_history is raised, the gateway has already forgotten older orders."""
    shop.order("old")
    await shop.run()
    shop.clock.jump(40 * DAY)
    await shop.run()
    shop.intake.received.clear()
    shop.intake.forget()
    shop.order("old", time=NOW)
    shop.history = 90 * DAY

    run = await shop.run()

    assert run.verdicts == {"skipped": 1}


async def test_reset_with_history_sends_no_known_order_again(shop):
    shop.order("known")
    await shop.run()
    shop.clock.jump(10 * DAY)
    shop.intake.forget()
    shop.order("new", time=NOW)
    await decide_position(shop.state, shop.sync, PositionChoice.RESET)

    run = await shop.run()

    assert run.verdicts == {"skipped": 1, "accepted": 1}


async def test_old_orders_of_before_the_first_run_are_not_sent_when_they_change(shop):
    shop.order("old", time=NOW - 20 * DAY)
    await shop.run(history=False)
    shop.clock.jump(DAY)
    shop.order("old", time=NOW - 20 * DAY)

    run = await shop.run(history=False)

    assert run.verdicts == {"skipped": 1}


@pytest.mark.parametrize("ahead", [HOUR, 23 * HOUR, 40 * DAY])
@pytest.mark.parametrize("kind", ["text", "seconds", "milliseconds"])
async def test_row_from_the_future_hides_no_later_row(shop, kind, ahead):
    def cursor(ms):
        return {"text": at(ms), "seconds": ms // 1_000, "milliseconds": ms}[kind]

    await shop.run()
    shop.order("future", changed=cursor(NOW + ahead))
    await shop.run()
    for number in range(3):
        shop.clock.jump(10 * MINUTE)
        shop.order(f"o-{number}", changed=cursor(shop.clock.now()))
        await shop.run()

    assert shop.intake.received == ["future", "o-0", "o-1", "o-2"]


async def test_row_that_commits_late_at_the_first_run_is_found(shop):
    shop.order("newest")
    await shop.run(history=False)
    shop.clock.jump(MINUTE)
    shop.order("late", changed=at(NOW - SECOND), time=NOW - SECOND)

    await shop.run(history=False)

    assert shop.intake.received == ["late"]


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
async def test_local_times_lose_no_row_when_the_clocks_go_back(shop, zone):
    berlin = ZoneInfo("Europe/Berlin")
    begin = int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()) * 1_000
    shop.clock.jump(begin - shop.clock.now())
    rows = msgspec.structs.replace(shop.sync.rows, zone=zone and berlin)
    await shop.run(rows=rows)
    for number in range(12):
        local = datetime.fromtimestamp(shop.clock.now() / 1_000, berlin).replace(tzinfo=None)
        shop.order(f"o-{number:02}", changed=local.isoformat(sep=" "))
        await shop.run(rows=rows)
        shop.clock.jump(10 * MINUTE)

    assert shop.intake.received == [f"o-{number:02}" for number in range(12)]


async def test_texts_with_an_offset_lose_no_row_when_the_clocks_go_back(shop):
    berlin = ZoneInfo("Europe/Berlin")
    begin = int(datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()) * 1_000
    shop.clock.jump(begin - shop.clock.now())
    await shop.run()
    for number in range(12):
        local = datetime.fromtimestamp(shop.clock.now() / 1_000, berlin)
        shop.order(f"o-{number:02}", changed=local.isoformat())
        await shop.run()
        shop.clock.jump(10 * MINUTE)

    assert shop.intake.received == [f"o-{number:02}" for number in range(12)]


async def test_dates_lose_no_row_of_the_same_day(shop):
    await shop.run()
    for id_ in ("z", "m", "a"):
        shop.order(id_, changed="2026-11-30")
        await shop.run()
        shop.clock.jump(HOUR)

    assert shop.intake.received == ["z", "m", "a"]


async def test_other_url_or_query_stops_the_run_until_a_command_decides(shop):
    shop.order("one")
    await shop.run()
    other = QUERY + " WHERE total <> '0'"

    with pytest.raises(ClientError, match="query has changed") as caught:
        await shop.run(query=other)
    # Spaces do not matter.
    again = await shop.run(query=QUERY.replace(" FROM", "\n FROM "))

    assert "twite sync orders --position keep" in str(caught.value)
    assert again.error == ""


@pytest.mark.parametrize(
    ("choice", "history", "received"),
    [("keep", True, ["b"]), ("reset", True, ["a", "b"]), ("reset", False, [])],
)
async def test_command_keeps_or_resets_the_position_of_another_query(
    shop, choice, history, received
):
    shop.order("a")
    await shop.run()
    shop.order("b")
    shop.intake.received.clear()
    other = msgspec.structs.replace(shop.sync, query=QUERY + " WHERE total <> '0'")

    await decide_position(shop.state, other, PositionChoice(choice))
    await shop.run(query=other.query, history=history)

    assert shop.intake.received == received


async def test_keys_that_the_database_considers_equal_are_all_read(tmp_path):
    shop = SyncStage(tmp_path)
    shop.execute("CREATE TABLE orders(id TEXT COLLATE NOCASE, at TEXT, changed, total TEXT)")
    names = [f"o-{number:03}" for number in range(499)] + ["x-a", "X-A"]
    for name in names:
        shop.execute(("INSERT INTO orders VALUES (?, ?, 5, '1.00')", (name, at(NOW))))

    await shop.run()
    await shop.run()

    assert sorted(shop.intake.received) == sorted(names)


async def test_rows_with_one_cursor_and_key_are_an_error(shop):
    await shop.run()
    for total in ("1.00", "2.00"):
        shop.execute(("INSERT INTO orders VALUES ('o-1', ?, 5, ?)", (at(NOW), total)))

    with pytest.raises(ClientError, match="two rows have the same cursor and key"):
        await shop.run()


async def test_names_of_columns_may_differ_in_case(shop):
    await shop.run(cursor="Changed", key="Conversion_ID")
    shop.order("one")

    run = await shop.run(cursor="Changed", key="Conversion_ID")

    assert run.verdicts == {"accepted": 1}


async def test_cursor_that_the_query_lacks_is_named_with_the_columns(shop):
    shop.order("one")

    with pytest.raises((ClientError, DatabaseUnusable), match="updated_at"):
        await shop.run(cursor="updated_at")


async def test_cursor_with_personal_data_is_not_stored(shop):
    await shop.run()
    shop.order("one", changed="canary@shop.example")

    with pytest.raises(ClientError, match="the cursor contains personal data") as caught:
        await shop.run()

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "cursor",
    [
        Decimal("Infinity"),
        Decimal("NaN"),
        datetime(9999, 12, 31, 23, 59, 59),  # noqa: DTZ001  # PostgreSQL's infinity
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        date(9999, 12, 31),
        datetime(1, 1, 1),  # noqa: DTZ001
        "9999-12-31",
        10**30,
    ],
)
def test_every_cursor_has_a_time_or_none(cursor):
    for zone in (None, ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Kiritimati")):
        assert isinstance(settled_at(cursor, zone), int)


async def test_clock_that_goes_back_a_day_loses_no_row(shop):
    await shop.run()
    received = []
    for number, jump in enumerate([MINUTE, -DAY, MINUTE, MINUTE, DAY, MINUTE]):
        shop.clock.jump(jump)
        received.append(f"o-{number}")
        # The database has another clock.
        shop.order(received[-1], changed=at(NOW + number * MINUTE), time=NOW)
        await shop.run()

    assert shop.intake.received == received


async def test_deleted_and_changed_rows_hide_no_others(shop):
    await shop.run()
    for id_ in ("a", "b"):
        shop.order(id_)
    await shop.run()
    shop.execute("DELETE FROM orders WHERE id = 'b'")
    shop.clock.jump(SECOND)
    shop.order("a")
    shop.order("c")
    await shop.run()

    assert shop.intake.sent == ["a", "b", "c"]
    assert (await load_state(shop.state, "orders")).progress.recent[-1].position.key == "str:c"


async def test_row_that_commits_late_during_a_long_run_is_found(shop):
    await shop.run()
    for number in range(1_200):
        shop.order(f"o-{number:04}", changed=at(NOW + 10 * SECOND))
    shop.clock.jump(20 * SECOND)
    native = shop.intake.native

    async def slow(*, source, body):
        answer = await native(source=source, body=body)
        if "late" not in shop.intake.sent and shop.clock.now() < NOW + MINUTE:
            shop.order("late", changed=at(NOW + 5 * SECOND))
        shop.clock.jump(4 * MINUTE)
        return answer

    shop.intake.native = slow
    await shop.run()
    shop.intake.native = native
    await shop.run()

    assert "late" in shop.intake.sent
    assert len(shop.intake.sent) == len(shop.intake.received) == 1_201


async def test_skipped_order_keeps_the_result_of_its_first_run(shop):
    shop.execute(RESULTS)
    await shop.run(write_back="twite_sent")
    made = shop.clock.now()
    shop.order("a")
    await shop.run(write_back="twite_sent")
    first = results(shop)
    shop.clock.jump(8 * DAY)
    shop.intake.forget()
    shop.order("a", time=made)

    run = await shop.run(write_back="twite_sent")

    assert run.verdicts == {"skipped": 1}
    assert results(shop) == first


async def test_changed_order_without_a_time_is_not_sent_again_after_a_week(shop):
    timeless = {
        "query": "SELECT id AS conversion_id, changed, total AS value FROM orders",
        "map": {"time": ""},
    }
    await shop.run(**timeless)
    shop.order("a")
    await shop.run(**timeless)
    shop.clock.jump(8 * DAY)
    shop.intake.forget()
    shop.order("a")

    await shop.run(**timeless)

    assert shop.intake.received == ["a"]
