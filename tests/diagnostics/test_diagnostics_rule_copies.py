"""Diagnostics of value rules that read what only one of two copies has: field, source and fix."""

import json

import msgspec
import pytest
from intake_stage import DESTINATION, SHOP, intake

from builders import a_submission, an_entry
from twite.diagnostics import CheckStatus
from twite.diagnostics.value_rules import value_rules
from twite.domain.destination import Source
from twite.domain.stats.match_keys import MatchKeys
from twite.domain.submission import Endpoint
from twite.domain.times import spelled
from twite.formats.parsed_request import Native, ParsedRequest
from twite.machine.system import SystemClock
from twite.stores.sqlite import SQLiteStore
from written import GOOD, read

GOOD = GOOD.replace('origins = ["https://shop.example"]\n', "")
PAGE = '\n[[source]]\nname = "page"\npixel = "o8z6j"\norigins = ["https://page.example"]\n'
CRM = """
[[source]]
name = "crm"
pixel = "o8z6j"
[[webhook]]
name = "deals"
kind = "{kind}"
secret = "a-secret-that-nobody-will-guess"
source = "crm"
event = "purchase"
{more}
"""
MAPPED = CRM.format(
    kind="generic",
    more='map = { conversion_id = "id", value = "total", currency = "currency", email = "email" }\n'
    'signature = { header = "X-Signature" }',
)
ORDER = {
    "event": "purchase",
    "email": "shopper@example.com",
    "value": "59.50",
    "currency": "EUR",
}
TAX = {"tax": "9.50"}
NEW = {"new_customer": False}


def a_rule(value, when="value"):
    return f'\n[[value_rule]]\nname = "net"\nwhen = "{when}"\nvalue = "{value}"\n'


NET = a_rule("subtract(value, tax)")
COPIES = {
    "page": Endpoint.BEACON,
    "shop": Endpoint.NATIVE,
    "crm": Endpoint.WEBHOOK,
}


async def warned(folder, text, *, conversion_id="", **copies):
    """Return the warnings after each source sent an order.

    With a `conversion_id`, it is the same order, so that only the first source's copy is sent.
    """
    async with intake(str(folder / "twite.db")) as accept:
        for name, more in copies.items():
            source = Source(name=name, key=None, pixel=SHOP.pixel, pixels=SHOP.pixels)
            order = json.dumps({**ORDER, "conversion_id": conversion_id or f"of-{name}", **more})
            parsed = ParsedRequest(conversions=(msgspec.json.decode(order, type=Native),))
            await accept.parsed(parsed, source=source, endpoint=COPIES[name])
    return await warnings_of(folder, text)


async def warnings_of(folder, text):
    findings = [each async for each in value_rules(read(folder, text))]
    return [each for each in findings if each.status is CheckStatus.WARNING]


@pytest.mark.parametrize(
    ("copies", "lacking", "having", "fix"),
    [
        ({"page": {}, "shop": TAX}, "page (beacon)", "shop (native)",
         "Add tax to the calls of twite() in the pages of page, or leave tax out of the rule."),
        ({"page": TAX, "shop": {}}, "shop (native)", "page (beacon)",
         "Send tax from shop, or leave tax out of the rule."),
    ],
)  # fmt: skip
async def test_field_of_one_copy_is_named_with_its_source_and_fix(
    tmp_path, copies, lacking, having, fix
):
    (found,) = await warned(tmp_path, GOOD + PAGE + NET, **copies)

    assert found.found == (
        f"the rule net reads tax of purchase of pixel o8z6j, and the source {lacking} does not "
        "send it"
    )
    assert found.meaning.startswith(f"{having} may.")
    assert found.fix == fix


@pytest.mark.parametrize(
    ("rule", "page", "shop", "field"),
    [
        (a_rule("value", "new_customer"), {}, NEW, "new_customer"),
        (a_rule("length(description)"), {}, {"description": "two mugs"}, "description"),
        (a_rule("sum(contents[].price)"), {"contents": [{"id": "A"}]},
         {"contents": [{"id": "A", "price": "1"}]}, "price"),
        (a_rule("length(contents)"), {}, {"contents": [{"id": "A"}]}, "contents"),
    ],
)  # fmt: skip
async def test_field_of_when_and_of_lines_is_named(tmp_path, rule, page, shop, field):
    (found,) = await warned(tmp_path, GOOD + PAGE + rule, page=page, shop=shop)

    assert found.found.startswith(f"the rule net reads {field} of purchase")


@pytest.mark.parametrize(
    ("page", "shop"), [({}, {}), (TAX, TAX), (TAX | NEW, TAX), (TAX, {"tax": "0"})]
)
async def test_copies_that_have_the_same_fields_are_silent(tmp_path, page, shop):
    assert await warned(tmp_path, GOOD + PAGE + NET, page=page, shop=shop) == []


@pytest.mark.parametrize(
    ("copies", "lacking"),
    [
        ({"page": TAX, "shop": {}}, "shop (native)"),
        ({"page": {}, "shop": TAX}, "page (beacon)"),
        ({"shop": {}, "page": TAX}, "shop (native)"),
    ],
)
async def test_copies_that_always_come_second_are_compared(tmp_path, copies, lacking):
    (found,) = await warned(tmp_path, GOOD + PAGE + NET, conversion_id="order-7", **copies)

    assert f"the source {lacking} does not send it" in found.found


