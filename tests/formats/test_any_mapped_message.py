"""Laws of mappings, for any JSON and any of many expressions: they never raise, and stay exact."""

import json
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import NOW, a_destination, a_source
from formats.webhook_builders import a_webhook
from twite.consent.verdict import judging
from twite.domain.errors import MalformedRequest
from twite.formats.mapped_sample import sample_body
from twite.formats.native.read import read_parsed
from twite.formats.webhook_kinds import KINDS
from twite.formats.webhook_map import FIELDS, read_mapped

EXPRESSIONS = (
    "a", "a.b", "a[0]", "a[*].b", "a[].b | [0]", "a || b", "a && b", "!a", "@", "`null`", "'x'",
    "`1.5`", "sum(a)", "sum(a[].b)", "to_string(a)", "to_number(a)", "max(a)", "avg(a)", "type(a)",
    "sort_by(a, &b)", "a[?b > `1`]", "a[?b == 'x'] | [0]", "{id: a, price: b, quantity: c}",
    "a[].{id: b, price: c}", "keys(a)", "length(a)", "join(',', a)", "ceil(a)", "reverse(a)",
)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["49.90", "EUR", "1e999", "0", "null", "shopper@example.com", "granted"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=12,
)
EXPRESSION = st.sampled_from(EXPRESSIONS)
OPTIONS = st.fixed_dictionaries(
    {
        "map": st.dictionaries(st.sampled_from(FIELDS), EXPRESSION, max_size=8).map(
            lambda found: {"conversion_id": "a"} | found
        )
    },
    optional={
        "when": EXPRESSION,
        "each": EXPRESSION,
        "message": EXPRESSION,
        "minor_units": st.booleans(),
        "ignore": st.dictionaries(st.sampled_from(["test", "refund"]), EXPRESSION, max_size=2),
    },
)


def results_of(body, options):
    reading = read_mapped(body, a_webhook(KINDS["standard"], **options))
    source = a_source()
    parsed = read_parsed(
        reading.parsed,
        source=source,
        destinations={"o8z6j": a_destination()},
        now=NOW,
        salt=b"salt",
        judge=judging(policy=source.consent, now=NOW, revoked=None),
    )
    return reading, parsed.results


@settings(max_examples=300, deadline=None)
@given(VALUES, OPTIONS)
def test_any_message_becomes_conversions_or_faults_or_is_ignored(message, options):
    try:
        reading, results = results_of(json.dumps(message).encode(), options)
    except MalformedRequest:
        assert "each" in options
        return
    assert len(results) == len(reading.parsed.conversions) == len(reading.parsed.faults)
    assert results or reading.parsed.ignored
    assert reading.name


@settings(max_examples=100, deadline=None)
@given(OPTIONS)
def test_samples_of_any_mapping_can_be_read(options):
    webhook = a_webhook(KINDS["standard"], **options)

    try:
        read_mapped(sample_body(webhook.options, NOW), webhook)
    except MalformedRequest:
        assert "each" in options


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 2**64 - 1),
    st.decimals(min_value=0, max_value=10**12, places=2, allow_nan=False, allow_infinity=False),
)
def test_ids_and_amounts_are_exact(number, total):
    body = f'{{"id": {number}, "total": {total}, "mail": "shopper@example.com"}}'.encode()
    fields = {"conversion_id": "id", "value": "total", "currency": "'EUR'", "email": "mail"}

    (result,) = results_of(body, {"map": fields})[1]

    assert [each for each in result.faults if each.code != "id_is_a_person"] == []
    if result.conversion is not None:
        assert result.conversion.conversion_id == str(number)
        assert Decimal(result.conversion.value) == total
