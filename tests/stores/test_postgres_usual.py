"""Which claims and settlements the statements for typical ones handle, and which they leave."""

from types import SimpleNamespace

import msgspec
import pytest

from builders import NOW
from twite.domain.delivery import (
    ANSWER_LIMIT,
    QUARANTINED,
    SUSPECT,
    Attempt,
    Batch,
    Delivery,
    Settlement,
    Transition,
    Trigger,
)
from twite.domain.outcome import AttemptOutcome
from twite.gateway.ports.outbox import Claim
from twite.stores.postgres import usual as module
from twite.stores.postgres.claim_starts import ClaimStarts
from twite.stores.postgres.usual import Unusual

CLAIM = Claim(
    pixel="pixel", now=NOW, lease_until=NOW + 9, limit=2, ambiguous_after=NOW - 9, most_bytes=100
)
EVENT, NAME, LEASE, VERSION, SEED = 5, "event", 8, 4, 77
NOTHING = (True, False, None, None, None, None, None, *[None] * 6)


class Session:
    """A session: `found` has the row of each claim, `settled` that of a settlement."""

    def __init__(self):
        self.largest_body = 50
        self.claim_starts = ClaimStarts()
        self.found = [row()]
        self.settled = [[], [], []]
        self.seeds = {EVENT: SEED}
        self.revoked = []
        self.opt_outs = SimpleNamespace(among=self.among)
        self.ran = []
        self.events = {("pixel", "event"): EVENT}

    def run(self, name, **values):
        self.ran.append((name, values))

    def promote(self, *, now, limit):
        self.run("promote", now=now, limit=limit)
        return [(1, 1)]

    def run_first(self, name, **values):
        self.ran.append((name, values))
        return list(self.found.pop(0)) if name == "claim_usual" else self.settled

    def among(self, deliveries, *, pixel, version):
        assert (pixel, version) == ("pixel", VERSION)
        return [delivery.id for delivery in deliveries if delivery.id in self.revoked]

    def known_event(self, pixel, event):
        return self.events.get((pixel, event))

    def next_attempt(self):
        self.ran.append(("next_attempt", {}))

    def names(self):
        return [name for name, _ in self.ran]


def row(*ids, may_claim=True, is_due=False, crashes=0, size=50, missing=False):
    """Return the row of a claim with these deliveries."""
    columns = (
        list(ids),
        [None if missing else f"order-{id_}" for id_ in ids],
        [size] * len(ids),
        [NOW] * len(ids),
        [0] * len(ids),
        msgspec.json.encode([(id_, 1, None, crashes) for id_ in ids]) if crashes else None,
    )
    return (may_claim, is_due, EVENT, NAME, LEASE, VERSION, b"x" * size * len(ids), *columns)


def a_delivery(id_):
    return Delivery(id=id_, conversion_id=f"order-{id_}", body=b"{}", received_at=NOW)


@pytest.fixture
def damaged(monkeypatch):
    """Ids of deliveries whose checksum is wrong."""
    ids = set()

    def verified(seed, rows, bodies):
        assert seed == SEED
        found = rows.ids
        assert bodies is not None
        return None if ids & {*found} else tuple(a_delivery(id_) for id_ in found)

    monkeypatch.setattr(module, "verified", verified)
    return ids


@pytest.fixture
def session(damaged):
    return Session()


def claim(session, **values):
    return module.claim(session, msgspec.structs.replace(CLAIM, **values), account="account")


def a_batch(*ids):
    return Batch(
        lease=LEASE, pixel="pixel", event=NAME, deliveries=tuple(a_delivery(id_) for id_ in ids)
    )


def test_typical_claim_leases_what_the_statement_has_found(session):
    session.found = [row(1, 2)]

    passing = {"passing": frozenset({9, 4}), "passing_events": frozenset("ba")}
    assert claim(session, limits={"e": 1}, **passing) == (a_batch(1, 2), True)
    assert session.ran == [
        (
            "claim_usual",
            {
                "account": "account",
                "pixel": "pixel",
                "now": NOW,
                "until": NOW + 9,
                "ambiguous_after": NOW - 9,
                "crashes": QUARANTINED,
                "passing": [4, 9],
                "passing_events": ["a", "b"],
                "limit": 2,
                "starts": "{}",
                "limits": '{"e":1}',
            },
        )
    ]


