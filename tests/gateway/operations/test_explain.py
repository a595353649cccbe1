"""Explain how a conversion became the body for X."""

import msgspec
import pytest

from builders import NOW, a_conversion
from twite.domain.conversion import Identifiers
from twite.domain.delivery import State
from twite.domain.history import History
from twite.domain.joins import GainedIdentifier
from twite.domain.value_change import RuleProblem, ValueChange
from twite.gateway.operations.explain import LONGEST, ExplainStep, masked, own_part, steps
from twite.gateway.ports.queries import ConversionOrigin
from twite.x.encode import conversion_body

PERSON = Identifiers(
    click_id="23opevjt88psuo13lu8d020qkn",
    email="ab" * 32,
    ip="203.0.113.77",
    user_agent="Mozilla/5.0 (X11; Linux x86_64)",
)


def _origin(body, *, place=0, endpoint="native", identifiers=PERSON):
    conversion = msgspec.structs.replace(a_conversion(), identifiers=identifiers)
    history = History(
        delivery=7,
        pixel="o8z6j",
        event="o8z6k",
        conversion_id="order-1",
        state=State.DELIVERED,
        source="shop",
        receipt="r1",
        received_at=NOW,
        deadline_at=NOW,
        sent=conversion_body(conversion),
        attempts=(),
    )
    return ConversionOrigin(
        history=history, endpoint=endpoint, body=msgspec.json.encode(body), place=place
    )


def _named(found):
    return {step.becomes: step for step in found}


def test_each_field_of_the_body_is_traced_to_the_request():
    given = {"event": "purchase", "conversion_id": "order-1", "email_sha256": "ab" * 32}

    found = _named(steps(_origin({"conversions": [{}, given]}, place=1)))

    assert found["event_id"].came == "purchase"
    assert found["event_id"].sent == "o8z6k"
    assert found["hashed_email"] == ExplainStep(
        field="email_sha256",
        came="abababab…",
        becomes="hashed_email",
        sent="abababab…",
        note="trimmed, in lower case, hashed before it was stored",
    )
    assert found["conversion_time"].note == "not in the request: the time of receipt"


def test_omitted_field_is_explained():
    given = {"event": "purchase", "phone_sha256": "cd" * 32}

    assert _named(steps(_origin(given)))["hashed_phone_number"].note.startswith("left out")


def test_fields_of_a_request_in_xs_format_are_traced():
    given = {"event_id": "o8z6k", "identifiers": [{"hashed_email": "ab" * 32}]}

    found = _named(steps(_origin({"conversions": [given]}, endpoint="x_api")))

    assert found["hashed_email"].came == "abababab…"


@pytest.mark.parametrize("body", [b"", b"{", b'"text"', b"[1]", b'{"conversions":[]}'])
def test_unreadable_request_has_no_explanation(body):
    origin = msgspec.structs.replace(_origin({}), body=body)

    assert steps(origin) == () or all(step.came == "" for step in steps(origin))


def test_field_that_a_user_changed_says_so():
    """It is another event than the settings give to the name."""
    given = {"event": "lead", "conversion_id": "order-1", "value": "49.90", "description": "a mug"}
    before = b'{"event_id":"o8z6x","value":"49.90","description":"a mug"}'
    origin = msgspec.structs.replace(_origin(given), unedited=before)

    found = _named(steps(origin))

    assert found["event_id"].note == "changed by a user: see the timeline"
    assert found["description"].note == "left out by a user: see the timeline"
    assert found["value"].note == "as a decimal with at least two places"


def test_amount_of_a_value_rule_says_so():
    given = {"event": "purchase", "value": "60", "currency": "USD"}
    origin = _origin(given)
    changed = ValueChange(
        rule="profit", before="60", currency_before="USD", after="49.90", currency="EUR"
    )
    failed = msgspec.structs.replace(changed, after=None, problem=RuleProblem.NO_NUMBER)

    found, unchanged = (
        _named(
            steps(
                msgspec.structs.replace(
                    origin, history=msgspec.structs.replace(origin.history, value_change=change)
                )
            )
        )
        for change in (changed, failed)
    )

    by_rule = "changed by a value rule: see the timeline"
    assert (found["value"].note, found["price_currency"].note) == (by_rule, by_rule)
    assert unchanged["value"].note == "as a decimal with at least two places"


def test_identifier_that_the_request_lacks_is_explained():
    """One of another event of the visitor was not set by a user."""
    origin = _origin({"event": "purchase"})
    gained = GainedIdentifier(identifier="email", origin="sign_up", at=NOW)
    history = msgspec.structs.replace(origin.history, gained=(gained,))

    found = _named(steps(msgspec.structs.replace(origin, history=history)))

    assert found["hashed_email"].note == "from another event of the visitor: see the timeline"
    assert found["ip_address"].note == "not in the request: added by the gateway"


def test_identifiers_are_masked_in_the_explanation():
    shown = masked(_origin({}).history.sent)

    for whole in (PERSON.click_id, PERSON.email, PERSON.ip, PERSON.user_agent):
        assert whole not in shown
    assert '"ip_address": "203.0.113.…"' in shown
    assert '"value": "49.90"' in shown


def test_bidirectional_control_characters_are_escaped():
    assert masked('{"a":"x\u202ey"}'.encode()) == '{\n  "a": "x\\u202ey"\n}'


def test_long_text_in_the_explanation_is_truncated():
    shown = masked(msgspec.json.encode({"description": "x" * (1 << 20)}))

    assert len(shown) < LONGEST
    assert "(1048576 characters)" in shown


def test_request_that_is_not_json_is_reported():
    assert masked(b"\xff\xfe") == "the body can no longer be read as JSON"


@pytest.mark.parametrize(
    ("body", "endpoint", "own"),
    [
        ({"conversions": [{"event": "a"}, {"event": "b"}]}, "native", {"event": "b"}),
        ({"event": "b"}, "native", {"event": "b"}),
        ({"hits": [{"event": "a"}, {"event": "b"}]}, "ga4", None),
        ([{"event": "a"}, {"event": "b"}], "beacon", None),
    ],
)
def test_only_the_conversions_own_part_of_a_request_is_shown(body, endpoint, own):
    part = own_part(_origin(body, place=1, endpoint=endpoint))

    assert (msgspec.json.decode(part) if part else None) == own
