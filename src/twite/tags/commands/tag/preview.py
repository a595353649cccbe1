"""`twite tag preview`: open a preview session in the running gateway, and print its requests."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Final

import msgspec
import typer

from twite.app.control_client import running_gateway
from twite.app.store_access import engine_of
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, prints, who
from twite.config.settings import Settings
from twite.domain.people.users import AuditAction, AuditEvent
from twite.domain.times import spelled
from twite.tags.preview.sessions import COOKIE, HEADER, OTHERS, PreviewUnavailable
from twite.tags.preview.trace import PreviewedRequest
from twite.tags.routes.preview_commands import (
    PATH,
    PreviewAction,
    PreviewCommand,
    PreviewResult,
    PreviewState,
)

_EVERY: Final = 1.0  # seconds
_VERDICTS: Final = {True: "matches", False: "does not match", None: "is decided by the run"}

Nothing = Annotated[
    bool,
    typer.Option("--send-nothing", help="Do not store or send the events of the session"),
]


class PreviewOpened(msgspec.Struct, frozen=True, kw_only=True):
    """The first document: the session's token, and the names of its header and cookie."""

    token: str
    header: str
    cookie: str


@prints(PreviewOpened, PreviewedRequest)
def preview(
    *, send_nothing: Nothing = False, config: Config = DEFAULT_CONFIG, as_json: Json = False
) -> None:
    """Show what the gateway does with the requests of one browser.

    Opens a session for an hour and prints its header and cookie. For each request of the session,
    the command prints the client, event data, variables, triggers, tags, and the requests of each
    run. Ctrl-C ends the session.

    Example: `twite tag preview --send-nothing`
    """
    settings = load(config, credentials=True)
    with suppress(KeyboardInterrupt):
        asyncio.run(_follow(settings, nothing=send_nothing, as_json=as_json))


async def _follow(settings: Settings, *, nothing: bool, as_json: bool) -> None:
    audit_event = AuditEvent(
        at=int(time.time() * 1_000),
        who=who(),
        what=AuditAction.TAG_PREVIEW,
        subject="",
        detail="sends nothing" if nothing else "sends",
    )
    async with running_gateway(settings) as client:

        async def ask(do: PreviewAction, session: str = "") -> PreviewState | None:
            command = PreviewCommand(
                do=do, audit_event=audit_event, session=session, sends_nothing=nothing
            )
            result = await client.post(PATH, command, PreviewResult)
            if result.why_not:
                raise PreviewUnavailable
            return result.state

        state = await ask("open")
        if state is None:
            raise typer.Exit(1)
        shared = engine_of(settings).is_server
        _print_session(state, nothing=nothing, shared=shared, as_json=as_json)
        printed: dict[int, int] = {}
        try:
            while state is not None:
                for request in reversed(state.requests):
                    if printed.get(request.number) != request.version:
                        printed[request.number] = request.version
                        _print_request(request, as_json=as_json)
                await asyncio.sleep(_EVERY)
                state = await ask("read", state.session)
            printing.complain("The session has ended.")
        finally:
            if state is not None:
                await asyncio.shield(ask("close", state.session))


def _print_session(state: PreviewState, *, nothing: bool, shared: bool, as_json: bool) -> None:
    """Print how to use a session. `shared`: other gateways may use the store."""
    if as_json:
        printing.print_json(PreviewOpened(token=state.token, header=HEADER, cookie=COOKIE))
        return
    mode = "stores and sends no events" if nothing else "stores and sends events as usual"
    printing.say(f"The session {mode}. It ends at {spelled(state.ends_at)}, or with Ctrl-C.")
    printing.say(f"  header  {HEADER}: {state.token}")
    printing.say(f"  cookie  {COOKIE}={state.token}")
    if shared:
        printing.say(OTHERS)


def _print_request(request: PreviewedRequest, *, as_json: bool) -> None:
    if as_json:
        printing.print_json(request)
        return
    head = f"{request.number}: {request.method} {request.path} → {request.status or '…'}"
    printing.say(
        printing.styled(printing.safe(head), "bold"), f" client {request.client or 'none'}"
    )
    for line in _lines(request):
        printing.say(f"  {printing.safe(line, longest=2_000)}")


def _lines(request: PreviewedRequest) -> Iterator[str]:
    yield from (f"cookie set: {cookie}" for cookie in request.cookies)
    for event in request.events:
        yield f"event {event.name}, consent {event.consent}: {event.data}"
        for value in event.variables:
            yield f"  variable {value.name} = {value.value or value.note}"
        for trigger in event.triggers:
            verdict = _VERDICTS[trigger.good]
            yield f"  trigger {trigger.name} {verdict}: {trigger.value} (left side: {trigger.note})"
        for tag in event.tags:
            yield f"  tag {tag.name} {'fires' if tag.good else 'does not fire'}: {tag.note}"
    for conversion in request.conversions:
        yield f"conversion {conversion.name}, {conversion.note}: {conversion.value}"
    for run in request.runs:
        permissions = ", ".join(run.permissions) or "none"
        yield f"run of {run.name}: {run.outcome}; permissions {permissions}"
        yield from (f"  {line.kind}: {line.text}" for line in run.lines)
