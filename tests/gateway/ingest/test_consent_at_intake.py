"""Consent in the gateway: at intake, at the claim, and after a policy change."""

import asyncio
import json

import msgspec
import pytest
from consent_shop import CLICK, EMAIL, Shop

from builders import NOW
from memory_store.store import MemoryStore
from twite.consent.verdict import OF_STORAGE
from twite.domain.consent import ConsentAction, person_keys
from twite.domain.conversion import Identifiers
from twite.domain.delivery import State
from twite.domain.errors import MalformedRequest
from twite.gateway.ingest.consent_choice import ConsentChoiceResult, UnusableChoice
from twite.gateway.ports.outbox import Replay
from twite.gateway.ports.queries import ByReceipt
from twite.stores.sqlite import SQLiteStore


class Keeping(MemoryStore):
    """Keeps the recorded entries."""

    def __init__(self):
        super().__init__()
        self.submissions = []

    async def record(self, submission):
        self.submissions.append(submission)
        return await super().record(submission)


async def test_restricted_conversion_is_sent_with_restricted_data_use():
    shop = Shop()

    receipt = await shop.sell(consent={"npa": "1"})

    history = await shop.history()
    assert (receipt.accepted, receipt.suppressed) == (1, 0)
    assert json.loads(history.sent)["restricted_data_use"] == "restrict_optimization"
    assert json.loads(history.consent)["rule"] == "personalization"


async def test_stripped_conversion_has_no_click_id():
    shop = Shop(storage_denied=ConsentAction.STRIP)

    await shop.sell(twclid=CLICK, consent={"ad_storage": "denied"})

    history = await shop.history()
    assert history.state is State.QUEUED
    assert [list(load) for load in json.loads(history.sent)["identifiers"]] == [["hashed_email"]]
    assert tuple(json.loads(history.consent)["strip"]) == OF_STORAGE


async def test_conversion_without_remaining_identifiers_is_suppressed():
    shop = Shop(storage_denied=ConsentAction.STRIP)

    receipt = await shop.sell(email=None, twclid=CLICK, consent={"ad_storage": "denied"})

    history = await shop.history()
    assert (receipt.suppressed, history.state) == (1, State.SUPPRESSED)
    assert json.loads(history.sent)["identifiers"] == []


async def test_held_conversion_is_not_sent_until_it_is_released():
    shop = Shop(unclear=ConsentAction.HOLD)

    receipt = await shop.sell(consent={"gcd": "what"})

    history = await shop.history()
    assert (receipt.accepted, receipt.held, receipt.held_indexes) == (0, 1, (0,))
    assert (history.state, history.reason) == (State.HELD, "consent_unclear: gcd")
    assert await shop.claim() is None
    await shop.store.move(Replay(deliveries=[history.delivery]), now=NOW)
    assert (await shop.claim()).deliveries[0].body == history.sent


async def test_derived_id_does_not_depend_on_consent():
    shop = Shop(storage_denied=ConsentAction.STRIP)
    order = {"conversion_id": None, "time": "2026-11-24T10:00:00Z", "twclid": CLICK}
    sold = await shop.sell(**order)

    again = await shop.sell(**order, consent={"ad_storage": "denied", "npa": "1"})

    # The copy that allows less replaces the first.
    assert again.accepted == 1
    [first] = await shop.store.find(ByReceipt(receipt=sold.receipt))
    [second] = await shop.store.find(ByReceipt(receipt=again.receipt))
    assert first.conversion_id == second.conversion_id
    assert [first.state, second.state] == [State.SUPPRESSED, State.QUEUED]


async def test_no_consent_evidence_is_stored_without_signals():
    shop = Shop()

    await shop.sell()

    assert (await shop.history()).consent is None


async def test_consent_evidence_does_not_contain_the_consent_string():
    shop = Shop(Keeping())

    await shop.sell(consent={"tcf": "CQnotastring", "canary@example.com": "canary"})

    (submission,) = shop.store.submissions
    everything = submission.body + submission.entries[0].consent + submission.entries[0].body
    assert b"sha256:" in everything
    assert not [word for word in (b"CQnotastring", b"canary") if word in everything]


async def test_conversion_of_an_opted_out_person_is_suppressed_at_intake():
    shop = Shop()

    chosen = await shop.choice("denied", email=" Shopper@Example.com ", phone="020 7946 0958")
    receipt = await shop.sell()

    history = await shop.history()
    assert chosen == ConsentChoiceResult(revoked=True, identifiers=2)
    assert (receipt.suppressed, history.state, history.reason) == (
        1, State.SUPPRESSED, "consent_revoked",
    )  # fmt: skip
    assert json.loads(history.sent)["identifiers"] == []


async def test_conversion_in_xs_format_of_an_opted_out_person_is_suppressed():
    shop = Shop(Keeping())
    await shop.choice("denied", twclid=CLICK)

    receipt = await shop.sell_as_x()

    history = await shop.history()
    assert CLICK.encode() not in shop.store.submissions[0].body
    assert (receipt.processed, history.state, history.reason) == (
        1, State.SUPPRESSED, "consent_revoked",
    )  # fmt: skip
    assert CLICK.encode() not in history.sent


