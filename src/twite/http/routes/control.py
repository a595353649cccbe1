"""`POST /-/control`, `/healthz`, `/readyz`, `/metrics`, `/v1/openapi.json`: for the operator.

Commands on this machine use `/-/control` to control the running gateway.
"""

from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from twite.domain.errors import NotOpened, SettingsError
from twite.domain.people.users import Result
from twite.gateway.operations.control import (
    ControlCommand,
    ControlResult,
    changed,
)
from twite.gateway.operations.replays import NewReplay
from twite.gateway.ports.outbox import Discard
from twite.gateway.ports.secret_store import CONTAINER
from twite.gateway.x_account.credential_store import PREFIX
from twite.http.authorization import bearer
from twite.http.responses import CODES, NO_ROUTE, HttpRefusal, HttpResponse, error
from twite.http.route import HttpRequest, RouteAuthentication
from twite.http.services import HttpServices

_ENCODER: Final = msgspec.json.Encoder()
PROMETHEUS: Final = (b"content-type", b"text/plain; version=1.0.0; charset=utf-8")
_OK: Final = HttpResponse(status=200, body=b'{"status":"ok"}')
_METRICS_CLOSED: Final = error(
    401,
    "key_wrong",
    "send server.metrics_key as Authorization: Bearer <key>. Only this machine can read the "
    "metrics without a key: as localhost, and not through a proxy. With server.public_url or "
    "server.trusted_proxies, these requests must use server.local_listen",
    headers=((b"www-authenticate", b'Bearer realm="twite"'),),
)


async def _control_token(request: HttpRequest) -> None:
    """Require the gateway's token. Raises HttpRefusal (404, as if the route did not exist)."""
    token, offered = request.services.control_token, bearer(request.headers)
    if token is None or offered is None or not token.matches(offered.decode("latin-1")):
        raise HttpRefusal(NO_ROUTE)


control_token: Final = RouteAuthentication(
    check=_control_token, refused=404, sample={"Authorization": "Bearer a-control-token"}
)


async def answer(request: HttpRequest, _caller: None) -> HttpResponse:
    """Run a command. Raises HttpRefusal and LedgerUnavailable."""
    try:
        order = msgspec.json.decode(request.body, type=ControlCommand)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as wrong:
        raise _wrong(str(wrong)) from None
    if order.do == "discard":
        done = await _of_deliveries(order, request.services)
    elif order.do in {"replay", "cancel_replay"}:
        done = await _of_a_replay(order, request.services)
    elif order.do == "erase":
        done = ControlResult(done=await _of_persons(order, request.services))
    elif order.do in {"change", "note"}:
        done = await _of_users(order, request.services)
    elif order.do == "reload":
        done = await _of_settings(order, request.services)
    elif order.do == "sync":
        done = await _of_a_sync(order, request.services)
    else:
        done = await _of_the_vault(order, request.services)
    return HttpResponse(status=200, body=_ENCODER.encode(done))


def _wrong(message: str) -> HttpRefusal:
    return HttpRefusal(error(400, "wrong_shape", message))


async def _of_deliveries(command: ControlCommand, services: HttpServices) -> ControlResult:
    if command.deliveries is None:
        raise _wrong("deliveries is missing")
    move = Discard(deliveries=command.deliveries, note=command.note)
    now = services.clock.now()
    result = await services.moves.move(move, now=now, audit_event=command.audit_event)
    return ControlResult(done=result.moved, refused=dict(result.refused))


async def _of_a_replay(command: ControlCommand, services: HttpServices) -> ControlResult:
    replays = services.replays
    if command.do == "replay" and command.batch is None:
        await replays.put_parts(command.parts)
        return ControlResult(done=len(command.parts))
    if command.audit_event is None:
        raise _wrong("audit_event is missing")
    if command.batch is not None:
        await replays.start(
            NewReplay(batch=command.batch, parts=command.parts, audit_event=command.audit_event)
        )
        return ControlResult(done=command.batch.total)
    batch = await replays.records.find(command.name)
    if batch is None:
        raise _wrong("there is no replay of this name")
    return ControlResult(done=await replays.cancel(batch, audit_event=command.audit_event))


