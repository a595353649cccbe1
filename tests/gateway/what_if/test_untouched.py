"""Requests that new settings cannot touch are found without reading them again."""

import msgspec
import pytest
from msgspec.structs import replace

from builders import NOW, a_destination, a_source, an_entry
from twite.domain.consent import ConsentPolicy
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.submission import Endpoint
from twite.domain.times import DAY
from twite.formats.value_rules import ValueRule
from twite.gateway.ports.past_requests import PastConversion, PastRequest
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.gateway.what_if.past_guards import PastGuards
from twite.gateway.what_if.untouched import Untouched

FIELDS = {
    "event": "purchase", "conversion_id": "order-1", "value": "49.90", "currency": "EUR",
    "twclid": "23opevjt88psuo13lu8d020qkn",
}  # fmt: skip
HELD = b'{"action":"hold","rule":"unclear","policy":"p"}'
OTHER_POLICY = b'{"action":"send","rule":"granted","policy":"another"}'


def settings(source=None, destination=None, rules=()):
    return IntakeSettings.of(
        sources=(source or a_source(),),
        destinations=(destination or a_destination(),),
        dedup_window=7 * DAY,
        rules=rules,
    )


def past(**fields):
    entry = an_entry("order-1")
    conversion = PastConversion(
        delivery=7, pixel=entry.pixel, event=entry.event, conversion_id="order-1", body=entry.body
    )
    return replace(conversion, **fields)


def request(conversion, body=FIELDS, **fields):
    request = PastRequest(
        number=1, receipt="r", source="shop", endpoint=Endpoint.NATIVE.value, received_at=NOW,
        first=7, entries=1, body=msgspec.json.encode(body), refused=frozenset(),
        conversions={7: conversion},
    )  # fmt: skip
    return replace(request, **fields)


def found(past_request, new_settings=None):
    current = settings()
    new_settings = new_settings or current
    guards = PastGuards(new_settings=new_settings, current_settings=current)
    return Untouched(new_settings=new_settings, current_settings=current, guards=guards).found(
        past_request
    )


def test_request_that_nothing_touches_is_what_was_stored():
    conversion = past()

    (reread,) = found(request(conversion))

    assert reread.accepted.body is conversion.body
    assert reread.read.conversion.value == "49.90"


def test_batch_that_nothing_touches_is_found_whole():
    both = {7: past(), 8: past(delivery=8, conversion_id="order-2")}
    body = {"conversions": [FIELDS, FIELDS | {"conversion_id": "order-2"}]}
    batch = request(None, body, entries=2, conversions=both)

    assert [each.place for each in found(batch)] == [0, 1]
    assert found(replace(batch, body=msgspec.json.encode(body | {"hit": []}))) is None
    assert found(replace(batch, body=msgspec.json.encode(body | {"hit": {"pixel_calls": []}})))


@pytest.mark.parametrize(
    "new_settings",
    [
        settings(destination=replace(a_destination(), events={"purchase": "o8z6m"})),
        settings(destination=replace(a_destination(), events={})),
        settings(source=replace(a_source(), consent=ConsentPolicy(required=True))),
        settings(source=replace(a_source(), test_until=NOW + 1)),
        settings(source=replace(a_source(), wait=1)),
        settings(source=a_source(pixel="o8z7q")),
        settings(source=a_source("other")),
        settings(rules=[ValueRule(name="half", value="divide(value, `2`)")]),
    ],
)
def test_request_that_the_settings_may_touch_is_read_again(new_settings):
    assert found(request(past()), new_settings) is None


@pytest.mark.parametrize(
    "conversion",
    [
        past(suppressed="consent_denied"),
        past(held="unusual"),
        past(flag=ValueFlag(kind="outlier", value="1", currency="EUR", usual="49.90 EUR")),
        past(is_joined=True),
        past(evidence=HELD),
        past(evidence=OTHER_POLICY),
        past(body=b""),
        past(body=b'{"identifiers":[],"value":"49.90","price_currency":"EUR"}'),
        past(conversion_id="derived"),
    ],
)
def test_conversion_that_was_not_simply_sent_is_read_again(conversion):
    assert found(request(conversion)) is None


@pytest.mark.parametrize("fields", [{"value": "24.95"}, {"currency": "USD"}, {"value": None}])
def test_amount_that_a_former_rule_changed_is_read_again(fields):
    assert found(request(past(), FIELDS | fields)) is None


def test_value_limit_is_applied_again_to_what_pages_sent():
    limited = settings(source=replace(a_source(), browser_value_limit=10))

    assert found(request(past()), limited) is not None
    assert found(request(past(), endpoint=Endpoint.BEACON.value), limited) is None


def test_duplicates_and_rejections_are_read_again():
    assert found(request(past(), conversions={})) is None
    assert found(request(past(), refused=frozenset({1}))) is None