@pytest.mark.parametrize(("suspects", "crashes"), [(True, QUARANTINED), (False, SUSPECT)])
def test_suspects_are_left_to_the_general_code(session, suspects, crashes):
    session.found = [row(1, 2)]

    claim(session, suspects=suspects)

    assert session.ran[0][1]["crashes"] == crashes


@pytest.mark.parametrize(("largest", "is_tried"), [(50, True), (51, False)])
def test_large_bodies_are_left_to_the_general_code(session, largest, is_tried):
    session.largest_body = largest
    session.found = [row(1, 2)]

    batch, is_answer = claim(session)

    assert (batch is not None, is_answer, bool(session.ran)) == (is_tried,) * 3


def test_next_claim_expects_bodies_of_the_same_size(session):
    session.found = [row(1, size=20)]

    claim(session)

    assert session.largest_body == 20


def test_due_deliveries_are_made_ready_and_searched_from_the_beginning(session):
    session.claim_starts.claimed("pixel", EVENT, (NOW, 7), took=0.0)
    session.found = [row(1, is_due=True), row(1, 2)]

    assert claim(session) == (a_batch(1, 2), True)
    assert session.names() == ["claim_usual", "promote", "claim_usual"]
    assert session.ran[1][1] == {"now": NOW, "limit": 10_000}
    starts = [values.get("starts") for _, values in session.ran]
    assert starts == ['{"5":[1795600000000,7]}', None, "{}"]


@pytest.mark.parametrize("is_due", [False, True])
def test_gateway_that_may_not_claim_changes_nothing(session, is_due):
    session.found = [(False, is_due, *NOTHING[2:])]

    assert claim(session) == (None, False)
    assert session.names() == ["claim_usual"]


@pytest.mark.parametrize(
    ("found", "has_start", "is_answer"),
    [
        ([NOTHING], False, True),
        ([NOTHING], True, False),
        ([row(is_due=True), (True, True, *NOTHING[2:])], False, False),
        ([row(is_due=True), NOTHING], True, True),
    ],
    ids=["nothing is ready", "before the start", "still due", "nothing is ready after all"],
)
def test_pixel_is_idle_only_after_a_search_from_the_beginning(session, found, has_start, is_answer):
    if has_start:
        session.claim_starts.claimed("pixel", EVENT, (NOW, 7), took=0.0)
    session.found = found

    assert claim(session) == (None, is_answer)


def test_deliveries_locked_by_another_transaction_are_left_to_the_general_code(session):
    session.found = [(True, False, EVENT, NAME, LEASE, VERSION, b"", *[None] * 8)]

    assert claim(session) == (None, False)


@pytest.mark.parametrize(
    "found",
    [row(1, 2, missing=True), row(1, 2, size=51), row(1, 2, crashes=SUSPECT), row(1, crashes=9)],
    ids=["missing conversion", "large bodies", "suspect", "more than suspect"],
)
def test_claim_that_cannot_be_sent_together_is_rolled_back(session, found):
    session.found = [found]

    with pytest.raises(Unusual):
        claim(session)


def test_claim_with_a_damaged_delivery_is_rolled_back(session, damaged):
    damaged.add(2)
    session.found = [row(1, 2)]

    with pytest.raises(Unusual):
        claim(session)


def test_claim_of_a_person_who_opted_out_is_rolled_back(session):
    session.found, session.revoked = [row(1, 2)], [2]

    with pytest.raises(Unusual):
        claim(session)


