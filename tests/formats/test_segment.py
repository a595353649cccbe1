"""Calls of Segment's API as conversions: names, ids, amounts, items, times."""

import json

import pytest
from segment_calls import CLICK, ORDER, PAGE, SERVER, batch, conversion_of, order, read_all
from tag_cases import DESTINATIONS, NOW, a_shop

from twite.domain.times import DAY, HOUR, MINUTE, spelled
from twite.formats.event_data.conversions import parse_events
from twite.formats.segment.event import STANDARD_NAMES


def test_completed_order_becomes_a_purchase():
    call = order(
        {
            "products": [
                {
                    "product_id": "P-1", "sku": "S-1", "name": "Mug", "price": 24.95,
                    "quantity": 2, "category": "kitchen",
                }
            ],
        },
        {
            "ip": "203.0.113.9",
            "userAgent": "Mozilla/5.0 (X11)",
            "page": {"url": f"https://shop.example/thanks?twclid={CLICK}"},
        },
    )  # fmt: skip

    conversion = conversion_of(call)

    assert (conversion.event, conversion.conversion_id) == ("o8z6a", "O-1")
    assert (conversion.value, conversion.currency, conversion.quantity) == ("49.90", "EUR", 2)
    assert (conversion.identifiers.ip, conversion.identifiers.user_agent) == (
        "203.0.113.9",
        "Mozilla/5.0 (X11)",
    )
    assert conversion.identifiers.click_id == CLICK
    assert conversion.identifiers.email is not None
    assert conversion.url == "https://shop.example/thanks"
    (item,) = conversion.contents
    assert (item.id, item.name, item.price, item.type) == ("P-1", "Mug", "24.95", "kitchen")


def test_webhook_of_posthog_in_the_shape_of_a_track_becomes_a_purchase():
    person = {"email": "shopper@shop.example", "$initial_utm_source": "x"}
    properties = {
        "order_id": "O-1", "total": 49.9, "currency": "EUR", "$lib": "web", "$ip": "203.0.113.9",
        "$current_url": f"https://shop.example/thanks?twclid={CLICK}", "$set": {"plan": "a"},
    }  # fmt: skip
    body = {
        "event": "order completed",
        "messageId": "018f5e7a-2b3c-7000-8000-000000000001",
        "userId": "user-7",
        "timestamp": spelled(NOW - MINUTE),
        "properties": properties,
        "person": {"id": "p-1", "properties": person},
        "context": {
            "traits": person,
            "ip": properties["$ip"],
            "userAgent": None,
            "page": {"url": properties["$current_url"]},
        },
    }

    _, (result,) = read_all(body, call="track")

    conversion = result.conversion
    assert (conversion.event, conversion.conversion_id) == ("o8z6a", "O-1")
    assert (conversion.value, conversion.time) == ("49.90", NOW - MINUTE)
    assert (conversion.identifiers.click_id, conversion.identifiers.ip) == (CLICK, "203.0.113.9")
    assert conversion.identifiers.email is not None


@pytest.mark.parametrize("name", STANDARD_NAMES)
def test_standard_name_becomes_the_pixels_event(name):
    found, _ = read_all(batch(order(event=name.title())))

    known = {
        "purchase": "purchase", "add_to_cart": "add_to_cart", "checkout_initiated": "checkout",
        "content_view": "view_item", "search": "search", "sign_up": "sign_up",
    }  # fmt: skip
    expected = known.get(STANDARD_NAMES[name])
    if expected is None:
        assert [(item.name, item.reason) for item in found.ignored] == [
            (name.title(), "not_configured")
        ]
    else:
        assert [conversion.event for conversion in found.conversions] == [expected]


def test_names_of_segment_mean_nothing_in_other_formats():
    found = parse_events(
        [{"event_name": "Order Completed", "email": "a@shop.example"}],
        source=a_shop(),
        destinations=DESTINATIONS,
        visitor=SERVER,
    )

    assert [item.reason for item in found.ignored] == ["not_configured"]


def test_mapping_of_the_source_has_priority_over_standard_names():
    events = {"order completed": "lead", "page": "page_view"}

    found, _ = read_all(
        batch(order(), {"type": "page", "name": "Home"}, {"type": "identify"}), events=events
    )

    assert [conversion.event for conversion in found.conversions] == ["lead", "page_view"]
    assert [(item.name, item.reason) for item in found.ignored] == [("identify", "not_configured")]


