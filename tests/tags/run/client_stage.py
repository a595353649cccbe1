"""Client templates made for a test, on local engines, and a container that stores events."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from local_engines import LocalEngines

from builders import a_source
from fakes import MovingClock, SeededRandomness
from twite.domain.incoming_request import IncomingRequest
from twite.domain.secret import Secret
from twite.gateway.ports.events import GatewayEvent
from twite.http.cookies import registrable_domain
from twite.tags.clients.clients import Clients
from twite.tags.clients.conversation import ClientEffects, TemplateClient
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.json_tree import Tree
from twite.tags.ports.engines import EngineProcesses
from twite.tags.ports.tags import ContainerRun
from twite.tags.runtime.client_engines import ClientEngines
from twite.tags.runtime.engine_pool import TemplateStorage
from twite.tags.template.effects import HttpEffect, Service
from twite.tags.template.permissions import Grant
from twite.tags.template.response import ClientResponse
from twite.tags.template.sandbox import EffectAnswer, RunLimits
from twite.tags.template.template import Template, TemplateKind, TemplatePart

if TYPE_CHECKING:
    from twite.gateway.ports.tags import TagOutcome
    from twite.tags.template.tag_response import TagResponse

GRANTS = (
    *(
        Grant(permission=name)
        for name in ("run_container", "return_response", "read_event_metadata")
    ),
    Grant(permission="access_template_storage"),
    Grant(permission="use_google_credentials", parameters={"allowedScopes": ["s"]}),
    Grant(permission="access_firestore", parameters={"allowedOptions": [{}]}),
    Grant(permission="read_request", parameters={"requestAccess": "any"}),
    Grant(permission="access_response", parameters={"writeResponseAccess": "any"}),
    Grant(permission="send_http", parameters={"allowedUrls": "any"}),
    Grant(
        permission="set_cookies",
        parameters={"allowedCookies": [{"name": "*", "secure": "any", "session": "any"}]},
    ),
)
NAMES = """
const claim = require('claimRequest');
const run = require('runContainer');
const respond = require('returnResponse');
const body = require('setResponseBody');
const path = require('getRequestPath')();
"""


class FakeContainer:
    """Stores events; waits or fails on demand."""

    def __init__(self) -> None:
        self.came: list[tuple[str, Mapping[str, Tree], str]] = []
        self.ran = asyncio.Event()
        self.until: asyncio.Event | None = None
        self.problem: Exception | None = None
        self.outcomes: dict[str, tuple[TagOutcome, ...]] = {}
        self.responses: tuple[TagResponse, ...] = ()
        self.waited: list[bool] = []

    async def run(
        self,
        event: Mapping[str, Tree],
        *,
        request: IncomingRequest,
        client: TemplateClient,
        waits: bool,
    ) -> ContainerRun:
        if self.until is not None:
            await self.until.wait()
        if self.problem is not None:
            raise self.problem
        self.came.append((client.name, event, request.path))
        self.ran.set()
        self.waited.append(waits)
        outcomes = self.outcomes.get(str(event["event_name"]), ())
        return ContainerRun(tags=outcomes, responses=self.responses)


class Notices:
    def __init__(self) -> None:
        self.seen: list[GatewayEvent] = []

    def see(self, notice: GatewayEvent) -> None:
        self.seen.append(notice)


class ClientStage:
    """Clients by their code, in order of priority."""

    def __init__(
        self,
        *codes: str,
        within: int = 20_000,
        secrets: tuple[Secret, ...] = (),
        logging: bool = False,
        outbound: ClientEffects | None = None,
        engines: EngineProcesses | None = None,
        time: float = 0.2,
        **said: Any,
    ) -> None:
        self.container = FakeContainer()
        self.notices = Notices()
        self.clock = MovingClock()
        self.fetched: list[HttpEffect] = []
        self.fetching: asyncio.Event | None = None
        self.asked = asyncio.Event()
        clients = [
            TemplateClient(
                name=f"client {at}",
                template=_template(code, logging=logging),
                source=a_source(),
                fields={"at": at},
                secrets=secrets,
                field_secrets=secrets,
                priority=-at,
            )
            for at, code in enumerate(codes)
        ]
        self.engines = ClientEngines(
            {client.name: client.template for client in clients},
            engines=engines or LocalEngines(QuickJsEngine),
            clock=self.clock,
            observer=self.notices,
            limits=RunLimits(time=time),
        )
        self.charged: list[float] = []
        self.clients = Clients(
            clients[::-1],
            runs=self.engines,
            container=self.container,
            outbound=outbound or self,
            storage=TemplateStorage(most=100),
            registrable=registrable_domain,
            clock=self.clock,
            randomness=SeededRandomness(1),
            within=within,
            observer=self.notices,
            **said,
        )

    async def ask(
        self, path: str = "/in", *, more: tuple[tuple[str, str], ...] = (), **said: Any
    ) -> ClientResponse | None:
        headers = (("host", "t.shop.example:8443"), ("user-agent", "Mozilla/5.0"), *more)
        return await self.clients.answer(
            IncomingRequest(path=path, headers=headers, remote_address="203.0.113.7", **said),
            charge=self.charged.append,
        )

    async def stop(self) -> None:
        await self.clients.stop()
        await self.engines.stop()

    async def fetch(
        self, request: HttpEffect, *, client: TemplateClient, log_message: Callable[[str], None]
    ) -> EffectAnswer:
        del log_message
        assert client.name.startswith("client ")
        self.fetched.append(request)
        self.asked.set()
        if self.fetching is not None:
            await self.fetching.wait()
        return EffectAnswer(id=request.id, status=200, body="fetched")

    def calls(
        self, *, log_message: Callable[[str], None], mark: bytes
    ) -> Callable[[Service], Awaitable[EffectAnswer]]:
        del log_message, mark

        async def perform(service: Service) -> EffectAnswer:
            return EffectAnswer(id=service.id, value={"called": service.name})

        return perform


def _template(code: str, *, logging: bool) -> Template:
    logs = Grant(permission="logging", parameters={"environments": "all"})
    return Template(
        kind=TemplateKind.CLIENT,
        id="",
        name="A client",
        description="",
        fields=(),
        code=TemplatePart(text=NAMES + code, line=1),
        grants=(*GRANTS, logs) if logging else GRANTS,
        tests=None,
        notes="",
    )
