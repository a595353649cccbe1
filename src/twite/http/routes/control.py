"""`POST /-/desk`: the control channel of commands on this machine to the running gateway."""

from typing import Final

import msgspec

from twite.domain.errors import NotOpened, SettingsError
from twite.domain.people.account_changes import Result
from twite.gateway.operations.control import ControlCommand, ControlResult, changed, decoded
from twite.gateway.ports.outbox import Discard, Move, Replay
from twite.gateway.ports.secret_store import CONTAINER
from twite.gateway.x_account.credential_store import PREFIX
from twite.http.responses import NO_ROUTE, HttpRefusal, HttpResponse, error
from twite.http.route import HttpRequest
from twite.http.services import HttpServices
from twite.http.source_keys import bearer


async def control_token(request: HttpRequest) -> None:
    """Raises HttpRefusal: without the gateway's token there is no such route (404)."""
    token, offered = request.services.control_token, bearer(request.headers)
    if token is None or offered is None or not token.matches(offered.decode("latin-1")):
        raise HttpRefusal(NO_ROUTE)


async def answer(request: HttpRequest, _caller: None) -> HttpResponse:
    """Run a command. Raises HttpRefusal and LedgerUnavailable."""
    try:
        order = decoded(request.body)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as wrong:
        raise HttpRefusal(error(400, "wrong_shape", str(wrong))) from None
    if order.do in {"replay", "discard"}:
        done = ControlResult(done=await _of_deliveries(order, request.services))
    elif order.do == "erase":
        done = ControlResult(done=await _of_persons(order, request.services))
    elif order.do in {"change", "note"}:
        done = await _of_users(order, request.services)
    else:
        done = await _of_the_vault(order, request.services)
    return HttpResponse(status=200, body=_ENCODER.encode(done))


async def _of_deliveries(order: ControlCommand, services: HttpServices) -> int:
    if order.deliveries is None:
        raise HttpRefusal(error(400, "wrong_shape", "deliveries is missing"))
    move: Move = Discard(deliveries=order.deliveries, note=order.note)
    if order.do == "replay":
        move = Replay(deliveries=order.deliveries, sure=frozenset(order.sure))
    return (
        await services.moves.move(move, now=services.clock.now(), audit_event=order.audit_event)
    ).moved


async def _of_persons(order: ControlCommand, services: HttpServices) -> int:
    if services.eraser is None or order.erasing is None:
        raise HttpRefusal(error(400, "wrong_shape", "erasing is missing"))
    return await services.eraser.erase(order.erasing, now=services.clock.now())


async def _of_users(order: ControlCommand, services: HttpServices) -> ControlResult:
    if services.people is None or order.audit_event is None:
        raise HttpRefusal(error(400, "wrong_shape", "deed is missing"))
    if order.do == "note":
        await services.people.note(order.audit_event)
        return ControlResult(done=1)
    try:
        change = changed(order)
    except msgspec.ValidationError as wrong:
        raise HttpRefusal(error(400, "wrong_shape", str(wrong))) from None
    result = await services.people.change(change, audit_event=order.audit_event)
    return ControlResult(done=int(result is Result.DONE), result=result)


async def _of_the_vault(order: ControlCommand, services: HttpServices) -> ControlResult:
    logins = services.logins
    if logins is None:
        raise HttpRefusal(error(409, "vault_closed"))
    try:
        if order.do == "reseal":
            return ControlResult(done=await logins.reseal(audit_event=order.audit_event))
        if order.do == "reseal_letters":
            some = await logins.reseal_letters(after=order.after)
            return ControlResult(done=some.letters, last=some.last)
        if not order.name.startswith((PREFIX, CONTAINER)):
            message = f"a name begins with {PREFIX} or {CONTAINER}"
            raise HttpRefusal(error(400, "wrong_shape", message))
        if order.do == "keep":
            await logins.keep(order.name, order.sealed, audit_event=order.audit_event)
        else:
            await logins.forget_sealed(order.name, audit_event=order.audit_event)
    except (NotOpened, SettingsError) as wrong:
        raise HttpRefusal(error(409, "vault_closed", str(wrong))) from None
    return ControlResult(done=1)


_ENCODER: Final = msgspec.json.Encoder()
