"""A sync reads every new row once, in spite of ties, late commits and interruptions."""

import asyncio
import random
import sqlite3
import threading
from contextlib import closing

import msgspec
import pytest
from sync_stage import NOW, SyncStage, at

from twite.app.sync.run import PAGE, NotOwned
from twite.app.sync.state import load_state
from twite.domain.errors import ClientError, LedgerUnavailable
from twite.domain.secret import Secret
from twite.domain.times import DAY, MINUTE, SECOND


async def test_first_run_sends_nothing_without_history(shop):
    shop.order("old")

    first = await shop.run(history=False)
    shop.clock.jump(SECOND)
    shop.order("new")
    second = await shop.run(history=False)

    assert (first.rows, second.rows) == (0, 1)
    assert shop.intake.sent == ["new"]


async def test_sync_of_an_empty_table_sends_its_first_row(shop):
    await shop.run(history=False)
    shop.order("new")

    await shop.run(history=False)

    assert shop.intake.sent == ["new"]


async def test_rows_with_equal_cursors_are_read_across_pages(shop):
    for number in range(1_201):
        shop.execute(("INSERT INTO orders VALUES (?, ?, 5, '1.00')", (f"o-{number:04}", at(NOW))))

    first = await shop.run()
    second = await shop.run()

    assert (first.rows, second.rows) == (1_201, 0)
    assert sorted(shop.intake.sent) == [f"o-{number:04}" for number in range(1_201)]
    assert shop.intake.calls == 3


async def test_row_that_is_committed_late_is_found(shop):
    await shop.run()
    shop.order("first", changed=at(NOW + 10 * SECOND))
    await shop.run()
    shop.clock.jump(4 * MINUTE)
    shop.order("late", changed=at(NOW + 5 * SECOND))

    run = await shop.run()

    assert run.rows == 1
    assert shop.intake.sent == ["first", "late"]


async def test_rows_read_a_while_ago_are_not_submitted_again(shop):
    await shop.run()
    shop.order("one")
    await shop.run()

    runs = []
    for _ in range(8):
        shop.clock.jump(MINUTE)
        runs.append((await shop.run()).rows)

    assert runs == [0] * 8
    assert shop.intake.calls == 1
    progress = (await load_state(shop.state, "orders")).progress
    assert (progress.position.key, progress.recent) == ("str:one", ())


async def test_changed_order_comes_again_as_a_duplicate(shop):
    await shop.run()
    shop.order("one")
    await shop.run()
    shop.clock.jump(MINUTE)
    shop.order("one", time=NOW, total="2.00")

    run = await shop.run()

    assert run.verdicts == {"duplicate": 1}


async def test_changed_order_that_the_gateway_may_have_forgotten_is_skipped(shop):
    await shop.run()
    shop.order("old", time=NOW - 40 * DAY)
    shop.order("new")

    run = await shop.run()

    assert run.verdicts == {"skipped": 1, "accepted": 1}
    assert shop.intake.sent == ["new"]


async def test_rows_of_a_long_outage_are_not_too_old(shop):
    await shop.run()
    shop.clock.jump(MINUTE)
    made = shop.clock.now()
    shop.clock.jump(20 * DAY)
    shop.order("waiting", changed=at(made), time=made)

    run = await shop.run()

    assert run.verdicts == {"accepted": 1}


async def test_position_moves_only_after_rows_are_durable(shop):
    await shop.run()
    shop.order("one")
    shop.intake.fails = [LedgerUnavailable(reason="full", retry_after=1)]
    with pytest.raises(LedgerUnavailable):
        await shop.run()

    run = await shop.run()

    assert run.verdicts == {"accepted": 1}


async def test_gateway_without_its_lease_stores_no_position(shop):
    await shop.run()
    shop.order("one")
    shop.owned = False
    with pytest.raises(NotOwned):
        await shop.run()
    shop.owned = True

    run = await shop.run()

    assert run.verdicts == {"duplicate": 1}


