"""`POST /webhooks/{name}` with a mapping: authentication, tests, and secrets in the path."""

import base64
import hmac
import json

import pytest

from builders import NOW, a_destination, a_source
from fakes import MovingClock, SeededRandomness
from formats.webhook_builders import a_webhook
from memory_store.store import MemoryStore
from twite.formats.generic.presets import HUBSPOT
from twite.formats.webhook_kinds import KINDS
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.webhook_log import WebhookLog
from twite.gateway.ports.events import WebhookAnswered
from twite.gateway.ports.queries import ByConversionId, IgnoredQuery
from twite.http import HttpLimits

SECRET = "a-long-secret-in-the-path"
MAP = {
    "conversion_id": "order.id",
    "value": "order.total",
    "currency": "order.currency",
    "email": "order.mail",
}
ORDER = {
    "type": "order.paid",
    "order": {
        "id": 820982911946154508,
        "total": 403.10,
        "currency": "USD",
        "mail": "shopper@example.com",
    },
}
BODY = json.dumps(ORDER).encode()
ID = "820982911946154508"


def by_path(**options):
    return a_webhook(
        KINDS["generic"], SECRET, name="crm", authentication="path", map=MAP, **options
    )


def by_login():
    return a_webhook(
        KINDS["generic"], SECRET, name="crm", authentication="basic", user="u", map=MAP
    )


@pytest.fixture
def store():
    return MemoryStore()


class LateNotices:
    def see(self, notice):
        self.stage.notices.see(notice)


@pytest.fixture
async def at(staged, store):
    async def start(webhook, **said):
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
        said = {"webhooks": (webhook,), "sources": [a_source()], "webhook_log": log} | said
        noticed.stage = await staged(accept=accept, records=store, moves=store, **said)
        return noticed.stage

    noticed, logs = LateNotices(), []
    yield start
    for log in logs:
        await log.stop()


def send(stage, body=BODY, *, rest=f"/{SECRET}", headers=None):
    return stage.ask("POST", f"/webhooks/crm{rest}", body, key=None, headers=headers or {})


async def sent_of(store):
    found = await store.find(ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id=ID))
    return [json.loads(history.sent) for history in found]


def verdicts(stage):
    seen = [each.delivery for each in stage.notices.seen if isinstance(each, WebhookAnswered)]
    return [(each.message, each.verdict, each.reason) for each in seen]


async def test_message_at_the_secret_path_is_stored_with_exact_id_and_money(at, store):
    stage = await at(by_path())

    answer = await send(stage)

    assert (answer.status, answer.json()["accepted"]) == (200, 1)
    (sent,) = await sent_of(store)
    assert (sent["conversion_id"], sent["value"], sent["price_currency"]) == (ID, "403.10", "USD")
    assert verdicts(stage) == [("order.paid", "accepted", "")]


@pytest.mark.parametrize("rest", ["", "/", f"/{SECRET}x", f"/{SECRET}/", f"/x/{SECRET}"])
async def test_other_paths_are_401_and_no_notice_names_them(at, store, rest):
    stage = await at(by_path())

    answer = await send(stage, rest=rest)

    assert (answer.status, answer.json()["errors"][0]["code"]) == (401, "signature_wrong")
    assert await store.balance() == []
    assert SECRET not in repr(stage.notices.seen) + str(answer.body)


@pytest.mark.parametrize(
    ("body", "said", "status"),
    [
        (BODY, {}, 200),
        (b"no JSON", {}, 200),
        (BODY + b" " * 2_000, {"limits": HttpLimits(body=1_000)}, 413),
    ],
)
async def test_secret_in_the_path_is_in_no_notice_record_or_answer(at, store, body, said, status):
    stage = await at(by_path(when="!paid"), **said)

    answer = await send(stage, body)

    assert answer.status == status
    assert SECRET not in repr(stage.notices.seen) + str(answer.body) + repr(store.__dict__)


