# ruff: noqa: ASYNC240 - as in test_sqlite_copies.py
"""Damage in a file is found, set aside and reported; it is never sent."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from builders import NOW, a_submission, an_entry
from twite.domain.delivery import DAMAGED, Attempt, Settlement, State, Transition, Trigger
from twite.domain.errors import LedgerUnavailable, StoreUnusable
from twite.gateway.ports.events import Moved
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.queries import AtRest, ByConversionId, ByReceipt
from twite.gateway.ports.store import StoreOptions
from twite.stores.sql.database import checksum, seed_of
from twite.stores.sqlite import SQLiteReader, SQLiteStore
from twite.stores.sqlite.engine import opening
from twite.stores.sqlite.engine.examine import examine
from twite.stores.sqlite.engine.log_file import log_of
from twite.stores.sqlite.recovery.pages import Pages
from twite.stores.sqlite.recovery.recover import recover
from twite.stores.sqlite.recovery.salvage import LOOKS, roots

CLAIM = Claim(pixel="o8z6j", now=NOW, lease_until=NOW + 60_000, limit=500, ambiguous_after=0)


class Watching:
    def __init__(self):
        self.seen = []

    def see(self, notice):
        self.seen.append(notice)


@pytest.fixture
def without_checkpoints(monkeypatch):
    """Without checkpoints, the log stays as written, however long the test takes."""
    checkpoints = "twite.stores.sqlite.engine.checkpoints.Checkpoints"
    monkeypatch.setattr(f"{checkpoints}._move", lambda *_: None)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "twite.db")


async def filled(path, many=3):
    store = await SQLiteStore.open(path)
    for number in range(many):
        await store.record(a_submission(an_entry(f"order-{number}"), receipt=f"r{number}"))
    await store.close()


def change(path, statement):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


async def claimed(path):
    monitoring = Watching()
    store = await SQLiteStore.open(path, StoreOptions(observer=monitoring))
    batch = await store.claim(CLAIM)
    resting = await store.find(AtRest(pixel=None, limit=9))
    await store.close()
    return batch, resting, monitoring.seen


CHANGES = {
    "a bit of the body": "UPDATE conversion SET body = replace(CAST(body AS TEXT), '49', '48')",
    "a body that is text": "UPDATE conversion SET body = CAST(body AS TEXT) || 'é'",
    "another conversion id": "UPDATE conversion SET conversion_id = 'order-9'",
    "an id that is no UTF-8": "UPDATE conversion SET conversion_id = CAST(x'ff' AS TEXT)",
    "another queue": "UPDATE conversion SET checksum = checksum + 1",
    "no checksum": "UPDATE conversion SET checksum = NULL",
    "another moment": "UPDATE outbox SET received_at = received_at + 1",
    "no conversion": "DELETE FROM conversion",
}


@pytest.mark.parametrize("how", CHANGES)
async def test_damaged_deliveries_are_given_up_and_the_others_sent(path, how):
    await filled(path)
    change(path, f"{CHANGES[how]} WHERE id = 2")

    batch, resting, seen = await claimed(path)

    assert [delivery.conversion_id for delivery in batch.deliveries] == ["order-0", "order-2"]
    given_up = Moved(pixel="o8z6j", trigger=Trigger.GIVEN_UP, deliveries=1, reason=DAMAGED)
    assert seen == [given_up]
    # A delivery without its conversion has no history.
    assert [(history.state, history.reason) for history in resting if history.delivery == 2] == (
        [] if how == "no conversion" else [(State.DEAD, DAMAGED)]
    )


async def test_delivery_with_a_valid_checksum_is_sent_despite_a_wrong_type(path):
    await filled(path)
    change(path, "UPDATE conversion SET conversion_id = CAST(conversion_id AS BLOB) WHERE id = 2")

    batch, resting, _ = await claimed(path)

    assert [delivery.conversion_id for delivery in batch.deliveries] == [
        "order-0",
        "order-1",
        "order-2",
    ]
    assert resting == []


async def test_claim_is_empty_if_all_deliveries_are_damaged(path):
    await filled(path)
    change(path, "UPDATE conversion SET body = x'7b7d'")

    batch, resting, _ = await claimed(path)

    assert batch is None
    assert [(history.state, history.sent) for history in resting] == [(State.DEAD, b"")] * 3


async def test_delivery_without_its_conversion_is_given_up(path):
    await filled(path, many=1)
    change(path, "DELETE FROM conversion")

    batch, resting, seen = await claimed(path)

    assert (batch, resting) == (None, [])
    assert [notice.deliveries for notice in seen] == [1]


def test_checksum_covers_every_field_of_a_delivery():
    given = {"delivery": 7, "received_at": NOW, "conversion_id": b"order-1", "body": b"{}"}
    seed = seed_of("o8z6j", "o8z6k")

    sums = {
        checksum(seed, **given),
        checksum(seed_of("o8z6j", "o8z6m"), **given),
        *(
            checksum(seed, **{**given, name: other})
            for name, other in (
                ("delivery", 8),
                ("received_at", NOW + 16),
                ("conversion_id", b"order-2"),
                ("body", b"{ }"),
            )
        ),
    }

    assert len(sums) == 6


async def test_damaged_file_is_refused_with_the_recovery_command(path):
    await filled(path, many=200)
    content = bytearray(Path(path).read_bytes())
    content[-4096:] = b"\xff" * 4096
    Path(path).write_bytes(content)

    with pytest.raises(StoreUnusable, match="twite recover"):
        await SQLiteStore.open(path)


@pytest.mark.usefixtures("without_checkpoints")
async def test_log_that_ends_before_commits_is_refused_and_kept(path):
    store = await SQLiteStore.open(path)
    # The database is put back unchanged: rows that a checkpoint had copied from the log would not
    # be lost.
    database = Path(path).read_bytes()
    for number in range(5):
        await store.record(a_submission(an_entry(f"order-{number}"), receipt=f"r{number}"))
    log = bytearray(Path(f"{path}-wal").read_bytes())
    await store.close()
    Path(path).write_bytes(database)
    Path(f"{path}-wal").write_bytes(log)
    frames = log_of(path).headers()
    third_last = [place for place, frame in enumerate(frames) if frame.pages][-3]
    log[32 + third_last * (24 + 4096) + 24 + 100] ^= 1
    Path(f"{path}-wal").write_bytes(log)

    with pytest.raises(StoreUnusable, match=r"its log lacks the last \d+ commits"):
        await SQLiteStore.open(path)

    assert Path(f"{path}-wal").read_bytes() == log


@pytest.mark.usefixtures("without_checkpoints")
async def test_log_truncated_by_a_power_loss_is_not_damage(path):
    store = await SQLiteStore.open(path)
    for number in range(5):
        await store.record(a_submission(an_entry(f"order-{number}"), receipt=f"r{number}"))
    files = {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in ("", "-wal", ".epoch")}
    await store.close()
    for suffix, content in files.items():
        Path(f"{path}{suffix}").write_bytes(content[:-2_000] if suffix == "-wal" else content)

    store = await SQLiteStore.open(path)

    received = [account.received for account in await store.balance()]
    await store.close()
    assert received == [4]
    assert store.notices == (
        "1 conversions received after the last one in the database are missing",
    )


async def test_slow_integrity_check_ends_without_an_error(path, monkeypatch):
    await filled(path, many=200)
    monkeypatch.setattr(opening, "examine", lambda *_, **__: False)
    store = await SQLiteStore.open(path)
    await store.close()

    assert store.notices == ()

    assert examine(path, seconds=None) is True
    assert examine(path, seconds=0.0) in {True, False}


async def test_orphaned_rows_are_recognized_by_their_columns(path):
    """A column added by a migration must not make rows unreadable: they would be lost."""
    store = await SQLiteStore.open(path)
    entries = [an_entry(f"order-{at}", index=at) for at in range(9)]
    await store.record(a_submission(*entries, receipt="01a21050-10aa-74ba-a097-000000000001"))
    batch = await store.claim(CLAIM)
    attempt = Attempt(
        at=NOW,
        pixel="o8z6j",
        event="o8z6k",
        outcome="delivered",
        deliveries=tuple(delivery.id for delivery in batch.deliveries[:5]),
        status=200,
    )
    transitions = (Transition(trigger=Trigger.DELIVERED, deliveries=attempt.deliveries),)
    await store.settle(
        Settlement(lease=batch.lease, attempt=attempt, transitions=transitions, lease_until=NOW)
    )
    await store.close()
    pages = Pages(path)

    looked_like = {
        table: {
            tuple(name for name, looks in LOOKS.items() if looks(row.values))
            for number in pages.tree(roots(pages)[table]).pages
            for row in pages.leaf(number).rows
        }
        for table in LOOKS
    }

    assert looked_like == {table: {(table,)} for table in LOOKS}


async def test_damage_found_while_running_stops_the_store(path):
    store = await SQLiteStore.open(path)
    for number in range(400):
        await store.record(a_submission(an_entry(f"order-{number}"), receipt=f"r{number}"))
    await store.close()
    store = await SQLiteStore.open(path)
    content = Path(path).read_bytes()
    with closing(sqlite3.connect(path)) as other:
        root = other.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'ready'").fetchone()[
            0
        ]
    with open(path, "r+b") as file:  # noqa: ASYNC230, PTH123 - in place, like real damage
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)

    with pytest.raises(LedgerUnavailable):
        await store.claim(CLAIM)

    why = await store.failed
    with pytest.raises(LedgerUnavailable):
        await store.record(a_submission(an_entry("order-9999"), receipt="r9999"))
    await store.close()
    assert "twite recover" in str(why)
    assert len(content) > 8 * 4096


async def test_reader_shows_a_damaged_conversion_without_its_body(path):
    await filled(path)
    change(path, "UPDATE conversion SET body = x'00' WHERE id = 2")
    reader = await SQLiteReader.open(path)

    [history] = await reader.find(ByReceipt(receipt="r1"))

    await reader.close()
    assert (history.conversion_id, history.sent) == ("order-1", b"")


ADRIFT = {
    "another's submission": "UPDATE conversion SET submission = 1 WHERE id = 2",
    "no submission there is": "UPDATE conversion SET submission = -100 WHERE id = 2",
    "no submission any more": "DELETE FROM submission WHERE id = 2",
    "no pixel there is": "UPDATE conversion SET queue = 9 WHERE id = 2",
}


@pytest.mark.parametrize("how", ADRIFT)
async def test_conversion_without_its_submission_is_damage(path, how):
    await filled(path)
    change(path, ADRIFT[how])

    with pytest.raises(StoreUnusable) as refused:
        await SQLiteStore.open(path)

    assert "conversion 2 refers to" in refused.value.reason
    assert "twite recover" in str(refused.value)


@pytest.mark.parametrize("how", ["another's submission", "no submission there is"])
async def test_recovered_conversion_returns_to_its_submission(path, how):
    await filled(path)
    change(path, ADRIFT[how])

    saved = recover(path, f"{path}.saved", known=[("o8z6j", "o8z6k")])

    store = await SQLiteStore.open(saved.to)
    [history] = await store.find(
        ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id="order-1")
    )
    await store.close()
    assert history.receipt == "r1"


async def test_recovered_conversion_without_its_submission_gets_a_new_one(path):
    await filled(path)
    change(path, ADRIFT["no submission any more"])

    saved = recover(path, f"{path}.saved", known=[("o8z6j", "o8z6k")])

    store = await SQLiteStore.open(saved.to)
    [history] = await store.find(
        ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id="order-1")
    )
    await store.close()
    assert history.receipt.startswith("recovered-")
