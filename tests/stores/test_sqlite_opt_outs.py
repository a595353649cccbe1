"""The opt-out list in an SQLite store."""

from contextlib import suppress

import msgspec

from builders import NOW, a_conversion, a_submission, an_entry
from twite.domain.consent import person_keys
from twite.domain.conversion import Identifiers
from twite.domain.errors import LedgerUnavailable
from twite.domain.times import MINUTE
from twite.gateway.ports.outbox import Claim
from twite.stores.sqlite import SQLiteStore

WISH = Claim(pixel="o8z6j", now=NOW, lease_until=NOW + MINUTE, limit=500, ambiguous_after=0)


def keys(store, person=None):
    return person_keys(person or a_conversion().identifiers, pixel="o8z6j", salt=store.salt)


async def test_unreadable_body_is_not_sent_while_there_are_opt_outs(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "t.db"))
    entry = msgspec.structs.replace(an_entry("order-1"), body=b"sealed")
    await store.record(a_submission(entry))
    await store.revoke(keys(store, Identifiers(click_id="another")), now=NOW)

    batch = await store.claim(WISH)

    (account,) = await store.balance()
    await store.close()
    assert (batch, account.suppressed) == (None, 1)


async def test_long_opt_out_list_is_read_when_the_store_opens(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "t.db"))
    many = [number.to_bytes(16) for number in range(2_000)]
    await store.revoke(many, now=NOW)
    await store.restore(many[:1_999])
    await store.close()

    again = await SQLiteStore.open(str(tmp_path / "t.db"))

    assert (again.lists(many[:1_999]), again.lists(many)) == (False, True)
    await again.close()


async def test_opt_out_that_was_not_written_is_not_listed(tmp_path):
    store = await SQLiteStore.open(str(tmp_path / "t.db"))
    await store.record(a_submission(an_entry("order-1")))
    await store.close()

    with suppress(LedgerUnavailable):
        await store.revoke(keys(store), now=NOW)

    assert not store.has_opt_outs()
