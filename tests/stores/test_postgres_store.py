"""Operations of the store with a database that the test controls."""

import asyncio
import socket
from types import SimpleNamespace

import pytest
from background_stage import Seen

from builders import NOW
from fakes import settled
from twite import __version__
from twite.domain.delivery import DAMAGED, Batch, IllegalTransition, Settlement, Transition, Trigger
from twite.gateway.ports.events import Moved
from twite.gateway.ports.outbox import Claim
from twite.gateway.ports.privacy import EraseStore
from twite.stores.postgres import store as module
from twite.stores.postgres.keys import OLD
from twite.stores.postgres.nodes import NotOwner
from twite.stores.postgres.session import SharedNames
from twite.stores.postgres.store import PostgresStore
from twite.stores.postgres.usual import Unusual

KEY = b"k" * 16
CLAIM = Claim(pixel="pixel", now=NOW, lease_until=NOW, limit=9, ambiguous_after=0)
BATCH = Batch(lease=1, pixel="pixel", event="event", deliveries=())
ENDS = EraseStore(ends=True)


class Database:
    """A database, its session, and what the statements of claims return."""

    node = 0

    def __init__(self):
        self.names = SharedNames()
        self.opt_outs = SimpleNamespace(revoke=self.note("revoke"), restore=self.note("restore"))
        self.done = []
        self.begins = []
        self.tries = 1  # how often each unit of work runs
        self.usual = None, False
        self.shared = BATCH
        self.damaged = []
        self.claims = []
        self.vacuums = asyncio.Queue()

    def note(self, what):
        return lambda *values, **named: self.done.append((what, *values, *named.values()))

    async def write(self, unit, *, begins=False):
        self.begins.append(begins)
        for _ in range(self.tries):
            result = unit(self)
        return result

    async def read(self, view, *, is_long=False):
        return view, is_long

    def run(self, name):
        self.done.append(name)

    def claimed_usually(self, claim, *, account):
        self.claims.append((claim, account))
        if isinstance(self.usual, Exception):
            raise self.usual
        return self.usual

    def claimed(self, claim, *, damaged):
        self.claims.append(claim)
        damaged += self.damaged
        return self.shared

    async def vacuum(self):
        ended = asyncio.get_running_loop().create_future()
        self.vacuums.put_nowait(ended)
        return await ended

    async def close(self):
        self.done.append("database")


class Recorder:
    def __init__(self, database):
        self._database = database

    async def submit(self, submission):
        return "recorded", submission

    def submit_soon(self, submissions, done):
        done([("recorded", each) for each in submissions])

    async def close(self):
        self._database.done.append("recorder")


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
async def database(monkeypatch):
    usual = SimpleNamespace(
        claim=lambda session, claim, **given: session.claimed_usually(claim, **given),
        Unusual=Unusual,
    )
    monkeypatch.setattr(module, "usual", usual)
    monkeypatch.setattr(
        module.outbox, "claim", lambda session, claim, **given: session.claimed(claim, **given)
    )
    return Database()


@pytest.fixture
def upkeep(database):
    async def close():
        database.done.append("upkeep")

    return SimpleNamespace(close=close)


@pytest.fixture
async def store(database, seen, upkeep):
    store = PostgresStore(database, Recorder(database), upkeep, salt=b"salt", observer=seen)
    checked = database.note("check")
    store.ownership.check = lambda _, pixel: checked(pixel)
    store.ownership.account = lambda pixel: f"account of {pixel}"
    return store


def test_new_store_has_no_warnings_and_has_not_failed(store):
    assert (store.salt, store.notices, store.weak, store.failed.done()) == (b"salt", (), (), False)


async def test_other_gateways_see_the_name_and_the_version_of_this_one(store, database):
    joined = {}
    row = SimpleNamespace(fetchone=lambda: (1,))

    async def write(unit, **_):
        unit(SimpleNamespace(run=lambda _, /, **values: joined.update(values) or row))

    database.write = write
    await PostgresStore(
        database, Recorder(database), None, salt=b"", observer=Seen()
    ).ownership.join({}, longest_request=0)

    assert (joined["name"], joined["version"]) == (socket.gethostname(), __version__)


