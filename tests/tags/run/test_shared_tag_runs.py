"""A gateway remembers the tags that ran once per event."""

import asyncio

import pytest

from fakes import settled
from twite.tags.run.once_per_event import OncePerEvent, TagOfEvent


def tag_of_event(event, tag="setup"):
    return TagOfEvent(container=1, at=2, draw=event, tag=tag)


@pytest.mark.parametrize(("succeeded", "again"), [(True, False), (False, True)])
async def test_shared_tag_runs_again_only_if_it_did_not_succeed(succeeded, again):
    once = OncePerEvent()
    assert await once.begin(tag_of_event(5))
    once.end(tag_of_event(5), succeeded=succeeded)

    assert await once.begin(tag_of_event(5)) is again
    assert await once.begin(tag_of_event(6))
    assert await once.begin(tag_of_event(5, "other"))


async def test_deliveries_wait_for_the_shared_tag_and_one_repeats_it_if_it_failed():
    once = OncePerEvent()
    await once.begin(tag_of_event(5))
    waiting = [asyncio.create_task(once.begin(tag_of_event(5))) for _ in range(3)]
    await settled()
    before = [task.done() for task in waiting]
    once.end(tag_of_event(5), succeeded=False)
    await settled()
    between = [task.done() and task.result() for task in waiting]
    once.end(tag_of_event(5), succeeded=True)

    assert before == [False] * 3
    assert between == [True, False, False]
    assert [await task for task in waiting] == [True, False, False]


async def test_only_the_latest_tags_are_remembered():
    once = OncePerEvent(most=2)
    for event in (1, 2, 3):
        await once.begin(tag_of_event(event))
        once.end(tag_of_event(event), succeeded=True)

    assert [await once.begin(tag_of_event(event)) for event in (2, 3, 1)] == [False, False, True]
