"""Consent on its way through the gateway: at the door, at the claim, and after a policy changed."""

import asyncio
import json

import msgspec
import pytest

from twite.consent.verdict import OF_STORAGE, judging
from twite.domain.consent import ConsentAction, ConsentPolicy, person_keys
from twite.domain.conversion import Identifiers
from twite.domain.delivery import State
from twite.domain.errors import MalformedRequest
from twite.domain.times import MINUTE
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.consent_choice import (
    ConsentChoiceResult,
    PolicyChange,
    RecordConsentChoice,
    UnusableChoice,
)
from twite.gateway.ports.events import Troubled
from twite.gateway.ports.outbox import Claim, Replay
from twite.gateway.ports.queries import ByConversionId, ListQuery
from twite.gateway.ports.tags import policy_for
from twite.stores.memory.store import MemoryStore
from twite.stores.sqlite import SQLiteStore
from twite.testing.builders import NOW, a_destination, a_source, a_submission, an_entry
from twite.testing.fakes import MovingClock, SeededRandomness

EMAIL = "shopper@example.com"
CLICK = "23opevjt88psuo13lu8d020qkn"


class Keeping(MemoryStore):
    """Keeps what it was given to record."""

    def __init__(self):
        super().__init__()
        self.submissions = []

    async def record(self, submission):
        self.submissions.append(submission)
        return await super().record(submission)


class Shop:
    """A source and a store, and all that stands between them."""

    def __init__(self, store=None, *, seed=0, **policy):
        self.store = store or MemoryStore()
        self.clock = MovingClock(NOW)
        self.notices = []
        self.destinations = {pixel: a_destination(pixel) for pixel in ("o8z6j", "p2")}
        self.accept = Accept(
            ledger=self.store,
            clock=self.clock,
            randomness=SeededRandomness(seed),
            destinations=self.destinations,
            salt=self.store.salt,
            wake=lambda _pixel: None,
            opt_outs=self.store,
        )
        self.choose = RecordConsentChoice(
            opt_outs=self.store, clock=self.clock, salt=self.store.salt
        )
        self.policy(**policy)

    def policy(self, **policy):
        self.source = msgspec.structs.replace(a_source(), consent=ConsentPolicy(**policy))

    async def sell(self, conversion_id="order-1", **fields):
        order = {"event": "purchase", "conversion_id": conversion_id, "email": EMAIL} | fields
        return await self.accept.native(source=self.source, body=json.dumps(order).encode())

    async def sell_as_x(self, conversion_id="order-1", click=CLICK):
        order = {
            "conversion_time": "2026-11-24T10:00:00.000Z",
            "event_id": "o8z6k",
            "conversion_id": conversion_id,
            "identifiers": [{"twclid": click}],
        }
        body = json.dumps({"conversions": [order]}).encode()
        return await self.accept.from_x(destination=a_destination(), body=body)

    async def choice(self, word, **person):
        body = json.dumps(person | {"consent": {"ad_user_data": word}}).encode()
        return await self.choose.note(source=self.source, body=body)

    async def history(self, conversion_id="order-1"):
        (history,) = await self.store.find(
            ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id=conversion_id)
        )
        return history

    async def claim(self):
        return await self.store.claim(
            Claim(
                pixel="o8z6j", now=self.clock.now(), lease_until=self.clock.now() + MINUTE,
                limit=500, ambiguous_after=0,
            )
        )  # fmt: skip

    async def every_life(self):
        """Return the lives of an order at the pixel and at the tag."""
        of_tag = await self.store.find(
            ByConversionId(pixel="tag:crm", events=["purchase"], conversion_id="order-1")
        )
        return [await self.history(), *of_tag]

    async def start_again(self):
        """Do what a start does about policies."""
        return await PolicyChange(
            sources=[self.source], store=self.store, clock=self.clock, observer=self
        ).once()

    def see(self, notice):
        self.notices.append(notice)


async def test_a_restricted_conversion_tells_x_so():
    shop = Shop()

    receipt = await shop.sell(consent={"npa": "1"})

    history = await shop.history()
    assert (receipt.accepted, receipt.suppressed) == (1, 0)
    assert json.loads(history.sent)["restricted_data_use"] == "restrict_optimization"
    assert json.loads(history.consent)["rule"] == "personalization"


async def test_a_stripped_conversion_goes_without_its_click_id():
    shop = Shop(storage_denied=ConsentAction.STRIP)

    await shop.sell(twclid=CLICK, consent={"ad_storage": "denied"})

    history = await shop.history()
    assert history.state is State.QUEUED
    assert [list(load) for load in json.loads(history.sent)["identifiers"]] == [["hashed_email"]]
    assert tuple(json.loads(history.consent)["strip"]) == OF_STORAGE


