"""What variables store and log at intake, and the permissions that are checked again."""

import msgspec
import pytest
from local_engines import LocalEngines
from test_variable_lookups import Seen, container

from builders import NOW
from fakes import MovingClock
from twite.domain.secret import Secret
from twite.gateway.ports.request_watch import set_watch
from twite.machine.system import SystemClock, SystemRandomness
from twite.tags.container.parts import (
    Condition,
    ContainerTag,
    ContainerTrigger,
    Operator,
)
from twite.tags.container.values import EventContext
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.preview.sessions import PreviewSessions
from twite.tags.run.variables import IngestEvaluation
from twite.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.tags.template.effects import Keep
from twite.tags.template.sandbox import Turn

COUNTS = """
const kept = require('templateDataStorage');
const times = (kept.getItemCopy('times') || 0) + 1;
kept.setItemCopy('times', times);
require('logToConsole')('counted');
return '' + times;
"""


async def test_variable_at_intake_stores_logs_and_reports_missing_permissions():
    code = """
const kept = require('templateDataStorage');
const times = (kept.getItemCopy('times') || 0) + 1;
kept.setItemCopy('times', times);
require('logToConsole')('seen ' + times + ' jane@mail.example key-of-the-vendor');
if (times === 3) require('getEventData')('x');
if (times === 4) data.no.such();
return 'gold';
"""
    seen, storage = Seen(), TemplateStorage()
    made = container(code)
    condition = Condition(left="{{segment}}", operator=Operator.EQUALS, right="gold")
    made = msgspec.structs.replace(
        made,
        tags=(ContainerTag(name="picky", template="main", triggers=("gold",)),),
        triggers=(ContainerTrigger(name="gold", when=(condition,)),),
    )
    engine_pool = EnginePool(LocalEngines(QuickJsEngine), elapsed=SystemClock().elapsed)
    engine_pool.start()
    rule = TagRule(name="picky", secrets=(Secret("key-of-the-vendor"),))
    container_config = ContainerConfig(container=made, rules={"picky": rule})
    endpoint = IngestEvaluation(engine_pool, storage=storage, observer=seen)
    try:
        fired = [
            len(
                (
                    await endpoint.planned(
                        container_config,
                        EventContext(event={"client_id": "c"}, now=NOW),
                        endpoint.cache(container_config),
                    )
                ).fired
            )
            for _ in range(4)
        ]
    finally:
        await engine_pool.stop()

    assert fired == [1, 1, 0, 0]
    texts = [notice.text for notice in seen.notices]
    assert texts[:2] == ["seen 1 *** ***", "seen 2 *** ***"]
    assert "the template lacks the permission read_event_data" in texts
    assert "the template failed: TypeError in line 7 of its code" in texts


@pytest.mark.parametrize("sends_nothing", [True, False])
async def test_preview_without_sending_stores_no_items_of_variables(sends_nothing):
    condition = Condition(left="{{segment}}", operator=Operator.EQUALS, right="1")
    made = msgspec.structs.replace(
        container(COUNTS),
        tags=(ContainerTag(name="picky", template="main", triggers=("first",)),),
        triggers=(ContainerTrigger(name="first", when=(condition,)),),
    )
    engine_pool = EnginePool(LocalEngines(QuickJsEngine), elapsed=SystemClock().elapsed)
    engine_pool.start()
    seen, storage = Seen(), TemplateStorage()
    container_config = ContainerConfig(container=made, rules={"picky": TagRule(name="picky")})
    endpoint = IngestEvaluation(engine_pool, storage=storage, observer=seen)
    previews = PreviewSessions(clock=MovingClock(), randomness=SystemRandomness())
    token = previews.open("ada", sends_nothing=sends_nothing).token.reveal()
    set_watch(previews.begin(token, method="GET", path="/", query="", headers=[]))
    occasion = EventContext(event={"client_id": "c"}, now=NOW)
    try:
        known = endpoint.cache(container_config)
        planned = await endpoint.planned(container_config, occasion, known)
        explanation = await endpoint.explained(container_config, occasion, known)
    finally:
        set_watch(None)
        await engine_pool.stop()

    assert len(planned.fired) == 1
    [shown] = [value.value for value in explanation.values if value.name == "segment"]
    assert (shown, explanation.triggers[0].matches) == ("1", True)
    assert storage.of(made.templates["lookup"]) == ({} if sends_nothing else {"times": 1})
    assert [notice.text for notice in seen.notices] == ["counted"]


class Escaped:
    """An engine that stores data even without permission."""

    def __init__(self, _template, *, limits):
        del limits

    def start(self, _call):
        return Turn(run=1, effects=(Keep(key="it", value=1),), returned="gold")


@pytest.mark.parametrize("may", [True, False])
async def test_variable_at_intake_stores_items_only_with_permission(may):
    made = container()
    lookup = made.templates["lookup"]
    if not may:
        lookup = msgspec.structs.replace(lookup, grants=())
    condition = Condition(left="{{segment}}", operator=Operator.EQUALS, right="gold")
    made = msgspec.structs.replace(
        made,
        templates=made.templates | {"lookup": lookup},
        tags=(ContainerTag(name="picky", template="main", triggers=("gold",)),),
        triggers=(ContainerTrigger(name="gold", when=(condition,)),),
    )
    engine_pool = EnginePool(LocalEngines(Escaped), elapsed=SystemClock().elapsed)
    engine_pool.start()
    storage = TemplateStorage()
    container_config = ContainerConfig(container=made, rules={"picky": TagRule(name="picky")})
    endpoint = IngestEvaluation(engine_pool, storage=storage, observer=Seen())
    try:
        occasion = EventContext(event={"client_id": "c"}, now=NOW)
        await endpoint.planned(container_config, occasion, endpoint.cache(container_config))
    finally:
        await engine_pool.stop()

    assert storage.of(lookup) == ({"it": 1} if may else {})