async def test_part_of_a_run_continues_at_its_last_page(shop):
    for number in range(1_100):
        shop.execute(
            ("INSERT INTO orders VALUES (?, ?, ?, '1.00')", (f"{number}", at(NOW), number))
        )
    parts = [await shop.run(until=lambda: True) for _ in range(3)]

    assert [(part.rows, part.is_done) for part in parts] == [
        (500, False),
        (500, False),
        (100, True),
    ]


async def test_interrupted_runs_lose_nothing_and_repeat_nothing(tmp_path):
    """A model of a kill: the process ends at any call of the store, the intake or the database."""
    for seed in range(60):
        chance = random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        shop = SyncStage(folder)
        shop.create()
        expected = set()
        for number in range(chance.randrange(1, 30)):
            shop.clock.jump(chance.choice([0, SECOND, 3 * MINUTE]))
            expected.add(f"o-{number}")
            late = chance.randrange(4) * MINUTE
            shop.order(f"o-{number}", changed=at(shop.clock.now() - late), time=shop.clock.now())
            if chance.random() < 0.5:
                await _killed(shop, chance)
        shop.clock.jump(MINUTE)
        await shop.run()
        await shop.run()

        assert sorted(shop.intake.sent) == sorted(expected), seed


class _KilledError(BaseException):
    """Ends a run at once, as SIGKILL does: nothing catches it."""


async def _killed(shop, chance):
    steps = chance.randrange(1, 8)

    def after_some_steps(act):
        async def counted(*values, **named):
            nonlocal steps
            steps -= 1
            before = chance.random() < 0.5
            if steps == 0 and before:
                raise _KilledError
            result = await act(*values, **named)
            if steps == 0:
                raise _KilledError
            return result

        return counted

    native, put = shop.intake.native, shop.state.put
    shop.intake.native, shop.state.put = after_some_steps(native), after_some_steps(put)
    try:
        await shop.run()
        await shop.run()
    except _KilledError:
        pass
    finally:
        shop.intake.native, shop.state.put = native, put


@pytest.mark.parametrize(
    ("changed", "id_", "sentence"),
    [
        (1.5, "o-1", "the cursor has the type float"),
        (1, None, "the key of a row is NULL"),
        (1, "canary@shop.example", "the key contains personal data"),
    ],
)
async def test_unusable_cursor_or_key_stops_the_run(shop, changed, id_, sentence):
    await shop.run()
    shop.order(id_, changed=changed)

    with pytest.raises(ClientError, match=sentence) as caught:
        await shop.run()

    assert "canary" not in str(caught.value)
    assert shop.intake.calls == 0


async def test_row_whose_cursor_is_null_waits_until_it_has_one(shop):
    await shop.run()
    shop.execute(("INSERT INTO orders VALUES ('unpaid', ?, NULL, '1.00')", (at(NOW),)))
    await shop.run()
    shop.execute(("UPDATE orders SET changed = ?", (at(NOW),)))

    run = await shop.run()

    assert run.verdicts == {"accepted": 1}


async def test_position_waits_if_no_new_row_can_be_read(shop):
    query = shop.sync.query.replace("FROM orders", "FROM seen")
    shop.execute("CREATE VIEW seen AS SELECT * FROM orders")
    await shop.run(query=query)
    shop.order("one", total="1.50")
    shop.execute(
        "DROP VIEW seen",
        "CREATE VIEW seen AS SELECT id, at, changed, CAST(total AS REAL) AS total FROM orders",
    )

    with pytest.raises(ClientError, match="number_inexact") as caught:
        await shop.run(query=query)
    shop.execute("DROP VIEW seen", "CREATE VIEW seen AS SELECT * FROM orders")
    run = await shop.run(query=query)

    assert "cannot read any of 1 new row" in str(caught.value)
    assert run.verdicts == {"accepted": 1}


