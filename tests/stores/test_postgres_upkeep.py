"""Upkeep on PostgreSQL, with a database whose results and pauses the test decides."""

import asyncio
from types import SimpleNamespace

import asyncpg
import pytest
from background_stage import Seen, pause

from builders import NOW, a_submission, an_entry
from fakes import settled
from twite.domain.alert import AlertKind
from twite.domain.errors import LedgerUnavailable
from twite.domain.times import DAY, MINUTE
from twite.gateway.alerts.checks import STORE
from twite.gateway.ports.events import ConditionChanged, ProblemPlace, ProblemSeen
from twite.gateway.ports.store import Retention, StoreOptions
from twite.stores.postgres import upkeep as module
from twite.stores.postgres.database import PostgresDatabase
from twite.stores.postgres.driver.address import Address
from twite.stores.postgres.store import PostgresStore
from twite.stores.postgres.upkeep import SIZE_REACHED, PostgresPruner, PostgresUpkeep, size_of

KEEPING = Retention(bodies=DAY, history=DAY, dead=DAY)
MIB = 1 << 20
LIMIT = 1_000 * MIB
# Seconds between two searches for old rows, and between two checks. The third differs in the tests
# from the second, so that a test can tell the tasks apart.
LOOK_FOR_OLD, LOOK_AT_SIZE, LOOK_AT_DURABILITY = 5.0, 10.0, 20.0


class Database:
    """A database, and its session: `slices` has what each slice prunes, or its error."""

    def __init__(self):
        self.size = 0
        self.weak = ()
        self.error = None  # of the next views
        self.slices = []
        self.pruned = []
        self.others_prune = False
        self.views = []

    async def read(self, view):
        self.views.append(view)
        if self.error is not None:
            raise self.error
        return self.size if view is size_of else self.weak

    async def write(self, unit):
        return unit(self)

    def run(self, name):
        assert name == "try_to_prune"
        return SimpleNamespace(fetchone=lambda: (not self.others_prune,))

    def slice(self, *, now, most):
        self.pruned.append((now, most))
        found = self.slices.pop(0) if self.slices else 0
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
def database(monkeypatch):
    monkeypatch.setattr(PostgresPruner, "slice", lambda _, session, **given: session.slice(**given))
    return Database()


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(module, "LOOK_AT_DURABILITY", LOOK_AT_DURABILITY)
    return pause(monkeypatch, module)


@pytest.fixture
def recorder():
    return SimpleNamespace(refusing=None)


@pytest.fixture
async def upkeep(database, recorder, seen, clock):
    upkeep = PostgresUpkeep(
        database, recorder, retention=KEEPING, size_limit=LIMIT, now=lambda: NOW, observer=seen
    )
    yield upkeep
    async with asyncio.timeout(20):
        await upkeep.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def started(upkeep):
    upkeep.start()
    await settled()


def passing():
    return LedgerUnavailable(reason="away", retry_after=1)


def lasting(reason="broken"):
    error = LedgerUnavailable(reason=reason, retry_after=1)
    error.__cause__ = ValueError("an index")
    return error


async def test_search_for_rows_to_prune_is_repeated_after_some_seconds(upkeep, database, clock):
    await started(upkeep)
    await clock.end(LOOK_FOR_OLD)

    assert database.pruned == [(NOW, 500)] * 2
    assert LOOK_FOR_OLD in clock.pauses


async def test_pruning_continues_until_no_row_is_old(upkeep, database, clock):
    database.slices = [7, 7, 0]
    clock.takes = 0.1

    await started(upkeep)
    for rest in (0.9, 0.9):
        await clock.end(next(pause for pause in clock.pauses if pause == pytest.approx(rest)))

    assert len(database.pruned) == 3
    assert LOOK_FOR_OLD in clock.pauses


