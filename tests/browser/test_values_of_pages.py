"""Tax, shipping and new customers of a page: value rules read them, and X never gets them."""

import pytest
from visitor import bought, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

ONCE = {"api": 1, "pixel": 1, "counted": 1}


@pytest.mark.parametrize(("is_new", "value"), [("true", "74.06"), ("false", "37.03")])
async def test_rules_read_tax_shipping_and_new_customers_of_a_page(visitor, site, is_new, value):
    site.shop.page("/", "", head=site.tag() + site.x_tag())
    more = f"tax: 3 * 2.6566666, shipping: '4.90', new_customer: {is_new}, currency:"

    await visitor.goes_to("/")
    await visitor.does(bought(f"order-net-{is_new}").replace("currency:", more))
    await until(lambda: site.counted(f"order-net-{is_new}") == ONCE)

    [[sent], [hit]] = site.sent(), site.hits()
    assert (sent["value"], hit["value"]) == (value, 49.9)
    assert visitor.conversions()[0]["tax"] == "7.97"
    assert not {"tax", "shipping", "new_customer"} & {*sent, *hit}
