"""What is stored about a rejected conversion: enough to fix it, and no personal data."""

import msgspec
import pytest
from test_accept import AcceptStage

from builders import a_source
from twite.domain.fault import CODES
from twite.domain.submission import LONGEST_VALUE, RejectionQuery, rejection_of
from twite.gateway.ingest.rejections import marks, masked_value
from twite.redaction.mask_text import masked_text

EMAIL = "ada.lovelace@shop.example"
PHONE = "+442079460958"
BROWSER_ID = "tw.1764071000000.123456789012345678"


async def rejected(**fields):
    """Submit one conversion; return the record of its rejection."""
    stage = AcceptStage()
    body = msgspec.json.encode({"event": "purchase", "conversion_id": "order-1"} | fields)
    receipt = await stage.accept.native(source=a_source(), body=body)
    (submission,) = stage.submissions
    (rejection,) = [rejection_of(submission, refusal) for refusal in submission.refusals]
    assert (rejection.receipt, rejection.index, rejection.source) == (receipt.receipt, 0, "shop")
    return rejection


@pytest.mark.parametrize(
    ("path", "fields", "value"),
    [
        ("event", {"event": "bought", "twclid": "abc"}, "bought"),
        ("value", {"value": "-5.00", "currency": "EUR", "twclid": "abc"}, "-5.00"),
        ("value", {"value": -5.00, "currency": "EUR", "twclid": "abc"}, "-5.0"),
        ("currency", {"value": "5", "currency": "EURO", "twclid": "abc"}, "EURO"),
        ("time", {"time": "24/11/2026", "twclid": "abc"}, "99/99/9999"),
        ("email", {"email": "Ada Lovelace"}, "Xxx Xxxxxxxx"),
        ("ip", {"ip": "10.1.2.3", "user_agent": "curl"}, "10.1.2.3"),
        ("ip", {"ip": "::1", "user_agent": "curl"}, "::1"),
        ("ip", {"ip": "203.0.113.700", "user_agent": "curl"}, "999.9.999.999"),
        ("contents[1].price", {
            "contents": [{"id": "A"}, {"id": "B", "price": "cheap"}], "twclid": "abc",
        }, "xxxxx"),
    ],
)  # fmt: skip
async def test_rejected_value_is_stored_by_its_path(path, fields, value):
    found = {fault.path: fault.value for fault in (await rejected(**fields)).faults}

    assert found[path] == value


@pytest.mark.parametrize(
    "path",
    ["event", "value", "currency", "time", "conversion_id", "email", "phone", "pixel", "twclid",
     "contents[0].name", "contents[0].price", "url", "description", "search", "", "anything"],
)  # fmt: skip
@pytest.mark.parametrize("person", [EMAIL, PHONE, f"call {PHONE}", f"Ada <{EMAIL}>"])
def test_no_email_or_phone_number_is_stored_at_any_path(path, person):
    shown = masked_value(path, person)

    assert not any(part in shown for part in ("ada", "lovelace", "2079", "0958", "7946"))
    assert len(shown) <= LONGEST_VALUE


@pytest.mark.parametrize(
    "field",
    ["email", "email_sha256", "phone", "phone_sha256", "twclid", "twpid", "ip", "user_agent"],
)
def test_single_word_in_a_field_for_personal_data_is_stored_as_its_shape(field):
    assert masked_value(field, "Lovelace") == "Xxxxxxxx"
    assert masked_value("event", "Lovelace") == "Lovelace"


@pytest.mark.parametrize(
    "value", ["x" * 100_000, msgspec.Raw(b'"' + b"1" * 100_000 + b'"'), ["a"] * 9_000]
)
def test_long_rejected_value_is_truncated(value):
    assert len(masked_value("event", value)) <= LONGEST_VALUE


async def test_name_in_the_amount_field_is_stored_as_its_shape():
    rejection = await rejected(value="Ada Lovelace", currency="EUR", twclid="abc")

    assert [fault.value for fault in rejection.faults if fault.path == "value"] == ["Xxx Xxxxxxxx"]


async def test_conversion_id_with_personal_data_is_masked():
    assert (await rejected(event="bought", twclid="abc")).conversion_id == "order-1"
    assert (await rejected(conversion_id=EMAIL, twclid="abc")).conversion_id == "***"


@pytest.mark.parametrize("code", CODES)
def test_error_messages_contain_nothing_to_mask(code):
    assert masked_text(CODES[code]) == CODES[code]


def test_person_hashes_need_an_identifier_and_a_salt():
    words = ("a" * 64, None, "23opevjt88psuo13lu8d020qkn")

    own = marks(words, salt=b"salt")

    assert own == marks(words, salt=b"salt")
    assert len(own) == 2
    assert set(own).isdisjoint(marks(words, salt=b"other"))


@pytest.mark.parametrize(
    ("identifier", "fields"),
    [
        ("odd-click", {"twclid": "odd-click"}),
        ("odd-click", {"twclid": '{"twclid":"odd-click"}'}),
        ("5F" * 32, {"email_sha256": "5f" * 32}),
        ("6e" * 32, {"phone_sha256": "6E" * 32}),
        (BROWSER_ID, {"twpid": BROWSER_ID, "twclid": "abc"}),
        ("203.0.113.77", {"ip": "203.0.113.77", "user_agent": "Browser/7"}),
        ("Browser/7", {"ip": "203.0.113.77", "user_agent": "Browser/7"}),
    ],
)
async def test_conversion_id_with_an_identifier_of_the_conversion_is_masked(identifier, fields):
    for id_ in (identifier, f"lead-{identifier}/1".lower()):
        rejection = await rejected(event="bought", conversion_id=id_, **fields)
        assert rejection.conversion_id == "***"


async def test_conversion_id_with_a_short_identifier_is_stored():
    assert (await rejected(event="bought", twclid="order")).conversion_id == "order-1"


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("order\0 1", "order\\u0000 1"),
        ("A1234567890\tX", "A1234567890\\tX"),
        ("a\nb", "a\\nb"),
        ("ada.love\0lace@shop.example", "***"),
        (f"{PHONE[:4]}\t{PHONE[4:]}", "***"),
    ],
)
async def test_id_with_a_control_character_is_stored_and_found_with_escapes(written, stored):
    rejection = await rejected(conversion_id=written, twclid="abc")

    assert "control_character" in {fault.code for fault in rejection.faults}
    assert rejection.conversion_id == stored
    if stored != "***":
        names = (written, stored)
        assert [RejectionQuery(name=name).wants(rejection) for name in names] == [True, True]
    assert not RejectionQuery(name="order").wants(rejection)