async def test_consent_signal_does_not_end_an_opt_out():
    shop = Shop()
    await shop.choice("denied", email=EMAIL)

    receipt = await shop.sell(consent={"ad_storage": "granted", "ad_user_data": "granted"})

    assert receipt.suppressed == 1


async def test_consent_choice_ends_an_opt_out():
    shop = Shop()
    await shop.choice("denied", email=EMAIL)

    chosen = await shop.choice("granted", email=EMAIL)

    assert chosen == ConsentChoiceResult(revoked=False, identifiers=1)
    assert (await shop.sell()).accepted == 1


async def test_opt_out_applies_to_one_pixel():
    shop = Shop()
    await shop.choice("denied", email=EMAIL)

    other = msgspec.structs.replace(shop.source, pixel="p2", pixels=frozenset({"p2"}))
    order = {"event": "purchase", "conversion_id": "order-1", "email": EMAIL}
    receipt = await shop.accept.native(source=other, body=json.dumps(order).encode())

    assert receipt.accepted == 1


@pytest.mark.parametrize(
    ("choice", "codes"),
    [
        ({"consent": {"ad_storage": "denied"}}, ["identifier_missing"]),
        ({"consent": {"ad_storage": "denied"}, "email": "nobody"}, ["email_unusable"]),
        ({"consent": {"ad_storage": "perhaps"}, "email": EMAIL}, []),
        ({"consent": {"ad_personalization": "denied"}, "email": EMAIL}, []),
        ({"consent": {}, "email": EMAIL}, []),
        ({"consent": {"ad_storage": "granted", "gpcc": "1"}, "email": EMAIL}, []),
    ],
)
async def test_consent_choice_without_an_identifier_is_refused(choice, codes):
    shop = Shop()

    with pytest.raises(UnusableChoice) as refused:
        await shop.choose.note(source=shop.source, body=json.dumps(choice).encode())

    assert [fault.code for fault in refused.value.faults] == codes
    assert not shop.store.has_opt_outs()


async def test_malformed_consent_choice_is_refused():
    shop = Shop()

    with pytest.raises(MalformedRequest):
        await shop.choose.note(source=shop.source, body=b'{"emial": "a@example.com"}')


def test_key_of_an_opted_out_person_depends_on_salt_and_pixel():
    person = Identifiers(email="e" * 64, phone="p" * 64, click_id=CLICK, ip="203.0.113.7")

    keys = person_keys(person, pixel="o8z6j", salt=b"salt")

    assert [len(key) for key in keys] == [16, 16, 16]
    assert len({*keys, *person_keys(person, pixel="o8z6j", salt=b"other")}) == 6
    assert len({*keys, *person_keys(person, pixel="p2", salt=b"salt")}) == 6


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_no_conversion_of_a_thousand_opted_out_persons_is_sent(kind, tmp_path):
    store = MemoryStore() if kind == "memory" else await SQLiteStore.open(str(tmp_path / "t.db"))
    shop = Shop(store)
    for number in range(0, 1_000, 100):
        orders = [
            {
                "event": "purchase",
                "conversion_id": f"order-{number}",
                "email": f"p{number}@example.com",
            }
            for number in range(number, number + 100)
        ]
        body = json.dumps({"conversions": orders}).encode()
        await shop.accept.native(source=shop.source, body=body)
    await shop.sell("the one that stays")

    for number in range(1_000):
        await shop.choice("denied", email=f"p{number}@example.com")
    sent = []
    while (batch := await shop.claim()) is not None:
        sent += [delivery.conversion_id for delivery in batch.deliveries]

    (account,) = await store.balance()
    await store.close()
    assert sent == ["the one that stays"]
    assert (account.suppressed, account.pending, account.balance) == (1_000, 1, 0)


async def test_claim_after_an_acknowledged_opt_out_excludes_the_person(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "t.db"))
    shop = Shop(store)
    revoked = set()
    wrong = []

    async def come_and_go(number):
        await shop.sell(f"order-{number}", email=f"p{number}@example.com")
        await asyncio.sleep(number % 7 / 1_000)
        await shop.choice("denied", email=f"p{number}@example.com")
        revoked.add(f"order-{number}")

    async def send(until):
        while not until.done():
            before = set(revoked)
            batch = await shop.claim()
            sent = {delivery.conversion_id for delivery in batch.deliveries} if batch else set()
            wrong.extend(sent & before)

    visits = asyncio.gather(*(come_and_go(number) for number in range(300)))
    await asyncio.gather(visits, *(send(visits) for _ in range(3)))

    (account,) = await store.balance()
    await store.close()
    assert (wrong, account.received, account.balance) == ([], 300, 0)


async def test_opt_out_list_is_kept_over_a_restart(tmp_path):
    path = str(tmp_path / "t.db")
    store = await SQLiteStore.open(path)
    shop = Shop(store)
    await shop.sell()
    await shop.choice("denied", email=EMAIL)
    await store.close()

    again = Shop(await SQLiteStore.open(path), seed=1)

    assert await again.claim() is None
    assert (await again.sell("order-2")).suppressed == 1
    await again.store.close()
