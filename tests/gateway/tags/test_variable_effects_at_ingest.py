"""What variables store and log at ingest, and the permissions that are checked again."""

import msgspec
import pytest
from test_variables_that_ask import Seen, container

from twite.domain.secret import Secret
from twite.engines.quickjs.engine import QuickJsEngine
from twite.gateway.ports.tags import ContainerConfig, TagRule
from twite.gateway.tags.run.variables import IngestEvaluation
from twite.gateway.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.gtm.container.parts import (
    Condition,
    ContainerTag,
    ContainerTrigger,
    Operator,
)
from twite.gtm.container.values import EventContext
from twite.gtm.template.effects import Keep
from twite.gtm.template.sandbox import Turn
from twite.machine.system import SystemClock
from twite.testing.builders import NOW
from twite.testing.local_engines import LocalEngines


async def test_at_the_door_a_variable_keeps_logs_and_says_what_it_lacks():
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
                        container_config, EventContext(event={"client_id": "c"}, now=NOW)
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


class Escaped:
    """An engine that keeps something, whatever its template may."""

    def __init__(self, _template, *, limits):
        del limits

    def start(self, _call):
        return Turn(run=1, effects=(Keep(key="it", value=1),), returned="gold")


@pytest.mark.parametrize("may", [True, False])
async def test_at_the_door_nothing_is_kept_that_its_permissions_do_not_allow(may):
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
        await endpoint.planned(container_config, EventContext(event={"client_id": "c"}, now=NOW))
    finally:
        await engine_pool.stop()

    assert storage.of(lookup) == ({"it": 1} if may else {})
