import contextlib
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from readings import CLICK, NOW, a_source, read, read_bytes

from twite.domain.conversion import Content, Conversion
from twite.domain.errors import Malformed
from twite.domain.fault import Fault
from twite.domain.identifiers import Identifiers
from twite.domain.times import DAY
from twite.x.encode import conversion_body

FULL = {
    "event": "purchase",
    "conversion_id": "order-1001",
    "time": "2026-11-24T10:00:00Z",
    "value": "49.90",
    "currency": "EUR",
    "email": "Shopper@Example.com ",
    "phone": "+44 20 7946 0958",
    "twclid": CLICK,
    "ip": "203.0.113.7",
    "user_agent": "Mozilla/5.0",
    "url": "https://shop.example/thanks?order=1001",
    "contents": [
        {
            "id": "SKU-1",
            "name": "Mug",
            "price": "24.95",
            "quantity": 2,
            "group": "mugs",
            "type": "kitchen",
        }
    ],
    "description": "Two mugs",
    "search": "mug",
    "consent": {"ad_storage": "granted"},
    "pixel": "o8z6j",
}


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def codes(result):
    return [(fault.path, fault.code) for fault in result.faults]


def refusal(body):
    with pytest.raises(Malformed) as caught:
        read_bytes(body)
    return caught.value.code, caught.value.path, caught.value.message


def test_the_example_of_the_contract_becomes_one_canonical_conversion():
    reading = read_bytes(json.dumps(FULL).encode())

    assert reading.results[0].faults == ()
    assert reading.results[0].conversion == Conversion(
        pixel="o8z6j",
        event="o8z6k",
        conversion_id="order-1001",
        time=1_795_514_400_000,
        identifiers=Identifiers(
            click_id=CLICK,
            email=sha256("shopper@example.com"),
            phone=sha256("+442079460958"),
            ip="203.0.113.7",
            user_agent="Mozilla/5.0",
        ),
        value="49.90",
        currency="EUR",
        quantity=2,
        description="Two mugs",
        search="mug",
        url="https://shop.example/thanks",
        contents=(
            Content(
                id="SKU-1", name="Mug", price="24.95", quantity=2, group="mugs", type="kitchen"
            ),
        ),
    )


def test_what_is_kept_of_it_holds_hashes_in_place_of_persons():
    reading = read_bytes(json.dumps(FULL).encode())

    expected = FULL | {
        "email_sha256": sha256("shopper@example.com"),
        "phone_sha256": sha256("+442079460958"),
        "url": "https://shop.example/thanks",
    }
    del expected["email"], expected["phone"]
    assert json.loads(reading.body) == expected


def test_what_is_kept_reads_as_the_same_conversion():
    reading = read_bytes(json.dumps(FULL).encode())

    assert read_bytes(reading.body).results[0].conversion == reading.results[0].conversion


def test_event_and_one_identifier_are_enough():
    result = read(conversion_id=..., twclid=..., email="a@example.com")

    assert result.conversion.time == NOW
    assert len(result.conversion.conversion_id) == 26
    assert result.conversion.identifiers == Identifiers(email=sha256("a@example.com"))


def test_a_batch_has_one_result_for_each_in_order():
    body = {"conversions": [FULL | {"conversion_id": f"o{n}"} for n in range(3)]}

    reading = read_bytes(json.dumps(body).encode())

    assert [one.index for one in reading.results] == [0, 1, 2]
    assert [one.conversion.conversion_id for one in reading.results] == ["o0", "o1", "o2"]
    assert len(json.loads(reading.body)["conversions"]) == 3


