"""Dry runs of tags for a preview that sends nothing: each request is answered with 200."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from twite.domain.errors import NotOpened
from twite.gateway.ports.events import SilentObserver
from twite.gateway.ports.secret_store import Seal
from twite.gateway.ports.transport import Response
from twite.tags.google.requests import GoogleClient
from twite.tags.ports.tags import ContainerConfig, TagRule, rules_of
from twite.tags.ports.web import WebRequest
from twite.tags.preview.trace import RequestTrace
from twite.tags.run.once_per_event import OncePerEvent
from twite.tags.run.outbound import RunContext
from twite.tags.run.payload import read
from twite.tags.run.tag_run import TagRun
from twite.tags.runtime.engine_pool import TemplateStorage
from twite.tags.template.effects import HttpEffect

MOST_PENDING: Final = 50
_ANSWER: Final = Response(
    status=200, headers={"content-type": "application/json"}, body=b'{"dry_run": true}'
)


class _DryRunWeb:
    """Answers requests instead of sending them, those to X like all others."""

    async def ask(self, request: WebRequest) -> Response:  # noqa: ARG002 - see Web
        return _ANSWER

    async def take(self, effect: HttpEffect, *, source: str) -> None:
        """Queue nothing for X."""


class DryRuns:
    """Runs tags without sending anything, a few at a time."""

    def __init__(
        self,
        container_configs: Sequence[ContainerConfig],
        run_context: RunContext,
        *,
        seal: Seal | None,
    ) -> None:
        self._rules: dict[str, tuple[ContainerConfig, TagRule]] = {
            rule.pixel: (config, rule) for config, rule in rules_of(container_configs)
        }
        self._run_context = run_context
        self._seal = seal
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, pixel: str, body: bytes, trace: RequestTrace) -> None:
        """Begin a run of a tag's entry, unless too many are in progress."""
        if pixel in self._rules and len(self._tasks) < MOST_PENDING:
            task = asyncio.create_task(self._run(pixel, body, trace))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, pixel: str, body: bytes, trace: RequestTrace) -> None:
        container_config, rule = self._rules[pixel]
        try:
            payload = read(body, name=pixel, seal=self._seal)
        except (NotOpened, msgspec.DecodeError, UnicodeDecodeError):
            return
        nothing = _DryRunWeb()
        run_context = msgspec.structs.replace(
            self._run_context,
            web=nothing,
            to_x=nothing,
            google=GoogleClient(clock=self._run_context.clock),
            # Each dry run has its own storage, so that it changes nothing for later runs.
            storage=TemplateStorage(),
            observer=SilentObserver(),
            once_per_event=OncePerEvent(),
        )
        await TagRun(
            run_context,
            container_config=container_config,
            rule=rule,
            payload=payload,
            seed=payload.seed or payload.draw or 1,
            trace=trace,
        ).run()
