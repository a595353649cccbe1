"""Event data as they wait for a tag: no person in them, and everything else where it was."""

import hashlib

import pytest

from twite.intake.event_scrub import scrubbed_event, without_persons

EMAIL = hashlib.sha256(b"shopper@mail.example").hexdigest()
PHONE = hashlib.sha256(b"+442079460958").hexdigest()


def test_a_person_is_hashed_in_the_place_it_had():
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
def test_every_spelling_of_an_email_is_known(name):
    assert scrubbed_event({name: "shopper@mail.example"}, region=None) == {name: EMAIL}


def test_a_hash_stays_as_it_is():
    assert scrubbed_event({"email": EMAIL}, region=None) == {"email": EMAIL}


def test_lists_are_looked_through():
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
def test_an_address_loses_the_parameters_of_persons_alone(page, kept):
    assert without_persons(page) == kept


def test_numbers_and_other_texts_are_left_alone():
    event = {"value": 49.9, "currency": "EUR", "ok": True, "none": None, "text": "a+b"}

    assert scrubbed_event(event, region="GB") == event
