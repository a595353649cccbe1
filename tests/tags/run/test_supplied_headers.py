"""Headers named in the settings reach triggers and clients at intake, but no payload."""

import msgspec
import pytest
from client_stage import ClientStage
from local_engines import LocalEngines
from test_variables_at_ingest import NOW, TEMPLATE

from builders import a_source
from memory_store.store import MemoryStore
from twite.domain.incoming_request import IncomingRequest
from twite.domain.secret import Secret
from twite.formats.parsed_request import Native
from twite.gateway.ports.tags import EventOrigin, TagRemark
from twite.machine.system import SystemClock
from twite.tags.container.parts import (
    Condition,
    Container,
    ContainerTag,
    ContainerTrigger,
    Operator,
    Variable,
    VariableSource,
)
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.dispatcher import TagDispatcher
from twite.tags.run.payload import read
from twite.tags.runtime.engine_pool import EnginePool

HEADERS = (("x-gtm-identifier", Secret("own")), ("x-gtm-api-key", Secret("k-3")))


@pytest.mark.parametrize(
    ("sent", "fired"), [((), ["tag:crm"]), ((("x-gtm-identifier", "theirs"),), [])]
)
async def test_trigger_can_read_the_configured_headers(sent, fired):
    container = Container(
        tags=(
            ContainerTag(
                name="crm", template="main", triggers=("own",), fields={"who": "{{Identifier}}"}
            ),
        ),
        triggers=(
            ContainerTrigger(
                name="own",
                when=(Condition(left="{{Identifier}}", operator=Operator.EQUALS, right="own"),),
            ),
        ),
        variables=(
            Variable(name="Identifier", type=VariableSource.REQUEST_HEADER, key="x-gtm-identifier"),
        ),
        templates={"main": TEMPLATE},
    )
    config = ContainerConfig(
        container=container, rules={"crm": TagRule(name="crm")}, headers=HEADERS
    )
    dispatcher = TagDispatcher(
        [config],
        engine_pool=EnginePool(LocalEngines(QuickJsEngine), elapsed=SystemClock().elapsed),
        salt=b"x" * 16,
        opt_outs=MemoryStore(),
    )

    result = await dispatcher.dispatch(
        [TagRemark(event={"event_name": "a"}, native=Native(event="a", conversion_id="A2"))],
        source=a_source(),
        origin=EventOrigin(request=IncomingRequest(headers=sent), client="native"),
        now=NOW,
        first=0,
        held={},
    )

    assert [entry.pixel for entry in result.fired] == fired
    assert all(
        read(entry.body, name=entry.pixel).request == IncomingRequest() for entry in result.fired
    )


async def test_client_template_can_read_the_configured_headers():
    stage = ClientStage(
        """
        const read = require('getRequestHeader');
        require('claimRequest')();
        require('setResponseBody')(read('x-gtm-identifier') + ' ' + read('x-gtm-api-key'));
        require('returnResponse')();
        """
    )
    stage.clients.clients = [
        msgspec.structs.replace(client, headers=HEADERS) for client in stage.clients.clients
    ]

    answer = await stage.ask()
    await stage.stop()

    assert answer is not None
    assert answer.body == b"own k-3"