@pytest.mark.parametrize(
    ("ids", "given", "starts"),
    [
        ((1, 2), {}, {EVENT: (NOW, 2)}),
        ((1,), {}, {}),
        ((1,), {"limits": {NAME: 1}}, {EVENT: (NOW, 1)}),
        ((1,), {"limits": {NAME: 3}}, {}),
        ((1, 2), {"limits": {NAME: 3}}, {EVENT: (NOW, 2)}),
        ((1, 2), {"suspects": False}, {EVENT: (NOW, 9)}),
        ((1, 2), {"passing": frozenset({7})}, {EVENT: (NOW, 9)}),
    ],
)
def test_next_claim_continues_after_a_full_claim_of_all_kinds(session, ids, given, starts):
    session.claim_starts.claimed("pixel", EVENT, (NOW, 9), took=0.0)
    session.found = [row(*ids)]

    claim(session, **given)

    assert session.claim_starts.of("pixel") == starts


def test_start_of_claims_is_used_longer_after_a_slow_search(session, monkeypatch):
    times = iter([5.0, 5.5])
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    took = []
    session.claim_starts.claimed = lambda *_, **given: took.append(given["took"])
    session.found = [row(1, 2)]

    claim(session)

    assert took == [0.5]


@pytest.fixture
def counted(monkeypatch):
    counts = []
    monkeypatch.setattr(
        module, "count_delivered", lambda _, times, *, at: counts.append((times, at))
    )
    return counts


def an_attempt(**values):
    values = {
        "at": NOW,
        "pixel": "pixel",
        "event": "event",
        "outcome": AttemptOutcome.DELIVERED,
        "deliveries": (3, 1, 2),
        "status": 200,
        "answer": "a" * (ANSWER_LIMIT + 1),
        "ambiguous": True,
    } | values
    return Attempt(**values)


def a_settlement(*, attempt=None, more=(), trigger=Trigger.DELIVERED, deliveries=(3, 1, 2)):
    return Settlement(
        lease=LEASE,
        attempt=attempt,
        transitions=(Transition(trigger=trigger, deliveries=deliveries), *more),
        lease_until=NOW + 9,
    )


def test_acceptance_of_a_whole_request_is_settled_with_one_statement(session, counted):
    session.settled = [[1, 1, 2], [NOW - 5, NOW - 4, NOW - 5], [1, 1, 1]]

    assert module.settle(session, a_settlement(attempt=an_attempt())) == 0
    assert session.ran == [
        (
            "settle_delivered",
            {
                "lease": LEASE,
                "until": NOW + 9,
                "deliveries": [1, 2, 3],
                "at": NOW,
                "event": EVENT,
                "outcome": AttemptOutcome.DELIVERED,
                "status": 200,
                "answer": "a" * ANSWER_LIMIT,
                "ambiguous": True,
                "size": 3,
            },
        ),
        ("next_attempt", {}),
    ]
    assert counted == [({1: {NOW - 5: 1, NOW - 4: 1}, 2: {NOW - 5: 1}}, NOW)]


@pytest.mark.parametrize("settled", [[[1], [NOW], [2]], [None, None, None]])
@pytest.mark.usefixtures("counted")
def test_settlement_after_the_end_of_its_lease_is_rolled_back(session, settled):
    session.settled = settled

    with pytest.raises(Unusual):
        module.settle(session, a_settlement(attempt=an_attempt()))


@pytest.mark.usefixtures("counted")
def test_settlement_without_deliveries_changes_no_count(session, counted):
    session.settled = [None, None, None]

    settlement = a_settlement(attempt=an_attempt(deliveries=()), deliveries=())
    assert module.settle(session, settlement) == 0
    assert counted == [({}, NOW)]


@pytest.mark.parametrize(
    "settlement",
    [
        a_settlement(),
        a_settlement(attempt=an_attempt(), trigger=Trigger.POSTPONED),
        a_settlement(
            attempt=an_attempt(), more=(Transition(trigger=Trigger.HELD, deliveries=(4,)),)
        ),
        a_settlement(attempt=an_attempt(deliveries=(1, 2))),
        a_settlement(attempt=an_attempt(event="new")),
    ],
    ids=["no attempt", "postponed", "several results", "a part", "unknown event"],
)
def test_other_settlements_are_left_to_the_general_code(session, settlement):
    assert module.settle(session, settlement) is None
    assert session.ran == []
