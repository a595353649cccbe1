"""Encode event data as a GA4 hit. Reading the hit gives the same data."""

import json
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from twite.formats.ga4 import read as ga4
from twite.tags.google.ga4_hit import hit_of

EVENT = {
    "x-ga-protocol_version": "2",
    "x-ga-measurement_id": "G-1",
    "x-ga-page_id": 77,
    "x-ga-gcs": "G111",
    "x-ga-mp2-tt": "internal",
    "x-ga-mp2-user_properties": {"plan": "gold", "age": 5},
    "x-ga-system_properties": {"c": "1", "dbg": "1"},
    "event_name": "purchase",
    "client_id": "1.2",
    "user_id": "u1",
    "page_location": "https://shop.example/?a=1&b=ü",
    "currency": "EUR",
    "value": 49.9,
    "count": 3,
    "coupon": "A&B=C",
    "ip_override": "203.0.113.7",
    "user_agent": "Mozilla/5.0 (X11; Linux)",
    "client_hints": {
        "platform": "Linux",
        "full_version_list": [{"brand": "Chrom;ium", "version": "1.2"}],
    },
    "items": [
        {"item_id": "SKU-1", "item_name": "Mug~s", "price": 9.99, "quantity": 2, "colour": "red"},
        {"item_id": "SKU-2"},
    ],
}


def read_back(event):
    query, body = hit_of(event)
    return ga4.read(query, body.encode()).readable[0]


def test_encoded_hit_is_read_as_the_same_event_data():
    assert read_back(EVENT) == EVENT | {
        "items": [
            {
                "item_id": "SKU-1",
                "item_name": "Mug s",
                "price": 9.99,
                "quantity": 2,
                "colour": "red",
            },
            {"item_id": "SKU-2"},
        ]
    }


def test_only_parameters_shared_by_all_events_are_in_the_url():
    query, body = hit_of(EVENT)

    assert dict(parse_qsl(query)) == {"v": "2", "tid": "G-1"}
    assert "\n" not in body
    assert dict(parse_qsl(body))["_uip"] == "203.0.113.7"


def test_numbers_and_texts_keep_their_types_in_a_hit():
    said = dict(parse_qsl(hit_of(EVENT | {"flag": True, "whole": 5.0, "none": None})[1]))

    assert said["epn.value"] == "49.9"
    assert said["epn.count"] == "3"
    assert said["epn.whole"] == "5"
    assert said["ep.coupon"] == "A&B=C"
    assert said["ep.flag"] == "true"
    assert "ep.none" not in said


def test_personal_data_and_fields_without_a_parameter_are_not_encoded():
    more = {
        "user_data": {"email_address": "shopper@mail.example"},
        "x-sst-system_properties": {"uc": "GB"},
        "x-twite": "own",
        "page_hostname": "shop.example",
        "page_path": "/",
        "deep": {"a": 1},
    }

    assert hit_of(EVENT | more) == hit_of(EVENT)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"event_name": "a"},
        {"event_name": "a", "x-ga-measurement_id": "UA-1"},
        {"event_name": "a", "x-ga-measurement_id": 5},
        {"x-ga-measurement_id": "G-1"},
    ],
)
def test_event_without_a_measurement_id_or_name_cannot_be_encoded(event):
    with pytest.raises(ValueError, match=r"x-ga-measurement_id|event_name"):
        hit_of(event)


def test_every_hit_of_the_test_cases_can_be_encoded_and_read():
    cases = json.loads((Path(__file__).parents[1] / "cases/ga4.json").read_text())
    seen = 0
    for case in cases:
        for event in _events(case):
            again = read_back(event)
            seen += 1
            assert {k: v for k, v in event.items() if k not in _LEFT} == {
                k: v for k, v in again.items() if k not in _LEFT
            }
    assert seen > 10


_LEFT = {"user_data", "x-sst-system_properties"}


def _events(case):
    try:
        found = ga4.read(case["query"], case.get("body", "").encode())
    except Exception:  # noqa: BLE001  an invalid case
        return []
    return [event for event in found.readable if event.get("event_name")]
