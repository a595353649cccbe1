"""Run a tag template once as the gateway does, with its requests sent to a server on loopback."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from twite.config.schema import TagTable
from twite.config.server_tables import StapeHeaders
from twite.config.tags import container_config
from twite.domain.errors import SettingsError
from twite.domain.json_tree import Tree
from twite.domain.secret import Secret
from twite.domain.times import SECOND
from twite.engines.process.engine_server import EngineServer
from twite.gateway.ports.events import Notice, TagSaid
from twite.gateway.ports.tags import ANY_HOST
from twite.gateway.ports.transport import Response
from twite.gateway.tags.google.requests import GoogleClient
from twite.gateway.tags.run.first_turn import FirstTurns, after_first_turn
from twite.gateway.tags.run.outbound import RunContext
from twite.gateway.tags.run.outcome import RunOutcome
from twite.gateway.tags.run.payload import TagPayload
from twite.gateway.tags.run.run_input import RunInput
from twite.gateway.tags.run.tag_run import TagRun
from twite.gateway.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.gtm.template.effects import HttpEffect
from twite.gtm.template.sandbox import Incoming
from twite.gtm.template.tag_response import TagResponse
from twite.machine.system import SystemClock
from twite.senders.web import PublicWeb

_NAME = "try"
# As in [server.stape]: Stape's X tag in OAuth mode builds its address from these.
_STAPE_HEADERS = StapeHeaders(identifier="try", default_domain="stape.io", api_key=Secret("key"))
_WITHIN = 5 * SECOND  # the first step includes the start of the engine process


class TagTrial(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of the run, the lines that the template logged, and warnings about fields.

    `response` is what the first step adds to a browser's response.
    """

    outcome: RunOutcome
    response: TagResponse | None
    lines: tuple[str, ...]
    warnings: tuple[str, ...]


async def try_tag(
    path: Path,
    *,
    fields: Mapping[str, Tree],
    event: dict[str, Tree],
    request: Incoming,
    local_url: str,
) -> TagTrial:
    """Run it as for a browser. Every request goes to `local_url`.

    Raises SettingsError for a template or field.
    """
    table = TagTable(name=_NAME, template=str(path), fields=fields, redirect={ANY_HOST: local_url})
    try:
        config, warnings = container_config((table,), folder=Path(), sources=())
    except SettingsError as error:
        raise SettingsError(place=_without_table(error.place), message=error.message) from None
    if config is None:
        raise SettingsError(place=str(path), message="is not a tag")
    config = msgspec.structs.replace(config, headers=_STAPE_HEADERS.headers)
    clock, web, seen, storage = SystemClock(), PublicWeb(), _Lines(), TemplateStorage()
    pool = EnginePool(EngineServer(), elapsed=clock.elapsed)
    pool.start()
    first_turns = FirstTurns(pool, storage=storage, observer=seen, within=_WITHIN)
    payload = TagPayload(pixel="", at=clock.now(), event=event, request=request, draw=1)
    given = RunInput(container_config=config, rule=config.rules[_NAME], payload=payload, seed=1)
    try:
        response = await first_turns.run(given, until=first_turns.deadline())
        if response is not None:
            payload = after_first_turn(payload, given, response)
        outcome = await TagRun(
            RunContext(
                engine_pool=pool,
                web=web,
                google=GoogleClient(clock=clock),
                to_x=_NotToX(),
                storage=storage,
                clock=clock,
                observer=seen,
            ),
            container_config=config,
            rule=config.rules[_NAME],
            payload=payload,
            seed=given.seed,
        ).run()
    finally:
        await pool.stop()
        await web.stop()
    return TagTrial(
        outcome=outcome,
        response=response,
        lines=tuple(seen.lines),
        warnings=tuple(_without_table(warning) for warning in warnings),
    )


def _without_table(place: str) -> str:
    """Return a place without the table, which exists only for this run."""
    return place.removeprefix("tag[0].").removeprefix("fields.")


class _Lines:
    """Keeps what templates log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def see(self, notice: Notice) -> None:
        if isinstance(notice, TagSaid):
            self.lines.append(notice.text)


class _NotToX:
    """Queues nothing for X: the request goes to the local server."""

    async def take(self, request: HttpEffect, *, source: str) -> Response | None:
        del request, source
        return None
