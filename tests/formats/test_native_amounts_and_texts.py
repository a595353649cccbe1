import json

import pytest
from readings import CLICK, FULL, codes, read, read_bytes

from twite.domain.conversion import Content


@pytest.mark.parametrize(
    ("value", "spelled"),
    [(20, "20.00"), (20.5, "20.50"), ("20", "20.00"), (0.1, "0.10"), (1e2, "100.00"), (0, "0.00")],
)
def test_amount_keeps_its_digits(value, spelled):
    assert read(value=value, currency="eur").conversion.value == spelled


def test_amount_of_17_digits_keeps_every_digit():
    body = b'{"event":"purchase","twclid":"a","currency":"EUR","value":12345678901234567.89}'

    assert read_bytes(body).results[0].conversion.value == "12345678901234567.89"


def test_amount_with_json_escapes_is_read():
    body = b'{"event":"purchase","twclid":"a","currency":"EUR","value":"\\u00349.9\\u0030"}'

    assert read_bytes(body).results[0].conversion.value == "49.90"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("1e999", "amount_too_large"),
        ("18446744073709551616", "amount_too_large"),
        ("1" * 5_000, "amount_too_large"),
        ("-5", "amount_negative"),
        ('"1,234.50"', "not_an_amount"),
        ('""', "not_an_amount"),
        ("true", "not_an_amount"),
        ("false", "not_an_amount"),
        ("[]", "not_an_amount"),
        ('{"a":1}', "not_an_amount"),
    ],
)
@pytest.mark.parametrize("twice", [False, True], ids=["alone", "in a batch"])
def test_invalid_amount_rejects_only_its_conversion(raw, code, twice):
    conversion = f'{{"event":"purchase","twclid":"a","currency":"EUR","value":{raw}}}'
    body = f'{{"conversions":[{conversion},{conversion}]}}' if twice else conversion

    results = read_bytes(body.encode()).results

    assert [codes(result) for result in results] == [[("value", code)]] * len(results)


def test_value_without_a_currency_is_rejected():
    assert codes(read(value="5")) == [("currency", "currency_missing")]


def test_null_is_the_same_as_a_missing_field():
    nothing = dict.fromkeys(FULL)

    assert read(**(nothing | {"event": "purchase", "twclid": CLICK})).faults == ()


@pytest.mark.parametrize("currency", ["XXX1", "", "bitcoin"])
def test_unknown_currency_is_rejected(currency):
    assert codes(read(value="5", currency=currency)) == [("currency", "currency_unknown")]


def test_all_errors_of_a_conversion_are_reported_together():
    result = read(
        event="nope",
        twclid="undefined",
        time="yesterday",
        value="1,5",
        currency="XXX1",
        email_sha256="abc",
        contents=[{"price": "x", "quantity": 0}, {"quantity": -1}],
    )

    assert codes(result) == [
        ("event", "event_unknown"),
        ("email_sha256", "not_sha256"),
        ("time", "not_a_time"),
        ("value", "not_an_amount"),
        ("currency", "currency_unknown"),
        ("contents[0].quantity", "not_a_count"),
        ("contents[0].price", "not_an_amount"),
        ("contents[1].quantity", "not_a_count"),
        ("", "identifier_missing"),
        ("twclid", "twclid_unusable"),
    ]


def test_number_of_items_is_the_sum_if_every_content_has_a_quantity():
    assert read(contents=[{"quantity": 2}, {"quantity": 3}]).conversion.quantity == 5
    assert read(contents=[{"quantity": 2}, {}]).conversion.quantity is None
    assert read(contents=[]).conversion.quantity is None


def test_ids_can_be_json_numbers():
    result = read(conversion_id=1001, contents=[{"id": 7, "group": 8}])

    assert result.conversion.conversion_id == "1001"
    assert result.conversion.contents == (Content(id="7", group="8"),)


def test_empty_text_is_the_same_as_a_missing_field():
    result = read(description=" ", search="", contents=[{"id": "", "name": "", "type": ""}])

    assert result.conversion.description is None
    assert result.conversion.search is None
    assert result.conversion.contents == (Content(),)


@pytest.mark.parametrize(
    "field", ["conversion_id", "description", "search", "event", "pixel", "url"]
)
@pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "a\nb", "a\x7fb", "a\x9bb"])
def test_control_character_is_reported_with_its_field(field, text):
    assert (field, "control_character") in codes(read(**{field: text}))


def test_control_character_in_contents_is_reported_with_its_path():
    assert codes(read(contents=[{}, {"name": "a\x00"}])) == [
        ("contents[1].name", "control_character")
    ]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"conversion_id": "x" * 257}, "conversion_id"),
        ({"conversion_id": 10**300}, "conversion_id"),
        ({"description": "x" * 4_097}, "description"),
        ({"search": "x" * 4_097}, "search"),
        ({"url": "https://shop.example/" + "x" * 4_097}, "url"),
        ({"contents": [{"name": "x" * 4_097}]}, "contents[0].name"),
    ],
)
def test_text_that_is_too_long_is_reported(fields, path):
    assert codes(read(**fields)) == [(path, "text_too_long")]


def test_length_of_a_page_url_is_checked_after_scrubbing():
    assert (
        read(url="https://shop.example/?q=" + "x" * 9_000).conversion.url == "https://shop.example/"
    )


def test_email_in_free_text_is_masked():
    result = read(description="for bob@example.com, thanks", search="bob@example.com")

    assert result.conversion.description == "for *** thanks"
    assert result.conversion.search == "***"
    assert "bob" not in json.dumps(result.native.description)


def test_email_in_contents_is_masked():
    line = {"id": "bob@example.com", "name": "for bob@example.com", "type": "Pet supplies"}

    result = read(contents=[line])

    assert result.conversion.contents == (Content(id="***", name="for ***", type="Pet supplies"),)


def test_time_more_than_a_day_in_the_future_is_rejected():
    assert codes(read(time="2027-01-01T00:00:00Z")) == [("time", "time_in_future")]
