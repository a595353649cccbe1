"""A store from before a stored sum existed gets that sum, computed from its rows."""

import sqlite3
from contextlib import closing, contextmanager

from builders import matching
from twite.domain.stats.tally import QUARTER
from twite.domain.times import DAY, HOUR
from twite.gateway.ports.queries import FlowsQuery, MatchQuery, QueryScope, WaitsQuery
from twite.stores.sqlite import SQLiteStore
from twite.stores.sqlite.engine import schema

TODAY = 20_000 * DAY
# The migration that added them.
PRESUMMED = 18


@contextmanager
def an_older(path):
    """A database with the earlier schema, to be filled."""
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        for number, statements in schema.migrations():
            if number < PRESUMMED:
                old.executescript(f"BEGIN;\n{statements}\nPRAGMA user_version = {number};\nCOMMIT;")
        yield old


async def test_hourly_counts_are_added_up_once(tmp_path):
    path = tmp_path / "twite.db"
    with an_older(path) as old:
        old.execute("INSERT INTO account (source, pixel) VALUES ('shop', 'o8z6j')")
        for at in (TODAY - 3 * DAY, TODAY, TODAY + HOUR, TODAY + 7 * HOUR):
            old.execute("INSERT INTO flow VALUES (?, ?, 1, 10, 0, 0, 0, 9, 1)", (HOUR, at))
            old.execute("INSERT INTO waited VALUES (?, ?, 1, 21, 9)", (HOUR, at))

    store = await SQLiteStore.open(str(path))
    try:
        found = {
            span: (
                [
                    (flow.at, flow.received)
                    for flow in await store.answer(
                        FlowsQuery(scope=QueryScope(), span=span, since=0)
                    )
                ],
                [
                    (wait.at, wait.slots)
                    for wait in await store.answer(
                        WaitsQuery(scope=QueryScope(), span=span, since=0)
                    )
                ],
            )
            for span in (HOUR, QUARTER, DAY)
        }
    finally:
        await store.close()

    # Old hours are not kept.
    hours = [TODAY, TODAY + HOUR, TODAY + 7 * HOUR]
    assert found[HOUR] == ([(at, 10) for at in hours], [(at, {21: 9}) for at in hours])
    before = TODAY - 3 * DAY
    assert found[QUARTER] == (
        [(before, 10), (TODAY, 20), (TODAY + QUARTER, 10)],
        [(before, {21: 9}), (TODAY, {21: 18}), (TODAY + QUARTER, {21: 9})],
    )
    assert found[DAY] == ([(before, 10), (TODAY, 30)], [(before, {21: 9}), (TODAY, {21: 27})])


async def test_match_keys_counted_by_sets_are_added_up(tmp_path):
    path = tmp_path / "twite.db"
    key_sets = {key_set: 100 + key_set for key_set in range(64)}
    with an_older(path) as old:
        old.execute("INSERT INTO account (source, pixel) VALUES ('shop', 'o8z6j')")
        old.execute("INSERT INTO lane (pixel, event) VALUES ('o8z6j', 'o8z6k')")
        for key_set, many in key_sets.items():
            old.execute("INSERT INTO kit VALUES (20000, 1, 1, ?, ?)", (key_set, many))

    store = await SQLiteStore.open(str(path))
    try:
        (matched,) = await store.answer(MatchQuery(scope=QueryScope(), since=0))
    finally:
        await store.close()

    assert matched.keys == matching(key_sets)
