"""Requests accepted as a group have the same results as each request alone."""

import hashlib
import json
from dataclasses import dataclass

import msgspec
import pytest

from builders import NOW, a_destination, a_source
from fakes import MovingClock, SeededRandomness
from twite.domain.consent import ConsentPolicy
from twite.domain.errors import LedgerUnavailable, NameTaken
from twite.domain.stats.value_guard import UsualAmount, ValueGuard, learnt
from twite.domain.submission import Recorded
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.dedup_rows import DedupRowBuilder
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.ports.events import Accepted, ProblemSeen


@dataclass
class PendingOrder:
    source: object
    body: bytes
    idempotency_key: str | None = None


class OptOuts:
    """An opt-out list with one person on it."""

    def has_opt_outs(self):
        return True

    def lists(self, keys):
        return any(key[0] % 2 for key in keys)


class GroupStage:
    """An Accept with a store that records by callback and returns preset results."""

    def __init__(self, *, answers=(), wake=None, **more):
        destinations = {pixel: a_destination(pixel) for pixel in ("o8z6j", "p2")}
        self.woken, self.notices, self.submissions = [], [], []
        self.answers = dict(answers)
        self.accept = Accept(
            intake=self,
            clock=MovingClock(NOW),
            randomness=SeededRandomness(),
            destinations=destinations,
            salt=b"salt",
            wake=wake or self.woken.append,
            observer=self,
            dedup_rows=DedupRowBuilder(
                pixels=frozenset({"o8z6j"}), destinations=destinations, salt=b"salt"
            ),
            **more,
        )

    def see(self, notice):
        self.notices.append(notice)

    async def record(self, submission):
        self.submissions.append(submission)
        return Recorded()

    def record_soon(self, submissions, done):
        answers = [
            self.answers.get(place, Recorded())
            for place in range(len(self.submissions), len(self.submissions) + len(submissions))
        ]
        self.submissions += submissions
        done(answers)

    def together(self, *requests):
        answers = {}

        def done(answered):
            answers.update({id(request): answer for request, answer in answered})

        self.accept.native_soon(requests, done)
        return [answers[id(request)] for request in requests]


ORDER = {
    "event": "purchase",
    "conversion_id": "order-1",
    "value": "49.90",
    "currency": "EUR",
    "email": "a@shop.alt",
    "ip": "203.0.113.7",
    "user_agent": "Mozilla/5.0",
    "contents": [{"id": "SKU-1", "name": "Grüße", "price": "24.95", "quantity": 2}],
}
DIGEST = hashlib.sha256(b"a@shop.alt").hexdigest()
TWICE = hashlib.sha256(DIGEST.encode()).hexdigest()
ORDERS = [
    ORDER,
    ORDER | {"conversion_id": "order-2", "pixel": "p2"},
    ORDER | {"conversion_id": "order-3", "value": "4990.00"},
    ORDER | {"email": None, "email_sha256": DIGEST},
    ORDER | {"email": None, "email_sha256": TWICE},
    ORDER | {"email": TWICE},
    ORDER | {"email": "a@example.com"},
    ORDER | {"email": "x", "phone": "+442079460958", "twpid": "tw.1.2"},
    ORDER | {"event": "x"},
    ORDER | {"consent": {"ad_storage": "denied"}},
    ORDER | {"time": "2026-11-24T10:00:00Z", "search": "mug", "description": "two mugs"},
    {"conversions": [ORDER, ORDER | {"conversion_id": "order-5"}]},
    {"event": "purchase", "conversion_id": 7, "twclid": "abc"},
    {"event": "purchase", "conversion_id": "8", "url": "https://shop.example/?twclid=abc"},
]


def guards():
    usual_amount = UsualAmount(pixel="o8z6j", event="o8z6k", currency="EUR")
    for number in range(200):
        usual_amount = learnt(usual_amount, f"{40 + number % 20}.00")
    return ValueGuards(pixels={"o8z6j": ValueGuard.HOLD}, usual_amounts=[usual_amount])


SETTINGS = {
    "plain": {},
    "value guards": {"guards": guards},
    "opt-outs": {"privacy": OptOuts},
}


def bodies():
    return [json.dumps(order, ensure_ascii=False).encode() for order in ORDERS]


@pytest.mark.parametrize("name", [None, "n1"])
@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
async def test_group_of_requests_is_recorded_like_single_requests(settings, required, name):
    source = msgspec.structs.replace(
        a_source(), pixels=frozenset({"o8z6j", "p2"}), consent=ConsentPolicy(required=required)
    )
    alone, group = (
        GroupStage(**{key: value() for key, value in settings.items()}) for _ in range(2)
    )

    receipts = [
        await alone.accept.native(source=source, body=body, idempotency_key=name)
        for body in bodies()
    ]
    pending = [PendingOrder(source, body, name) for body in bodies()]
    # Value guards learn only from earlier commits.
    sizes = 1 if "guards" in settings else len(pending)
    answers = [
        answer
        for at in range(0, len(pending), sizes)
        for answer in group.together(*pending[at : at + sizes])
    ]

    assert group.submissions == alone.submissions
    for receipt, answer in zip(receipts, answers, strict=True):
        if isinstance(answer, str):
            answer = msgspec.structs.replace(  # noqa: PLW2901
                receipt, receipt=answer, accepted=1, duplicates=0, suppressed=0, held=0
            )
        assert answer == receipt
    if not required and settings == {}:
        assert [isinstance(answer, str) for answer in answers].count(True) >= 7
    assert sums(group) == sums(alone)
    assert set(group.woken) == set(alone.woken)


def sums(stage):
    """Return the sums of the notices, and the notices without a count."""
    accepted = [notice for notice in stage.notices if isinstance(notice, Accepted)]
    counts = [
        sum(getattr(notice, name) for notice in accepted)
        for name in ("accepted", "duplicates", "suppressed", "rejected")
    ]
    return counts, [notice for notice in stage.notices if not isinstance(notice, Accepted)]


def orders(*names):
    return [
        PendingOrder(a_source(), json.dumps(ORDER | {"conversion_id": name}).encode())
        for name in names
    ]


def test_typical_requests_share_one_notice():
    stage = GroupStage(answers={1: Recorded(duplicates=(0,))})

    answers = stage.together(*orders("order-1", "order-1", "order-2", "order-3"))

    assert [type(answer).__name__ for answer in answers] == ["str", "AcceptReceipt", "str", "str"]
    assert sorted((each.accepted, each.duplicates) for each in stage.notices) == [(0, 1), (3, 0)]
    assert stage.woken.count("o8z6j") == 2


def test_error_of_a_request_in_a_group_reaches_only_that_request():
    full = LedgerUnavailable(reason="the disk is full", retry_after=5)
    stage = GroupStage(answers={0: full, 2: Recorded(conflict=True)})

    bad = PendingOrder(a_source(), b"{")
    answers = stage.together(*orders("order-1", "order-2", "order-3"), bad)

    assert answers[0] is full
    assert isinstance(answers[1], str)
    assert isinstance(answers[2], NameTaken)
    assert answers[3].code == "not_json"
    assert [type(notice) for notice in stage.notices] == [ProblemSeen, Accepted]


def test_internal_error_in_a_notice_is_the_response_to_its_requests():
    def wake(_pixel):
        raise ZeroDivisionError

    answers = GroupStage(wake=wake).together(*orders("order-1", "order-2"))

    assert [type(answer) for answer in answers] == [ZeroDivisionError] * 2
