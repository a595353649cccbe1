"""The denial in an ignored copy (of a robot, or above the value limit) applies to all copies."""

from decimal import Decimal

import pytest
from consent_shop import CLICK, Shop

from builders import NOW
from memory_store.store import MemoryStore
from twite.domain.delivery import State
from twite.domain.submission import Endpoint
from twite.formats.beacon.read import read as read_beacon
from twite.formats.event_data.conversions import parse_events
from twite.formats.ga4 import read as ga4
from twite.formats.page_visit import Visitor
from twite.gateway.ports.queries import ByConversionId
from twite.stores.sqlite import SQLiteStore

ROBOT = Visitor(now=NOW, user_agent="Googlebot/2.1")
LIMITED = Visitor(now=NOW, user_agent="Mozilla/5.0", value_limit=Decimal(1))
IGNORED = pytest.mark.parametrize("visitor", [ROBOT, LIMITED], ids=["bot", "value_limit"])


@pytest.fixture(params=["memory", "sqlite"])
async def shop(request, tmp_path):
    if request.param == "memory":
        yield Shop(MemoryStore())
        return
    store = await SQLiteStore.open(str(tmp_path / "t.db"))
    yield Shop(store)
    await store.close()


def of_beacon(shop, visitor, word):
    body = (
        '{"conversions":[{"event":"purchase","conversion_id":"order-1","value":"9","currency":"EUR",'
        f'"email":"a@example.com","consent":{{"ad_storage":"{word}"}}}}]}}'
    )
    beacon = read_beacon(body.encode(), visitor)
    return beacon.parsed, Endpoint.BEACON, beacon.pixel_calls


def of_ga4(shop, visitor, word):
    signal = "G100" if word == "denied" else "G111"
    tagged = ga4.read(
        "v=2&tid=G-1&cid=1.2&en=purchase&ep.transaction_id=order-1&epn.value=9&cu=EUR"
        f"&gcs={signal}",
        b"",
    )
    found = parse_events(
        tagged.events, source=shop.source, destinations=shop.destinations, visitor=visitor
    )
    return found, Endpoint.GA4, ()


async def copy(shop, read, visitor, word="denied"):
    found, endpoint, pixel_calls = read(shop, visitor, word)
    assert len(found.ignored) == 1
    return await shop.accept.parsed(
        found, source=shop.source, endpoint=endpoint, pixel_calls=pixel_calls
    )


async def states(shop):
    query = ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id="order-1")
    return [life.state for life in await shop.store.find(query)]


@IGNORED
@pytest.mark.parametrize("read", [of_beacon, of_ga4])
async def test_denial_in_an_ignored_copy_withdraws_the_queued_conversion(shop, read, visitor):
    await shop.sell(twclid=CLICK)

    receipt = await copy(shop, read, visitor)

    assert (receipt.accepted, receipt.suppressed) == (0, 1)
    assert await shop.claim() is None
    assert await states(shop) == [State.SUPPRESSED] * 2


@IGNORED
@pytest.mark.parametrize("read", [of_beacon, of_ga4])
async def test_denial_in_an_ignored_copy_suppresses_a_later_copy(shop, read, visitor):
    await copy(shop, read, visitor)

    receipt = await shop.sell()

    assert (receipt.accepted, receipt.duplicates) == (0, 1)
    assert await shop.claim() is None


@IGNORED
@pytest.mark.parametrize("read", [of_beacon, of_ga4])
async def test_grant_in_an_ignored_copy_has_no_effect(shop, read, visitor):
    receipt = await copy(shop, read, visitor, word="granted")

    assert (receipt.accepted, receipt.suppressed, receipt.rejected) == (0, 0, ())
    assert await states(shop) == []
