"""Bad input of any kind gets a clear response, and nothing is lost or stored in part."""

import asyncio
import gzip
import hashlib
import tracemalloc

import msgspec
import pytest
from in_process_gateway import KEY, InProcessGateway, left_in_the_middle

from raw_http import line_to, parse_response, request

GOOD = {"event": "purchase", "conversion_id": "good", "twclid": "23opevjt88psuo13lu8d020qkn"}
EMAIL_DIGEST = hashlib.sha256(b"shopper@example.com").hexdigest()
PHONE_DIGEST = hashlib.sha256(b"+442079460958").hexdigest()


async def is_still_accepting(api: InProcessGateway) -> bool:
    """Return whether a valid conversion is still accepted."""
    answer = await api.submit(GOOD)
    return answer.status == 202 and answer.json()["accepted"] == 1


@pytest.mark.parametrize(
    ("body", "status", "path", "code"),
    [
        pytest.param(b"", 415, "", "content_type", id="nothing"),
        pytest.param(b"event=purchase", 400, "", "not_json", id="not JSON"),
        pytest.param(b'{"event":"purchase"', 400, "", "not_json", id="cut off"),
        pytest.param(b'{"event":"purchase"} {}', 400, "", "not_json", id="more than one"),
        pytest.param(b'{"event":"\xff\xfe"}', 400, "", "not_json", id="not UTF-8"),
        pytest.param("{}".encode("utf-16"), 400, "", "not_json", id="UTF-16"),
        pytest.param(b'\xef\xbb\xbf{"event":"purchase"}', 400, "", "not_json", id="BOM"),
        pytest.param(b"null", 400, "", "wrong_shape", id="null"),
        pytest.param(b"[]", 400, "", "wrong_shape", id="a list"),
        pytest.param(b'"purchase"', 400, "", "wrong_shape", id="a text"),
        pytest.param(
            b'{"conversions":{}}', 400, "conversions", "wrong_shape", id="no list of conversions"
        ),
        pytest.param(b'{"conversions":[]}', 400, "conversions", "empty", id="no conversion"),
        pytest.param(b'{"event":"purchase","value":NaN}', 400, "", "not_json", id="NaN"),
        pytest.param(b'{"event":"purchase","value":-Infinity}', 400, "", "not_json", id="Infinity"),
        pytest.param(
            b'{"event":"\\ud83d","value":NaN}', 400, "", "not_json", id="half a character and NaN"
        ),
        pytest.param(b'{"event":"a\x00b"}', 400, "", "not_json", id="NUL as it is"),
        pytest.param(b'{"event":"a\nb"}', 400, "", "not_json", id="line break as it is"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, 400, "", "wrong_shape", id="depth 10,000"),
    ],
)
async def test_malformed_submission_is_refused_and_not_stored(api, body, status, path, code):
    answer = await api.submit(body)

    assert (answer.status, answer.faults()) == (status, [(path, code)])
    assert await api.counts() == {}
    assert await is_still_accepting(api)


@pytest.mark.parametrize(
    ("bad", "path", "code"),
    [
        pytest.param(b'{"event":7,"twclid":"abc"}', "event", "wrong_type", id="wrong type"),
        pytest.param(b"7", "", "wrong_type", id="no object"),
        pytest.param(
            b'{"event":"purchase","event":"sign_up","twclid":"abc"}',
            "event",
            "duplicate_key",
            id="duplicate key",
        ),
        pytest.param(
            b'{"event":"purchase","ev\\u0065nt":"sign_up","twclid":"abc"}',
            "event",
            "duplicate_key",
            id="duplicate key, spelt otherwise",
        ),
        pytest.param(
            b'{"event":"purchase","twclid":"abc","emial":"x"}',
            "emial",
            "unknown_field",
            id="unknown field",
        ),
        pytest.param(
            b'{"event":"purchase","twclid":"abc","description":"a \\ud83d"}',
            "",
            "wrong_type",
            id="half a character",
        ),
    ],
)
async def test_malformed_conversion_is_rejected_and_the_others_accepted(api, bad, path, code):
    answer = await api.submit(b'{"conversions":[' + bad + b"," + msgspec.json.encode(GOOD) + b"]}")

    assert (answer.status, answer.json()["accepted"]) == (202, 1)
    [rejected] = answer.json()["rejected"]
    assert rejected["index"] == 0
    assert [(error["path"], error["code"]) for error in rejected["errors"]] == [(path, code)]
    assert await api.counts() == {"received": 2, "pending": 1, "rejected": 1}


async def test_lone_surrogate_rejects_only_its_conversion(api):
    half, whole = rb"\ud83d", rb"\ud83d\ude00 \\ud83d"
    each = [
        b'{"event":"purchase","twclid":"abc","conversion_id":"c%d","description":"%b"}' % pair
        for pair in enumerate([whole, half, whole, half, whole])
    ]
    answer = await api.submit(b'{"conversions":[' + b" , ".join(each) + b"]}")

    assert (answer.status, answer.json()["accepted"]) == (202, 3)
    rejected = answer.json()["rejected"]
    assert [rejection["index"] for rejection in rejected] == [1, 3]
    assert {rejection["errors"][0]["message"] for rejection in rejected} == {
        (
            "an escape such as \\ud800 is half of a surrogate pair: "
            "do not split strings inside a character"
        )
    }
    assert await api.counts() == {"received": 5, "pending": 3, "rejected": 2}


