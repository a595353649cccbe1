"""Which keys of sources were used is collected in memory, and costs the direct route nothing."""

import msgspec
import pytest
from direct_stage import ONE, Shop, connected, post
from http_stage import KEY

from builders import NOW, a_source
from memory_store.store import MemoryStore
from twite.domain.errors import LedgerUnavailable
from twite.domain.secret import Secret
from twite.gateway.identity.key_uses import KeyName, KeyUses
from twite.gateway.identity.source_keys import IN_SETTINGS
from twite.gateway.ports.state import SourceKeyUse
from twite.http.authorization import SourceKeys

FILE = KeyName("shop", IN_SETTINGS)
STORED = KeyName("shop", "0a1b2c3d4e")
TEXT = "tws_0a1b2c3d4e_a-stored-key-of-some-length"


def keys_of_shop(uses):
    shop = msgspec.structs.replace(a_source("shop"), stored_keys=(Secret(TEXT),))
    return SourceKeys([shop], uses)


@pytest.mark.parametrize(("text", "name"), [(KEY, FILE), (TEXT, STORED)])
def test_key_that_authenticates_a_request_is_used(text, name):
    uses = KeyUses()
    keys = keys_of_shop(uses)

    keys.find(b"another-key")
    keys.without(text.encode())
    keys.removed({"path": "/", "query_string": b"k=" + text.encode(), "headers": []})
    before = set(uses.used)
    keys.find(text.encode())

    assert (before, uses.used) == (set(), {name})


async def test_uses_are_stored_with_the_time():
    store, uses = MemoryStore(), KeyUses()
    uses.used |= {FILE, STORED}

    await uses.store(store, now=NOW)
    uses.used.add(FILE)
    await uses.store(store, now=NOW + 60_000)
    await uses.store(store, now=NOW + 120_000)

    assert await store.load(SourceKeyUse) == [
        SourceKeyUse(source="shop", id=STORED.id, used_at=NOW),
        SourceKeyUse(source="shop", id=IN_SETTINGS, used_at=NOW + 60_000),
    ]


async def test_uses_are_kept_while_the_store_is_not_available():
    class Full:
        async def put(self, *_, **__):
            uses.used.add(STORED)
            raise LedgerUnavailable(reason="the disk is full", retry_after=1)

    store, uses = MemoryStore(), KeyUses()
    uses.used.add(FILE)

    with pytest.raises(LedgerUnavailable):
        await uses.store(Full(), now=NOW)
    await uses.store(store, now=NOW + 1)

    assert {use.id for use in await store.load(SourceKeyUse)} == {FILE.id, STORED.id}


async def test_repeated_headers_count_as_a_use_once_after_each_storing(tmp_path):
    """The direct route recognizes repeated headers without looking at the key."""
    uses = KeyUses()
    async with Shop(tmp_path, is_direct=True, key_uses=uses).running() as shop:
        protocol, transport = connected(shop)
        used = []
        for number in range(4):
            if number == 2:
                await uses.store(MemoryStore(), now=NOW)
            body = ONE.replace(b"order-1", b"order-%d" % number)
            transport.answered.clear()
            protocol.data_received(post(body, keep=True))
            await transport.answered.wait()
            used.append(set(uses.used))
            uses.used.clear()
        protocol.connection_lost(None)

    assert used == [{FILE}, set(), {FILE}, set()]
