import hashlib
import re

import phonenumbers
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from twite.domain.fault import Fault
from twite.domain.normalize import PHONE_REGIONS, e164, phone_digest

LONDON = "+442079460958"
SHA_OF_555 = "40d3f4e02db27d66cf4cfdda506c2c945f115a7955cc8491dda98ce5beabcda0"
X_VECTOR = "1fa6b8d986d9b9cd01bf36951815158bbde9f520c0567c835dfe34783d0a4231"
WITHOUT_PLUS = "cf14fe3c9d73fcb3574d2643988efb2db605b1c224725bd322d7d2350467b4dc"

INTERNATIONAL = [
    LONDON,
    "+44 20 7946 0958",
    "+44 (0)20 7946 0958",
    "+44-20-7946-0958",
    "+44.20.7946.0958",
    "+44/20/7946/0958",
    "0044 20 7946 0958",
    "00442079460958",
    "(+44) 20 7946 0958",
    " +44 20 7946 0958 ",
    "tel:+44-20-7946-0958",
    "\uff0b44 20 7946 0958",
    "+44\u00a020\u00a07946\u00a00958",
    "+44\u201020\u20137946\u20140958",
    "+44 20 7946 0958 ext. 12",
    "+44 20 7946 0958 x12",
    "\u202a+442079460958\u202c",
    "\u200b+44 20 7946\u200b 0958",
]
NATIONAL = [
    "020 7946 0958",
    "02079460958",
    "(020) 7946 0958",
    "(020) 7946-0958",
    "020-7946-0958",
    "020.7946.0958",
    "0 20 7946 0958",
    "44 20 7946 0958",
    "20 7946 0958",
    "\u0660\u0662\u0660 \u0667\u0669\u0664\u0666 \u0660\u0669\u0665\u0668",
]


CODES = [
    "1", "31", "316", "324", "33", "34", "3519", "353", "3538", "39", "393", "417", "43", "436",
    "44", "45", "46", "467", "47", "48", "49", "491", "55", "61", "81", "817", "82", "8210", "91",
]  # fmt: skip


def digest_of(text, region=None):
    return phone_digest(text, region=region, path="phone")


def code_of(text, region=None):
    read = digest_of(text, region)
    return read.code if isinstance(read, Fault) else "taken"


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_formatted_us_phone_number_is_hashed_as_e164():
    assert digest_of("+1 (415) 555-0100") == SHA_OF_555


def test_phone_number_with_its_plus_has_the_hash_of_xs_example():
    assert digest_of("+11234567890") == X_VECTOR
    assert digest_of("+11234567890") != WITHOUT_PLUS


@pytest.mark.parametrize("spelling", INTERNATIONAL)
def test_phone_number_with_a_country_code_needs_no_region(spelling):
    assert digest_of(spelling) == sha256(LONDON)


@pytest.mark.parametrize("spelling", [*INTERNATIONAL, *NATIONAL])
def test_every_spelling_of_a_phone_number_has_one_hash_with_a_region(spelling):
    assert digest_of(spelling, "GB") == sha256(LONDON)


@pytest.mark.parametrize("spelling", NATIONAL)
def test_national_phone_number_without_a_region_is_refused(spelling):
    assert code_of(spelling) == "phone_needs_region"


def test_region_sets_the_country_of_a_national_phone_number():
    assert digest_of("(415) 555-0100", "US") == SHA_OF_555


def test_significant_leading_zero_of_a_phone_number_stays():
    assert e164("06 1234 5678", "IT") == "+390612345678"


def test_national_phone_number_must_be_valid_in_its_region():
    assert code_of("(415) 555-0100", "GB") == "phone_unusable"
    assert digest_of("+1 (415) 555-0100", "GB") == sha256("+14155550100")


