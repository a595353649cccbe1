"""Event data queued for a tag contain no personal data; other fields stay unchanged."""

import hashlib
import json
import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from any_event import EVENTS
from canaries import HARMLESS_ROWS, ROWS, found_in
from twite.redaction.mask_tree import masked_tree
from twite.redaction.scrub_text import without_persons
from twite.tags.redaction.scrub_event import scrubbed_event

EMAIL = hashlib.sha256(b"shopper@mail.example").hexdigest()
ANN = hashlib.sha256(b"ann").hexdigest()
PHONE = hashlib.sha256(b"+442079460958").hexdigest()


def test_personal_data_is_hashed_in_place():
    event = {
        "user_data": {
            "email_address": " Shopper@Mail.example",
            "phone_number": "020 7946 0958",
            "address": {"first_name": "Ann", "city": "London"},
        }
    }

    kept = scrubbed_event(event, region="GB")["user_data"]

    assert kept["email_address"] == kept["sha256_email_address"] == EMAIL
    assert kept["phone_number"] == kept["sha256_phone_number"] == PHONE
    assert kept["address"]["first_name"] == hashlib.sha256(b"ann").hexdigest()
    assert kept["address"]["city"] == "London"


@pytest.mark.parametrize("name", ["email", "user_data.email_address", "userEmail", "mail"])
def test_every_spelling_of_an_email_field_is_recognized(name):
    assert scrubbed_event({name: "shopper@mail.example"}, region=None) == {name: EMAIL}


def test_hash_in_event_data_is_unchanged():
    assert scrubbed_event({"email": EMAIL}, region=None) == {"email": EMAIL}


@pytest.mark.parametrize("row", ROWS, ids=json.dumps)
def test_row_of_name_and_value_is_scrubbed_by_its_name(row):
    reported = [{"name": "Color", "value": "Red"}, row]
    for event in (
        {"note_attributes": reported},
        {"custom": {"fields": reported}},
        {"items": [{"item_name": "Mug", "properties": reported}]},
        {"user_data": {"custom_fields": reported}},
        {"note_attributes": json.dumps(reported)},
        {"custom": {"packed": json.dumps({"fields": json.dumps(reported)})}},
    ):
        kept = f"{scrubbed_event(event, region='GB')}"
        assert found_in(kept.encode()) == []
        assert "Red" in kept
        assert found_in(json.dumps(masked_tree(event)).encode()) == []


@pytest.mark.parametrize("row", HARMLESS_ROWS, ids=json.dumps)
def test_row_of_name_and_value_about_a_product_is_unchanged(row):
    event = {"items": [row], "attributes": [row], "packed": json.dumps([row])}

    assert scrubbed_event(event, region="GB") == event


def test_event_with_label_and_value_is_not_a_row_of_name_and_value():
    event = {"event_name": "call", "label": "phone", "value": 5, "title": "E-mail"}

    assert scrubbed_event(event, region="GB") == event


def test_lists_in_event_data_are_scrubbed():
    kept = scrubbed_event({"items": [{"note": "for shopper@mail.example"}]}, region=None)

    assert kept == {"items": [{"note": "for ***"}]}


@pytest.mark.parametrize(
    ("page", "kept"),
    [
        ("https://shop.example/?twclid=abc&gclid=d", "https://shop.example/?twclid=abc&gclid=d"),
        ("https://shop.example/?e=a%40mail.example&fbclid=x", "https://shop.example/?fbclid=x"),
        ("https://shop.example/?tel=%2B442079460958", "https://shop.example/"),
        ("https://shop.example/u/a@mail.example/x", "https://shop.example/u/-/x"),
        ("https://shop.example/#a@mail.example", "https://shop.example/"),
    ],
)
def test_url_loses_only_its_parameters_with_personal_data(page, kept):
    assert without_persons(page) == kept


def test_numbers_and_other_texts_are_unchanged():
    event = {"value": 49.9, "currency": "EUR", "ok": True, "none": None, "text": "a+b"}

    assert scrubbed_event(event, region="GB") == event