async def test_a_conversion_with_nothing_left_is_suppressed():
    shop = Shop(storage_denied=ConsentAction.STRIP)

    receipt = await shop.sell(email=None, twclid=CLICK, consent={"ad_storage": "denied"})

    history = await shop.history()
    assert (receipt.suppressed, history.state) == (1, State.SUPPRESSED)
    assert json.loads(history.sent)["identifiers"] == []


async def test_a_held_conversion_waits_and_can_be_released():
    shop = Shop(unclear=ConsentAction.HOLD)

    receipt = await shop.sell(consent={"gcd": "what"})

    history = await shop.history()
    assert (receipt.accepted, receipt.held, receipt.held_indexes) == (0, 1, (0,))
    assert (history.state, history.reason) == (State.HELD, "consent_unclear: gcd")
    assert await shop.claim() is None
    await shop.store.move(Replay(deliveries=[history.delivery]), now=NOW)
    assert (await shop.claim()).deliveries[0].body == history.sent


async def test_the_same_conversion_keeps_its_derived_id_whatever_is_said_of_consent():
    shop = Shop(storage_denied=ConsentAction.STRIP)
    order = {"conversion_id": None, "time": "2026-11-24T10:00:00Z", "twclid": CLICK}
    await shop.sell(**order)

    again = await shop.sell(**order, consent={"ad_storage": "denied", "npa": "1"})

    # The copy that allows less goes in the place of the first.
    assert again.accepted == 1
    second, first = (await shop.store.page(ListQuery())).glimpses
    assert first.conversion_id == second.conversion_id
    assert [first.state, second.state] == [State.SUPPRESSED, State.QUEUED]


async def test_nothing_is_kept_of_consent_where_nothing_was_said():
    shop = Shop()

    await shop.sell()

    assert (await shop.history()).consent is None


async def test_what_a_string_said_is_kept_and_the_string_is_not():
    shop = Shop(Keeping())

    await shop.sell(consent={"tcf": "CQnotastring", "canary@example.com": "canary"})

    (submission,) = shop.store.submissions
    everything = submission.body + submission.entries[0].consent + submission.entries[0].body
    assert b"sha256:" in everything
    assert not [word for word in (b"CQnotastring", b"canary") if word in everything]


async def test_who_revoked_is_suppressed_at_the_door():
    shop = Shop()

    chosen = await shop.choice("denied", email=" Shopper@Example.com ", phone="020 7946 0958")
    receipt = await shop.sell()

    history = await shop.history()
    assert chosen == ConsentChoiceResult(revoked=True, identifiers=2)
    assert (receipt.suppressed, history.state, history.reason) == (
        1, State.SUPPRESSED, "consent_revoked",
    )  # fmt: skip
    assert json.loads(history.sent)["identifiers"] == []


async def test_who_revoked_is_suppressed_at_the_door_of_xs_clients_too():
    shop = Shop(Keeping())
    await shop.choice("denied", twclid=CLICK)

    receipt = await shop.sell_as_x()

    history = await shop.history()
    assert CLICK.encode() not in shop.store.submissions[0].body
    assert (receipt.processed, history.state, history.reason) == (
        1, State.SUPPRESSED, "consent_revoked",
    )  # fmt: skip
    assert CLICK.encode() not in history.sent


async def test_a_grant_of_today_does_not_undo_a_revocation():
    shop = Shop()
    await shop.choice("denied", email=EMAIL)

    receipt = await shop.sell(consent={"ad_storage": "granted", "ad_user_data": "granted"})

    assert receipt.suppressed == 1


async def test_who_consents_again_is_taken_off_the_list():
    shop = Shop()
    await shop.choice("denied", email=EMAIL)

    chosen = await shop.choice("granted", email=EMAIL)

    assert chosen == ConsentChoiceResult(revoked=False, identifiers=1)
    assert (await shop.sell()).accepted == 1


async def test_a_person_of_another_pixel_is_another():
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
async def test_what_is_no_choice_of_a_person_is_refused(choice, codes):
    shop = Shop()

    with pytest.raises(UnusableChoice) as refused:
        await shop.choose.note(source=shop.source, body=json.dumps(choice).encode())

    assert [fault.code for fault in refused.value.faults] == codes
    assert not shop.store.some()


async def test_a_choice_of_another_shape_is_malformed():
    shop = Shop()

    with pytest.raises(MalformedRequest):
        await shop.choose.note(source=shop.source, body=b'{"emial": "a@example.com"}')


def test_a_key_says_nothing_without_the_salt():
    person = Identifiers(email="e" * 64, phone="p" * 64, click_id=CLICK, ip="203.0.113.7")

    keys = person_keys(person, pixel="o8z6j", salt=b"salt")

    assert [len(key) for key in keys] == [16, 16, 16]
    assert len({*keys, *person_keys(person, pixel="o8z6j", salt=b"other")}) == 6
    assert len({*keys, *person_keys(person, pixel="p2", salt=b"salt")}) == 6


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_of_a_thousand_that_revoke_between_the_door_and_the_claim_none_is_sent(
    kind, tmp_path
):
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