async def _of_persons(command: ControlCommand, services: HttpServices) -> int:
    if command.erasing is None:
        raise _wrong("erasing is missing")
    return await services.privacy.erase(command.erasing, now=services.clock.now())


async def _of_users(command: ControlCommand, services: HttpServices) -> ControlResult:
    if command.audit_event is None:
        raise _wrong("audit_event is missing")
    if command.do == "note":
        await services.directory.note(command.audit_event)
        return ControlResult(done=1)
    try:
        change = changed(command)
    except msgspec.ValidationError as wrong:
        raise _wrong(str(wrong)) from None
    result = await services.directory.change(change, audit_event=command.audit_event)
    return ControlResult(done=int(result is Result.DONE), result=result)


async def _of_settings(command: ControlCommand, services: HttpServices) -> ControlResult:
    """Read the settings again."""
    if services.reload is None:
        raise _wrong("this gateway cannot reload its settings")
    report = await services.reload(command.dry_run)
    return ControlResult(done=len(report.changes), reload=report)


async def _of_a_sync(command: ControlCommand, services: HttpServices) -> ControlResult:
    if services.run_sync is None:
        raise _wrong("this gateway runs no syncs")
    report = await services.run_sync(command.name, command.position)
    return ControlResult(done=report.rows, sync=report)


async def _of_the_vault(command: ControlCommand, services: HttpServices) -> ControlResult:
    logins = services.credential_commands
    if logins is None:
        raise HttpRefusal(error(409, "secret_key_missing"))
    try:
        if command.do == "reseal":
            return ControlResult(done=await logins.reseal(audit_event=command.audit_event))
        if command.do == "reseal_payloads":
            some = await logins.reseal_payloads(after=command.after)
            return ControlResult(done=some.payloads, last=some.last)
        if not command.name.startswith((PREFIX, CONTAINER)):
            raise _wrong(f"a name must begin with {PREFIX} or {CONTAINER}")
        if command.do == "keep":
            await logins.keep(command.name, command.sealed, audit_event=command.audit_event)
        else:
            await logins.forget_sealed(command.name, audit_event=command.audit_event)
    except (NotOpened, SettingsError) as wrong:
        raise HttpRefusal(error(409, "secret_key_missing", str(wrong))) from None
    return ControlResult(done=1)


async def healthz(_request: HttpRequest, _caller: None) -> HttpResponse:
    """Respond with 200 while the event loop runs."""
    return _OK


async def readyz(request: HttpRequest, _caller: None) -> HttpResponse:
    """Respond with 200 if the gateway accepts submissions, and with 503 otherwise."""
    why_not = request.services.ready()
    if why_not is None:
        return _OK
    return error(
        503, "not_ready", f"{CODES['not_ready']}: {why_not}", headers=((b"retry-after", b"1"),)
    )


async def _this_machine_or_metrics_key(request: HttpRequest) -> None:
    """Require this machine or a metrics key.

    Raises HttpRefusal (401). Source keys are refused, because the metrics cover every source.
    """
    if not (request.services.front.is_machine(request.scope) or await _has_key(request)):
        raise HttpRefusal(_METRICS_CLOSED)


this_machine_or_metrics_key: Final = RouteAuthentication(
    check=_this_machine_or_metrics_key, sample={"Authorization": "Bearer metrics-key"}
)


async def metrics(request: HttpRequest, _caller: None) -> HttpResponse:
    """Answer with the metrics, in Prometheus' format."""
    page = request.services.metrics(await request.services.queries.balance())
    if request.services.add_up is not None:
        page = await request.services.add_up(page)
    return HttpResponse(status=200, body=page, headers=(PROMETHEUS,))


async def openapi(_request: HttpRequest, _caller: None) -> HttpResponse:
    """Answer with the OpenAPI document."""
    return HttpResponse(status=200, body=_openapi())


@cache
def _openapi() -> bytes:
    return Path(__file__).parents[1].joinpath("openapi/openapi.json").read_bytes()


async def _has_key(request: HttpRequest) -> bool:
    offered = bearer(request.headers)
    if offered is None:
        return False
    configured = request.services.settings.metrics_key
    if configured is not None and configured.matches(offered.decode("latin-1")):
        return True
    return await request.services.authorization.may_see_metrics(request.headers)