@pytest.mark.parametrize(
    "name",
    [
        "fn", "ln", "full_name", "fullName", "customer_name", "name", "user_data.name",
        "billing_first_name", "Last Name", "street", "address", "shipping_address_line_1",
        "date_of_birth", "birthday", "sha256_first_name",
    ],
)  # fmt: skip
def test_every_spelling_of_a_name_field_is_recognized(name):
    assert scrubbed_event({name: " Ann "}, region=None) == {name: ANN}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"phone": "+442079460958"}, {}),
        ({"mobile": 442079460958.0}, {}),
        ({"user_data": {"phone_number": "+442079460958"}}, {"user_data": {}}),
        ({"user_data": {"phone": ["+442079460958", PHONE]}}, {"user_data": {"phone": [PHONE]}}),
        ({"form": [{"name": "tel", "value": "020 7946 0958"}]}, {"form": [{"name": "tel"}]}),
        ({"sha256_phone_number": PHONE}, {"sha256_phone_number": PHONE}),
        ({"mobile": "true"}, {"mobile": "true"}),
        ({"email": "shopper@mail.example"}, {"email": EMAIL}),
    ],
)
def test_phone_numbers_are_removed_and_their_hashes_kept_if_tags_get_no_phones(given, kept):
    assert scrubbed_event(given, region="GB", phones=False) == kept


@pytest.mark.parametrize(
    "name",
    ["tel", "mobile", "mobile_number", "contact_phone", "customerPhone2", "ph", "phone_sha256"],
)
@pytest.mark.parametrize("number", ["+44 20 7946 0958", 442079460958.0])
def test_every_spelling_of_a_phone_field_is_recognized(name, number):
    given = f"+{number:.0f}" if isinstance(number, float) else number

    assert scrubbed_event({name: given}, region=None) == {name: PHONE}
    assert scrubbed_event({name: 2079460958.0}, region="GB") == {name: PHONE}


@pytest.mark.parametrize(
    "event",
    [
        {"items": [{"name": "Mug", "ln": "3", "item_name": "Mug"}], "items.0.name": "Mug"},
        {"ecommerce": {"purchase": {"products": [{"name": "Mug"}], "actionField": {"id": "1"}}}},
        {"promotion_name": "Sale", "promotions": [{"name": "Sale"}], "coupon": {"name": "TEN"}},
        {"event_name": "purchase", "page_name": "Home", "campaign_name": "c", "form_name": "f"},
        {"order_number": "4420794609", "transaction_id": "1-555-0100", "client_id": "1.15550100"},
        {"user_id": "15550100123", "note": "order 15550100123, ref SKU+15550100123 at +01:00"},
        {"page": "https://shop.example/?q=order+15550100123&item_name=Mug&em=" + "0" * 64},
        {"user_data": {"address": {"city": "London", "country": "GB"}}, "shipping_method": "fast"},
        {"sha256_email_address": "0" * 64, "email_md5": "0" * 32, "hashed_email": "0" * 32},
        {"mobile": True, "device": {"name": "Phone"}, "tel": "0", "is_mobile": "yes"},
        {"raw": '{"a": [1, 2], "item_name": "Mug"}', "list": "[1, 2"},
    ],
)
def test_fields_without_personal_data_are_unchanged(event):
    assert scrubbed_event(event, region="GB") == event


