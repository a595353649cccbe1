"""Mappings of webhooks: expressions to the fields of conversions, and what they cannot read."""

import json

import msgspec
import pytest

from builders import NOW, a_destination, a_source
from formats.webhook_builders import a_message, a_webhook, reason_of
from twite.consent.verdict import judging
from twite.domain.errors import MalformedRequest
from twite.domain.times import spelled
from twite.formats.mapped_sample import sample_body
from twite.formats.native.read import MAX_CONVERSIONS, read_parsed
from twite.formats.webhook_kinds import KINDS
from twite.formats.webhook_map import FIELDS, MappedOptions, check_map, read_mapped

ORDER = {
    "type": "order.paid",
    "data": {
        "order": {"id": 820982911946154508, "total": 403.10, "cents": 40310, "currency": "USD"},
        "customer": {"email": "shopper@example.com", "tags": ["a", "b"], "vip": True},
        "lines": [{"sku": "MUG-1", "title": "Mug", "unit": 201.55, "count": 2}],
    },
}
MAP = {
    "conversion_id": "data.order.id",
    "value": "data.order.total",
    "currency": "data.order.currency",
    "email": "data.customer.email",
}


def a_mapping(**options):
    return a_webhook(KINDS["standard"], **({"map": MAP} | options))


def reading_of(sent, **options):
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    return read_mapped(body, a_mapping(**options))


def only(reading):
    """Return the only conversion and its faults, after the rules of the native format."""
    result = results(reading)[0]
    return result.conversion, [(fault.path, fault.code) for fault in result.faults]


def results(reading):
    source = a_source()
    return read_parsed(
        reading.parsed,
        source=source,
        destinations={"o8z6j": a_destination()},
        now=NOW,
        salt=b"salt",
        judge=judging(policy=source.consent, now=NOW, revoked=None),
    ).results


def with_map(**more):
    return {"map": MAP | more}


def changed(place, value):
    """Return the order with another value at a path, such as `order.total`."""
    order = json.loads(json.dumps(ORDER))
    part, key = place.split(".")
    order["data"][part][key] = value
    return order


def test_ids_and_money_are_exact():
    conversion, faults = only(reading_of(ORDER))

    assert faults == []
    assert conversion.conversion_id == "820982911946154508"
    assert (conversion.value, conversion.currency) == ("403.10", "USD")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("sum(data.lines[].unit)", "201.55"),
        ("to_number('403.10')", "403.10"),
        ("data.order.missing || data.order.total", "403.10"),
        ("`0`", "0.00"),
        ("'0'", "0.00"),
    ],
)
def test_amounts_of_functions_are_exact(expression, value):
    conversion, faults = only(reading_of(ORDER, **with_map(value=expression)))

    assert (conversion.value, faults) == (value, [])


@pytest.mark.parametrize(
    ("cents", "currency", "value"),
    [
        (40310, "USD", "403.10"),
        (40310, "JPY", "40310.00"),
        ("1", "KWD", "0.001"),
        (5, "EUR", "0.05"),
    ],
)
def test_minor_units_are_converted_by_the_currency(cents, currency, value):
    order = changed("order.cents", cents)
    order["data"]["order"]["currency"] = currency

    found = reading_of(order, minor_units=True, **with_map(value="data.order.cents"))

    assert only(found)[0].value == value


def test_minor_units_are_whole_numbers():
    found = reading_of(ORDER, minor_units=True)

    assert only(found) == (None, [("value", "not_an_amount")])


@pytest.mark.parametrize(
    ("order", "faults"),
    [
        (changed("order.total", None), [("value", "not_an_amount")]),
        (changed("order.total", ""), [("value", "not_an_amount")]),
        (changed("order.total", "free"), [("value", "not_an_amount")]),
        (changed("order.total", -1), [("value", "amount_negative")]),
        (changed("order.total", [1]), [("value", "wrong_type")]),
        (changed("order.total", {"amount": 1}), [("value", "wrong_type")]),
        (changed("order.total", value=True), [("value", "wrong_type")]),
        (changed("order.currency", "XXY"), [("currency", "currency_unknown")]),
        (changed("order.currency", None), [("currency", "currency_missing")]),
        (changed("order.id", None), [("conversion_id", "wrong_type")]),
        (changed("order.id", ["a"]), [("conversion_id", "wrong_type")]),
        (changed("order.id", "shopper@example.com"), [("conversion_id", "id_is_a_person")]),
        (changed("customer.email", {"value": 1}), [("email", "wrong_type")]),
    ],
)
def test_what_a_message_lacks_is_a_fault_of_its_field(order, faults):
    conversion, found = only(reading_of(order))

    assert conversion is None
    assert [each for each in found if each[1] != "identifier_missing"] == faults


