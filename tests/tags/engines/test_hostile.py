"""Templates that try to escape or to exceed their limits: one file for each attempt."""

from pathlib import Path

import pytest
from template_stage import ALL, call, small, template

from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.permissions import Grant
from twite.tags.template.sandbox import Turn
from twite.tags.template.template import TemplateUnusable

HERE = Path(__file__).parent / "hostile"
ESCAPES = sorted((HERE / "escapes").glob("*.js"))
COSTS = sorted((HERE / "costs").glob("*.js"))
SPECIFIC = {"send_http", "access_bigquery", "access_firestore", "use_custom_private_keys"}
NARROW = (
    *(grant for grant in ALL if grant.permission not in SPECIFIC),
    Grant(
        permission="access_bigquery",
        parameters={"allowedTables": [{"datasetId": "d", "tableId": "allowed"}]},
    ),
    Grant(permission="access_firestore", parameters={"allowedOptions": [{"path": "allowed/*"}]}),
    Grant(permission="use_custom_private_keys", parameters={"keyIds": ["allowed"]}),
    Grant(
        permission="send_http",
        parameters={"allowedUrls": "specific", "urls": ["https://allowed.example/"]},
    ),
)
HONEST = """
if (data.honest) {
  const parts = ['a', 'b'].map((one) => one + 1).join('-');
  return require('JSON').stringify({parts, hash: require('sha256Sync')(parts)});
}
"""


def run_honest_template(engine: QuickJsEngine) -> Turn:
    turn = engine.start(call(fields={"honest": True}))
    return Turn(run=0, returned=turn.returned, error=turn.error)


def named(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", ESCAPES, ids=named)
def test_hostile_code_cannot_escape_or_affect_the_next_run(path):
    code = path.read_text()
    first = run_honest_template(QuickJsEngine(template(HONEST)))
    try:
        engine = QuickJsEngine(template(HONEST + code, grants=NARROW), limits=small())
    except TemplateUnusable:
        return  # refused before it ran

    reached = engine.start(call()).returned

    assert reached in {None, False}
    assert run_honest_template(engine) == first


@pytest.mark.parametrize("path", ESCAPES, ids=named)
def test_hostile_run_leaves_nothing_for_the_next_run(path):
    try:
        engine = QuickJsEngine(template(path.read_text(), grants=NARROW), limits=small())
    except TemplateUnusable:
        return

    turns = [engine.start(call()) for _ in range(3)]

    assert [turn.returned for turn in turns] == [turns[0].returned] * 3
    assert turns[0].returned in {None, False}


@pytest.mark.parametrize("path", COSTS, ids=named)
def test_expensive_hostile_run_ends_with_an_error_and_affects_no_other(path):
    first = run_honest_template(QuickJsEngine(template(HONEST)))
    engine = QuickJsEngine(template(HONEST + path.read_text(), grants=ALL), limits=small())

    turn = engine.start(call())

    assert turn.error is not None or turn.returned is None
    assert turn.effects == ()
    assert run_honest_template(engine) == first
