"""Cleanup tags run before the response if the tag they clean up after ends in its first turn."""

import pytest
from test_first_turns import RANDOM, WAITS, Stage


@pytest.fixture
async def stage():
    stage = Stage()
    yield stage
    await stage.pool.stop()


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("data.gtmOnSuccess();", {"id", "last"}),
        ("data.gtmOnFailure();", {"id"}),
        ("throw 'no';", {"id"}),
        ("require('addEventCallback')(() => {}); data.gtmOnSuccess();", {"id", "last"}),
        (WAITS, {"id"}),
    ],
)
async def test_cleanup_tag_runs_before_the_response_if_its_tag_has_ended(stage, code, names):
    cleanup = "require('setCookie')('last', 'x'); data.gtmOnSuccess();"

    assert set(await stage.run(RANDOM + code, cleanup=cleanup)) == names


async def test_event_callback_waits_for_the_cleanup_tag(stage):
    code = (
        "require('addEventCallback')(() => require('setCookie')('status', 'x'));"
        "data.gtmOnSuccess();"
    )

    assert set(await stage.run(code, cleanup=RANDOM + WAITS)) == {"id"}
