# ruff: noqa: S101 - assertions are how laws speak
"""Store contract: the erasure of a person, and the end of a store."""

import pytest

from twite.domain.consent import person_keys
from twite.domain.delivery import State
from twite.domain.errors import LedgerUnavailable
from twite.domain.people.users import AuditEvent
from twite.gateway.operations.erase import ERASED, PREFIX
from twite.gateway.ports.privacy import EraseStore
from twite.gateway.ports.queries import ByReceipt
from twite.gateway.ports.store import Store
from twite.testing.builders import NOW, a_conversion
from twite.testing.laws.actions import (
    PIXEL,
    balanced,
    claim,
    claim_or_none,
    histories,
    record,
)


class PrivacyLaws:
    async def test_an_erased_conversion_is_neither_sent_nor_found_and_is_counted_still(
        self, store: Store
    ) -> None:
        await record(store, "order-1")
        (before,) = await histories(store, "order-1")

        done = await store.erase(EraseStore(conversions=(before.delivery,)), now=NOW + 1)

        (after,) = await store.find(ByReceipt(receipt="r1"))
        whole = await balanced(store)
        assert (done, after.state, after.reason) == (1, State.SUPPRESSED, ERASED)
        assert after.conversion_id.startswith(PREFIX)
        assert after.sent.strip() in {b"", b"{}"}
        assert (whole.received, whole.suppressed) == (1, 1)
        assert await claim_or_none(store, now=NOW + 2) is None

    async def test_what_is_in_flight_is_left_for_a_later_slice(self, store: Store) -> None:
        await record(store, "order-1")
        batch = await claim(store)

        done = await store.erase(EraseStore(conversions=(batch.deliveries[0].id,)), now=NOW + 1)

        assert done == 0
        assert len(await histories(store, "order-1")) == 1

    async def test_an_erasure_lists_keys_and_is_in_the_audit_log(self, store: Store) -> None:
        keys = person_keys(a_conversion().identifiers, pixel=PIXEL, salt=store.salt)
        event = AuditEvent(at=NOW, who="ada", what="erase", subject="digest")

        await store.erase(EraseStore(keys=keys, audit_event=event), now=NOW)

        assert store.lists(keys)
        assert [entry.audit_event for entry in await store.people.audit(after=0, limit=9)] == [
            event
        ]

    async def test_a_closed_store_takes_nothing(self, store: Store) -> None:
        await store.close()

        with pytest.raises(LedgerUnavailable):
            await record(store, "order-1")