def test_one_bad_conversion_costs_no_other():
    body = {"conversions": [FULL, {"event": "purchase"}, FULL | {"conversion_id": "o"}]}

    results = read_bytes(json.dumps(body).encode()).results

    assert [one.conversion is None for one in results] == [False, True, False]
    assert codes(results[1]) == [("", "identifier_missing")]


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        (b'{"conversions":[]}', "empty", "conversions"),
        (b'{"conversions":{}}', "wrong_shape", "conversions"),
        (b'{"conversions":null}', "wrong_shape", "conversions"),
        (b'{"conversions":[5]}', "wrong_shape", "conversions[0]"),
        (b'{"conversions":[null]}', "wrong_shape", "conversions[0]"),
        (b'{"conversions":[{}],"event":"purchase"}', "unknown_field", "event"),
        (b'{"event":"purchase","conversions":[]}', "unknown_field", "event"),
        (b'{"conversions":[{"event":"purchase","valeu":1}]}', "unknown_field",
         "conversions[0].valeu"),
        (b'{"conversions":[{}],"conversions":[{}]}', "duplicate_key", "conversions"),
        (b"[]", "wrong_shape", ""),
        (b'[{"event":"purchase"}]', "wrong_shape", ""),
        (b'{"event":["purchase"]}', "wrong_shape", "event"),
        (b'{"conversion_id":1.5}', "wrong_shape", "conversion_id"),
        (b'{"conversion_id":true}', "wrong_shape", "conversion_id"),
        (b'{"time":1795600000}', "wrong_shape", "time"),
        (b'{"consent":"granted"}', "wrong_shape", "consent"),
        (b'{"consent":{"ad_storage":1}}', "wrong_shape", "consent[]"),
    ],
)  # fmt: skip
def test_another_shape_is_refused_as_a_whole(body, code, path):
    assert refusal(body)[:2] == (code, path)


def test_a_thousand_are_taken_and_one_more_is_too_many():
    one = b'{"event":"purchase","twclid":"a","conversion_id":"c"}'

    taken = read_bytes(b'{"conversions":[' + b",".join([one] * 1_000) + b"]}")

    assert len(taken.results) == 1_000
    assert refusal(b'{"conversions":[' + b",".join([one] * 1_001) + b"]}") == (
        "too_many",
        "conversions",
        "1001 conversions in one request; at most 1000",
    )


def test_a_key_of_that_name_within_a_conversion_makes_no_batch():
    result = read(description='"conversions"', consent={"conversions": "granted"})

    assert result.conversion.description == '"conversions"'


@pytest.mark.parametrize("name", ["purchase", "Purchase", " PURCHASE "])
def test_an_event_is_known_in_any_case(name):
    assert read(event=name).conversion.event == "o8z6k"


def test_an_unknown_event_names_the_nearest_and_the_known():
    assert read(event="purchsae").faults == (
        Fault(
            path="event",
            code="event_unknown",
            message='no such event for this pixel; did you mean "purchase"? '
            "(known: purchase, sign_up)",
        ),
    )


@pytest.mark.parametrize("event", [None, ""])
def test_a_conversion_without_event_is_refused(event):
    assert codes(read(event=event)) == [("event", "event_missing")]


@pytest.mark.parametrize("pixel", ["", "nope", "closed", "gone", "O8Z6J"])
def test_a_pixel_that_is_not_open_to_the_source_is_unknown(pixel):
    result = read(pixel=pixel)

    assert codes(result) == [("pixel", "pixel_unknown")]
    assert result.pixel == ""


def test_another_pixel_of_the_source_may_be_named():
    assert read(pixel="p2").conversion.pixel == "p2"


@pytest.mark.parametrize(
    ("fields", "left_out"),
    [
        ({"email": "not an email"}, ("email", "email_unusable")),
        ({"email": ""}, ("email", "email_unusable")),
        ({"phone": "n/a"}, ("phone", "phone_unusable")),
        ({"ip": "10.0.0.1"}, ("ip", "ip_private")),
        ({"ip": "localhost"}, ("ip", "ip_unusable")),
        ({"user_agent": "a\r\nb"}, ("user_agent", "user_agent_unusable")),
        ({"twclid": "undefined", "email_sha256": "a" * 64}, ("twclid", "twclid_unusable")),
        ({"twclid": "x" * 4_096, "email_sha256": "a" * 64}, ("twclid", "twclid_unusable")),
    ],
)
def test_an_unusable_identifier_is_left_out_with_a_note(fields, left_out):
    result = read(**fields)

    assert result.conversion is not None
    assert codes(result) == [left_out]


def test_a_national_number_needs_the_region_of_the_source():
    result = read(a_source(region=None), phone="020 7946 0958")

    assert codes(result) == [("phone", "phone_needs_region")]
    assert read(phone="020 7946 0958").conversion.identifiers.phone == sha256("+442079460958")


