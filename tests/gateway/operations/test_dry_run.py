"""A dry run with thousands of held deliveries does not delay intake."""

import msgspec

from builders import NOW, a_conversion, a_destination, a_source
from twite.domain.delivery import State
from twite.domain.history import History
from twite.gateway.operations.dry_run import AT_ONCE, LARGE, DryRun
from twite.gateway.operations.edit import Edit
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import KeptSubmission, PixelCopiesQuery
from twite.x.encode import conversion_body

EVERYTHING = QueryScope()


class Counting:
    """A clock that counts the yields to other tasks."""

    def __init__(self):
        self.breaths = 0

    def now(self):
        return NOW

    def elapsed(self):
        return 0

    async def sleep(self, ms):
        assert ms > 0
        self.breaths += 1


class Played:
    """The stored submissions; counts the reads."""

    def __init__(self, kept=()):
        self._kept = {history.delivery: history for history in kept}
        self.asked = []

    async def answer(self, query):
        if isinstance(query, PixelCopiesQuery):
            return {}
        deliveries = query.deliveries
        self.asked.append(len(deliveries))
        return [self._kept[delivery] for delivery in deliveries if delivery in self._kept]


def _histories(many):
    body = conversion_body(msgspec.structs.replace(a_conversion(), value="4990.00"))
    return [
        History(
            delivery=number, pixel="o8z6j", event="o8zzz", conversion_id=f"order-{number}",
            state=State.HELD, source="shop", receipt="r1", received_at=NOW, deadline_at=NOW,
            sent=body, attempts=(),
        )
        for number in range(many)
    ]  # fmt: skip


def _dry_run(clock, glances):
    return DryRun(
        destinations={"o8z6j": a_destination()},
        sources=[a_source()],
        queries=glances,
        clock=clock,
    )


async def test_dry_run_of_many_deliveries_yields_to_other_tasks():
    clock, glances = Counting(), Played()

    found = await _dry_run(clock, glances).each(
        _histories(10 * AT_ONCE), Edit(divide=100), now=NOW, scope=EVERYTHING
    )

    assert len(found) == 10 * AT_ONCE
    assert {msgspec.json.decode(result.result.body)["value"] for result in found} == {"49.90"}
    assert clock.breaths == 10
    assert glances.asked == []


async def test_requests_of_many_conversions_are_loaded_together():
    several = {"conversions": [{"event": "purchase"}, {"event": "sign_up"}, {"event": "gone"}]}
    body = msgspec.json.encode(several)
    kept = [KeptSubmission(delivery=number, body=body, place=number) for number in range(3)]
    glances = Played(kept)

    found = await _dry_run(Counting(), glances).each(
        _histories(4), Edit(today=True), now=NOW, scope=EVERYTHING
    )

    assert glances.asked == [4]
    assert [result.result.event for result in found] == ["o8z6k", "o8z6m", "o8zzz", "o8zzz"]
    assert [result.result.fault for result in found] == [
        None,
        None,
        "the settings define no event 'gone' for this pixel",
        "the conversion's request is no longer stored",
    ]


async def test_request_of_several_conversions_is_parsed_once():
    many = 2 * AT_ONCE
    body = msgspec.json.encode({"conversions": [{"event": "purchase", "pad": "x" * 4_000}] * many})
    clock = Counting()
    kept = [KeptSubmission(delivery=number, body=body, place=number) for number in range(many)]

    found = await _dry_run(clock, Played(kept)).each(
        _histories(many), Edit(today=True), now=NOW, scope=EVERYTHING
    )

    # The conversions are large, so the reader yields to other tasks after every few of them.
    assert len(body) > LARGE
    assert {result.result.event for result in found} == {"o8z6k"}
    assert clock.breaths == 4
