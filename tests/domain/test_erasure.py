"""Recognize a person in every spelling of the identifiers, and in texts."""

import hashlib

import pytest

from twite.domain.conversion import Identifiers
from twite.domain.fault import Fault
from twite.domain.people.erasure import (
    CLICK,
    CONVERSION_ID,
    EMAIL,
    PHONE,
    ErasureIdentifier,
    all_of,
    asked,
)

ADA = "ada@shop.example"
NUMBER = "+442079460958"
TWCLID = "23opevjt88psuo13lu8d020qkn"


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def identifiers_of(*given, region="GB"):
    return all_of(asked(kind, text, region=region) for kind, text in given)


@pytest.mark.parametrize(
    ("kind", "text", "person"),
    [
        (EMAIL, " Ada@Shop.Example ", Identifiers(email=sha256(ADA))),
        (EMAIL, sha256(ADA).upper(), Identifiers(email=sha256(ADA))),
        (PHONE, "020 7946 0958", Identifiers(phone=sha256(NUMBER))),
        (PHONE, "0044 (20) 7946-0958", Identifiers(phone=sha256(NUMBER))),
        (PHONE, sha256(NUMBER), Identifiers(phone=sha256(NUMBER))),
        (CLICK, f"https://shop.example/?twclid={TWCLID}", Identifiers(click_id=TWCLID)),
    ],
)
def test_person_is_recognized_in_any_spelling(kind, text, person):
    assert asked(kind, text, region="GB").identifiers == person


def test_conversion_id_does_not_identify_a_person():
    identifier = asked(CONVERSION_ID, " order-1 ", region=None)

    assert identifier == ErasureIdentifier(kind=CONVERSION_ID, conversion_id="order-1")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (EMAIL, "ada at shop"),
        (EMAIL, hashlib.md5(ADA.encode(), usedforsecurity=False).hexdigest()),
        (PHONE, "12"),
        (PHONE, "020 7946 0958"),
        (CLICK, "2-3k9x0"),
        (CLICK, "not a click id at all"),
        (CONVERSION_ID, " "),
        (CONVERSION_ID, "x" * 513),
    ],
)
def test_message_about_an_invalid_identifier_does_not_contain_it(kind, text):
    found = asked(kind, text, region=None)

    assert isinstance(found, Fault)
    assert text.strip() not in found.message or not text.strip()


@pytest.mark.parametrize(
    "kept",
    [
        f'{{"hashed_email":"{sha256(ADA)}"}}',
        f'{{"hashed_phone_number":"{sha256(NUMBER)}"}}',
        f'{{"twclid":"{TWCLID}"}}',
        # Hashes as other software makes them: twice, without the plus sign, before lower-casing.
        f'{{"email_sha256":"{sha256(sha256(ADA))}"}}',
        f'{{"phone_sha256":"{sha256(NUMBER[1:])}"}}',
    ],
)
def test_person_is_found_in_a_stored_conversion(kept):
    them = identifiers_of((EMAIL, ADA), (PHONE, NUMBER), (CLICK, TWCLID))

    assert them.named_in(kept.encode())
    assert them.named_in_any(kept.encode())


@pytest.mark.parametrize(
    "text",
    [
        "Mail of Ada@Shop.Example.",
        "https://shop.example/?mail=ada%40shop.example&a=1",
        f"\\u0022{sha256(ADA)}\\u0022 is no digest",
        f"%22{sha256(ADA).upper()}%22",
        f"value 'x{sha256(ADA)}'",
        f"_twite=1.1764071000000.{TWCLID}; a=b",
        f"twclid%3D{TWCLID}%26",
        "tel:+442079460958",
    ],
)
def test_person_is_found_in_a_text(text):
    assert identifiers_of((EMAIL, ADA), (PHONE, NUMBER), (CLICK, TWCLID)).named_in_any(
        text.encode()
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada@shop.example.org",
        "not-ada@shop.example",
        f'"{sha256("bob@shop.example")}"',
        f'"{TWCLID}x"',
        "4420794609580",
    ],
)
def test_data_of_another_person_is_not_found(text):
    them = identifiers_of((EMAIL, ADA), (PHONE, NUMBER), (CLICK, TWCLID))

    assert not them.named_in(text.encode())
    assert not them.named_in_any(text.encode())


def test_repr_of_an_erasure_request_hides_the_person():
    identifier = asked(EMAIL, ADA, region=None)

    assert "ada" not in repr(identifier) + repr(all_of([identifier]))
    assert sha256(ADA) not in repr(identifier) + repr(all_of([identifier]))
