"""Value rules give a page's copy and a server's copy of an order the same amount."""

import json

import pytest
from shop import VALUES
from visitor import bought, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

ORDER = {
    "value": "49.90",
    "currency": "EUR",
    "email": "shopper@example.com",
    "description": "two mugs for 50\u00a0€",
    "contents": [
        {"id": "SKU-1", "name": "Mug", "price": "24.95", "quantity": 2, "group": "a", "type": "b"}
    ],
    "tax": "7.97",
    "shipping": "4.90",
    "new_customer": True,
}
# 49.90 and 7.97, as pages calculate them.
SUMS = {"value": "499 * 0.1", "tax": "3 * 2.6566666", "shipping": "4.9", "new_customer": "true"}
AMOUNTS = {
    "value": "149.70",
    "currency": "3.00",
    "quantity": "14.00",
    "contents": "49.90",
    "lines": "10.00",
    "description": "17.00",
    "search": "11.00",
    "tax": "41.93",
    "shipping": "45.00",
    "new_customer": "99.80",
}


async def test_rules_give_copies_of_pages_and_servers_the_same_amount(visitor, site):
    site.shop.page("/thanks", "", head=site.tag(data_pixel="off"))
    address = f"{site.shop.origin}/thanks"

    await visitor.goes_to("/thanks")
    for name in VALUES:
        order = {**ORDER, "order_id": f"page-{name}", "search": f"rule {name}"}
        await visitor.does(
            f"twite('purchase', {{...{json.dumps(order)}, "
            f"{', '.join(f'{field}: {text}' for field, text in SUMS.items())}}})"
        )
        copy = {**ORDER, "event": "purchase", "search": f"rule {name}", "url": address}
        site.gateway.post({**copy, "conversion_id": f"server-{name}"})
    await until(lambda: len(site.sent()) == 2 * len(VALUES))

    sent = {conversion["conversion_id"]: conversion["value"] for conversion in site.sent()}
    of_pages = {name: sent[f"page-{name}"] for name in VALUES}
    assert of_pages == {name: sent[f"server-{name}"] for name in VALUES}
    assert of_pages == {**AMOUNTS, "url": f"{len(address)}.00"}


@pytest.mark.parametrize(("is_new", "value"), [("true", 99.8), ("false", 49.9)])
async def test_x_gets_the_amount_of_a_rule_and_none_of_its_own_fields(visitor, site, is_new, value):
    site.shop.page("/", "", head=site.tag() + site.x_tag())
    fields = f"tax: 7.97, shipping: 0, new_customer: {is_new}, search: 'rule new_customer'"

    await visitor.goes_to("/")
    await visitor.does(bought(f"new-{is_new}").replace("currency:", f"{fields}, currency:"))
    await until(lambda: len(site.sent()) == len(site.hits()) == 1)

    [[sent], [hit]] = site.sent(), site.hits()
    assert (float(sent["value"]), hit["value"]) == (value, 49.9)
    assert not {"tax", "shipping", "new_customer"} & {*sent, *hit}