async def test_copies_that_come_second_with_the_same_fields_are_silent(tmp_path):
    copies = {"page": TAX, "shop": TAX}

    assert await warned(tmp_path, GOOD + PAGE + NET, conversion_id="order-7", **copies) == []


async def test_copies_whose_fields_have_other_contents_are_named_with_both_amounts(tmp_path):
    copies = {"page": TAX, "shop": {"tax": "4.50"}}

    (found,) = await warned(tmp_path, GOOD + PAGE + NET, conversion_id="order-7", **copies)

    assert found.found == (
        "the rule net gives the two copies of 1 of 1 purchase of pixel o8z6j different amounts, "
        "such as 50.00 EUR from page (beacon) and 55.00 EUR from shop (native)"
    )
    assert found.fix.startswith("Send the same tax, value from both")


async def test_copies_in_x_format_that_come_second_are_compared(tmp_path):
    async with intake(str(tmp_path / "twite.db")) as accept:
        page = Source(name="page", key=None, pixel=SHOP.pixel, pixels=SHOP.pixels)
        order = msgspec.json.encode({**ORDER, **TAX, "conversion_id": "order-7"})
        parsed = ParsedRequest(conversions=(msgspec.json.decode(order, type=Native),))
        await accept.parsed(parsed, source=page, endpoint=Endpoint.BEACON)
        copy = {
            "conversion_time": spelled(SystemClock().now()),
            "event_id": "tw-o8z6j-o8z6k",
            "identifiers": [{"hashed_email": "a" * 64}],
            "conversion_id": "order-7",
            "value": 59.5,
            "price_currency": "EUR",
        }
        body = msgspec.json.encode({"conversions": [copy]})
        await accept.from_x(destination=DESTINATION, body=body, source="shop")

    (found,) = await warnings_of(tmp_path, GOOD + PAGE + NET)

    assert "the source shop (x_api) does not send it" in found.found
    assert found.fix.startswith("X's own format has no tax: send the event with POST")


@pytest.mark.parametrize(("page", "count"), [({}, 1), (TAX, 0)])
async def test_copies_of_pages_that_always_came_first_are_judged_alone(tmp_path, page, count):
    await sent_by(tmp_path, "shop")

    found = await warned(tmp_path, GOOD + PAGE + NET, page=page)

    said = (
        "the rule net reads tax of purchase of pixel o8z6j, and the source page (beacon) does not "
        "send it"
    )
    assert [each.found for each in found] == [said] * count


async def test_field_that_a_mapping_lacks_is_added_to_it(tmp_path):
    (found,) = await warned(tmp_path, GOOD + PAGE + MAPPED + NET, page=TAX, crm={})

    assert "the source crm (webhook) does not send it" in found.found
    assert found.fix.startswith("Add tax to the map of the webhook deals, or leave tax out")


async def sent_by(folder, *senders):
    """Store that sources sent a purchase, in requests that are no longer readable."""
    store = await SQLiteStore.open(str(folder / "twite.db"))
    for name in senders:
        entry = msgspec.structs.replace(an_entry(f"of-{name}"), key_set=int(MatchKeys.CLICK))
        now = SystemClock().now()
        await store.record(a_submission(entry, receipt=name, source=name, received_at=now))
    await store.close()


@pytest.mark.parametrize(
    ("more", "rule", "sender", "fix"),
    [
        (MAPPED, NET, "crm (webhook)", "Add tax to the map of the webhook deals"),
        (MAPPED, a_rule("sum(contents[].price)"), "crm (webhook)", "Add contents"),
        (CRM.format(kind="stripe", more=""), a_rule("length(search)"), "crm (webhook)",
         "Let only others send the event: stripe has no search"),
        ("", NET, "x-api (x_api)", "X's own format has no tax"),
    ],
)  # fmt: skip
async def test_source_that_cannot_send_a_field_is_named_before_its_requests_are_read(
    tmp_path, more, rule, sender, fix
):
    await sent_by(tmp_path, "page", sender.partition(" ")[0])

    found, *_ = await warnings_of(tmp_path, GOOD + PAGE + more + rule)

    assert f"the source {sender} does not send it" in found.found
    assert found.fix.startswith(fix)


@pytest.mark.parametrize(
    ("more", "rule", "sender"),
    [
        (MAPPED.replace("map = {", 'map = { tax = "tax",'), NET, "crm"),
        (CRM.format(kind="stripe", more=""), NET, "crm"),
        (MAPPED.replace('name = "crm"', 'name = "crm"\nkey = "another-key-nobody-guesses"'), NET,
         "crm"),
        ("", a_rule("length(search)"), "x-api"),
    ],
)  # fmt: skip
async def test_source_that_may_send_a_field_is_not_named(tmp_path, more, rule, sender):
    await sent_by(tmp_path, "page", sender)

    (found,) = await warnings_of(tmp_path, GOOD + PAGE + more + rule)

    assert found.found.endswith("and pages and servers send purchase of pixel o8z6j")
    assert found.meaning.endswith("The store has no request that shows it.")
