"""Log lines about a late division of the accounts."""

import asyncio
from types import SimpleNamespace

import pytest
from background_stage import Seen, pause

from fakes import settled
from twite.domain.errors import LedgerUnavailable
from twite.gateway.ports.events import ProblemPlace
from twite.stores.postgres import waits as module
from twite.stores.postgres.driver.connection import ResultRows
from twite.stores.postgres.waits import AGAIN, LONG, OwnershipWaits


class Database:
    connections_in_use = 6

    def __init__(self):
        self.error = None

    async def read(self, view):
        if self.error is not None:
            raise self.error
        return view(SimpleNamespace(run=self.run))

    def run(self, name):
        assert name == "busy_sessions"
        return ResultRows([(42, "idle in transaction"), (43, "active")], 2)


SESSIONS = ["session 42: idle in transaction", "session 43: active"]
USED = "Writing connections in use: 6"


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
def clock(monkeypatch):
    return pause(monkeypatch, module)


@pytest.fixture
def database():
    return Database()


@pytest.fixture
def waits(database, seen, clock):
    return OwnershipWaits(database, seen)


def reasons(seen):
    assert {notice.where for notice in seen} <= {ProblemPlace.STORE}
    return [notice.reason for notice in seen]


async def test_long_step_is_reported_repeatedly(waits, seen, clock):
    waits.step = "renewing the lease"
    work = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(waits.watched(work))
    await settled()
    for seconds in (LONG, AGAIN):
        clock.time += seconds
        await clock.end(seconds)
    work.set_result("done")

    assert await task == "done"
    await settled()
    assert clock.pauses == []
    assert reasons(seen) == [
        f"this has taken 3 s: renewing the lease. {USED}",
        *SESSIONS,
        f"this has taken 13 s: renewing the lease. {USED}",
        *SESSIONS,
    ]


def test_new_report_has_no_step(waits):
    assert waits.step == ""


async def test_failed_step_is_no_longer_reported(waits, clock):
    async def fails():
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await waits.watched(fails())
    await settled()

    assert clock.pauses == []


async def test_report_omits_the_sessions_of_an_unavailable_database(waits, database, seen):
    database.error = LedgerUnavailable(reason="away", retry_after=1)

    await waits.report_late(9.0, locked=True)

    assert reasons(seen)[1:] == ["the sessions of the database cannot be read: away"]


@pytest.mark.parametrize(
    ("locked", "cause"),
    [
        (True, "a transaction has locked its row"),
        (False, "the lease of this gateway had expired too, so it first lets others renew theirs"),
    ],
)
async def test_late_fence_is_reported_with_its_cause(waits, seen, locked, cause):
    await waits.report_late(LONG, locked=locked)

    said = f"a gateway should have been replaced 3 s ago, but {cause}. {USED}"
    assert reasons(seen) == [said, *SESSIONS]


async def test_late_fence_is_reported_at_most_every_ten_seconds(waits, seen, clock):
    reports = []
    for late, seconds in ((LONG - 0.1, 0.0), (9.0, 0.0), (19.0, AGAIN - 0.5), (19.5, 0.5)):
        clock.time += seconds
        await waits.report_late(late, locked=True)
        reports.append(len([said for said in reasons(seen) if "replaced" in said]))

    assert reports == [0, 1, 1, 2]