def test_international_prefix_is_that_of_the_region():
    assert digest_of("011 44 20 7946 0958", "US") == sha256(LONDON)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "+", "-", "n/a", "null", "unknown", "none given", "00", "12", "+44", "+44 1",
        "+999 123 456 789", "+44 20 7946 0958 0958 0958", "bob@example.com",
        "+44 20 7946 0958\x00", "1" * 65, "+1" + "2" * 5_000, "0000000000", "000-000-0000",
        "+44 0000000000", "+44 2079", "+44 2079 4609 5812",
    ],
)  # fmt: skip
def test_invalid_phone_number_with_a_region_has_an_error_code(text):
    assert code_of(text, "GB") == "phone_unusable"


@pytest.mark.parametrize("text", ["", "+", "n/a", "unknown", "123456", "1" * 65, "tel:"])
def test_invalid_phone_number_without_a_region_has_an_error_code(text):
    assert code_of(text) == "phone_unusable"


@pytest.mark.parametrize(
    ("digits", "code"),
    [(6, "phone_unusable"), (7, "phone_needs_region"), (15, "phone_needs_region"),
     (16, "phone_unusable")],
)  # fmt: skip
def test_phone_number_without_a_country_code_has_7_to_15_digits(digits, code):
    assert code_of("2" * digits) == code


@pytest.mark.parametrize(("length", "number"), [(64, LONDON), (65, "phone_unusable")])
def test_phone_number_has_at_most_64_characters(length, number):
    assert e164("+44" + "2079460958".rjust(length - 3), None) == number


@pytest.mark.parametrize(("length", "number"), [(128, LONDON), (129, "phone_unusable")])
def test_phone_number_with_spaces_is_read_up_to_128_characters(length, number):
    assert e164(LONDON.ljust(length), None) == number


def test_submitted_phone_hash_is_not_hashed_again():
    assert digest_of(X_VECTOR, "GB") == X_VECTOR
    assert digest_of(f" {X_VECTOR.upper()} ", "GB") == X_VECTOR


@pytest.mark.parametrize("length", [32, 40, 128])
def test_hash_by_another_algorithm_is_refused_as_not_sha256(length):
    assert code_of("1a" * (length // 2), "GB") == "not_sha256"


def test_hash_of_the_empty_text_is_refused():
    assert code_of(sha256("")) == "hash_of_nothing"


def test_message_about_a_phone_number_does_not_contain_it():
    assert "7946" not in f"{digest_of('020 7946 0958')}"


@given(
    number=st.sampled_from(CODES).flatmap(
        lambda code: st.from_regex(re.compile(rf"\+{code}[0-9]{{8,10}}", re.ASCII), fullmatch=True)
    ),
    region=st.none() | st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)),
)
def test_fast_path_for_phone_numbers_agrees_with_the_library(number, region):
    slow = e164(number, region)
    assume(slow.startswith("+"))

    assert digest_of(number, region) == sha256(slow)


@given(st.from_regex(re.compile(
    r"\+(?:1[2-9][0-9]{2}[2-9][0-9]{6}|44[1-35-9][0-9]{9}|33[1-9][0-9]{8}|34[6-9][0-9]{8}"
    r"|91[6-9][0-9]{9}|61[2-478][0-9]{8}|491[5-7][0-9]{8,9}|393[0-9]{8,9}|316[0-9]{8}|324[0-9]{8}"
    r"|3519[0-9]{8}|3538[3-9][0-9]{7}|417[5-9][0-9]{7}|436[5-9][0-9]{7,10}|45[2-9][0-9]{7}"
    r"|467[02369][0-9]{7}|47[49][0-9]{7}|48[4-8][0-9]{8}|55[1-9]{2}9[0-9]{8}|81[7-9]0[0-9]{8}"
    r"|8210[0-9]{8})"
), fullmatch=True))  # fmt: skip
def test_fast_path_writes_a_phone_number_as_the_library_does(number):
    assert e164(number, None) == number


@given(st.text(max_size=80), st.sampled_from([None, "GB", "US", "IT"]))
def test_any_text_as_a_phone_number_is_hashed_or_has_an_error_code(text, region):
    read = digest_of(text, region)

    assert isinstance(read, Fault) or (len(read) == 64 and read.isalnum())


def test_regions_of_phone_numbers_are_those_of_the_library():
    assert frozenset(phonenumbers.SUPPORTED_REGIONS) == PHONE_REGIONS