async def test_pause_of_pruning_is_shorter_an_hour_after_the_first_slice(upkeep, database, clock):
    database.slices = [7, 7, 0, 7]
    clock.takes = 1.0
    await started(upkeep)
    clock.time += 3_600
    await clock.end(9.0)
    rests = [min(clock.pauses)]
    await clock.end(1.0)
    clock.time += 3_600
    # The search that found nothing has ended the time of work.
    await clock.end(LOOK_FOR_OLD)
    rests.append(min(clock.pauses))

    assert rests == [1.0, 9.0]


@pytest.mark.parametrize("reason", ["no trusted clock", "not the leader", "another node prunes"])
async def test_nothing_is_pruned_without_a_clock_or_the_lead(
    database, recorder, seen, clock, reason
):
    upkeep = PostgresUpkeep(
        database,
        recorder,
        retention=KEEPING,
        size_limit=LIMIT,
        now=lambda: None if reason == "no trusted clock" else NOW,
        observer=seen,
    )
    upkeep.may_prune = lambda: reason != "not the leader"
    database.others_prune = reason == "another node prunes"

    await started(upkeep)
    pauses = clock.pauses
    await upkeep.close()

    assert database.pruned == []
    assert LOOK_FOR_OLD in pauses


async def test_size_is_not_checked_without_a_limit(database, recorder, seen, clock):
    upkeep = PostgresUpkeep(
        database, recorder, retention=KEEPING, size_limit=None, now=lambda: NOW, observer=seen
    )

    await started(upkeep)
    await upkeep.close()

    assert database.views == []


async def test_failed_pruning_is_reported_until_it_succeeds(upkeep, database, seen, clock):
    database.slices = [
        passing(),
        lasting(),
        lasting(),
        lasting("full"),
        RuntimeError("a value"),
        0,
        RuntimeError("a value"),
    ]

    await started(upkeep)
    while database.slices:
        await clock.end(LOOK_FOR_OLD)

    assert seen == [
        ProblemSeen(where=ProblemPlace.PRUNING, reason=reason)
        for reason in ("broken", "full", "RuntimeError", "RuntimeError")
    ]


async def test_weak_durability_is_reported_when_it_changes(upkeep, database, seen, clock):
    settings = [
        ("fsync is off", "full_page_writes is off"),
        ("fsync is off",),
        ("fsync is off",),
        (),
    ]

    await started(upkeep)
    for weak in settings:
        database.weak = weak
        await clock.end(LOOK_AT_DURABILITY)

    assert seen == [
        notice
        for reason in ("fsync is off; full_page_writes is off", "fsync is off", "")
        for notice in (
            *([ProblemSeen(where=ProblemPlace.STORE, reason=reason)] if reason else []),
            ConditionChanged(
                kind=AlertKind.WEAK_DURABILITY, subject=STORE, reason=reason, holds=bool(reason)
            ),
        )
    ]


async def test_checks_continue_after_the_database_was_unavailable(upkeep, database, seen, clock):
    database.error = passing()
    await started(upkeep)
    await clock.end(LOOK_AT_SIZE)
    await clock.end(LOOK_AT_DURABILITY)
    database.error, database.size, database.weak = None, LIMIT, ("fsync is off",)

    await clock.end(LOOK_AT_SIZE)
    await clock.end(LOOK_AT_DURABILITY)

    assert {notice.kind for notice in seen if isinstance(notice, ConditionChanged)} == {
        AlertKind.WEAK_DURABILITY,
        AlertKind.DISK_NEARLY_FULL,
    }


async def sized(upkeep, database, clock, *sizes):
    """Let the database have these sizes in turn, as parts of the limit."""
    for size in sizes:
        database.size = int(LIMIT * size)
        if clock.pauses:
            await clock.end(LOOK_AT_SIZE)
        else:
            await started(upkeep)


async def test_size_alert_resolves_well_below_the_limit(upkeep, database, seen, clock):
    await sized(upkeep, database, clock, 0.899, 0.9, 0.95, 0.85, 0.849, 0.849, 0.899, 0.9)

    said = "The database has {} MiB; at 1000 MiB (store.size_limit), requests get 503"
    assert seen == [
        ConditionChanged(
            kind=AlertKind.DISK_NEARLY_FULL, subject=STORE, reason=said.format(size), holds=holds
        )
        for size, holds in ((900, True), (849, False), (900, True))
    ]


