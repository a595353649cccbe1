"""Clients: templates that claim a request, run the container, and answer.

Clients run in the order of priority, until one claims the request. The events of the client are on
disk before the answer is sent.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import msgspec

from twite.domain.errors import ClientFailed, MalformedRequest, TemplatePaused, TemplatesBusy
from twite.domain.incoming_request import IncomingRequest
from twite.domain.times import MINUTE, SECOND
from twite.formats.ga4 import read as ga4
from twite.gateway.ports.events import ClientSaid, Observer, ProblemSeen, SilentObserver
from twite.gateway.ports.machine import Clock, Randomness
from twite.tags.clients.conversation import (
    ClientConversation,
    ClientEffects,
    RunsContainer,
    TemplateClient,
    in_short,
)
from twite.tags.container.values import Unfilled
from twite.tags.json_tree import Tree
from twite.tags.ports.tags import completed
from twite.tags.preview.trace import current
from twite.tags.runtime.client_engines import ClientEngines
from twite.tags.runtime.engine_pool import TemplateStorage
from twite.tags.runtime.tag_log import ClientLines, RunLines, TagLogLine
from twite.tags.template.effects import ClaimEffect, Forget, Keep, LogEffect
from twite.tags.template.response import ClientResponse
from twite.tags.template.sandbox import Call, ContainerVersion, Turn
from twite.tags.template.tag_response import ResponseSite

WITHIN: Final = 20 * SECOND
MOST_TALKS: Final = 200
AGAIN: Final = MINUTE
MOST_SENTENCES: Final = 1_000


@dataclass(slots=True, eq=False, repr=False)
class Clients:
    """Passes requests to the clients until one of them claims the request.

    `runs` runs the templates, by the name of their client. `outbound` sends requests for a client;
    `registrable` finds the registrable domain of a host. A client that has not answered after
    `within` milliseconds is cancelled.
    """

    clients: Sequence[TemplateClient]
    _: KW_ONLY
    runs: ClientEngines
    container: RunsContainer
    outbound: ClientEffects
    storage: TemplateStorage
    registrable: Callable[[str], str | None]
    clock: Clock
    randomness: Randomness
    about: ContainerVersion = field(default_factory=ContainerVersion)
    within: int = WITHIN
    most: int = MOST_TALKS
    observer: Observer = field(default_factory=SilentObserver)
    _lines: ClientLines = field(init=False)
    _asking: int = field(init=False, default=0)
    _talks: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _said: dict[tuple[str, str], int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.clients = sorted(self.clients, key=lambda client: -client.priority)
        self._lines = ClientLines(self._write, elapsed=self.clock.elapsed)

    @property
    def some(self) -> bool:
        return bool(self.clients)

    async def answer(
        self, request: IncomingRequest, *, charge: Callable[[float], None]
    ) -> ClientResponse | None:
        """Return the answer of the client that claims the request; None if no client does.

        `charge` gets the CPU seconds of each turn, also after the answer.
        Raises ClientFailed, TemplatesBusy, and the errors of RunsContainer.
        """
        if self._asking + len(self._talks) >= self.most:
            raise TemplatesBusy(reason="clients have too many requests in flight", retry_after=1)
        self._asking += 1
        try:
            return await self._asked(request, charge)
        finally:
            self._asking -= 1

    async def _asked(
        self, request: IncomingRequest, charge: Callable[[float], None]
    ) -> ClientResponse | None:
        broken: TemplatePaused | ClientFailed | None = None
        for client in self.clients:
            try:
                call = self._call(client, request)
            except Unfilled as unfilled:
                self._report_fault(client, f"the template's fields cannot be filled in: {unfilled}")
                continue
            try:
                turn = await self.runs.start(client.name, call)
                charge(turn.took)
            except TemplatePaused as rests:
                broken = broken or rests
                continue
            lines = self._lines.of(client.name, request, client.secrets)
            trace = current()
            if any(isinstance(effect, ClaimEffect) for effect in turn.effects):
                if trace is not None:
                    trace.claimed(client.name)
                return await self._claimed(client, request, turn, lines, charge)
            if trace is not None:
                trace.run(f"client {client.name}", lines.mask()).turn(client.name, turn)
            lines.log_turn(turn)
            await self._passed(client, turn)
            if turn.spent:
                broken = broken or ClientFailed(client=client.name)
        if broken is not None:
            # The request may have been meant for this client: the response must not be "no such
            # route".
            raise broken
        return None

    async def stop(self) -> None:
        """Cancel the work that clients do after their responses."""
        talks = tuple(self._talks)
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    def _call(self, client: TemplateClient, request: IncomingRequest) -> Call:
        request = completed(request, client.headers)
        now, seed = self.clock.now(), int(self.randomness.fraction() * (1 << 48))
        return Call(
            fields=client.fields_for(request, now=now, draw=seed),
            now=now,
            seed=seed,
            request=request,
            container=self.about,
            client=client.name,
            storage=self.storage.of(client.template),
            extracted=extracted(request) if "extractEvents" in client.template.code.text else None,
        )

    async def _passed(self, client: TemplateClient, turn: Turn) -> None:
        """Process a turn that claims nothing: apply its storage changes, and report its faults."""
        for effect in turn.effects:
            if isinstance(effect, Keep | Forget):
                self.storage.change(client.template, effect)
            elif isinstance(effect, LogEffect) and effect.denied is not None:
                self._report_fault(client, f"the template lacks the permission {effect.denied}")
        if turn.error is not None:
            self._report_fault(client, in_short(turn))
        if not turn.done or turn.listening:
            await self.runs.end(client.name, turn.run)

    def _site(self, client: TemplateClient, request: IncomingRequest) -> ResponseSite:
        """Return the site where tags may set cookies, which they may only for its own pages."""
        host, page = host_of(request).lower(), _page_of(request)
        site = self.registrable(host)
        ours = page in {"", host} or (site is not None and self.registrable(page) == site)
        return ResponseSite(
            host=host,
            site=site,
            reserved=frozenset(client.source.cookie.names),
            keeps=ours,
            now=self.clock.now(),
        )

    def _write(self, client: str, line: TagLogLine) -> None:
        self.observer.see(ClientSaid(client=client, text=line.text, own=line.own))

    def _report_fault(self, client: TemplateClient, sentence: str) -> None:
        """Report a template's fault, at most once a minute for the same fault."""
        now, key = self.clock.elapsed(), (client.name, sentence)
        if now - self._said.get(key, -AGAIN) >= AGAIN:
            if len(self._said) >= MOST_SENTENCES:
                self._said.clear()
            self._said[key] = now
            self.observer.see(ProblemSeen(where=f"client {client.name}", reason=sentence))

    async def _claimed(
        self,
        client: TemplateClient,
        request: IncomingRequest,
        turn: Turn,
        lines: RunLines,
        charge: Callable[[float], None],
    ) -> ClientResponse:
        talk = ClientConversation(
            client=client,
            request=request,
            runs=self.runs,
            container=self.container,
            outbound=self.outbound,
            storage=self.storage,
            site=self._site(client, request),
            mark=self.randomness.nonce().encode(),
            log_message=partial(self._report_fault, client),
            lines=lines,
        )
        # A client may continue after its response, when no caller waits.
        task = asyncio.create_task(talk.go_on(turn, within=self.within, charge=charge))
        self._talks.add(task)
        task.add_done_callback(self._talks.discard)
        self._asking -= 1  # from now on it is counted in `_talks`
        try:
            return await asyncio.shield(talk.answered)
        finally:
            self._asking += 1


def _page_of(request: IncomingRequest) -> str:
    """Return the host of the page that sent the request; "" if the request names none."""
    headers = dict(request.headers)
    try:
        return urlsplit(headers.get("origin") or headers.get("referer") or "").hostname or ""
    except ValueError:
        return ""


def extracted(request: IncomingRequest) -> list[dict[str, Tree]] | None:
    """Return the events of a GA4 hit as Google's client creates them; None for other requests."""
    try:
        hits = ga4.read(request.query, (request.body or "").encode("utf-8", "replace"))
    except MalformedRequest:
        return None
    seen: dict[str, object] = {"ip_override": request.remote_address}
    agent = dict(request.headers).get("user-agent")
    if agent is not None:
        seen["user_agent"] = agent
    return msgspec.convert([seen | dict(event) for event in hits.readable], list[dict[str, Tree]])


def host_of(request: IncomingRequest) -> str:
    """Return the host name of the request, without port; "" if it has none."""
    named = dict(request.headers).get("host", "")
    return named.rpartition("]")[0] + "]" if named.startswith("[") else named.partition(":")[0]