@pytest.mark.parametrize(
    ("event", "kept"),
    [
        ({"name": {"first": "Ann"}, "phone": ["Ann"]}, {"name": {"first": "ANN"}, "phone": []}),
        ({"user_properties": {"name": {"value": "Ann"}}},) * 2,
        ({"customer": {"details": {"name": "Ann", "items": [{"name": "Mug"}]}}},) * 2,
        ({"fields": [{"name": "full_name", "value": "Ann"}]},) * 2,
        ({"params": {"name": "Ann"}, "params.name": "Ann"},) * 2,
        ({"form": '{"name": "Ann", "size": 1}'}, {"form": '{"name":"ANN","size":1}'}),
        ({"form": '{"note": "+442079460958", "note": ""}'}, {"form": '{"note":""}'}),
        ({"note": "call +1 (555) 010-0199 or \uff0b442079460958"}, {"note": "call *** or ***"}),
        ({"shopper@mail.example": 1}, {"***": 1}),
        ({"page_path": "/x?e=a%40mail.example&a=1 b"}, {"page_path": "/x?a=1 b"}),
        ({"dl": "?dl=https%3A%2F%2Fa.example%2F%3Fname%3DAnn%26b%3D1"},
         {"dl": "?dl=https%3A%2F%2Fa.example%2F%3Fb%3D1"}),
        ({"page": "https://a.example/?v=2&dtdc=eyJuYW1lIjoiQW5uIn0&ep.name=Ann"},
         {"page": "https://a.example/?v=2"}),
    ],
)  # fmt: skip
def test_personal_data_is_found_at_every_place_of_event_data(event, kept):
    spelled = json.dumps(scrubbed_event(event, region=None)).replace(ANN, "ANN")

    assert json.loads(spelled) == json.loads(json.dumps(kept).replace('"Ann"', '"ANN"'))


# None of these occurs in any other text of the test.
LOCAL, DIGITS, WHO = "qzshopperqz", "15550100199", "Zqannazq"
TEXTS = st.sampled_from(
    [
        "{}", "for {}", "{}, please", "(to:{})", "/u/{}", "https://shop.example/?x={}&y=1",
        "https://shop.example/u/{}", "https://shop.example/#{}", "?x={}", "x={}", "tel:{}", "Wę {}",
    ]
)  # fmt: skip
LOOKS = st.sampled_from(
    [f"{LOCAL}@mail.example", f"{LOCAL.title()}+a@mail.example", f"+{DIGITS}", "+1 (555) 010-0199",
     "+1-555-010-0199", "+1.555.010.0199"]
)  # fmt: skip
ESCAPED = st.builds(lambda text, look: text.format(quote(look, safe="")), TEXTS, LOOKS)
SHOWN = st.builds(lambda text, look: text.format(look), TEXTS, LOOKS) | ESCAPED
PHONES = st.sampled_from(
    [f"+{DIGITS}", DIGITS, "1 (555) 010-0199", "001 555 010 0199", 15550100199]
)
WORDS = st.sampled_from(["email", "mail", "phone", "tel", "first_name", "fullName", "ln", "street"])
PLANTED = (
    st.dictionaries(st.sampled_from(["note", "search_term", "x", "item_name"]), SHOWN, min_size=1)
    | st.dictionaries(st.sampled_from(["tel", "phone", "mobileNumber", "contact_phone"]), PHONES)
    | st.dictionaries(WORDS, st.just(WHO) | SHOWN | st.lists(SHOWN))
    | st.builds(lambda text: {text: 1}, SHOWN)
    | st.builds(
        lambda word, who: {"page_location": f"https://shop.example/?a=1&{word}={who}"},
        WORDS,
        st.just(WHO),
    )
)
INSIDE = st.recursive(
    PLANTED,
    lambda inner: st.builds(
        lambda key, shown: {key: shown},
        st.sampled_from(["user_data", "items", "x", "ecommerce", "customer", "0"]),
        inner | st.lists(inner, max_size=2) | inner.map(json.dumps),
    ),
    max_leaves=3,
)


@given(event=EVENTS, planted=INSIDE, region=st.sampled_from([None, "US", "GB"]))
def test_scrubbed_event_contains_no_personal_data(event, planted, region):
    # Short names such as "ln" identify a person only inside user data.
    if "ln" in json.dumps(planted):
        planted = {"user_data": json.loads(json.dumps(planted).replace("items", "x"))}

    scrubbed = scrubbed_event({**event, **planted}, region=region)

    kept = json.dumps(scrubbed, ensure_ascii=False)
    digits = re.sub(r"[\s().-]", "", kept)
    assert LOCAL not in kept.lower()
    assert WHO not in kept
    assert DIGITS not in digits