@pytest.mark.parametrize("kind", ["identify", "page", "screen", "group", "alias"])
def test_other_calls_are_ignored_and_counted_by_type(kind):
    found, _ = read_all({"userId": "u", "event": "Order Completed"}, call=kind)

    assert [(item.name, item.reason) for item in found.ignored] == [(kind, "not_configured")]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"checkout_id": "C-1", "conversionId": "V-1"}, "O-1"),
        ({"order_id": "", "checkout_id": "C-1", "conversionId": "V-1"}, "C-1"),
        ({"order_id": None, "conversionId": "V-1"}, "V-1"),
        ({"order_id": "undefined"}, "m-1"),
        ({"order_id": 820982911946154508}, "820982911946154508"),
    ],
)
def test_conversion_id_is_the_first_id_that_has_a_value(properties, expected):
    assert conversion_of(order(properties)).conversion_id == expected


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"value": 1, "revenue": 2}, "49.90"),
        ({"total": None, "value": 30, "revenue": 20}, "30.00"),
        ({"total": "", "revenue": "20.5"}, "20.50"),
        ({"total": 0, "revenue": 20}, "0.00"),
        ({"total": None, "products": [{"sku": "A", "price": 1.5, "quantity": 2}]}, "3.00"),
        ({"currency": None}, None),
    ],
)
def test_value_is_the_first_amount(properties, expected):
    assert conversion_of(order(properties)).value == expected


@pytest.mark.parametrize("digits", ["1234567890123456.78", "0.12345678901234567", "49.9", "1e2"])
def test_digits_of_amounts_do_not_change(digits):
    body = json.dumps(batch(order())).replace("49.9", digits).encode()

    _, (result,) = read_all(body)

    expected = {"49.9": "49.90", "1e2": "100.00"}.get(digits, digits)
    assert result.conversion.value == expected


def test_unreadable_total_rejects_its_conversion_alone():
    _, (bad, good) = read_all(batch(order({"total": "1.234,50"}), order({"order_id": "O-2"})))

    assert [(fault.path, fault.code) for fault in bad.faults] == [("value", "not_an_amount")]
    assert good.conversion.conversion_id == "O-2"


@pytest.mark.parametrize("price", ["a lot", {"amount": 1}, [1], -1])
def test_unreadable_price_of_an_item_is_left_out_with_a_note(price):
    products = [{"sku": "A", "price": 2}, {"sku": "B", "price": price}]

    found, (result,) = read_all(batch(order({"products": products})))

    assert [item.price for item in result.conversion.contents] == ["2.00", None]
    assert json.loads(bytes(found.hit))[0]["left_out"] == "products[1].price"


def test_product_in_the_properties_is_the_only_item():
    properties = {"sku": "S-1", "name": "Mug", "price": 4, "quantity": 2, "currency": "EUR"}
    call = {**ORDER, "event": "Product Added", "properties": properties}

    conversion = conversion_of(call)

    assert [(item.id, item.price) for item in conversion.contents] == [("S-1", "4.00")]
    assert (conversion.value, conversion.conversion_id) == ("8.00", "m-1")


def test_items_beyond_the_limit_cost_no_conversion():
    products = [{"sku": "A"}] * 150
    calls = [order({"order_id": f"O-{n}", "products": products}) for n in range(15)]

    found, results = read_all(batch(*calls))

    assert [result.conversion is not None for result in results] == [True] * 15
    lines = [len(result.conversion.contents) for result in results]
    assert (lines[:13], lines[13:]) == ([150] * 13, [0, 0])
    assert json.loads(bytes(found.hit))[14]["left_out"] == "products"


@pytest.mark.parametrize(
    ("stated", "sent", "expected"),
    [
        (NOW - HOUR, NOW, NOW - HOUR),
        # The client's clock is a year ahead, or behind.
        (NOW + 365 * DAY - HOUR, NOW + 365 * DAY, NOW - HOUR),
        (NOW - 365 * DAY - HOUR, NOW - 365 * DAY, NOW - HOUR),
        (NOW, NOW - HOUR, NOW),
        (NOW - 9 * DAY, NOW, NOW - 9 * DAY),
    ],
)
def test_time_is_corrected_by_the_time_of_sending(stated, sent, expected):
    call = order(timestamp=spelled(stated))

    assert conversion_of({**call, "sentAt": spelled(sent)}).time == expected
    _, (result,) = read_all(batch(call, sentAt=spelled(sent)))
    assert result.conversion.time == expected


def test_original_timestamp_counts_before_the_timestamp():
    call = order(originalTimestamp=spelled(NOW - HOUR), timestamp=spelled(NOW), sentAt=spelled(NOW))

    assert conversion_of(call).time == NOW - HOUR


def test_time_of_a_server_without_a_time_of_sending_is_used_unchanged():
    stated = spelled(NOW - MINUTE)

    assert conversion_of(order(timestamp=stated)).time == NOW - MINUTE
    assert conversion_of(order(timestamp=stated), visitor=PAGE).time == NOW


def test_page_cannot_report_events_older_than_a_week():
    call = order(timestamp=spelled(NOW - 8 * DAY), sentAt=spelled(NOW))

    assert conversion_of(call, visitor=PAGE).time == NOW


def test_unreadable_time_is_a_visible_reject():
    _, (result,) = read_all(batch(order(timestamp="yesterday")))

    assert [(fault.path, fault.code) for fault in result.faults] == [("time", "not_a_time")]
