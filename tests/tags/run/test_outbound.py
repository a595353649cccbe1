"""Requests of a tag run: how many it may make, and when one may have been sent."""

import asyncio
from contextlib import suppress

import pytest
from test_variable_lookups import LOOKUP, Stage, body, container

from fakes import ScriptedWeb
from twite.gateway.ports.transport import NoResponse
from twite.tags.run.outbound import MOST_REQUESTS, TOO_MANY

SENDS = "require('sendHttpRequest')('https://vendor.example/').then(data.gtmOnSuccess);"


class Hanging(ScriptedWeb):
    """Answers the first requests, and not the next one."""

    def __init__(self, *answers):
        super().__init__(answers)
        self.hangs = asyncio.Event()
        self.left = len(answers)

    async def ask(self, asked):
        if self.left:
            self.left -= 1
            return await super().ask(asked)
        self.hangs.set()
        await asyncio.Event().wait()
        return None


async def cut_off(stage, made):
    """Cut off a run during a request; return whether one may have been sent, before and after."""
    running = asyncio.create_task(stage.run(made))
    await stage.web.hangs.wait()
    before = stage.tag_run.left
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return before, stage.tag_run.left


async def test_run_can_make_requests_up_to_the_limit():
    stage = Stage(*[body("") for _ in range(MOST_REQUESTS)])
    many = f"for (let n = 0; n < {MOST_REQUESTS}; n++) {SENDS}"

    ran = await stage.run(container("return 'x';", tag=many))

    assert ran.succeeded
    assert len(stage.urls) == MOST_REQUESTS


async def test_run_with_more_requests_than_the_limit_makes_none():
    stage = Stage()
    many = f"for (let n = 0; n <= {MOST_REQUESTS}; n++) {SENDS}"

    ran = await stage.run(container("return 'x';", tag=many))

    assert (ran.error, stage.urls) == (TOO_MANY, [])


async def test_request_in_progress_may_have_been_sent():
    stage = Stage()
    stage.web = Hanging()

    assert await cut_off(stage, container("return 'x';", tag=SENDS)) == (True, True)


async def test_lookup_of_a_variable_in_progress_is_not_ambiguous():
    stage = Stage()
    stage.web = Hanging()

    assert await cut_off(stage, container(LOOKUP, tag=SENDS)) == (False, False)


@pytest.mark.parametrize("left", [True, False])
async def test_earlier_sent_request_makes_a_run_ambiguous(left):
    stage = Stage()
    stage.web = Hanging(NoResponse(reason="cut", left=left))

    await stage.run(container("return 'x';", tag=SENDS))

    assert stage.tag_run.left is left