async def test_equal_conversions_without_an_id_in_one_request_count_separately(api):
    body = {"conversions": [{"event": "purchase", "twclid": "abc"}] * 3}

    first, again = [(await api.submit(body)).json() for _ in range(2)]

    assert (first["accepted"], first["duplicates"]) == (3, 0)
    assert (again["accepted"], again["duplicates"]) == (0, 3)


async def test_field_10_000_levels_deep_rejects_the_conversion(api):
    body = b'{"consent":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001

    answer = await api.submit(body)

    assert answer.status == 422
    assert [error["code"] for error in answer.json()["rejected"][0]["errors"]] == ["too_deep"]
    assert await is_still_accepting(api)


@pytest.mark.parametrize(
    ("field", "near"),
    [("emial", "email"), ("currencey", "currency"), ("conversionid", "conversion_id")],
)
async def test_unknown_field_is_reported_with_the_nearest_name(api, field, near):
    answer = await api.submit({"event": "purchase", "twclid": "abc", field: "x"})

    [said] = answer.json()["rejected"][0]["errors"]
    assert (answer.status, said["path"], said["code"]) == (422, field, "unknown_field")
    assert f'did you mean "{near}"?' in said["message"]


async def test_batch_of_1_001_conversions_is_refused(api):
    answer = await api.submit({"conversions": [GOOD] * 1_001})

    assert (answer.status, answer.faults()) == (413, [("conversions", "too_many")])
    assert await api.counts() == {}


async def test_batch_of_1_000_conversions_is_accepted(api):
    many = [{**GOOD, "conversion_id": f"order-{number}"} for number in range(1_000)]

    answer = await api.submit({"conversions": many})

    assert (answer.status, answer.json()["accepted"]) == (202, 1_000)
    assert await api.counts() == {"received": 1_000, "pending": 1_000}


async def test_body_of_2_mib_is_too_large(api):
    answer = await api.submit({**GOOD, "description": "x" * 2 * 1024 * 1024})

    assert (answer.status, answer.faults()) == (413, [("", "body_too_large")])
    assert await api.counts() == {}
    assert await is_still_accepting(api)


async def test_gzip_bomb_is_refused_without_using_memory(api):
    bomb = gzip.compress(b"0" * 100_000_000)
    tracemalloc.start()

    answer = await api.submit(bomb, Content_Encoding="gzip")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (answer.status, answer.faults()) == (413, [("", "body_too_large")])
    assert most < 8 * 1024 * 1024
    assert await api.counts() == {}


async def test_nested_gzip_bomb_is_not_inflated_twice(api):
    bomb = gzip.compress(gzip.compress(b"0" * 100_000_000))

    once = await api.submit(bomb, Content_Encoding="gzip")
    twice = await api.submit(bomb, Content_Encoding="gzip, gzip")

    assert (once.status, once.faults()) == (400, [("", "not_json")])
    assert (twice.status, twice.faults()) == (415, [("", "encoding_unknown")])


@pytest.mark.parametrize("declared", ["text/plain", "application/x-www-form-urlencoded"])
async def test_wrong_content_type_is_refused(api, declared):
    answer = await api.submit(GOOD, Content_Type=declared)

    assert (answer.status, answer.faults()) == (415, [("", "content_type")])
    assert await api.counts() == {}


async def test_wrong_source_key_is_refused(api):
    answer = await api.submit(GOOD, Authorization="Bearer another")

    assert (answer.status, answer.faults()) == (401, [("", "key_wrong")])
    assert await api.counts() == {}