def test_lists_are_refused_with_a_fix():
    found = reading_of(ORDER, **with_map(email="data.customer.tags"))

    (fault,) = found.parsed.faults[0]
    assert (fault.path, fault.code) == ("email", "wrong_type")
    assert fault.message == (
        "the expression yields a list. Write one that yields a text, such as with | [0]"
    )


def test_failing_expressions_are_faults_that_do_not_quote_the_message():
    found = reading_of(ORDER, **with_map(value="sum(data.customer.tags)"))

    (fault,) = found.parsed.faults[0]
    assert (fault.path, fault.code) == ("value", "wrong_type")
    assert fault.message == "the expression fails: sum() does not take text"


def test_literal_null_leaves_a_field_out():
    conversion, faults = only(reading_of(ORDER, **with_map(value="`null`", currency="`null`")))

    assert (conversion.value, conversion.currency, faults) == (None, None, [])


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-11-24T10:00:00Z", "2026-11-24T10:00:00.000Z"),
        ("2026-11-24T11:00:00.5+01:00", "2026-11-24T10:00:00.500Z"),
        (1795514400, "2026-11-24T10:00:00.000Z"),
        (1795514400123, "2026-11-24T10:00:00.123Z"),
        ("1795514400123", "2026-11-24T10:00:00.123Z"),
        (1795514400.5, "2026-11-24T10:00:00.500Z"),
    ],
)
def test_times_may_be_unix_times(written, read):
    order = changed("order.total", 1) | {"at": written}

    assert spelled(only(reading_of(order, **with_map(time="at")))[0].time) == read


@pytest.mark.parametrize("written", ["2026-11-24T10:00:00", "today", 10**30, -1])
def test_times_without_a_zone_are_faults(written):
    order = changed("order.total", 1) | {"at": written}

    assert only(reading_of(order, **with_map(time="at")))[1] == [("time", "not_a_time")]


@pytest.mark.parametrize(
    ("stated", "consent"),
    [
        (True, {"ad_storage": "granted", "ad_user_data": "granted"}),
        (False, {"ad_storage": "denied", "ad_user_data": "denied"}),
        ("denied", {"ad_storage": "denied", "ad_user_data": "denied"}),
        ({"ad_storage": "granted"}, {"ad_storage": "granted"}),
        ({"ad_storage": 1}, {"ad_storage": "unreadable"}),
        (["granted"], {"ad_storage": "unreadable"}),
        (1, {"ad_storage": "unreadable"}),
        ({}, {"ad_storage": "unreadable"}),
        (None, None),
    ],
)
def test_consent_that_cannot_be_read_may_be_a_denial(stated, consent):
    found = reading_of(ORDER | {"ads": stated}, **with_map(consent="ads"))

    assert found.parsed.conversions[0].consent == consent


def test_failing_consent_may_be_a_denial():
    found = reading_of(ORDER, **with_map(consent="sum(data.customer.tags)"))

    assert found.parsed.conversions[0].consent == {"ad_storage": "unreadable"}


def test_contents_are_read_and_bad_prices_left_out():
    lines = [
        {"sku": "A", "title": "Mug", "unit": 2.50, "count": 2},
        {"sku": 7, "unit": {"amount": 1}, "count": "many"},
        {"sku": "C", "unit": "free", "count": 0},
    ]
    order = ORDER | {"data": ORDER["data"] | {"lines": lines}}
    shape = "data.lines[].{id: sku, name: title, price: unit, quantity: count}"

    conversion, faults = only(reading_of(order, **with_map(contents=shape)))

    assert faults == []
    assert [(line.id, line.name, line.price, line.quantity) for line in conversion.contents] == [
        ("A", "Mug", "2.50", 2),
        ("7", None, None, None),
        ("C", None, None, None),
    ]


def test_contents_that_are_no_objects_are_a_fault():
    found = reading_of(ORDER, **with_map(contents="data.lines[].sku"))

    assert [fault.path for fault in found.parsed.faults[0]] == ["contents"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"when": "type == 'order.refunded'"}, "other_message"),
        ({"when": "data.paid"}, "other_message"),
        ({"ignore": {"test": "data.customer.vip"}}, "test"),
        ({"ignore": {"refund": "starts_with(type, 'order.')"}}, "refund"),
        ({"each": "data.missing"}, "no_data"),
        ({"each": "`[]`"}, "no_data"),
    ],
)
def test_messages_without_a_conversion_are_ignored_by_reason(options, reason):
    found = reading_of(ORDER, **options)

    assert (found.name, reason_of(found)) == ("order.paid", reason)


