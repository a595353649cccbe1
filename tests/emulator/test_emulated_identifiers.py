"""The array of identifiers: which elements suffice, and the form of their values."""

import pytest
from x_requests import a_conversion, a_judge, answer_of

HASH = "e586883b2b4faf78d48300a79e0e15138d664cdf796ffb86e533170a9893eda8"
IP = {"ip_address": "203.0.113.7"}
UA = {"user_agent": "Mozilla/5.0"}
CLICK = {"twclid": "23opevjt88psuo13lu8d020qkn"}
NONE = "At least one user identifier must be provided"


def problems(elements, *switches):
    status, document = answer_of(a_judge(*switches), a_conversion(identifiers=elements))
    return [] if status == 200 else [error["message"] for error in document["errors"]]


@pytest.mark.parametrize(
    "elements",
    [
        [CLICK],
        [{"hashed_email": HASH}],
        [{"hashed_phone_number": HASH}],
        [IP | UA],
        [CLICK | IP],
        [CLICK | UA | {"hashed_email": ""}],
        [CLICK, {"hashed_email": HASH}, IP | UA],
        [CLICK | {"twpid": "tw.1.2"}],
    ],
)
def test_documented_identifier_layout_is_accepted(elements):
    assert problems(elements) == []


@pytest.mark.parametrize(
    "elements",
    [
        None,
        [],
        [{}],
        [{"twclid": ""}],
        [{"twclid": "  "}],
        [{"twclid": None}],
        [IP],
        [UA],
        [IP, UA],
        [CLICK, IP],
        [CLICK, {}],
        [{"twpid": "tw.1.2"}],
        [{"email": "a@example.com"}],
    ],
)
def test_every_identifier_element_must_suffice_by_default(elements):
    assert problems(elements) == [NONE]


def test_switch_any_needs_one_sufficient_identifier_element():
    found = [problems(elements, "element_rule=any") for elements in ([CLICK, IP], [IP, UA])]

    assert found == [[], [NONE]]


def test_switch_union_combines_the_identifier_elements():
    found = [problems(elements, "element_rule=union") for elements in ([CLICK, IP], [IP, UA], [IP])]

    assert found == [[], [], [NONE]]


@pytest.mark.parametrize("name", ["hashed_email", "hashed_phone_number"])
@pytest.mark.parametrize("value", ["abc", HASH[:-1], HASH + "0", HASH.upper(), HASH[:-1] + "g"])
def test_hashed_identifier_must_have_64_lowercase_hex_digits(name, value):
    assert problems([{name: value}]) == [f"{name} ({value}) is not a valid SHA-256 hash"]


def test_switch_accepts_uppercase_hashes():
    assert problems([{"hashed_email": HASH.upper()}], "hash_case=any") == []


@pytest.mark.parametrize("value", ["203.0.113.7", "2001:db8::7"])
def test_ipv4_and_ipv6_addresses_are_accepted(value):
    assert problems([UA | {"ip_address": value}]) == []


@pytest.mark.parametrize("value", ["203.0.113.256", "example.com", "2001:db8::g", "203.0.113.7:80"])
def test_invalid_ip_address_is_refused(value):
    found = problems([UA | {"ip_address": value}])

    assert found == [f"ip_address ({value}) is not a valid IP address"]


def test_switch_refuses_ipv6():
    assert len(problems([UA | {"ip_address": "2001:db8::7"}], "allow_ipv6=off")) == 1


@pytest.mark.parametrize("elements", ["abc", {"twclid": "abc"}, 5])
def test_identifiers_must_be_an_array(elements):
    assert problems(elements)[0].startswith("Expected Array")


def test_identifier_that_is_not_a_text_is_refused():
    assert problems([CLICK | {"user_agent": 5}]) == ['Expected String, got "5" for user_agent']
