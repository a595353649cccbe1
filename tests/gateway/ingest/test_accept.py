import asyncio
import json

import pytest

from builders import NOW, a_destination, a_source
from fakes import MovingClock, SeededRandomness
from memory_store.store import MemoryStore
from twite.domain.errors import LedgerUnavailable, MalformedRequest, NameTaken, QueueFull
from twite.domain.fault import Fault
from twite.domain.outcome import XComplaint
from twite.domain.times import SECOND
from twite.formats.native.answers import IdentifierWarning
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.receipts import XAcceptReceipt, XAcceptRefusal
from twite.gateway.ingest.recorder import PROBLEM_FOR
from twite.gateway.ports.events import Accepted, Judged, ProblemSeen


class AcceptStage:
    """An Accept with a memory store; notes what was woken, seen and recorded."""

    def __init__(self):
        self.store = MemoryStore()
        self.clock = MovingClock(NOW)
        self.woken = []
        self.notices = []
        self.submissions = []
        self.may_record = asyncio.Event()
        self.may_record.set()
        self.accept = Accept(
            intake=self,
            clock=self.clock,
            randomness=SeededRandomness(),
            destinations={pixel: a_destination(pixel) for pixel in ("o8z6j", "p2")},
            salt=b"salt",
            wake=self.woken.append,
            observer=self,
        )

    async def record(self, submission):
        await self.may_record.wait()
        recorded = await self.store.record(submission)
        self.submissions.append(submission)
        return recorded

    def see(self, notice):
        self.notices.append(notice)

    async def native(self, *conversions, **how):
        body = json.dumps({"conversions": list(conversions)}).encode()
        return await self.accept.native(source=a_source(), body=body, **how)

    async def from_x(self, *conversions):
        body = json.dumps({"conversions": list(conversions)}).encode()
        return await self.accept.from_x(destination=a_destination(), body=body)


def purchase(conversion_id="order-1", **fields):
    return {"event": "purchase", "conversion_id": conversion_id, "twclid": "abc"} | fields


def for_x(conversion_id="order-1", **fields):
    return {
        "conversion_time": "2026-11-24T10:00:00.000Z",
        "event_id": "o8z6k",
        "conversion_id": conversion_id,
        "identifiers": [{"twclid": "abc"}],
    } | fields


async def test_requests_in_progress_can_be_awaited():
    stage = AcceptStage()
    stage.may_record.clear()
    taking = asyncio.create_task(stage.native(purchase()))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(stage.accept.passed())
    for _ in range(9):
        await asyncio.sleep(0)
    early = waiting.done()
    stage.may_record.set()
    await waiting

    assert not early
    assert len(stage.submissions) == 1
    await taking
    await stage.accept.passed()


async def test_receipt_counts_every_result():
    stage = AcceptStage()

    receipt = await stage.native(
        purchase("a"),
        purchase("a"),
        purchase("b", consent={"ad_storage": "denied"}),
        purchase("c", email="nobody"),
        purchase("d", event="other"),
    )

    assert (receipt.accepted, receipt.duplicates, receipt.suppressed) == (2, 1, 1)
    assert (receipt.duplicate_indexes, receipt.suppressed_indexes) == ((1,), (2,))
    (refused,) = receipt.rejected
    assert (refused.index, refused.pixel, refused.errors) == (
        4,
        "o8z6j",
        (
            Fault(
                path="event",
                code="event_unknown",
                message="no such event for this pixel (known: purchase, sign_up)",
            ),
        ),
    )
    assert receipt.warnings == (
        IdentifierWarning(
            index=3,
            warnings=(
                Fault(
                    path="email",
                    code="email_unusable",
                    message="not a valid email address",
                ),
            ),
        ),
    )


async def test_accepted_conversions_add_up_in_the_balance():
    stage = AcceptStage()

    await stage.native(purchase("a"), purchase("a"), purchase("b", event="other"), {})

    accounts = await stage.store.balance()
    assert [
        (account.received, account.pending, account.duplicate, account.rejected, account.balance)
        for account in accounts
    ] == [(4, 1, 1, 2, 0)]


async def test_repeated_conversion_is_a_duplicate():
    stage = AcceptStage()
    await stage.native(purchase("a"))

    receipt = await stage.native(purchase("a", value="5", currency="EUR"))

    assert (receipt.accepted, receipt.duplicates) == (0, 1)


async def test_same_id_with_another_event_is_another_conversion():
    stage = AcceptStage()
    await stage.native(purchase("a"))

    receipt = await stage.native(purchase("a", event="sign_up"))

    assert (receipt.accepted, receipt.duplicates) == (1, 0)


async def test_native_and_x_routes_share_deduplication_keys():
    stage = AcceptStage()
    await stage.native(purchase("a"))

    answer = await stage.from_x(for_x("a"), for_x("b"))

    assert answer == XAcceptReceipt(receipt=stage.submissions[1].receipt, processed=2)
    assert stage.notices[-1] == Accepted(
        source="x-api", accepted=1, duplicates=1, suppressed=0, rejected=0, endpoint="x_api"
    )


async def test_pixel_is_woken_once_after_the_commit():
    stage = AcceptStage()

    await stage.native(purchase("a"), purchase("b"))

    assert stage.woken == ["o8z6j"]
    assert len(stage.submissions) == 1


