"""No tool of `twite mcp` shows a person or a secret, whatever was received or stored."""

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from intake_stage import SHOP, intake

from any_results import ACCOUNT, an_account, some_days
from builders import NOW, a_conversion, a_submission, an_entry
from canaries import EMAIL, NAME, PHONE, SPELLINGS, found_in
from twite.cli.mcp.tools import TOOLS, ToolRefused, called
from twite.domain.alert import Acknowledgement, Alert, AlertKind
from twite.domain.cause import DeliveryCause
from twite.domain.conversion import Identifiers
from twite.domain.delivery import Attempt, Settlement, Transition, Trigger
from twite.domain.joins import JoinKind, JoinRequest, KnownIdentifier
from twite.domain.results.account import AdCampaign
from twite.domain.submission import Ignored, NotFiredReason, UnfiredTags
from twite.domain.times import DAY
from twite.domain.value_change import RuleProblem, ValueChange
from twite.gateway.ports.outbox import Claim, SweepRequest
from twite.gateway.results.records import put_account, put_days
from twite.machine.system import SystemClock
from twite.stores.sqlite import SQLiteStore
from twite.x.encode import conversion_body

SAID = list(SPELLINGS.values())
SECRET = "S3cretCanary9f81c2e4"
SETTINGS = """
[server]
listen = "127.0.0.1:0"
secret_key = "SECRET-that-seals-everything"
[x]
api_url = "http://127.0.0.1:1"
consumer_key = "SECRETck"
consumer_secret = "SECRETcs"
[alerts]
webhook = "http://127.0.0.1:1/services/SECRET?token=SECRET"
[[pixel]]
id = "o8z6j"
account = "18ce54d4x5t"
auth = { pixel_token = "SECRET-pixel-token" }
events = { purchase = "o8z6k" }
[[source]]
name = "shop"
key = "SECRET-source-key"
pixel = "o8z6j"
[[webhook]]
name = "crm"
kind = "generic"
secret = "SECRET-webhook"
source = "shop"
authentication = "path"
[webhook.map]
conversion_id = "id"
[[sync]]
name = "orders"
source = "shop"
url = "postgresql://shop:SECRET@127.0.0.1:1/shop"
query = "SELECT id AS conversion_id, at AS time, changed FROM orders"
cursor = "changed"
key = "conversion_id"
event = "purchase"
"""
GOOD = {"event": "purchase", "twclid": "23opevjt88psuo13lu8d020qkn"}
# The fields that a client may fill with anything.
FIELDS = (
    "event", "conversion_id", "pixel", "value", "currency", "time", "number_items", "twclid",
    "email", "phone", "email_sha256", "ip_address", "user_agent", "url", "description", "search",
    "contents", "consent", "emial", "user_id",
)  # fmt: skip
# How a delivery may end. Those that are postponed are queued again.
ENDS = {
    Trigger.DELIVERED: None,
    Trigger.POSTPONED: None,
    Trigger.HELD: DeliveryCause.EVENT_UNKNOWN,
    Trigger.GIVEN_UP: DeliveryCause.REFUSED,
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Settings with secrets, a store full of one person, and the receipts of the requests."""
    folder = tmp_path_factory.mktemp("persons")
    (folder / "twite.toml").write_text(SETTINGS.replace("SECRET", SECRET))
    return folder / "twite.toml", asyncio.run(_filled(str(folder / "twite.db")))


async def _filled(path: str) -> list[str]:
    """Store all spellings in requests of at most 50 conversions, and return their receipts."""
    now = SystemClock().now()
    receipts = []
    store = await SQLiteStore.open(path)
    try:
        for part in (SAID[:50], SAID[50:]):
            receipts += [await _sent(store, str(uuid4()), part, end) for end in ENDS]
            receipts.append(await _kept(store, str(uuid4()), part))
            receipts.append(await _joined(store, str(uuid4()), part, now))
        await store.put([_alert(number, said) for number, said in enumerate(SAID)])
        # An email may be the name of a user.
        await store.put([Acknowledgement(alert="alert-0", at=NOW, who=EMAIL)])
        await put_account(store, _account(now))
        await put_days(store, ACCOUNT, some_days(now))
    finally:
        await store.close()
    whole = [
        GOOD | {"conversion_id": f"in-{number}-{field}"} | {field: value}
        for number, said in enumerate(SAID)
        for field in FIELDS
        for value in (said, [said, {said: NAME}])
    ]
    async with intake(path) as accept:
        for start in range(0, len(whole), 50):
            body = json.dumps({"conversions": whole[start : start + 50]}).encode()
            receipts.append((await accept.native(source=SHOP, body=body)).receipt)
    return receipts


def _words(said: str) -> str:
    return f"refused for {said} with the key Bearer {SECRET}: try again"


async def _sent(store: SQLiteStore, receipt: str, part: Sequence[str], end: Trigger) -> str:
    """Record conversions, and send each once; X's answers name the person."""
    entries = [an_entry(f"{receipt}-{index}", index=index) for index in range(len(part))]
    await store.record(a_submission(*entries, receipt=receipt))
    for said in part:
        batch = await store.claim(
            Claim(pixel="o8z6j", now=NOW, lease_until=NOW + 9, limit=1, ambiguous_after=0)
        )
        ids = tuple(delivery.id for delivery in batch.deliveries)
        transition = Transition(
            trigger=end,
            deliveries=ids,
            cause=ENDS[end],
            reason=None if end is Trigger.DELIVERED else _words(said),
            due_at=NOW * 2 if end is Trigger.POSTPONED else None,
        )
        attempt = Attempt(
            at=NOW,
            pixel="o8z6j",
            event="o8z6k",
            outcome="rejected",
            deliveries=ids,
            status=400,
            answer=_words(said),
        )
        await store.settle(
            Settlement(
                lease=batch.lease, attempt=attempt, transitions=(transition,), lease_until=NOW + 9
            )
        )
    return receipt


async def _kept(store: SQLiteStore, receipt: str, part: Sequence[str]) -> str:
    """Record conversions that are not sent, ignored events, and a tag that did not fire."""
    entries = [
        msgspec.structs.replace(
            an_entry(
                f"{receipt}-{index}",
                index=index,
                suppressed=_words(said),
                cause=DeliveryCause.CONSENT_DENIED,
            ),
            value_change=ValueChange(
                rule="r", before="1", problem=RuleProblem.MISSING_ROW, detail=_words(said)
            ),
            consent=json.dumps(
                {"action": "suppress", "rule": "denied", "reason": _words(said), said: said}
            ).encode(),
        )
        for index, said in enumerate(part)
    ]
    submission = msgspec.structs.replace(
        a_submission(*entries, receipt=receipt, received_at=SystemClock().now()),
        ignored=tuple(Ignored(name=said[:64], reason=_words(said)[:64]) for said in part),
        unfired=tuple(
            UnfiredTags(
                tag="tag:vendor", reason=NotFiredReason.TRIGGER, why=_words(said), index=index
            )
            for index, said in enumerate(part)
        ),
    )
    await store.record(submission)
    return receipt


async def _joined(store: SQLiteStore, receipt: str, part: Sequence[str], now: int) -> str:
    """Record conversions that gained a click id from events whose names are persons."""
    known = tuple(
        KnownIdentifier(
            key=uuid4().hex, mark=f"m{index}", kind=JoinKind.CLICK, whose="",
            value="23opevjt88psuo13lu8d020qkn", at=now - DAY, seen_at=now, origin=said,
        )
        for index, said in enumerate(part)
    )  # fmt: skip
    own = Identifiers(email="0" * 64)
    body = conversion_body(
        msgspec.structs.replace(a_conversion(), identifiers=own, time=now - 9_000)
    )
    entries = [
        msgspec.structs.replace(
            an_entry(f"{receipt}-{index}", index=index),
            body=body,
            join=JoinRequest(keys=(each.key,), whose="", wait=1),
        )
        for index, each in enumerate(known)
    ]
    await store.record(a_submission(*entries, receipt=receipt, received_at=now - 9_000))
    await store.record(msgspec.structs.replace(a_submission(receipt=str(uuid4())), known=known))
    await store.sweep(SweepRequest(now=now, ambiguous_before=0, waiting_before=0))
    return receipt


def _alert(number: int, said: str) -> Alert:
    return Alert(
        id=f"alert-{number}",
        kind=AlertKind.CONVERSIONS_HELD,
        subject=f"o8z6j-{number}",
        reason=_words(said),
        opened_at=NOW,
        reported_at=NOW,
        unsent_phase=None,
    )


def _account(now: int) -> Any:
    campaigns = tuple(
        AdCampaign(id=f"c{number}", name=f"For {said}", currency="EUR")
        for number, said in enumerate(SAID, 1)
    )
    return an_account(now, campaigns=campaigns, problem=_words(EMAIL))


def _shown(config: Any, name: str, **arguments: Any) -> str:
    """Return the text of a result, or of a refusal."""
    try:
        return asyncio.run(called(config, name, arguments)).decode()
    except ToolRefused as refused:
        return str(refused)


def _leaks(text: str) -> list[str]:
    packed = base64.b64encode(SECRET.encode())[:-4]
    found = found_in(json.dumps(text, ensure_ascii=False).encode())
    return found + [each for each in (SECRET, packed.decode()) if each in text]


def test_no_tool_shows_a_person_or_a_secret_that_was_received_or_stored(stored):
    config, receipts = stored
    texts = {
        (tool.name, receipt): _shown(config, tool.name, id=receipt, limit=50)
        for tool in TOOLS
        if "id" in tool.arguments.__struct_fields__
        for receipt in receipts
    }
    for tool in TOOLS:
        if tool.name != "find_conversion":
            texts[tool.name, ""] = _shown(config, tool.name)

    assert {call: found for call, text in texts.items() if (found := _leaks(text))} == {}
    refused = {call for call, text in texts.items() if not text.startswith("{")}
    assert refused == set()
    everything = "".join(texts.values())
    for state in ("delivered", "queued", "held", "dead", "suppressed", "rejected", "not_fired"):
        assert f'"state":"{state}"' in everything
    assert "gained" in everything


@pytest.mark.parametrize("said", [EMAIL, PHONE, SPELLINGS["email, base 64"]])
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_person_in_an_argument_is_not_repeated(stored, tool, said):
    config, _ = stored
    names = tool.arguments.__struct_fields__
    given = [{name: said} for name in names] + [{said: 1}, {"id": "order-1", "pixel": said}]

    assert [found for each in given if (found := _leaks(_shown(config, tool.name, **each)))] == []
