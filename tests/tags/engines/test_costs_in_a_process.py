"""Long operations of the engine in an engine process, where the kernel limits the time."""

import pytest
from template_stage import ALL, call, small, template
from test_hostile import COSTS, HONEST, named

from twite.tags.engines.process.engine_server import EngineServer
from twite.tags.engines.quickjs.engine import QuickJsEngine

# In the test's own process, the sandbox bounds these operations itself.
OPERATIONS = (
    "array_like_without_end",
    "filled_without_end",
    "long_texts_sorted",
    "long_texts_sought",
    "patterns_without_end",
    "quadratic_search",
    "quadratic_split",
    "small_letters_without_end",
    "sparse_concat",
    "sparse_join",
    "sparse_sort",
    "sparse_splice",
    "texts_that_begin_alike",
    "texts_that_end_alike",
)
CODE = {named(path): path.read_text() for path in COSTS}
LATE = 0.1  # seconds; the kernel's clock is coarse


@pytest.fixture
async def process():
    server = EngineServer()
    yield server.process(small())
    await server.stop()


async def test_long_operation_ends_at_the_time_limit_and_affects_no_later_run(process):
    honest = call(fields={"honest": True})
    expected = QuickJsEngine(template(HONEST)).start(honest).returned
    found = {}

    for name in OPERATIONS:
        hostile = template(HONEST + CODE[name], grants=ALL)
        turn = await process.start(hostile, call())
        after = await process.start(hostile, honest)
        ended = turn.effects == () and (turn.error is not None or turn.returned is None)
        found[name] = (ended, turn.took <= small().time + LATE, after.returned == expected)

    assert found == dict.fromkeys(OPERATIONS, (True, True, True))