async def test_single_wrong_row_is_rejected_and_shown(shop):
    await shop.run()
    shop.order("wrong", total="-1")
    shop.order("right")

    run = await shop.run()

    assert run.verdicts == {"accepted": 1, "rejected": 1}
    (refused,) = run.refused
    assert (refused.conversion_id, refused.code) == ("wrong", "amount_negative")
    assert shop.intake.rejected == [("amount_negative",)]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("SELECT at AS time, changed, id AS k FROM orders", "no column has the order id"),
        ("SELECT id AS conversion_id, at AS placed, changed FROM orders", "no column has the time"),
    ],
)
async def test_query_whose_rows_could_not_be_sent_once_is_refused(shop, query, sentence):
    shop.order("one")

    with pytest.raises(ClientError, match=sentence):
        await shop.run(query=query, key="k" if " k " in query else "conversion_id")


async def test_results_are_written_into_a_table_of_the_database(shop):
    shop.execute(
        "CREATE TABLE twite_sent(sync TEXT, conversion_id TEXT, verdict TEXT, code TEXT,"
        " message TEXT, at TEXT)"
    )
    await shop.run(write_back="twite_sent")
    shop.order("good")
    shop.order("bad", total="-1")
    await shop.run(write_back="twite_sent")
    shop.clock.jump(SECOND)
    shop.order("good")

    await shop.run(write_back="twite_sent")

    with closing(sqlite3.connect(shop.path)) as database, database:
        rows = database.execute(
            "SELECT conversion_id, verdict, code FROM twite_sent WHERE sync = 'orders' ORDER BY 1"
        ).fetchall()
    database.close()
    # The later duplicate does not replace the result.
    assert rows == [("bad", "rejected", "amount_negative"), ("good", "accepted", "")]


async def test_other_databases_have_the_same_pages_and_results(shop):
    """SQLAlchemy is tried on SQLite: each database has its own dialect."""
    url = Secret(f"sqlite+pysqlite:///{shop.path}")
    shop.execute(
        "CREATE TABLE twite_sent(sync TEXT, conversion_id TEXT, verdict TEXT, code TEXT,"
        " message TEXT, at TEXT)"
    )
    query = shop.sync.query + " WHERE total <> '10:30'"
    shop.sync = msgspec.structs.replace(
        shop.sync, secret_url=url, query=query, write_back="twite_sent", history=False
    )
    shop.order("old")
    await shop.run()
    for number in range(3):
        shop.clock.jump(SECOND)
        shop.order(f"o-{number}")

    first, second = await shop.run(), await shop.run()

    assert (first.rows, second.rows) == (3, 0)
    assert shop.intake.sent == ["o-0", "o-1", "o-2"]


async def test_position_of_another_cursor_cannot_be_kept(shop):
    await shop.run()

    with pytest.raises(ClientError, match="cursor has changed") as caught:
        await shop.run(cursor="time")

    assert "--position reset" in str(caught.value)
    assert "--position keep" not in str(caught.value)


async def test_stop_ends_a_query_in_its_own_thread(shop):
    shop.order("a")
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT id AS "
        "conversion_id, at AS time, changed, (SELECT count(*) FROM n) AS value FROM orders"
    )
    run = asyncio.create_task(shop.run(query=endless))
    while not (  # noqa: ASYNC110  # the thread has no event
        threads := [each for each in threading.enumerate() if "twite-database" in each.name]
    ):
        await asyncio.sleep(0)

    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    for thread in threads:
        await asyncio.to_thread(thread.join, 30)

    assert not any(thread.is_alive() for thread in threads)


async def test_refunds_hide_no_order_and_stop_no_run(shop):
    await shop.run()
    for number in range(PAGE + 100):
        shop.order(f"refund-{number:04}", total="-1")
    shop.order("right", changed=at(NOW + SECOND))

    run = await shop.run()
    shop.order("refund", total="-1")
    alone = await shop.run(look_back=0)

    assert shop.intake.sent == ["right"]
    assert run.verdicts == {"rejected": PAGE + 100, "accepted": 1}
    assert alone.refused[0].code == "amount_negative"
