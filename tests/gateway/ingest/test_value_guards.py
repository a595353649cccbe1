"""What becomes of an amount that is far from the usual."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_conversion
from memory_store.store import MemoryStore
from twite.domain.errors import LedgerUnavailable
from twite.domain.stats.value_guard import UsualAmount, ValueGuard, learnt, reach_of, remarkable
from twite.gateway.ingest.value_guard import MOST_NORMS, ValueGuards


def _worth(value, event="o8z6k"):
    return msgspec.structs.replace(a_conversion(event=event), value=value)


def _taught(**said):
    guards = ValueGuards(**said)
    guards.learn("shop", [_worth("49.90")] * 50)
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
def test_a_source_is_heard_before_its_pixel(said, kind, held):
    flag, reason = _taught(**said).look("shop")(_worth("4990.00"))

    assert flag is not None
    assert (flag.kind, reason is not None) == (kind, held)


def test_what_is_off_is_neither_learnt_nor_flagged():
    guards = _taught(pixels={"o8z6j": ValueGuard.OFF})

    assert guards.look("shop")(_worth("4990.00")) == (None, None)


def test_what_is_usual_is_not_held():
    guards = _taught(pixels={"o8z6j": ValueGuard.HOLD})

    assert guards.look("shop")(_worth("49.90")) == (None, None)


async def test_what_was_learnt_outlives_a_restart():
    store = MemoryStore()
    await _taught().keep(store)

    guards = ValueGuards(norms=await store.load(UsualAmount))

    flag, _ = guards.look("shop")(_worth("0.00"))
    assert flag is not None
    assert flag.kind == "zero"


async def test_what_cannot_be_written_is_with_the_next():
    class Full(MemoryStore):
        async def put(self, records, **_more):
            raise LedgerUnavailable(reason=f"no room for {len(records)}", retry_after=1)

    guards = _taught()
    with pytest.raises(LedgerUnavailable):
        await guards.keep(Full())
    store = MemoryStore()

    await guards.keep(store)

    (norm,) = await store.load(UsualAmount)
    assert norm.seen == 50


async def test_what_is_remembered_has_an_end():
    guards = ValueGuards()
    guards.learn("x-api", [_worth("1.00", event=f"e{number}") for number in range(MOST_NORMS + 5)])
    store = MemoryStore()

    await guards.keep(store)

    assert len(await store.load(UsualAmount)) == MOST_NORMS


@given(
    prices=st.lists(st.decimals("0.01", "900000", places=2), min_size=20, max_size=40),
    value=st.decimals("0.01", "9000000", places=2),
)
def test_what_is_passed_quickly_is_nothing_that_a_closer_look_would_remark(prices, value):
    norm = UsualAmount(pixel="o8z6j", event="o8z6k", currency="EUR")
    for price in prices:
        norm = learnt(norm, str(price))
    least, most = reach_of(norm)

    closer = remarkable({"EUR": norm}, value=str(value), currency="EUR")

    assert closer is None or not least < float(value) < most