async def test_recorder_gets_all_submissions(store):
    results = []

    store.record_soon(["b", "c"], results.extend)

    assert await store.record("a") == ("recorded", "a")
    assert results == [("recorded", "b"), ("recorded", "c")]


def test_recorder_reads_the_opt_outs_again_after_the_lease_has_ended(store):
    assert store._recorder.follows_opt_outs == store.ownership.may_send  # noqa: SLF001


async def test_typical_claim_needs_no_other_statement(store, database):
    database.usual = BATCH, True

    assert await store.claim(CLAIM) is BATCH
    assert database.claims == [(CLAIM, "account of pixel")]
    assert (database.begins, database.done) == ([True], [])


async def test_typical_claim_can_find_that_no_delivery_is_ready(store, database):
    database.usual = None, True

    assert await store.claim(CLAIM) is None
    assert len(database.claims) == 1


async def test_general_code_claims_what_the_typical_statement_leaves(store, database, seen):
    assert await store.claim(CLAIM) is BATCH
    assert database.claims == [(CLAIM, "account of pixel"), CLAIM]
    assert database.done == [("check", "pixel")]
    assert seen == []


async def test_typical_statement_that_changed_too_much_is_rolled_back(store, database):
    database.usual = Unusual()

    assert await store.claim(CLAIM) is BATCH
    assert database.claims == [(CLAIM, "account of pixel"), CLAIM]
    assert database.begins == [True, False]


async def test_gateway_claims_nothing_of_an_account_that_it_does_not_own(store, database):
    def refuse(*_):
        raise NotOwner

    store.ownership.check = refuse

    assert await store.claim(CLAIM) is None
    assert len(database.claims) == 1


async def test_damaged_deliveries_of_a_claim_are_reported_once(store, database, seen):
    """A repeated transaction reports them once, too."""
    database.damaged, database.tries = [4, 5], 2

    await store.claim(CLAIM)

    assert seen == [Moved(pixel="pixel", trigger=Trigger.GIVEN_UP, deliveries=2, reason=DAMAGED)]


async def test_delivery_whose_success_is_not_recorded_yet_is_not_claimed(store, database):
    database.usual = BATCH, True
    accepted = Transition(trigger=Trigger.DELIVERED, deliveries=(7,))
    task = asyncio.create_task(asyncio.sleep(0))
    store.settlements.late[task] = Settlement(
        lease=1, attempt=None, transitions=(accepted,), lease_until=NOW
    )

    await store.claim(
        Claim(
            pixel="pixel",
            now=NOW,
            lease_until=NOW,
            limit=9,
            ambiguous_after=0,
            passing=frozenset({3}),
        )
    )
    await task

    assert [claim.passing for claim, _ in database.claims] == [{3, 7}]


@pytest.mark.parametrize(("batch", "claimed"), [(BATCH, (BATCH,)), (None, ())])
async def test_one_batch_is_claimed_at_a_time(store, database, batch, claimed):
    database.usual = batch, True

    assert await store.claim_several(CLAIM, most=4) == claimed
    assert len(database.claims) == 1


async def test_settlement_with_an_impossible_transition_is_refused(store):
    impossible = Transition(trigger=Trigger.REPLAYED, deliveries=(1,))

    with pytest.raises(IllegalTransition):
        await store.settle(
            Settlement(lease=1, attempt=None, transitions=(impossible,), lease_until=NOW)
        )


async def test_settlement_returns_how_many_deliveries_were_late(store, monkeypatch):
    async def settle(settlement):
        return 3 if settlement is given else 0

    given = Settlement(lease=1, attempt=None, transitions=(), lease_until=NOW)
    monkeypatch.setattr(store.settlements, "settle", settle)

    assert await store.settle(given) == 3


async def test_opt_outs_apply_at_once_and_are_read_again(store, database):
    """Another gateway may have changed the list, too."""
    copy = database.names.opt_outs
    copy.version = 4
    await store.revoke([KEY], now=NOW)
    listed = [(store.lists([KEY]), copy.version)]
    copy.version = 5
    await store.restore([KEY])
    listed.append((store.lists([KEY]), copy.version))

    assert listed == [(True, OLD), (False, OLD)]
    assert database.done == [("revoke", [KEY], NOW), ("restore", [KEY])]