@pytest.mark.parametrize(
    ("given", "path", "code"),
    [
        ({"pixel": "oka17"}, "pixel", "pixel_unknown"),
        ({"event": "purchased"}, "event", "event_unknown"),
        ({"event": None}, "event", "event_missing"),
        ({"event": ""}, "event", "event_missing"),
        ({"twclid": ""}, "", "identifier_missing"),
        (
            {"twclid": "", "email": "", "phone": "", "ip": "", "user_agent": ""},
            "",
            "identifier_missing",
        ),
        ({"twclid": None, "ip": "203.0.113.7"}, "", "identifier_missing"),
        ({"twclid": None, "email": "   "}, "", "identifier_missing"),
        ({"time": "2026-11-24T10:00:00"}, "time", "not_a_time"),
        ({"time": "yesterday"}, "time", "not_a_time"),
        ({"value": "1,234.50", "currency": "EUR"}, "value", "not_an_amount"),
        ({"value": "1.234,50", "currency": "EUR"}, "value", "not_an_amount"),
        ({"value": 2**64, "currency": "EUR"}, "value", "amount_too_large"),
        ({"contents": [{"quantity": 2**64}]}, "contents[0].quantity", "not_a_count"),
        ({"value": "-1.00", "currency": "EUR"}, "value", "amount_negative"),
        ({"value": "1.00", "currency": "XXX1"}, "currency", "currency_unknown"),
        ({"value": "1.00"}, "currency", "currency_missing"),
        ({"description": "a\u0000b"}, "description", "control_character"),
        ({"conversion_id": "a\u0000b"}, "conversion_id", "control_character"),
        ({"description": "a\u001bb"}, "description", "control_character"),
        ({"email_sha256": EMAIL_DIGEST[:-1]}, "email_sha256", "not_sha256"),
        ({"twclid": None, "email_sha256": "g" * 64}, "email_sha256", "not_sha256"),
        ({"twclid": None, "phone_sha256": PHONE_DIGEST[:40]}, "phone_sha256", "not_sha256"),
    ],
)
async def test_invalid_conversion_is_rejected_alone(api, given, path, code):
    bad = {**GOOD, "conversion_id": "bad", **given}

    alone = await api.submit(bad)
    together = await api.submit({"conversions": [bad, GOOD]})

    assert (alone.status, together.status) == (422, 202)
    for answer in (alone, together):
        [refused] = answer.json()["rejected"]
        assert refused["index"] == 0
        assert (path, code) in [(error["path"], error["code"]) for error in refused["errors"]]
    assert together.json()["accepted"] == 1
    assert await api.counts() == {"received": 3, "rejected": 2, "pending": 1}


async def test_currency_can_be_in_lower_case(api):
    answer = await api.submit({**GOOD, "value": "1.00", "currency": "eur"})

    assert answer.json()["accepted"] == 1
    assert (await api.sent_of("good"))["price_currency"] == "EUR"


@pytest.mark.parametrize(
    "spelling",
    [
        "+442079460958",
        "+44 20 7946 0958",
        "+44 (0)20 7946 0958",
        "+44 (20) 7946-0958",
        "+44.20.7946.0958",
        "0044 20 7946 0958",
        "020 7946 0958",
        "(020) 7946 0958",
        "020-7946-0958",
        "tel:+44-20-7946-0958",
    ],
)
async def test_ten_spellings_of_a_phone_number_have_one_hash(api, spelling):
    answer = await api.submit({**GOOD, "twclid": None, "phone": spelling})

    assert (answer.status, answer.json().get("warnings")) == (202, None)
    assert (await api.sent_of("good"))["identifiers"] == [{"hashed_phone_number": PHONE_DIGEST}]


@pytest.mark.parametrize("spelling", ["shopper@example.com", "  Shopper@EXAMPLE.com\t "])
async def test_spaces_and_case_do_not_change_the_hash_of_an_email(api, spelling):
    answer = await api.submit({**GOOD, "twclid": None, "email": spelling})

    assert (answer.status, answer.json().get("warnings")) == (202, None)
    assert (await api.sent_of("good"))["identifiers"] == [{"hashed_email": EMAIL_DIGEST}]


@pytest.mark.parametrize("field", ["email_sha256", "email"])
async def test_uppercase_hash_is_sent_in_lower_case(api, field):
    answer = await api.submit({**GOOD, "twclid": None, field: EMAIL_DIGEST.upper()})

    assert answer.json()["accepted"] == 1
    assert (await api.sent_of("good"))["identifiers"] == [{"hashed_email": EMAIL_DIGEST}]


@pytest.mark.parametrize(
    ("field", "typed", "code"),
    [("phone", "call me", "phone_unusable"), ("email", "n/a", "email_unusable")],
)
async def test_unusable_identifier_beside_a_usable_one_is_a_warning(api, field, typed, code):
    answer = await api.submit({**GOOD, field: typed})

    assert answer.json()["accepted"] == 1
    [remark] = answer.json()["warnings"]
    assert [(error["path"], error["code"]) for error in remark["warnings"]] == [(field, code)]


async def test_response_contains_no_personal_data(api):
    person = {"email": "not an address@@example", "phone": "+1 415 555 010x", "twclid": "a b!c"}

    answer = await api.submit({"event": "purchase", **person})

    assert answer.status == 422
    assert [text for text in person.values() if text.encode() in answer.body] == []


async def test_connection_with_slow_headers_is_closed_at_the_deadline(api):
    sent = request("POST", "/v1/conversions", b"{}", {"Authorization": f"Bearer {KEY}"})

    async with line_to(api.server.port) as (reader, writer):
        for byte in sent[:40]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
        answer = parse_response(await asyncio.wait_for(reader.read(), 5))

    assert (answer.status, answer.faults()) == (408, [("", "too_slow")])
    assert await api.counts() == {}
    assert await is_still_accepting(api)


@pytest.mark.parametrize("part", [1, 60, 180, -1])
async def test_incomplete_request_of_a_disconnected_client_is_not_stored(api, part, caplog):
    body = b'{"event":"purchase","twclid":"23opevjt88psuo13lu8d020qkn"}'
    sent = request("POST", "/v1/conversions", body, {"Authorization": f"Bearer {KEY}"})

    await left_in_the_middle(api, sent[:part])

    assert await is_still_accepting(api)
    assert await api.counts() == {"received": 1, "pending": 1}
    assert caplog.records == []