async def test_no_claim_that_begins_after_a_revocation_was_answered_holds_its_person(tmp_path):
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


async def test_a_list_survives_its_process(tmp_path):
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


async def test_a_policy_that_stays_takes_nothing_back():
    shop = Shop()
    await shop.start_again()
    await shop.sell(consent={"ad_storage": "granted"})

    assert await shop.start_again() == 0
    assert (await shop.history()).state is State.QUEUED


@pytest.mark.parametrize(
    ("said", "before", "after", "state", "reason"),
    [
        (None, {}, {"required": True}, State.SUPPRESSED, "consent_missing"),
        (None, {}, {"required": True, "missing": ConsentAction.HOLD}, State.HELD,
         "consent_missing"),
        ({"ad_storage": "granted"}, {}, {"required": True}, State.QUEUED, None),
        (
            {"npa": "1"}, {"personalization_denied": ConsentAction.SEND}, {}, State.SUPPRESSED,
            "consent_limited: npa",
        ),
        ({"npa": "1"}, {}, {"required": True}, State.SUPPRESSED, "consent_missing"),
        (
            {"gpc": True}, {"us_opt_out": ConsentAction.RESTRICT}, {}, State.SUPPRESSED,
            "consent_denied: gpc",
        ),
        (
            {"ad_storage": "denied"}, {"storage_denied": ConsentAction.STRIP}, {}, State.SUPPRESSED,
            "consent_denied: ad_storage",
        ),
        (
            {"ad_storage": "denied"}, {"storage_denied": ConsentAction.STRIP},
            {"storage_denied": ConsentAction.STRIP, "missing": ConsentAction.HOLD},
            State.QUEUED, None,
        ),
        (
            {"region": "US"}, {}, {"strict_regions": frozenset({"US"})}, State.SUPPRESSED,
            "consent_missing",
        ),
        ({"gcd": "11r1r1r1r5"}, {}, {"tcf_purposes": (1, 2)}, State.QUEUED, None),
        (
            {"gpp": "DBABjw~~"}, {"unclear": None}, {"tcf_vendor_id": 3}, State.SUPPRESSED,
            "consent_unclear: gpp",
        ),
    ],
)  # fmt: skip
async def test_a_policy_that_has_changed_decides_again_on_what_waits(
    said, before, after, state, reason
):
    shop = Shop(**before)
    await shop.start_again()
    await shop.sell(consent=said)

    shop.policy(**after)
    taken = await shop.start_again()

    history = await shop.history()
    assert (history.state, history.reason, taken) == (
        state,
        reason,
        0 if state is State.QUEUED else 1,
    )


async def test_a_policy_that_takes_back_says_so_once():
    shop = Shop()
    await shop.start_again()
    await shop.sell()
    shop.policy(required=True)

    await shop.start_again()
    await shop.start_again()

    assert shop.notices == [
        Troubled(where="consent", reason="the policy of source shop has changed: 1 are not sent")
    ]


async def test_what_a_person_decides_about_stays_theirs_when_the_policy_changes():
    shop = Shop(unclear=ConsentAction.HOLD)
    await shop.start_again()
    await shop.sell(consent={"gcd": "what"})

    shop.policy(unclear=ConsentAction.HOLD, us_opt_out=ConsentAction.RESTRICT)

    assert await shop.start_again() == 0
    assert (await shop.history()).state is State.HELD


async def test_after_a_change_what_a_tag_has_is_judged_as_tags_are():
    # Of an answer that cannot be read and a denial of personalization, a pixel's copy is held, with
    # X told to restrict its use. A template is told nothing of the kind.
    said = {"npa": "1", "us_privacy": "what?"}
    first = ConsentPolicy(personalization_denied=ConsentAction.SEND, unclear=None)
    shop = Shop(personalization_denied=ConsentAction.SEND, unclear=None)
    judge = judging(policy=policy_for(first), now=NOW)
    evidence = judge(said, Identifiers(), "o8z6j").evidence
    letter = msgspec.structs.replace(an_entry(pixel="tag:crm", event="purchase"), consent=evidence)
    await shop.start_again()
    await shop.sell(consent=said)
    await shop.store.record(a_submission(letter, receipt="r-tag"))
    before = [history.state for history in await shop.every_life()]

    shop.policy(personalization_denied=ConsentAction.RESTRICT, unclear=ConsentAction.HOLD)
    await shop.start_again()

    assert before == [State.QUEUED, State.QUEUED]
    histories = {history.pixel: history.state for history in await shop.every_life()}
    assert histories == {"o8z6j": State.HELD, "tag:crm": State.SUPPRESSED}
