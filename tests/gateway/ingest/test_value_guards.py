"""Value guards report amounts that are unusual for their event."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_conversion
from fakes import MovingClock, settled
from memory_store.store import MemoryStore
from twite.domain.errors import LedgerUnavailable
from twite.domain.stats.value_guard import UsualAmount, ValueGuard, learnt, reach_of, unusual_amount
from twite.gateway.ingest.value_guard import (
    KEEP_EVERY,
    MOST_USUAL_AMOUNTS,
    OF_SO_MANY,
    WELL_KNOWN,
    ValueGuards,
)


def _amount(value, event="o8z6k", currency="EUR"):
    return msgspec.structs.replace(a_conversion(event=event), value=value, currency=currency)


async def _kept(guards):
    """Return how many amounts the guards have seen for each changed event and currency."""
    store = MemoryStore()
    await guards.keep(store)
    return {
        (usual_amount.event, usual_amount.currency): usual_amount.seen
        for usual_amount in await store.load(UsualAmount)
    }


def _learned(**said):
    guards = ValueGuards(**said)
    guards.learn("shop", [_amount("49.90")] * 50)
    return guards


@pytest.mark.parametrize(
    ("said", "kind", "held"),
    [
        ({}, "minor_units", False),
        ({"pixels": {"o8z6j": ValueGuard.HOLD}}, "minor_units", True),
        (
            {"sources": {"shop": ValueGuard.HOLD}, "pixels": {"o8z6j": ValueGuard.OFF}},
            "minor_units",
            True,
        ),
        (
            {"sources": {"shop": ValueGuard.FLAG}, "pixels": {"o8z6j": ValueGuard.HOLD}},
            "minor_units",
            False,
        ),
    ],
)
def test_value_guard_of_the_source_overrides_that_of_the_pixel(said, kind, held):
    flag, reason = _learned(**said).look("shop")(_amount("4990.00"))

    assert flag is not None
    assert (flag.kind, reason is not None) == (kind, held)


async def test_value_guard_that_is_off_neither_learns_nor_reports():
    guards = _learned(pixels={"o8z6j": ValueGuard.OFF})

    assert guards.look("shop")(_amount("4990.00")) == (None, None)
    assert await _kept(guards) == {}


def test_currency_that_has_become_rare_is_reported():
    guards = ValueGuards(usual_amounts=[_usual_amount("EUR", seen=50)])
    before = guards.look("shop")(_amount("49.90"))

    guards.learn("shop", [_amount("49.90", currency="USD")] * 25_000)

    assert before == (None, None)
    assert guards.look("shop")(_amount("49.90"))[0].kind == "currency"


def test_conversion_with_a_usual_amount_is_not_held():
    guards = _learned(pixels={"o8z6j": ValueGuard.HOLD})

    assert guards.look("shop")(_amount("49.90")) == (None, None)


async def test_learned_amounts_are_kept_over_a_restart():
    store = MemoryStore()
    await _learned().keep(store)

    guards = ValueGuards(usual_amounts=await store.load(UsualAmount))

    flag, _ = guards.look("shop")(_amount("0.00"))
    assert flag is not None
    assert flag.kind == "zero"


async def test_amounts_of_a_failed_write_are_written_with_the_next():
    class Full(MemoryStore):
        async def put(self, records, **_more):
            raise LedgerUnavailable(reason=f"no room for {len(records)}", retry_after=1)

    guards = _learned()
    with pytest.raises(LedgerUnavailable):
        await guards.keep(Full())
    store = MemoryStore()

    await guards.keep(store)

    (usual_amount,) = await store.load(UsualAmount)
    assert usual_amount.seen == 50


async def test_number_of_learned_events_is_limited():
    guards = ValueGuards()
    guards.learn(
        "x-api", [_amount("1.00", event=f"e{number}") for number in range(MOST_USUAL_AMOUNTS + 5)]
    )
    store = MemoryStore()

    await guards.keep(store)

    assert len(await store.load(UsualAmount)) == MOST_USUAL_AMOUNTS


async def test_conversions_without_amount_or_currency_are_not_learned():
    guards, without = _learned(), [_amount(None), _amount("49.90", currency=None)]

    guards.learn("shop", [None, *without])

    assert [guards.look("shop")(each) for each in without] == [(None, None)] * 2
    assert await _kept(guards) == {("o8z6k", "EUR"): 50}


def test_source_whose_value_guard_is_off_reports_nothing():
    guards = _learned(sources={"other": ValueGuard.OFF})

    assert guards.look("other")(_amount("4990.00")) == (None, None)
    assert guards.look("shop")(_amount("4990.00"))[0].kind == "minor_units"


def test_event_without_conversions_has_no_unusual_amount():
    assert _learned().look("shop")(_amount("4990.00", event="o8z6m")) == (None, None)


def test_usual_amount_in_an_unusual_currency_is_reported():
    assert _learned().look("shop")(_amount("49.90", currency="USD"))[0].kind == "currency"


def _usual_amount(currency, seen):
    return UsualAmount(
        pixel="o8z6j", event="o8z6k", currency=currency, seen=seen, center=1.7, spread=0.02
    )


def test_rare_currency_of_an_event_is_reported():
    guards = ValueGuards(
        usual_amounts=[_usual_amount("EUR", 30), _usual_amount("USD", 5_000)],
        pixels={"o8z6j": ValueGuard.HOLD},
    )
    look = guards.look("shop")

    flag, reason = look(_amount("49.90"))

    assert flag.kind == "currency"
    assert reason == "value guard: in a different currency from the event's usual amounts"
    assert look(_amount("49.90", currency="USD")) == (None, None)


async def test_every_fourth_amount_of_a_well_known_event_is_learned():
    guards = ValueGuards()
    seen = []

    for many in (WELL_KNOWN + 1, OF_SO_MANY - 1, 1, 2 * OF_SO_MANY):
        guards.learn("shop", [_amount("49.90")] * many)
        seen.append(await _kept(guards))

    learned = [{("o8z6k", "EUR"): WELL_KNOWN + more} for more in (1, 2, 4)]
    assert seen == [learned[0], {}, *learned[1:]]


async def test_events_learned_before_a_restart_count_towards_the_limit():
    guards = ValueGuards(
        usual_amounts=[
            msgspec.structs.replace(_usual_amount("EUR", 30), event=f"e{number}")
            for number in range(MOST_USUAL_AMOUNTS - 1)
        ]
    )

    guards.learn("shop", [_amount("1.00", event=event) for event in ("one", "two", "e0")])

    assert await _kept(guards) == {("one", "EUR"): 1, ("e0", "EUR"): 31}


async def test_learned_amounts_are_stored_every_half_minute_and_after_a_failure():
    class Full(MemoryStore):
        is_full, writes = True, 0

        async def put(self, records):
            self.writes += 1
            if self.is_full:
                raise LedgerUnavailable(reason="no room", retry_after=1)
            await super().put(records)

    guards, clock, store = _learned(), MovingClock(), Full()
    running = asyncio.ensure_future(guards.run(store, clock))
    await clock.advance(KEEP_EVERY - 1)
    early = store.writes

    await clock.advance(1)
    store.is_full = False
    await clock.advance(3 * KEEP_EVERY)

    assert (early, store.writes) == (0, 2)
    (usual_amount,) = await store.load(UsualAmount)
    assert usual_amount.seen == 50
    running.cancel()
    await settled()


@given(
    prices=st.lists(st.decimals("0.01", "900000", places=2), min_size=20, max_size=40),
    value=st.decimals("0.01", "9000000", places=2),
)
def test_fast_check_passes_only_amounts_that_the_full_check_accepts(prices, value):
    usual_amount = UsualAmount(pixel="o8z6j", event="o8z6k", currency="EUR")
    for price in prices:
        usual_amount = learnt(usual_amount, str(price))
    least, most = reach_of(usual_amount)

    closer = unusual_amount({"EUR": usual_amount}, value=str(value), currency="EUR")

    assert closer is None or not least < float(value) < most
