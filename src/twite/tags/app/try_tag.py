"""Run a tag template once as the gateway does, with its requests sent to a server on loopback."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from twite.config.collected_errors import combined
from twite.config.toml import IN_CLEAR_TEXT
from twite.domain.errors import SettingsError
from twite.domain.incoming_request import IncomingRequest
from twite.domain.secret import Secret
from twite.domain.times import SECOND
from twite.gateway.ports.events import GatewayEvent, TagSaid
from twite.gateway.ports.transport import Response
from twite.http.cookies import registrable_domain
from twite.machine.system import SystemClock
from twite.tags.engines.process.engine_server import EngineServer
from twite.tags.google.requests import GoogleClient
from twite.tags.json_tree import Tree
from twite.tags.ports.tags import ANY_HOST
from twite.tags.run.first_turn import FirstTurns, after_first_turn
from twite.tags.run.outbound import RunContext
from twite.tags.run.outcome import RunOutcome
from twite.tags.run.payload import TagPayload
from twite.tags.run.run_input import RunInput
from twite.tags.run.tag_run import TagRun
from twite.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.tags.runtime.public_web import PublicWeb
from twite.tags.settings.tables import StapeHeaders, TagTable
from twite.tags.settings.tags import container_config
from twite.tags.template.effects import HttpEffect
from twite.tags.template.tag_response import ResponseSite, joined

_NAME = "try"
# As in [templates.stape]: Stape's X tag in OAuth mode builds its address from these.
_STAPE_HEADERS = StapeHeaders(identifier="try", default_domain="stape.io", api_key=Secret("key"))
_WITHIN = 5 * SECOND  # the first step includes the start of the engine process


class TagTrial(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of the run, the lines that the template logged, and warnings about fields.

    `cookies` are those that a browser on the event's page would get.
    """

    outcome: RunOutcome
    cookies: Mapping[str, str]
    lines: tuple[str, ...]
    warnings: tuple[str, ...]


async def try_tag(
    path: Path,
    *,
    fields: Mapping[str, Tree],
    event: dict[str, Tree],
    request: IncomingRequest,
    local_url: str,
) -> TagTrial:
    """Run a template as for an event from a browser. Every request goes to `local_url`.

    Raises SettingsError for an invalid template or field.
    """
    table = TagTable(name=_NAME, template=str(path), fields=fields, redirect={ANY_HOST: local_url})
    try:
        config, warnings = container_config((table,), folder=Path(), sources=())
    except SettingsError as error:
        raise combined(
            SettingsError(_without_table(each.place), each.message) for each in error.each
        ) from None
    if config is None:
        raise SettingsError(str(path), "is not a tag")
    config = msgspec.structs.replace(config, headers=_STAPE_HEADERS.headers)
    clock, web, seen, storage = SystemClock(), PublicWeb(), _Lines(), TemplateStorage()
    pool = EnginePool(EngineServer(), elapsed=clock.elapsed)
    pool.start()
    first_turns = FirstTurns(pool, storage=storage, observer=seen, within=_WITHIN)
    payload = TagPayload(pixel="", at=clock.now(), event=event, request=request, draw=1)
    given = RunInput(container_config=config, rule=config.rules[_NAME], payload=payload, seed=1)
    try:
        response = (await first_turns.run_all({0: given})).get(0)
        cookies: dict[str, str] = {}
        if response is not None:
            payload = after_first_turn(payload, given, response)
            site = _site_of(payload)
            for cookie in joined([response], site=site, log_message=seen.add).cookies:
                name, _, value = cookie.partition(";")[0].partition("=")
                cookies[name] = value
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
        cookies=cookies,
        lines=tuple(seen.lines),
        # Fields of a trial are not kept, so a secret in them need not be elsewhere.
        warnings=tuple(
            _without_table(warning) for warning in warnings if not warning.endswith(IN_CLEAR_TEXT)
        ),
    )


def _site_of(payload: TagPayload) -> ResponseSite:
    """Return the site of the request's host, or of the event's page."""
    host = dict(payload.request.headers).get("host", "").partition(":")[0]
    if not host:
        with suppress(ValueError):
            host = urlsplit(str(payload.event.get("page_location") or "")).hostname or ""
    return ResponseSite(host=host, site=registrable_domain(host), now=payload.at)


def _without_table(place: str) -> str:
    """Remove from a place the table that exists only for this run: users do not know it."""
    return place.removeprefix("tag[0].").removeprefix("fields.")


class _Lines:
    """Keeps what templates log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def see(self, event: GatewayEvent) -> None:
        if isinstance(event, TagSaid):
            self.lines.append(event.text)

    def add(self, _tag: str, line: str) -> None:
        """Add a line that Twite logged."""
        self.lines.append(line)


class _NotToX:
    """Queues no conversion for X, so that the request goes to the local server instead."""

    async def take(self, effect: HttpEffect, *, source: str) -> Response | None:
        del effect, source
        return None