async def test_submission_with_only_rejected_conversions_is_counted():
    stage = AcceptStage()

    receipt = await stage.native({"event": "purchase"})

    assert (receipt.accepted, len(receipt.rejected)) == (0, 1)
    assert stage.woken == []
    assert stage.notices == [
        Accepted(
            source="shop",
            accepted=0,
            duplicates=0,
            suppressed=0,
            rejected=1,
            endpoint="native",
            codes={"identifier_missing": 1},
        )
    ]


@pytest.mark.parametrize("problem", [QueueFull, LedgerUnavailable])
async def test_submission_with_a_failed_commit_is_not_acknowledged(problem):
    stage = AcceptStage()
    stage.store.refuse = problem(reason="disk full", retry_after=2)

    with pytest.raises(problem):
        await stage.native(purchase("a"))
    with pytest.raises(problem):
        await stage.from_x(for_x("a"))

    assert stage.woken == []
    assert [notice for notice in stage.notices if isinstance(notice, Accepted)] == []


async def test_malformed_request_is_not_recorded():
    stage = AcceptStage()

    with pytest.raises(MalformedRequest):
        await stage.accept.native(source=a_source(), body=b"{")

    assert (stage.submissions, stage.woken, stage.notices) == ([], [], [])


async def test_request_that_x_would_refuse_is_refused_as_a_whole():
    stage = AcceptStage()

    with pytest.raises(XAcceptRefusal) as caught:
        await stage.from_x(for_x("a"), for_x("b", event_id="o8z6j"))

    assert caught.value.status == 400
    assert caught.value.complaints == (
        XComplaint(
            code="INVALID_PARAMETER",
            message="event_id (o8z6j) is not a single event tag (SET)",
            parameter="event_id",
        ),
    )
    assert (stage.submissions, stage.notices) == ([], [])


async def test_refusal_contains_codes_and_no_values():
    stage = AcceptStage()

    with pytest.raises(XAcceptRefusal) as caught:
        await stage.from_x(for_x(description="canary\x00", value="canary"))

    assert str(caught.value) == "400: INVALID_PARAMETER, INVALID_PARAMETER"


async def test_stored_submission_contains_no_plain_personal_data():
    stage = AcceptStage()

    await stage.native(
        purchase("a", email="canary@example.com", phone="+44 20 7946 0958"),
        purchase("b", event="other", email="canary@example.com", email_sha256="canary@example.com"),
    )

    submission = stage.submissions[0]
    kept = submission.body + b"".join(entry.body for entry in submission.entries)
    assert b"canary" not in kept
    assert b"7946" not in kept
    assert "canary" not in repr(submission)


async def test_retry_with_an_idempotency_key_is_a_duplicate():
    stage = AcceptStage()
    order = {"event": "sign_up", "twclid": "abc"}
    await stage.native(order, idempotency_key="k")

    again = await stage.native(order, idempotency_key="k")
    other = await stage.native(order, idempotency_key="l")

    assert (again.duplicates, other.accepted) == (1, 1)


async def test_idempotency_key_cannot_be_used_for_another_request():
    stage = AcceptStage()
    order = {"event": "sign_up", "twclid": "abc"}
    await stage.native(order, idempotency_key="k")

    with pytest.raises(NameTaken):
        await stage.native(order | {"twclid": "def"}, idempotency_key="k")

    assert await accounts_of(stage) == 1


async def test_order_of_json_keys_does_not_make_another_request():
    stage = AcceptStage()
    await stage.native({"event": "sign_up", "twclid": "abc"}, idempotency_key="k")

    again = await stage.native({"twclid": "abc", "event": "sign_up"}, idempotency_key="k")

    assert again.duplicates == 1


async def accounts_of(stage):
    return sum(account.received for account in await stage.store.balance())


async def test_failed_commits_are_reported_once_in_a_while():
    stage = AcceptStage()
    stage.store.refuse = LedgerUnavailable(reason="disk full", retry_after=2)

    for _ in range(3):
        for _ in range(50):
            with pytest.raises(LedgerUnavailable):
                await stage.native(purchase("a"))
        await stage.clock.advance(PROBLEM_FOR)

    assert stage.notices == [ProblemSeen(where="ledger", reason="disk full")] * 3


async def test_failed_commit_is_a_problem_for_a_few_seconds():
    clock, store = MovingClock(), MemoryStore()
    accept = Accept(
        intake=store,
        clock=clock,
        randomness=SeededRandomness(),
        destinations={"o8z6j": a_destination()},
        salt=b"s",
        wake=lambda _pixel: None,
    )
    body = b'{"event": "purchase", "email": "shopper@example.com"}'
    store.refuse = LedgerUnavailable(reason="disk full", retry_after=5)
    with pytest.raises(LedgerUnavailable):
        await accept.native(source=a_source(), body=body)

    during = accept.problem
    await clock.advance(6 * SECOND)
    after = accept.problem

    assert (during, after) == ("disk full", None)


async def test_consent_verdicts_are_reported_only_if_there_was_a_decision():
    stage = AcceptStage()

    await stage.native(purchase("a"), purchase("b", consent={"ad_storage": "denied"}))
    await stage.native(purchase("c"))

    assert [notice for notice in stage.notices if isinstance(notice, Judged)] == [
        Judged(source="shop", verdicts={("suppress", "storage"): 1})
    ]