async def test_old_message_that_its_sender_repeats_is_ignored(at, store):
    timed = a_webhook(
        KINDS["generic"], SECRET, name="crm", authentication="path", map=MAP | {"time": "paid_at"}
    )
    old = json.dumps(ORDER | {"paid_at": "2020-01-01T00:00:00Z"}).encode()

    stage = await at(timed)
    answer = await send(stage, old)

    assert answer.status == 200
    assert await sent_of(store) == []
    assert verdicts(stage) == [("order.paid", "ignored", "too_old")]


async def test_percent_encoded_secret_is_read(at):
    answer = await send(await at(by_path()), rest="/a%2Dlong-secret-in-the-path")

    assert answer.status == 200


async def test_login_is_read_from_the_header(at):
    stage = await at(by_login())
    login = base64.b64encode(f"u:{SECRET}".encode()).decode()

    answers = [
        await send(stage, rest="", headers={"Authorization": f"Basic {login}"}),
        await send(stage, rest="", headers={"Authorization": f"Bearer {SECRET}"}),
    ]

    assert [answer.status for answer in answers] == [200, 401]


async def test_test_is_counted_and_not_stored_as_a_conversion(at, store):
    stage = await at(by_path())

    answer = await send(stage, headers={"X-Twite-Test": "1"})

    (shown,) = answer.json()["conversions"]
    assert (answer.status, shown["verdict"]) == (200, "accepted")
    assert shown["conversion"]["conversion_id"] == ID
    assert shown["conversion"]["value"] == "403.1"
    assert "shopper" not in json.dumps(answer.json())
    assert await sent_of(store) == []
    tallies = await store.answer(IgnoredQuery(since=0))
    assert [(each.name, each.reason) for each in tallies] == [("order.paid", "test")]
    assert verdicts(stage) == [("order.paid", "ignored", "test")]


async def test_test_of_a_bad_conversion_shows_the_errors(at):
    body = json.dumps(ORDER | {"order": {"id": 1, "total": [1], "mail": "shopper@example.com"}})

    answer = await send(await at(by_path()), body.encode(), headers={"X-Twite-Test": "1"})

    (shown,) = answer.json()["conversions"]
    assert (shown["verdict"], shown["errors"][0]["path"]) == ("rejected", "value")


async def test_test_needs_the_secret_too(at, store):
    answer = await send(await at(by_path()), rest="", headers={"X-Twite-Test": "1"})

    assert answer.status == 401
    assert await store.answer(IgnoredQuery(since=0)) == []


async def test_test_of_a_redaction_erases_nobody(at):
    erased = []

    async def erase(webhook, asked):
        erased.append((webhook, asked))

    shopify = a_webhook(KINDS["shopify"], "hush", name="crm")
    body = b'{"customer": {"email": "john@example.com"}}'
    signature = base64.b64encode(hmac.digest(b"hush", body, "sha256")).decode()
    headers = {
        "X-Shopify-Topic": "customers/redact",
        "X-Shopify-Hmac-SHA256": signature,
        "X-Twite-Test": "1",
    }

    answer = await send(await at(shopify, erase_person=erase), body, rest="", headers=headers)

    assert (answer.status, erased) == (200, [])
    assert answer.json()["erased_identifiers"] == 1


async def test_signature_of_the_public_url_is_verified(at):
    hubspot = a_webhook(KINDS["hubspot"], "client-secret", name="crm", **HUBSPOT | {"map": MAP})
    url = "https://t.shop.example/webhooks/crm?x=1"
    signed = f"POST{url}".encode() + BODY + str(NOW).encode()
    digest = hmac.digest(b"client-secret", signed, "sha256")
    headers = {
        "X-HubSpot-Signature-v3": base64.b64encode(digest).decode(),
        "X-HubSpot-Request-Timestamp": str(NOW),
    }
    stage = await at(hubspot, public_url="https://t.shop.example")

    answers = [
        await send(stage, rest="?x=1", headers=headers),
        await send(stage, rest="?x=2", headers=headers),
    ]

    assert [answer.status for answer in answers] == [200, 401]
