"""`POST /webhooks/{name}`: signatures, answers, and what is stored."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from builders import NOW, a_destination, a_source
from fakes import MovingClock, SeededRandomness
from memory_store.store import MemoryStore
from shopify_orders import order_with, shopify, signed
from twite.domain.errors import LedgerUnavailable
from twite.domain.times import DAY
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.webhook_log import WebhookLog
from twite.gateway.ports.events import TurnedAway, WebhookAnswered
from twite.gateway.ports.queries import ByConversionId, IgnoredQuery
from twite.http import HttpLimits

ORDER = order_with(processed_at=None, created_at=None, updated_at=None)
ID = "820982911946154508"


class FullStore(MemoryStore):
    async def record(self, submission):
        del submission
        raise LedgerUnavailable(reason="the disk is full", retry_after=1)


class StoreOfSubmissions(MemoryStore):
    def __init__(self):
        super().__init__()
        self.submissions = []

    async def record(self, submission):
        self.submissions.append(submission)
        return await super().record(submission)


@pytest.fixture
def store():
    return StoreOfSubmissions()


class LateNotices:
    """Passes notices to the stage, which exists later than the log."""

    def see(self, notice):
        self.stage.notices.see(notice)


@pytest.fixture
async def at(staged, store):
    async def start(store=store, **said):
        accept = Accept(
            intake=store,
            clock=MovingClock(NOW),
            randomness=SeededRandomness(),
            destinations={"o8z6j": a_destination()},
            salt=b"salt",
            wake=lambda _pixel: None,
        )
        log = WebhookLog(
            state=store, clock=MovingClock(NOW), randomness=SeededRandomness(), observer=noticed
        )
        logs.append(log)
        said = {"webhooks": (shopify(),), "sources": [a_source()], "webhook_log": log} | said
        stage = await staged(accept=accept, records=store, moves=store, **said)
        noticed.stage = stage
        return stage

    noticed, logs = LateNotices(), []
    yield start
    for log in logs:
        await log.stop()


def send(stage, body, *, path="/webhooks/shop", headers=None, **said):
    headers = signed(body, **said) if headers is None else headers
    return stage.ask("POST", path, body, key=None, headers=headers)


async def until_occupied(gate):
    while not gate.is_occupied:  # noqa: ASYNC110 - the server changes it
        await asyncio.sleep(0)


async def sent_of(store):
    found = await store.find(ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id=ID))
    return [json.loads(history.sent) for history in found]


def verdicts(stage):
    seen = [each.delivery for each in stage.notices.seen if isinstance(each, WebhookAnswered)]
    return [(each.webhook, each.message, each.verdict, each.reason) for each in seen]


async def test_signed_order_is_200_and_stored(at, store):
    stage = await at()

    answer = await send(stage, ORDER)

    assert (answer.status, answer.json()["accepted"]) == (200, 1)
    (sent,) = await sent_of(store)
    assert (sent["conversion_id"], sent["value"], sent["price_currency"]) == (ID, "403.00", "USD")
    assert verdicts(stage) == [("shop", "orders/paid", "accepted", "")]


async def test_headers_without_x_are_read(at):
    answer = await send(await at(), ORDER, prefix="")

    assert (answer.status, answer.json()["accepted"]) == (200, 1)


async def test_repeated_order_is_200_and_a_duplicate(at):
    stage = await at()

    answers = [await send(stage, ORDER) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert [answer.json()["duplicates"] for answer in answers] == [0, 1]
    assert [verdict for *_, verdict, _ in verdicts(stage)] == ["accepted", "duplicate"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Shopify-Topic": "orders/paid", "X-Shopify-Hmac-SHA256": "ö"},
        signed(ORDER, secret="push"),
        signed(ORDER + b" "),
    ],
)
async def test_wrong_signature_is_401_and_stores_nothing(at, store, headers):
    stage = await at()

    answer = await send(stage, ORDER, headers=headers)

    assert (answer.status, answer.json()["errors"][0]["code"]) == (401, "signature_wrong")
    assert await store.balance() == []
    assert verdicts(stage) == [("shop", "", "refused", "signature_wrong")]


async def test_unknown_name_is_404(at):
    answer = await send(await at(), ORDER, path="/webhooks/nothing")

    assert (answer.status, answer.json()["errors"][0]["code"]) == (404, "webhook_unknown")


@pytest.mark.parametrize(
    ("body", "topic", "reason"),
    [
        (order_with(test=True), "orders/paid", "test"),
        (order_with(source_name="subscription_contract"), "orders/paid", "renewal"),
        (order_with(), "refunds/create", "refund"),
        (order_with(), "orders/cancelled", "cancellation"),
        (order_with(), "products/update", "other_message"),
        (b"{}", "customers/data_request", "privacy_request"),
    ],
)
async def test_message_without_a_conversion_is_200_and_counted(at, store, body, topic, reason):
    stage = await at()

    answer = await send(stage, body, topic=topic)

    assert (answer.status, answer.json()["ignored"]) == (200, 1)
    tallies = await store.answer(IgnoredQuery(since=0))
    assert [(each.source, each.endpoint, each.name, each.reason) for each in tallies] == [
        ("shop", "webhook", topic, reason)
    ]
    assert await sent_of(store) == []
    assert verdicts(stage) == [("shop", topic, "ignored", reason)]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (order_with(currency="XXY"), "currency_unknown"),
        (order_with(total_price=None), "not_an_amount"),
        (order_with(id=None), "wrong_type"),
        (b"[]", "wrong_type"),
        (b"not JSON", "wrong_type"),
    ],
)
async def test_bad_conversion_in_a_genuine_message_is_200_and_rejected(at, store, body, code):
    stage = await at()

    answer = await send(stage, body)

    assert (answer.status, answer.json()["accepted"]) == (200, 0)
    (submission,) = store.submissions
    (refusal,) = submission.refusals
    assert (submission.source, submission.endpoint) == ("shop", "webhook")
    assert code in [fault.code for fault in refusal.faults]
    assert [verdict for *_, verdict, _ in verdicts(stage)] == ["rejected"]


async def test_order_that_cannot_be_committed_is_503(at):
    stage = await at(FullStore())

    answer = await send(stage, ORDER)

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert verdicts(stage) == [("shop", "", "failed", "ledger_unavailable")]


async def test_large_body_is_refused_for_the_source_of_the_webhook(at, store):
    stage = await at(limits=HttpLimits(body=1_000))

    answer = await send(stage, order_with(note="x" * 1_000))

    assert answer.status == 413
    assert await store.balance() == []
    assert TurnedAway(source="shop", endpoint="webhook", code="body_too_large") in (
        stage.notices.seen
    )


async def test_denied_consent_in_the_cart_is_obeyed(at, store):
    attributes = [{"name": "_twite_consent", "value": "denied"}]
    stage = await at()

    answer = await send(stage, order_with(note_attributes=attributes))

    assert (answer.status, answer.json()["suppressed"]) == (200, 1)
    assert verdicts(stage) == [("shop", "orders/paid", "suppressed", "")]


async def test_rest_of_the_path_is_not_part_of_the_name(at):
    answer = await send(await at(), ORDER, path="/webhooks/shop/a-secret")

    assert answer.status == 200


async def test_webhooks_with_slow_bodies_keep_no_other_request_out(at):
    stage = await at(limits=HttpLimits(page_requests=1, requests=1))
    head = b"POST /webhooks/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"

    async with stage.line() as waiting:
        waiting[1].write(head)
        await until_occupied(stage.collector.memory.signature_gate)
        genuine = await send(stage, ORDER)
        submitted = await stage.submit(
            b'{"event":"purchase","twclid":"23opevjt88psuo13lu8d020qkn"}'
        )
        refused = await waiting[0].readline()

    assert (genuine.status, submitted.status) == (200, 202)
    assert refused.startswith(b"HTTP/1.1 429")


REDACT = json.dumps(
    {"customer": {"email": "john@example.com"}, "orders_to_redact": [299938]}
).encode()


async def test_redaction_is_200_once_the_person_is_erased(at, store):
    erased = []

    async def erase(webhook, asked):
        erased.append((webhook, [each.kind for each in asked]))

    stage = await at(erase_person=erase)

    answer = await send(stage, REDACT, topic="customers/redact")

    assert (answer.status, erased) == (200, [("shop", ["email", "conversion_id"])])
    assert verdicts(stage) == [("shop", "customers/redact", "erased", "erasure")]


async def test_redaction_that_is_not_finished_is_503(at, store):
    async def erase(webhook, asked):
        del webhook, asked
        raise LedgerUnavailable(reason="the erasure is still running", retry_after=60)

    stage = await at(erase_person=erase)

    answer = await send(stage, REDACT, topic="customers/redact")

    assert (answer.status, answer.headers["retry-after"]) == (503, "60")
    assert store.submissions == []


async def test_redaction_with_a_wrong_signature_is_401_and_erases_nobody(at):
    answer = await send(await at(), REDACT, topic="customers/redact", secret="push")

    assert answer.status == 401


async def test_replay_after_the_deduplication_window_is_ignored(at, store):
    stage = await at()
    days = [iso(NOW - age * DAY) for age in (6, 8)]

    answers = [
        await send(stage, order_with(id=place, updated_at=made, processed_at=iso(NOW - 30 * DAY)))
        for place, made in enumerate(days, 1)
    ]

    assert [answer.json()["accepted"] for answer in answers] == [1, 0]
    assert verdicts(stage)[1:] == [("shop", "orders/paid", "ignored", "too_old")]


def iso(ms):
    return datetime.fromtimestamp(ms / 1_000, UTC).isoformat()