@pytest.mark.parametrize("field", ["email_sha256", "phone_sha256"])
@pytest.mark.parametrize(
    ("digest", "code"),
    [
        ("a" * 63, "not_sha256"),
        ("a" * 65, "not_sha256"),
        ("a" * 32, "not_sha256"),
        ("a" * 40, "not_sha256"),
        ("g" * 64, "not_sha256"),
        ("", "not_sha256"),
        ("bob@example.com", "not_sha256"),
        (hashlib.sha256(b"").hexdigest(), "hash_of_nothing"),
    ],
)
def test_a_wrong_hash_is_a_mistake_in_a_program_and_refused(field, digest, code):
    assert codes(read(**{field: digest})) == [(field, code)]


@pytest.mark.parametrize("field", ["email_sha256", "phone_sha256"])
def test_a_hash_in_capitals_is_lowered_and_not_hashed(field):
    identifiers = read(**{field: f" {'AB' * 32} "}).conversion.identifiers

    assert (identifiers.email or identifiers.phone) == "ab" * 32


def test_a_hash_beside_the_text_it_was_made_of_rules():
    result = read(email="a@example.com", email_sha256="b" * 64)

    assert result.conversion.identifiers.email == "b" * 64


def test_a_click_id_is_taken_from_the_page_where_none_is_given():
    result = read(twclid=..., url=f"https://shop.example/?twclid={CLICK}&x=1")

    assert result.conversion.identifiers.click_id == CLICK
    assert result.conversion.url == "https://shop.example/"
    assert result.scrubbed.twclid == CLICK


@pytest.mark.parametrize(
    ("fields", "enough"),
    [
        ({}, False),
        ({"ip": "203.0.113.7"}, False),
        ({"user_agent": "Mozilla/5.0"}, False),
        ({"ip": "203.0.113.7", "user_agent": "Mozilla/5.0"}, True),
        ({"ip": "10.0.0.1", "user_agent": "Mozilla/5.0"}, False),
        ({"email": "x"}, False),
        ({"twclid": ""}, False),
    ],
)
def test_without_an_identifier_that_x_accepts_there_is_no_conversion(fields, enough):
    result = read(**({"twclid": ...} | fields))

    assert (result.conversion is not None) is enough
    assert (("", "identifier_missing") in codes(result)) is not enough


@pytest.mark.parametrize(
    ("value", "spelled"),
    [(20, "20.00"), (20.5, "20.50"), ("20", "20.00"), (0.1, "0.10"), (1e2, "100.00"), (0, "0.00")],
)
def test_an_amount_is_read_from_its_digits(value, spelled):
    assert read(value=value, currency="eur").conversion.value == spelled


def test_an_amount_of_seventeen_digits_is_kept_to_the_last():
    body = b'{"event":"purchase","twclid":"a","currency":"EUR","value":12345678901234567.89}'

    assert read_bytes(body).results[0].conversion.value == "12345678901234567.89"


def test_an_escaped_amount_is_read_like_any_other():
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
def test_an_amount_that_is_none_is_a_fault_of_its_conversion(raw, code, twice):
    one = f'{{"event":"purchase","twclid":"a","currency":"EUR","value":{raw}}}'
    body = f'{{"conversions":[{one},{one}]}}' if twice else one

    results = read_bytes(body.encode()).results

    assert [codes(result) for result in results] == [[("value", code)]] * len(results)


def test_a_value_without_currency_is_refused():
    assert codes(read(value="5")) == [("currency", "currency_missing")]


def test_a_null_is_as_good_as_nothing():
    nothing = dict.fromkeys(FULL)

    assert read(**(nothing | {"event": "purchase", "twclid": CLICK})).faults == ()


@pytest.mark.parametrize("currency", ["XXX1", "", "bitcoin"])
def test_an_unknown_currency_is_refused(currency):
    assert codes(read(value="5", currency=currency)) == [("currency", "currency_unknown")]


def test_every_fault_of_a_conversion_is_named_at_once():
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


def test_the_number_of_items_is_the_sum_where_every_line_says_how_many():
    assert read(contents=[{"quantity": 2}, {"quantity": 3}]).conversion.quantity == 5
    assert read(contents=[{"quantity": 2}, {}]).conversion.quantity is None
    assert read(contents=[]).conversion.quantity is None


def test_numbers_may_stand_for_ids():
    result = read(conversion_id=1001, contents=[{"id": 7, "group": 8}])

    assert result.conversion.conversion_id == "1001"
    assert result.conversion.contents == (Content(id="7", group="8"),)


def test_empty_texts_are_as_good_as_nothing():
    result = read(description=" ", search="", contents=[{"id": "", "name": "", "type": ""}])

    assert result.conversion.description is None
    assert result.conversion.search is None
    assert result.conversion.contents == (Content(),)