async def test_requests_are_refused_at_the_size_limit(upkeep, database, recorder, seen, clock):
    refusing = []
    for size in (0.999, 1.0, 1.1, 0.99, 0.98, 0.979, 1.0):
        await sized(upkeep, database, clock, size)
        refusing.append(recorder.refusing)

    assert refusing == [None, *[SIZE_REACHED] * 4, None, SIZE_REACHED]
    assert [notice for notice in seen if isinstance(notice, ProblemSeen)] == [
        ProblemSeen(where=ProblemPlace.STORE, reason=f"{SIZE_REACHED} (1000 MiB)")
    ] * 2


async def test_upkeep_that_has_not_started_can_be_closed(upkeep):
    await upkeep.close()


@pytest.fixture
async def old_keys(postgres_url):
    """Five conversions without their histories, two conversions that are kept, and their keys."""
    store = await PostgresStore.open(postgres_url, StoreOptions())
    for number in range(7):
        entry = an_entry(f"order-{number}")
        await store.record(a_submission(entry, receipt=f"r-{number}", received_at=NOW))
    await store.close()
    connection = await asyncpg.connect(postgres_url)
    ids = [row["id"] for row in await connection.fetch("SELECT id FROM submission ORDER BY id")]
    await connection.execute("UPDATE pruning SET histories = $1", ids[4])
    await connection.execute("DELETE FROM outbox")
    yield connection
    await connection.close()


@pytest.fixture
async def prune_keys(postgres_url, old_keys):
    """Prune keys at a time; return what the pruner reports."""
    database = PostgresDatabase(
        Address(postgres_url), window=DAY, timed=lambda _: None, committed=lambda _: None
    )
    pruner = PostgresPruner(KEEPING)

    async def prune(now, *, most=9):
        return await database.write(lambda session: pruner._keys(session, now, most))  # noqa: SLF001

    yield prune
    await database.close()


async def test_keys_of_pruned_conversions_are_deleted_once_a_day(old_keys, prune_keys, monkeypatch):
    monkeypatch.setattr(module, "_KEYS", 3)
    keys = "SELECT key FROM dedup"
    before = len(await old_keys.fetch(keys))

    slices = [await prune_keys(NOW) for _ in range(3)]
    kept = await old_keys.fetch(keys)
    await old_keys.execute("UPDATE dedup SET delivery = 1")
    slices.append(await prune_keys(NOW + DAY - 1))
    on_the_same_day = await old_keys.fetch(keys)
    slices.append(await prune_keys(NOW + DAY))

    assert (before, len(kept), len(on_the_same_day)) == (7, 2, 2)
    assert slices == [3, 3, 0, 0, 0]
    assert await old_keys.fetch(keys) == []


async def test_old_marks_of_transactions_are_deleted_between_two_searches(old_keys, prune_keys):
    await prune_keys(NOW)
    await old_keys.execute("INSERT INTO transaction_mark VALUES (1), (2), (3)")

    deleted = [await prune_keys(NOW + MINUTE, most=2) for _ in range(3)]

    assert deleted == [2, 1, 0]


async def test_search_for_old_keys_reads_each_stored_key_once(old_keys, prune_keys, monkeypatch):
    monkeypatch.setattr(module, "_KEYS", 3)
    await old_keys.execute("UPDATE pruning SET histories = 0")

    slices = [await prune_keys(NOW) for _ in range(3)]

    assert slices == [3, 3, 0]
    assert await old_keys.fetchval("SELECT count(*) FROM dedup") == 7


async def test_store_without_submissions_has_no_keys_to_delete(old_keys, prune_keys):
    await old_keys.execute("DELETE FROM submission")

    assert await prune_keys(NOW) == 0
    assert await old_keys.fetchval("SELECT count(*) FROM dedup") == 7