def test_messages_that_no_condition_ignores_are_conversions():
    found = reading_of(ORDER, when="type == 'order.paid'", ignore={"test": "data.test"})

    assert only(found)[1] == []


@pytest.mark.parametrize("options", [{"when": "sum(type)"}, {"ignore": {"test": "sum(type)"}}])
def test_conditions_that_fail_are_rejected_and_not_sent(options):
    found = reading_of(ORDER, **options)

    assert not found.parsed.ignored
    conversion, faults = only(found)
    assert conversion is None
    assert ("", "wrong_type") in faults


def test_several_conversions_are_read_each_by_itself():
    orders = [ORDER, changed("order.total", None), ORDER | {"type": "order.refunded"}]

    found = reading_of({"batch": orders}, each="batch", when="type == 'order.paid'")

    assert [result.conversion is not None for result in results(found)] == [True, False]
    assert [(each.name, each.reason) for each in found.parsed.ignored] == [
        ("order.refunded", "other_message")
    ]


@pytest.mark.parametrize(
    ("message", "options", "code"),
    [
        (b"text", {}, "not_json"),
        (b"", {}, "not_json"),
        ({"batch": {}}, {"each": "batch"}, "wrong_shape"),
        ({"batch": "x"}, {"each": "sum(batch)"}, "wrong_shape"),
        ({"batch": [{}] * (MAX_CONVERSIONS + 1)}, {"each": "batch"}, "too_many"),
    ],
)
def test_messages_that_cannot_be_read_are_malformed(message, options, code):
    with pytest.raises(MalformedRequest) as refused:
        reading_of(message, **options)

    assert refused.value.code == code


@pytest.mark.parametrize("message", [[], [ORDER], "text", 7, None, True])
def test_messages_of_another_shape_are_rejected_and_do_not_raise(message):
    assert only(reading_of(message))[0] is None


def test_names_of_messages_contain_no_person():
    found = reading_of(ORDER | {"type": "shopper@example.com"}, when="`false`")

    assert "shopper" not in found.name
    assert reading_of(ORDER, message="data.customer").name == "unnamed"


@pytest.mark.parametrize(
    ("options", "complaints"),
    [
        ({}, ["map.conversion_id: is missing. Write where the id is, such as"]),
        ({"map": {"conversion_id": "id", "vlaue": "v"}},
         ["map.vlaue: unknown key. Did you mean 'value'?"]),
        ({"map": {"conversion_id": "id", "event": "e"}},
         ["map.event: unknown key. Available: con"]),
        ({"map": {"conversion_id": "id["}}, ["map.conversion_id: ends too early."]),
        ({"map": MAP, "when": "a ==", "each": "b(", "message": "nope(@)"},
         ["when: ends too early", "each: ends too early", "message: has an unknown function nope"]),
        ({"map": MAP, "ignore": {"tests": "a", "refund": "a b"}},
         ["ignore.tests: unknown key. Did you mean 'test'?", "ignore.refund: is not JMESPath"]),
    ],
)  # fmt: skip
def test_wrong_mappings_are_refused_by_place(options, complaints):
    found = [f"{each.key}: {each.message}" for each in check_map(MappedOptions(**options))]

    assert [text[: len(complaint)] for text, complaint in zip(found, complaints, strict=True)] == (
        complaints
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"when": "type == 'order.paid' && data.paid"},
        {"when": "'order.paid' == type", "minor_units": True},
        {"when": "version == `1.5`"},
        {
            "each": "data.orders[]",
            "map": {"conversion_id": "id", "email": "who[0].email || mail"},
        },
        with_map(contents="data.lines[].{id: sku, price: unit, quantity: count}"),
        with_map(email="data.fields[?name=='email'].value | [0]", consent="data.ads"),
        with_map(conversion_id="to_string(data.order.id)", time="data.paid_at"),
    ],
)
def test_samples_are_what_the_mapping_reads(options):
    webhook = a_mapping(**options)

    found = read_mapped(sample_body(webhook.options, NOW), webhook)

    conversion, faults = only(found)
    assert faults == []
    assert conversion.conversion_id == "order-1001"
    assert conversion.identifiers.email is not None


def test_every_field_of_the_native_format_can_be_mapped():
    assert set(FIELDS) | {"event", "pixel"} == {
        field.name
        for field in msgspec.structs.fields(type(reading_of(ORDER).parsed.conversions[0]))
    }


def test_readings_do_not_print_persons():
    assert "shopper" not in repr(reading_of(ORDER))
    assert "shopper" not in repr(a_message(json.dumps(ORDER).encode()))