@pytest.mark.parametrize(
    "field", ["conversion_id", "description", "search", "event", "pixel", "url"]
)
@pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "a\nb", "a\x7fb", "a\x9bb"])
def test_a_control_character_is_named_by_its_field(field, text):
    assert (field, "control_character") in codes(read(**{field: text}))


def test_a_control_character_within_contents_is_named_by_its_place():
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
def test_a_text_that_is_too_long_is_named(fields, path):
    assert codes(read(**fields)) == [(path, "text_too_long")]


def test_a_page_address_is_as_long_as_what_is_kept_of_it():
    assert (
        read(url="https://shop.example/?q=" + "x" * 9_000).conversion.url == "https://shop.example/"
    )


def test_an_email_in_free_text_travels_no_further():
    result = read(description="for bob@example.com, thanks", search="bob@example.com")

    assert result.conversion.description == "for *** thanks"
    assert result.conversion.search == "***"
    assert "bob" not in json.dumps(result.scrubbed.description)


def test_an_email_among_the_contents_travels_no_further():
    line = {"id": "bob@example.com", "name": "for bob@example.com", "type": "Pet supplies"}

    result = read(contents=[line])

    assert result.conversion.contents == (Content(id="***", name="for ***", type="Pet supplies"),)


def test_more_than_a_day_ahead_is_refused():
    assert codes(read(time="2027-01-01T00:00:00Z")) == [("time", "time_in_future")]


PERSON = {
    "email": "canary@example.com",
    "email_sha256": "canary@example.com",
    "phone": "canary@example.com",
    "phone_sha256": "canary@example.com",
    "twclid": "https://shop.example/?email=canary@example.com",
    "url": "https://canary:canary@shop.example/canary@example.com?canary=1#canary",
    "description": "canary@example.com",
    "search": "canary@example.com",
    "value": "canary@example.com",
    "currency": "canary@example.com",
    "time": "canary@example.com",
    "ip": "canary@example.com",
    "user_agent": "canary@example.com",
    "pixel": "canary@example.com",
    "consent": {"canary@example.com": "granted"},
    "contents": [{"id": "canary@example.com", "price": "canary@example.com"}],
}


@pytest.mark.parametrize("field", sorted(PERSON))
@pytest.mark.parametrize("event", ["purchase", "unknown"])
def test_no_person_reaches_the_disk_or_a_fault_raw(field, event):
    body = {"event": event, "conversion_id": "c", "value": "1", field: PERSON[field]}

    reading = read_bytes(json.dumps(body).encode())

    assert b"canary" not in reading.body
    assert "canary" not in f"{reading!r}"


def test_a_denied_consent_suppresses_and_keeps_nothing_that_could_match():
    body = json.dumps(FULL | {"consent": {"ad_storage": "denied"}}).encode()

    reading = read_bytes(body)

    result = reading.results[0]
    kept = json.loads(reading.body)
    assert result.suppressed == "consent_denied: ad_storage"
    assert result.conversion.identifiers == Identifiers()
    assert not {"email_sha256", "phone_sha256", "twclid", "ip", "user_agent"} & kept.keys()
    assert kept["conversion_id"] == "order-1001"


def test_a_refused_conversion_without_consent_keeps_nothing_that_could_match():
    body = FULL | {"consent": {"ad_storage": "denied"}, "event": "unknown"}

    kept = json.loads(read_bytes(json.dumps(body).encode()).body)

    assert not {"email_sha256", "phone_sha256", "twclid", "ip", "user_agent"} & kept.keys()


def test_silence_is_denial_where_the_source_requires_consent():
    source = a_source(consent_required=True)

    assert read(source).suppressed == "consent_missing"
    assert read(source, consent={"ad_storage": True}).suppressed is None
    assert read().suppressed is None


