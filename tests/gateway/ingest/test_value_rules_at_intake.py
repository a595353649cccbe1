"""Value rules replace amounts of every way in, before guards judge and the store records."""

import asyncio
import json

import msgspec
import pytest
from test_accept_groups import GroupStage, PendingOrder

from builders import a_destination, a_source
from twite.domain.stats.value_guard import UsualAmount, ValueGuard, learnt
from twite.domain.submission import Endpoint
from twite.domain.value_change import RuleProblem, ValueChange
from twite.formats.parsed_request import Native, ParsedRequest
from twite.formats.value_rules import ValueRule, ValueRules
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.ingest.value_rules import CurrentValueRules
from twite.gateway.ports.events import Accepted, ValueRulesApplied

HALF = ValueRule(name="half", value="divide(value, `2`)", events=("purchase",))
ORDER = {
    "event": "purchase",
    "conversion_id": "order-1",
    "value": "49.90",
    "currency": "EUR",
    "twclid": "abc",
}
AS_X = {
    "conversion_time": "2026-11-24T10:00:00.000Z",
    "event_id": "o8z6k",
    "conversion_id": "order-1",
    "identifiers": [{"twclid": "abc"}],
    "value": "49.90",
    "price_currency": "EUR",
}
CHANGE = ValueChange(
    rule="half", before="49.90", currency_before="EUR", after="24.95", currency="EUR"
)


def current(*rules):
    pixels = {pixel: dict(a_destination(pixel).events) for pixel in ("o8z6j", "p2")}
    return CurrentValueRules(ValueRules(rules, pixels=pixels))


def a_stage(*rules, **more):
    return GroupStage(value_rules=current(*rules), **more)


def encoded(value):
    return json.dumps(value).encode()


async def typical(stage, **fields):
    stage.together(PendingOrder(a_source(), encoded(ORDER | fields)))


async def whole(stage, **fields):
    await stage.accept.native(source=a_source(), body=encoded({"conversions": [ORDER | fields]}))


async def other_format(stage, **fields):
    native = Native(**(ORDER | fields | {"value": msgspec.Raw(encoded((ORDER | fields)["value"]))}))
    parsed = ParsedRequest(conversions=(native,))
    await stage.accept.parsed(parsed, source=a_source(), endpoint=Endpoint.GA4)


async def as_x(stage, **fields):
    body = encoded({"conversions": [AS_X | fields]})
    await stage.accept.from_x(destination=a_destination(), body=body)


def learned_by(guards):
    """Return the usual amounts that changed."""

    class State:
        async def put(self, records):
            self.records = records

    state = State()
    asyncio.run(guards.keep(state))
    return state.records


WAYS = pytest.mark.parametrize("submit", [typical, whole, other_format, as_x])


@WAYS
def test_rule_replaces_the_amount_of_every_way_in(submit):
    stage = a_stage(HALF)

    asyncio.run(submit(stage))

    (submission,) = stage.submissions
    (entry,) = submission.entries
    assert json.loads(entry.body)["value"] == "24.95"
    assert entry.value_change == CHANGE
    # The stored request has the original.
    assert b"49.90" in submission.body
    assert b"24.95" not in submission.body


@pytest.mark.parametrize("submit", [typical, whole])
def test_rule_reads_tax_and_shipping_and_x_gets_neither(submit):
    stage = a_stage(ValueRule(name="net", value="subtract(subtract(value, tax), shipping)"))

    asyncio.run(submit(stage, tax="7.97", shipping="4.90", new_customer=True))

    ((entry,),) = [submission.entries for submission in stage.submissions]
    sent = json.loads(entry.body)
    assert sent["value"] == "37.03"
    assert not {"tax", "shipping", "new_customer"} & sent.keys()
    assert b"7.97" not in entry.body


@WAYS
def test_rule_that_fails_keeps_the_amount_and_the_conversion(submit):
    stage = a_stage(ValueRule(name="half", value="divide(value, `0`)"))

    asyncio.run(submit(stage))

    ((entry,),) = [submission.entries for submission in stage.submissions]
    assert json.loads(entry.body)["value"] == "49.90"
    assert entry.value_change.problem is RuleProblem.EXPRESSION
    applied = [notice for notice in stage.notices if isinstance(notice, ValueRulesApplied)]
    assert [dict(notice.results) for notice in applied] == [{("half", "expression_failed"): 1}]


@WAYS
def test_rule_for_another_source_changes_nothing(submit):
    rule = ValueRule(name="half", value="divide(value, `2`)", sources=("other",))
    stage = a_stage(rule)

    asyncio.run(submit(stage))

    ((entry,),) = [submission.entries for submission in stage.submissions]
    assert (json.loads(entry.body)["value"], entry.value_change) == ("49.90", None)


@WAYS
def test_value_guard_judges_and_learns_the_new_amount(submit):
    usual_amount = UsualAmount(pixel="o8z6j", event="o8z6k", currency="EUR")
    for number in range(200):
        usual_amount = learnt(usual_amount, f"{20 + number % 9}.00")
    guards = ValueGuards(pixels={"o8z6j": ValueGuard.HOLD}, usual_amounts=[usual_amount])
    small = a_stage(HALF, guards=guards)
    large = a_stage(
        ValueRule(name="large", value="multiply(value, `1000`)"),
        guards=ValueGuards(pixels={"o8z6j": ValueGuard.HOLD}, usual_amounts=[usual_amount]),
    )

    asyncio.run(submit(small))
    asyncio.run(submit(large))

    assert small.submissions[0].entries[0].held is None
    assert large.submissions[0].entries[0].held is not None
    assert learned_by(guards) == [learnt(usual_amount, "24.95")]


def test_derived_id_comes_from_the_original_amount():
    plain, ruled = a_stage(), a_stage(HALF)
    for stage in (plain, ruled):
        asyncio.run(whole(stage, conversion_id=None))

    (before,), (after,) = (stage.submissions[0].entries for stage in (plain, ruled))
    assert before.conversion_id == after.conversion_id


def test_suppressed_conversion_has_no_change():
    stage = a_stage(HALF)

    asyncio.run(whole(stage, consent={"ad_storage": "denied"}))

    ((entry,),) = [submission.entries for submission in stage.submissions]
    assert entry.suppressed is not None
    assert entry.value_change is None


def test_rules_apply_to_tests_of_a_source():
    stage = a_stage(msgspec.structs.replace(HALF, sources=("shop",)))
    source = msgspec.structs.replace(a_source(), test_until=1 << 60)

    asyncio.run(stage.accept.native(source=source, body=encoded(ORDER)))

    ((entry,),) = [submission.entries for submission in stage.submissions]
    assert entry.pixel == "test:o8z6j"
    assert entry.value_change == CHANGE


def test_changed_conversions_are_counted_as_accepted():
    stage = a_stage(HALF)

    stage.together(*(PendingOrder(a_source(), encoded(ORDER | {"conversion_id": str(number)}))
                     for number in range(3)))  # fmt: skip

    assert sum(n.accepted for n in stage.notices if isinstance(n, Accepted)) == 3
    assert stage.woken


def test_rules_can_be_replaced_between_requests():
    stage = a_stage()
    asyncio.run(typical(stage))
    stage.accept.value_rules.use(ValueRules([HALF], pixels={"o8z6j": {"purchase": "o8z6k"}}))
    asyncio.run(typical(stage, conversion_id="order-2"))

    values = [json.loads(each.entries[0].body)["value"] for each in stage.submissions]
    assert values == ["49.90", "24.95"]