async def test_changes_of_users_and_keys_run_one_at_a_time(store, database, monkeypatch):
    changed = []
    monkeypatch.setattr(
        "twite.stores.sql.directory_changes.changed",
        lambda session, *_, **__: changed.append(list(session.done)) or "result",
    )

    assert await store.people.change(None, audit_event=None) == "result"
    assert changed == [["lock_directory"]]


async def test_users_and_keys_are_read_from_the_database(store):
    view, _ = await store.people.user("ada")

    assert view.keywords == {"name": "ada"}


@pytest.fixture
def suppressing(store):
    """Waits until the other gateways suppress an erased person."""
    waits = []

    async def until_others_suppress():
        waits.append(store.lists([KEY]))

    store.ownership.until_others_suppress = until_others_suppress
    return waits


@pytest.fixture
def erased(monkeypatch):
    found = SimpleNamespace(many=4)
    monkeypatch.setattr("twite.stores.sql.privacy.erase", lambda *_, **__: found.many)
    return found


@pytest.mark.usefixtures("erased")
async def test_erasure_with_keys_waits_for_the_other_gateways(store, database, suppressing):
    copy = database.names.opt_outs
    copy.version = 4

    assert await store.erase(EraseStore(keys=(KEY,)), now=NOW) == 4
    assert (suppressing, copy.version) == ([True], OLD)


@pytest.mark.usefixtures("erased")
async def test_erasure_without_keys_does_not_wait(store, database, suppressing):
    database.names.opt_outs.version = 4

    assert await store.erase(EraseStore(conversions=(1,)), now=NOW) == 4
    assert (suppressing, database.names.opt_outs.version) == ([], 4)


async def test_second_pass_of_an_erasure_only_writes_rows_again(
    store, erased, suppressing, monkeypatch
):
    monkeypatch.setattr(module, "overwrite", lambda _, erasing: len(erasing.conversions))
    erasing = EraseStore(conversions=(1, 2), keys=(KEY,), overwrites=True)

    assert await store.erase(erasing, now=NOW) == 2
    assert suppressing == []


@pytest.mark.usefixtures("erased")
@pytest.mark.parametrize("worked", [True, False])
async def test_erasure_is_complete_only_if_its_vacuum_succeeded(store, database, worked):
    erasing = asyncio.create_task(store.erase(ENDS, now=NOW))

    (await database.vacuums.get()).set_result(worked)

    assert await erasing == worked


@pytest.mark.usefixtures("erased")
async def test_erasure_is_incomplete_while_its_vacuum_runs(store, database, monkeypatch):
    monkeypatch.setattr(module, "_VACUUM_WITHIN", 0.01)

    ended = [await store.erase(ENDS, now=NOW) for _ in range(2)]

    # The second call waits for the same VACUUM.
    database.vacuums.get_nowait().set_result(True)
    assert database.vacuums.empty()
    assert ended == [0, 0]
    await settled()


@pytest.mark.usefixtures("erased")
async def test_each_erasure_vacuums_again(store, database):
    for _ in range(2):
        erasing = asyncio.create_task(store.erase(ENDS, now=NOW))
        (await database.vacuums.get()).set_result(True)
        assert await erasing == 1


async def test_store_closes_once_and_its_database_last(store, database):
    store.settlements.close = lambda: asyncio.sleep(0, database.done.append("settlements"))

    await store.close()
    await store.close()

    assert database.done == ["upkeep", "settlements", "recorder", "database"]


@pytest.mark.usefixtures("erased")
async def test_store_without_upkeep_closes_and_ends_its_vacuum(database, seen, monkeypatch):
    monkeypatch.setattr(module, "_VACUUM_WITHIN", 0.01)
    store = PostgresStore(database, Recorder(database), None, salt=b"", observer=seen)
    await store.erase(ENDS, now=NOW)

    await store.close()
    await settled()

    assert database.vacuums.get_nowait().cancelled()
