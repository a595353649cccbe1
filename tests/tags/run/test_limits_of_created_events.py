"""Limits of the events that tags create: their size, and the highest amount a page may send."""

import pytest
from test_container_calls import RUN, ContainerStage

from twite.tags.ports.tags import TagRule
from twite.tags.run.payload import read


@pytest.fixture
async def stage():
    stages = []

    def make(code):
        stages.append(ContainerStage(code))
        return stages[-1]

    yield make
    for each in stages:
        await each.pool.stop()


@pytest.mark.parametrize(
    ("value", "from_page", "accepted"),
    [("500", True, True), ("500.01", True, False), ("500.01", False, True)],
)
async def test_value_limit_of_pages_applies_to_created_events(stage, value, from_page, accepted):
    stage = stage(
        RUN
        + "run({event_name: 'purchase', event_id: 'P-1', currency: 'EUR', value: get('price')});"
        "data.gtmOnSuccess();"
    )

    ran = await stage.run(await stage.received({"price": value}, from_page=from_page))

    [(submission, _)] = stage.submissions
    assert ran.succeeded
    assert [entry.pixel for entry in submission.entries] == ["o8z6j"] * accepted
    assert [each.reason for each in submission.ignored] == ["value_limit"] * (not accepted)
    assert (stage.lines == []) == accepted
    assert all("`browser_value_limit`" in line for line in stage.lines)


async def test_event_created_by_a_created_event_has_the_value_limit_of_the_first(stage):
    stage = stage(
        RUN + "run(get('event_name') === 'order' ? {event_name: 'again'} :\n"
        "  {event_name: 'purchase', event_id: 'P-1', currency: 'EUR', value: 501});"
    )
    await stage.run(await stage.received(from_page=True))
    [entry] = stage.submissions[0][0].entries

    await stage.run(read(entry.body, name="tag:caller"))

    submission, _ = stage.submissions[1]
    assert (submission.entries, submission.ignored[0].reason) == ((), "value_limit")


@pytest.mark.parametrize(("length", "result"), [(262_000, "accepted"), (263_000, "unreadable")])
async def test_created_event_over_the_size_limit_is_ignored(stage, length, result):
    stage = stage(
        RUN + f"run({{event_name: 'upsell', x: 'a'.repeat({length})}}, data.gtmOnSuccess);"
    )
    stage.config.rules["caller"] = TagRule(name="caller", timeout=1_000)

    ran = await stage.run(await stage.received())

    assert (ran.succeeded, stage.results) == (True, [result])


@pytest.mark.parametrize("event", ["[1]", "'x'", "7"])
async def test_created_event_of_a_wrong_type_is_ignored_and_the_run_continues(stage, event):
    stage = stage(RUN + f"run({event}, data.gtmOnSuccess);")

    ran = await stage.run(await stage.received())

    [(submission, _)] = stage.submissions
    assert ran.succeeded
    assert submission.entries == ()
    assert stage.lines == [
        "runContainer: the event is not an object",
        "the event of runContainer was ignored: the tag sent no event name",
    ]
