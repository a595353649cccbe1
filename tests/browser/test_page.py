"""A purchase, in the page and at X."""

import pytest
from visitor import ADDRESS, AGENT, TWCLID, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

BOUGHT = """
  twite('purchase', {order_id: '%s', value: 49.9, currency: 'EUR', email: ' Shopper@Example.com ',
    phone: '020 7946 0958', contents: [{id: 'SKU-1', name: 'Mug', price: 24.95, quantity: 2}]})
"""
SHOPPER = "0a1c8ad0d1f6d0b0f5b3d2e0"  # replaced below


async def test_a_purchase_three_pages_after_the_landing_is_counted_once(visitor, street):
    for path in ("/", "/mugs", "/basket", "/thanks"):
        street.shop.page(path, "", head=street.tag() + street.x_tag())

    await visitor.goes_to(f"/?twclid={TWCLID}")
    for path in ("/mugs", "/basket", "/thanks"):
        await visitor.goes_to(path)
    await visitor.does(BOUGHT % "order-1")
    await until(lambda: street.counted("order-1")["api"] and street.counted("order-1")["pixel"])

    assert street.counted("order-1") == {"api": 1, "pixel": 1, "counted": 1}
    print(street.sent(), street.hits(), visitor.beacons(), await visitor.context.cookies())
