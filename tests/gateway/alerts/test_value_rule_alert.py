"""The alert of failing value rules: opens, names an example, and resolves an hour later."""

from monitor_stage import FailingStore, Stage

from builders import a_destination
from twite.domain.alert import AlertKind, AlertPhase
from twite.domain.times import MINUTE
from twite.domain.value_change import RuleFailures, RuleProblem
from twite.gateway.ports.queries import FailedRulesQuery

MISSING = RuleFailures(
    rule="profit", problem=RuleProblem.MISSING_ROW, times=3, detail='no cost for "Z"'
)
NEGATIVE = RuleFailures(
    rule="profit", problem=RuleProblem.NEGATIVE, times=1, detail="the result is negative"
)
KIND = AlertKind.VALUE_RULE_FAILING


class RuleStore(FailingStore):
    """Fails rules at certain times."""

    def __init__(self):
        super().__init__()
        self.failures = {}

    async def answer(self, query):
        if not isinstance(query, FailedRulesQuery):
            return await super().answer(query)
        self._fail()
        return [failure for at, failure in self.failures.items() if at >= query.since]


async def start(*rules):
    stage = Stage(RuleStore())
    stage.monitor.watch([a_destination()], ["shop"], (), (), rules)
    await stage.monitor.start()
    return stage


async def test_failing_rule_opens_an_alert_that_resolves_an_hour_later():
    stage = await start("profit")
    stage.store.failures = {stage.clock.now(): MISSING, stage.clock.now() + 1: NEGATIVE}

    await stage.monitor.look()
    (alert,) = stage.monitor.register.alerts()
    await stage.clock.advance(59 * MINUTE)
    await stage.monitor.look()
    still_open = stage.open()
    await stage.clock.advance(2 * MINUTE)
    await stage.monitor.look()

    assert alert.reason == (
        '4 conversions within an hour kept the original amount; for example: no cost for "Z"'
    )
    assert still_open == {(KIND, "profit")}
    assert stage.said() == [
        (AlertPhase.OPENED, KIND, "profit"),
        (AlertPhase.RESOLVED, KIND, "profit"),
    ]


async def test_failures_of_a_removed_rule_open_no_alert():
    stage = await start("lead")
    stage.store.failures = {stage.clock.now(): MISSING}

    await stage.monitor.look()

    assert stage.open() == set()


async def test_alert_stays_open_while_the_store_cannot_be_read():
    stage = await start("profit")
    stage.store.failures = {stage.clock.now(): MISSING}
    await stage.monitor.look()
    stage.store.failing = True

    await stage.monitor.look()

    assert (KIND, "profit") in stage.open()
