"""Erasures that a webhook's sender asks for: what it waits for, and what a repetition gets."""

import asyncio

import pytest

from builders import a_submission, an_entry
from twite.app import webhook_erasure
from twite.app.webhook_erasure import WebhookErasure
from twite.domain.errors import LedgerUnavailable
from twite.domain.people.erasure import CONVERSION_ID, EMAIL, asked
from twite.gateway.ports.queries import ByConversionId
from twite.stores.sqlite import SQLiteStore
from written import GOOD, read


def person(order="order-1"):
    return [asked(CONVERSION_ID, order, region=None), asked(EMAIL, "a@shop.example", region=None)]


@pytest.fixture
def settings(tmp_path):
    return read(tmp_path, GOOD)


@pytest.fixture
async def store(settings):
    opened = await SQLiteStore.open(str(settings.store.path))
    await opened.record(a_submission(an_entry("order-1")))
    yield opened
    await opened.close()


@pytest.fixture
def slow(monkeypatch):
    """Let erasures wait for an event, and count those that begin."""
    may_end, begun = asyncio.Event(), []
    look = webhook_erasure.look

    async def wait(*given, **more):
        begun.append(1)
        await may_end.wait()
        return await look(*given, **more)

    monkeypatch.setattr(webhook_erasure, "look", wait)
    monkeypatch.setattr(webhook_erasure, "_WAIT", 0.01)
    return may_end, begun


async def found(store):
    query = ByConversionId(pixel="o8z6j", events=None, conversion_id="order-1")
    return [history.conversion_id for history in await store.find(query)]


async def test_person_is_erased_when_the_call_returns(store, settings):
    assert await found(store) == ["order-1"]

    await WebhookErasure(store).erase(settings, "orders", person())

    assert "order-1" not in await found(store)


async def test_longer_erasure_goes_on_and_the_repetition_gets_its_result(
    store, settings, slow, monkeypatch
):
    may_end, begun = slow
    erasure = WebhookErasure(store)

    for _ in range(3):
        with pytest.raises(LedgerUnavailable):
            await erasure.erase(settings, "orders", person())
    may_end.set()
    monkeypatch.setattr(webhook_erasure, "_WAIT", 30)
    await erasure.erase(settings, "orders", person())

    assert len(begun) == 1
    assert "order-1" not in await found(store)


async def repeated(erasure, settings, slow, monkeypatch, *, first_waits):
    """Ask for the same erasure until it is done; return how many erasures began."""
    may_end, begun = slow
    if first_waits:
        with pytest.raises(LedgerUnavailable):
            await erasure.erase(settings, "orders", person())
    monkeypatch.setattr(webhook_erasure, "_WAIT", 30)
    may_end.set()
    await erasure.erase(settings, "orders", person())
    return len(begun)


@pytest.mark.parametrize("first_waits", [False, True])
async def test_later_request_for_the_same_person_erases_again(
    store, settings, slow, monkeypatch, first_waits
):
    erasure = WebhookErasure(store)
    assert await repeated(erasure, settings, slow, monkeypatch, first_waits=first_waits) == 1

    await erasure.erase(settings, "orders", person())

    assert len(slow[1]) == 2


async def test_result_that_nobody_fetched_is_not_kept_for_a_later_request(
    store, settings, slow, monkeypatch
):
    may_end, begun = slow
    monkeypatch.setattr(webhook_erasure, "_REPEATED_WITHIN", 0)
    erasure, others = WebhookErasure(store), asyncio.all_tasks()
    with pytest.raises(LedgerUnavailable):
        await erasure.erase(settings, "orders", person())
    may_end.set()
    await asyncio.wait(asyncio.all_tasks() - others)

    monkeypatch.setattr(webhook_erasure, "_WAIT", 30)
    await erasure.erase(settings, "orders", person())

    assert len(begun) == 2


async def test_failed_erasure_is_repeated(store, settings, monkeypatch):
    erasure = WebhookErasure(store)
    look = webhook_erasure.look

    async def fail(*_given, **_more):
        raise LedgerUnavailable(reason="the disk is full", retry_after=1)

    monkeypatch.setattr(webhook_erasure, "look", fail)
    with pytest.raises(LedgerUnavailable):
        await erasure.erase(settings, "orders", person())
    monkeypatch.setattr(webhook_erasure, "look", look)
    await erasure.erase(settings, "orders", person())

    assert "order-1" not in await found(store)


async def test_number_of_waiting_erasures_is_limited(store, settings, slow, monkeypatch):
    _, begun = slow
    monkeypatch.setattr(webhook_erasure, "_MOST_RUNNING", 2)
    erasure = WebhookErasure(store)

    reasons = []
    for number in range(4):
        with pytest.raises(LedgerUnavailable) as refused:
            await erasure.erase(settings, "orders", person(f"order-{number}"))
        reasons.append(refused.value.reason)
    await erasure.stop()

    running, too_many = "the erasure is still running", "too many erasures are running"
    assert reasons == [running, running, too_many, too_many]
    assert len(begun) == 1


async def test_stopped_erasure_begins_again_with_the_repetition(store, settings, slow, monkeypatch):
    may_end, begun = slow
    erasure = WebhookErasure(store)
    with pytest.raises(LedgerUnavailable):
        await erasure.erase(settings, "orders", person())

    await erasure.stop()
    may_end.set()
    monkeypatch.setattr(webhook_erasure, "_WAIT", 30)
    await WebhookErasure(store).erase(settings, "orders", person())

    assert len(begun) == 2
    assert "order-1" not in await found(store)
