"""The named SQL statements: all are used and have a query plan, and none scans settled rows."""

import locale
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import twite.stores.sql
from twite.gateway.ports.listing import ListCount, ListedState, ListQuery
from twite.stores.sql.listing.page import list_count
from twite.stores.sql.statements import MOST_ROWS, QUERIES, named, rows_of, slices
from twite.stores.sqlite.engine.connection import connect_reader

FOLDER = Path(twite.stores.sql.__file__).parent
TEXT = (FOLDER / "queries.sql").read_text("utf-8")
# These read whole tables, which are small: names and accounts.
WALKS = {
    "account_names": {"account"},
    "account_sources": {"account"},
    "acknowledgements": {"acknowledgement"},
    "alerts": {"alert"},
    "forget_expired_mutes": {"mute"},
    "forget_replay_batches": {"replay_batch"},
    "forget_replay_parts": {"replay_batch"},
    "backlog": {"queue"},
    "undelivered_since": {"queue"},
    "error_groups": {"queue"},
    "matching": {"queue"},
    "matching_unsettled": {"queue"},
    "traffic": {"traffic"},
    "accounts": {"account", "outbox"},
    "fresh_keys": {"fresh_key"},
    "deliveries_of_keys": {"fresh_key"},
    # Denials of conversions in flight: few, and deleted with their conversions.
    "denied": {"denied"},
    "queues": {"queue"},
    "merge_round": {"merge_round"},
    "note_merge_round": {"merge_round"},
    "hold_pending": {"outbox"},
    "note_pruning": {"pruning"},
    "note_turn": {"deployment"},
    "read_deployment": {"deployment"},
    "progress": {"deployment"},
    "opt_outs": {"opt_out"},
    "policies": {"consent_policy"},
    "pruning": {"pruning"},
    "read_turn": {"deployment"},
    "opened": {"deployment"},
    "closed": {"deployment"},
    "closures": {"closure"},
    "note_ahead": {"deployment"},
    "pauses": {"pause"},
    "pause_texts": {"pause"},
    "closure_texts": {"closure"},
    "timed": {"deployment"},
    # The search for damage reads everything, for a few seconds at most.
    "find_orphans": {"conversion"},
    # The gateway has few users, sessions and keys.
    "api_keys": {"api_key"},
    "end_old_sessions": {"session"},
    "end_sessions": {"session"},
    "sessions": {"session"},
    "users": {"user"},
    "other_admin": {"user"},
    "norms": {"norm"},
    # Counts of a limited number of days.
    "forget_old_failed_sign_ins": {"failed_sign_in"},
    # An erasure searches everything, and ignored events are counted by name and day.
    "ignored_names": {"ignored"},
    # The log of recent dedup keys, read after a key got another delivery: 196,608 rows at most.
    "forget_taken_over": {"fresh_key"},
    # At most 50 for each webhook.
    "webhook_deliveries": {"webhook_delivery"},
    "forget_webhook_deliveries": {"webhook_delivery"},
    # A command counts the conversions that waited.
    "join_counts": {"joined"},
    # At most 5,000 for each account.
    "kept_rejections": {"rejection"},
    "all_rejections": {"rejection"},
}


@pytest.fixture(scope="module")
def connection(migrated_file):
    """A connection to a new database that no test writes to."""
    with closing(connect_reader(str(migrated_file))) as connection:
        yield connection


def test_each_sql_statement_is_used():
    code = "".join(file.read_text("utf-8") for file in FOLDER.parent.rglob("*.py"))

    assert [name for name in QUERIES if f'"{name}"' not in code] == []


def test_each_sql_statement_has_a_comment():
    sections = re.split(r"^-- name: ", TEXT, flags=re.MULTILINE)[1:]

    assert [said for said in sections if not said.splitlines()[1].startswith("-- ")] == []
    assert len(sections) == len(QUERIES)


def test_no_sql_statement_scans_settled_rows(connection):
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}

    walks = {name: _walked(connection, statement) & tables for name, statement in QUERIES.items()}

    # There are as many leases as batches in flight.
    assert {
        name: walked
        for name, walked in walks.items()
        if not walked - {"lease"} <= WALKS.get(name, set())
    } == {}


@pytest.mark.parametrize("state", ["queued", "sending", "held", "dead"])
def test_backlog_is_counted_without_reading_its_requests(migrated_file, tmp_path, state):
    file = shutil.copy(migrated_file, tmp_path)
    with closing(sqlite3.connect(file)) as writer, writer:
        writer.execute("INSERT INTO account (id, source, pixel) VALUES (1, 'shop', 'p')")
        writer.execute(
            "INSERT INTO conversion (id, submission, queue, conversion_id, body)"
            " VALUES (1, 1, 1, 'order-1', '')"
        )
        writer.execute(
            "INSERT INTO outbox (id, queue, account, received_at, state) VALUES (1, 1, 1, 0, ?)",
            (state,),
        )

    def deny_requests(action, table, *_):
        is_denied = action == sqlite3.SQLITE_READ and table == "submission"
        return sqlite3.SQLITE_DENY if is_denied else sqlite3.SQLITE_OK

    with closing(connect_reader(str(file))) as reader:
        reader.set_authorizer(deny_requests)

        counted = list_count(reader, list_query=ListQuery(state=ListedState(state)))

    assert counted == ListCount(conversions=1)


def _walked(connection, statement):
    names = set(re.findall(r":(\w+)", statement))
    values = dict.fromkeys(names, 0) if names else (0,) * statement.count("?")
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    # "SCAN t" reads every row; "SCAN t USING INDEX" may end early.
    return {
        match[1]
        for *_, detail in plan
        if (match := re.match(r"SCAN (\w+)\b(?! USING INDEX)", detail))
    }


def test_values_row_of_a_statement_is_repeated():
    statement = rows_of("count_accounts", 2)

    assert "(VALUES (?, ?, ?, ?, ?, ?), (?, ?, ?, ?, ?, ?)) AS added" in statement


def test_statement_without_a_values_row_is_not_repeated():
    with pytest.raises(ValueError, match="no VALUES row"):
        rows_of("pauses", 2)


@pytest.mark.parametrize("count", [0, 1, 64, 65, 255, 256, 257, 1_000])
def test_slices_cover_every_row_once(count):
    cut = slices(count)

    assert [start for start, _ in cut] == [
        sum(size for _, size in cut[:at]) for at in range(len(cut))
    ]
    assert sum(size for _, size in cut) == count
    assert all(size <= MOST_ROWS for _, size in cut)


def test_duplicate_statement_name_is_refused():
    with pytest.raises(ValueError, match="same name"):
        named("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;\n")


def test_inserted_rows_are_counted_in_a_turkish_locale():
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "tr_TR.UTF-8")
    except locale.Error:
        pytest.skip("this machine has no Turkish locale")
    try:
        with closing(sqlite3.connect(":memory:")) as memory:
            memory.execute("CREATE TABLE opt_out (key BLOB PRIMARY KEY, since INTEGER)")
            values = {"key": b"1", "now": 1}
            counts = [memory.execute(QUERIES["add_opt_out"], values).rowcount for _ in range(2)]
    finally:
        locale.setlocale(locale.LC_CTYPE, before)

    assert counts == [1, 0]
