"""Contract of what value rules made of amounts: history, and failures."""

import msgspec

from builders import NOW, a_submission, an_entry
from store_contract.actions import histories
from twite.domain.test_mode import in_test
from twite.domain.times import MINUTE
from twite.domain.value_change import RuleFailures, RuleProblem, ValueChange
from twite.gateway.ports.queries import FailedRulesQuery
from twite.gateway.ports.store import Store

CHANGED = ValueChange(
    rule="profit", before="49.90", currency_before="EUR", after="12.30", currency="EUR"
)
FAILED = ValueChange(
    rule="profit",
    before="5.00",
    currency_before="EUR",
    currency="EUR",
    problem=RuleProblem.MISSING_ROW,
    detail="value: the table costs has no cost for A",
)


class ValueChangeLaws:
    async def test_history_says_what_a_rule_made_of_the_amount(self, store: Store) -> None:
        lead = ValueChange(rule="lead", after="20.00", currency="EUR")
        for index, change in enumerate((CHANGED, FAILED, lead, None)):
            entry = msgspec.structs.replace(an_entry(f"order-{index}"), value_change=change)
            await store.record(a_submission(entry, receipt=f"r{index}"))

            (history,) = await histories(store, f"order-{index}")

            assert history.value_change == change

    async def test_duplicate_leaves_no_change(self, store: Store) -> None:
        entry = msgspec.structs.replace(an_entry("order-1"), value_change=CHANGED)
        await store.record(a_submission(an_entry("order-1")))
        await store.record(a_submission(entry, receipt="r2"))

        (history,) = await histories(store, "order-1")

        assert history.value_change is None

    async def test_failures_of_rules_are_counted_since_a_time(self, store: Store) -> None:
        entry = msgspec.structs.replace(an_entry("order-1"), value_change=FAILED)
        await store.record(a_submission(entry))
        for index in (2, 3):
            later = msgspec.structs.replace(an_entry(f"order-{index}"), value_change=FAILED)
            submission = a_submission(later, receipt=f"r{index}")
            await store.record(msgspec.structs.replace(submission, received_at=NOW + MINUTE))
        changed = msgspec.structs.replace(an_entry("order-4"), value_change=CHANGED)
        submission = a_submission(changed, receipt="r4")
        await store.record(msgspec.structs.replace(submission, received_at=NOW + MINUTE))

        failures = {
            since: [(each.rule, each.problem, each.times) for each in await failed(store, since)]
            for since in (0, NOW + 1, NOW + 2 * MINUTE)
        }

        assert failures == {
            0: [("profit", RuleProblem.MISSING_ROW, 3)],
            NOW + 1: [("profit", RuleProblem.MISSING_ROW, 2)],
            NOW + 2 * MINUTE: [],
        }
        assert (await failed(store, 0))[0].detail == FAILED.detail

    async def test_failures_of_tests_are_not_counted(self, store: Store) -> None:
        entry = msgspec.structs.replace(an_entry("order-1"), value_change=FAILED)
        submission = a_submission(entry)
        await store.record(msgspec.structs.replace(submission, source=in_test(submission.source)))

        assert await failed(store, 0) == []


async def failed(store: Store, since: int) -> list[RuleFailures]:
    return list(await store.answer(FailedRulesQuery(since=since)))