def spellings():
    """Return twenty spellings of one conversion without an id."""
    plain = {name: value for name, value in FULL.items() if name not in {"conversion_id", "value"}}
    plain |= {"description": "Café", "value": "1.00"}
    ways = [json.dumps(plain | {"value": value}) for value in (1, 1.0, "1", "1.0", "1.000", "1e0")]
    ways += [json.dumps(plain, indent=indent) for indent in (0, 1, 4, "\t")]
    ways += [json.dumps(plain, ensure_ascii=False), json.dumps(plain, sort_keys=True)]
    ways.append(json.dumps(dict(reversed(plain.items()))))
    ways.append(json.dumps(plain | {"description": "Cafe\u0301"}))
    ways.append(json.dumps(plain | {"time": "2026-11-24T11:00:00.000+01:00"}))
    ways.append(json.dumps(plain | {"email": "SHOPPER@EXAMPLE.COM"}))
    ways.append(json.dumps(plain | {"phone": "0044 20 7946 0958", "currency": "eur"}))
    ways.append(
        json.dumps(plain | {"url": "https://shop.example/thanks#again", "conversion_id": ""})
    )
    ways.append(json.dumps(plain | {"event": "PURCHASE", "pixel": None}))
    ways.append(json.dumps({"conversions": [plain]}))
    return ways


def derived(body, **how):
    return read_bytes(body.encode(), **how).results[0].conversion.conversion_id


def test_one_conversion_in_twenty_spellings_has_one_derived_id():
    assert len(spellings()) == 20
    assert len({derived(body) for body in spellings()}) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"value": "1.01"}, {"currency": "USD"}, {"email": "other@example.com"}, {"twclid": "other"},
        {"time": "2026-11-24T10:00:00.001Z"}, {"event": "sign_up"}, {"pixel": "p2"},
        {"contents": []}, {"description": "Other"}, {"ip": "203.0.113.8"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_different_conversions_have_different_derived_ids(change):
    plain = {name: value for name, value in FULL.items() if name != "conversion_id"}

    assert derived(json.dumps(plain)) != derived(json.dumps(plain | change))


def test_a_retry_without_a_time_has_the_same_id_on_the_same_day():
    body = '{"event":"sign_up","email":"a@example.com"}'
    start = NOW - NOW % DAY

    assert derived(body, now=start) == derived(body, now=start + DAY - 1)
    assert derived(body, now=start) != derived(body, now=start + DAY)


def test_an_idempotency_key_decides_where_there_is_one():
    body, other = '{"event":"sign_up","twclid":"a"}', '{"event":"sign_up","twclid":"b"}'

    assert derived(body, idempotency_key="k") == derived(other, idempotency_key="k")
    assert derived(body, idempotency_key="k") != derived(body, idempotency_key="l")
    assert derived(body, idempotency_key="k") != derived(body)


def test_an_idempotency_key_tells_the_places_of_a_batch_and_the_sources_apart():
    one = '{"event":"sign_up","twclid":"a"}'
    batch = f'{{"conversions":[{one},{one}]}}'.encode()

    results = read_bytes(batch, idempotency_key="k").results
    ids = {result.conversion.conversion_id for result in results}
    ids.add(derived(one, idempotency_key="k", source=a_source(name="other")))

    assert len(ids) == 3


def test_a_derived_id_is_salted():
    body = '{"event":"sign_up","twclid":"a"}'

    assert derived(body, salt=b"one") != derived(body, salt=b"other")


def read_or_malformed(body):
    with contextlib.suppress(Malformed):
        reading = read_bytes(body)
        json.loads(reading.body)
        for result in reading.results:
            assert result.conversion or result.faults
            if result.conversion:
                json.loads(conversion_body(result.conversion))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_malformed(body):
    read_or_malformed(body)


@given(st.text('"\\{}[]:,0123456789.eE-+ntfu conversions', max_size=120))
def test_any_near_json_is_read_or_malformed(text):
    read_or_malformed(text.encode())


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["purchase", "o8z6j", CLICK, "2026-11-24T10:00:00Z", "49.90", "EUR"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "name", "price", "quantity", "ad_storage", "event"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.sampled_from([*FULL, "email_sha256", "phone_sha256"]), VALUES)


@given(OBJECTS | st.builds(lambda many: {"conversions": many}, st.lists(OBJECTS, max_size=3)))
def test_any_structure_is_read_or_malformed(value):
    read_or_malformed(json.dumps(value).encode())


@given(st.fixed_dictionaries({"event": st.just("purchase"), "twclid": st.just(CLICK)}, optional={
    name: st.text(max_size=30)
    for name in FULL if name not in {"event", "contents", "consent", "twclid"}
}))  # fmt: skip
def test_any_texts_in_its_fields_are_read(value):
    reading = read_bytes(json.dumps(value).encode())

    assert reading.results[0].conversion is not None or reading.results[0].faults
