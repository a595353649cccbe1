"""`POST /-/desk`: the control channel of commands on this machine to the running gateway."""

from typing import Annotated, Any, Final, Literal, Self

import msgspec

from twite.domain.errors import NotOpened, SettingsError
from twite.domain.people.account_changes import Change, Result
from twite.domain.people.users import AuditEvent
from twite.domain.secret import Secret
from twite.gateway.ports.privacy import EraseStore
from twite.gateway.ports.secret_store import CONTAINER
from twite.gateway.x_account.credential_store import PREFIX
from twite.http.responses import NO_ROUTE, HttpRefusal, HttpResponse, error
from twite.http.route import HttpRequest
from twite.http.services import HttpServices
from twite.http.source_keys import bearer

Delivery = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Name = Annotated[str, msgspec.Meta(max_length=128)]
Sealed = Annotated[bytes, msgspec.Meta(max_length=16_384)]


class ControlCommand(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What to do to which deliveries, to the vault, to users, or to a person's data.

    `note` is the reason that discarded deliveries get; `sure` are those to send again though X may
    have them. For the vault: `keep` stores what is `sealed` (base64) under a `name`, `forget`
    removes it, `reseal` reads the key anew and seals all secrets with it, `reseal_letters` some of
    the queued tag payloads, behind the delivery `after`. `deed` is the audit event. For a person:
    one slice of an `erase`. For users and API keys: `change` makes a change, `note` writes the
    audit event alone. Passwords and keys arrive as hashes.
    """

    do: Literal[
        "replay",
        "discard",
        "keep",
        "forget",
        "reseal",
        "reseal_letters",
        "erase",
        "change",
        "note",
    ]
    deliveries: tuple[Delivery, ...] | None = None
    note: str = ""
    sure: tuple[Delivery, ...] = ()
    name: Name = ""
    sealed: Sealed = b""
    after: Delivery = 0
    deed: AuditEvent | None = None
    erasing: EraseStore | None = None
    change: dict[str, Any] | None = None

    @classmethod
    def changing(cls, change: Change, *, deed: AuditEvent) -> Self:
        """Return the command that changes users or API keys."""
        return cls(do="change", change=msgspec.to_builtins(change, enc_hook=_revealed), deed=deed)


class ControlResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many deliveries or secrets were changed; `last` is where to continue, if anywhere.

    For an erasure see gateway.operations. `result` is that of a change of users or API keys.
    """

    done: int
    last: int | None = None
    result: Result | None = None


def encoded(command: ControlCommand) -> bytes:
    """Encode a command."""
    return _ENCODER.encode(command)


async def control_token(request: HttpRequest) -> None:
    """Raises HttpRefusal: without the gateway's token there is no such route (404)."""
    token, offered = request.services.control_token, bearer(request.headers)
    if token is None or offered is None or not token.matches(offered.decode("latin-1")):
        raise HttpRefusal(NO_ROUTE)


async def answer(request: HttpRequest, _caller: None) -> HttpResponse:
    """Run a command. Raises HttpRefusal and LedgerUnavailable."""
    try:
        order = _DECODER.decode(request.body)
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
    now, operations = services.clock.now(), services.operations
    if order.do == "replay":
        return await operations.replay(
            order.deliveries, now=now, sure=frozenset(order.sure), deed=order.deed
        )
    return await operations.discard(order.deliveries, now=now, note=order.note, deed=order.deed)


async def _of_persons(order: ControlCommand, services: HttpServices) -> int:
    if services.eraser is None or order.erasing is None:
        raise HttpRefusal(error(400, "wrong_shape", "erasing is missing"))
    return await services.eraser.erase(order.erasing, now=services.clock.now())


async def _of_users(order: ControlCommand, services: HttpServices) -> ControlResult:
    if services.people is None or order.deed is None:
        raise HttpRefusal(error(400, "wrong_shape", "deed is missing"))
    if order.do == "note":
        await services.people.note(order.deed)
        return ControlResult(done=1)
    try:
        change = msgspec.convert(order.change, Change, dec_hook=_secret)
    except msgspec.ValidationError as wrong:
        raise HttpRefusal(error(400, "wrong_shape", str(wrong))) from None
    result = await services.people.change(change, deed=order.deed)
    return ControlResult(done=int(result is Result.DONE), result=result)


async def _of_the_vault(order: ControlCommand, services: HttpServices) -> ControlResult:
    logins = services.logins
    if logins is None:
        raise HttpRefusal(error(409, "vault_closed"))
    try:
        if order.do == "reseal":
            return ControlResult(done=await logins.reseal(deed=order.deed))
        if order.do == "reseal_letters":
            some = await logins.reseal_letters(after=order.after)
            return ControlResult(done=some.letters, last=some.last)
        if not order.name.startswith((PREFIX, CONTAINER)):
            told = f"a name begins with {PREFIX} or {CONTAINER}"
            raise HttpRefusal(error(400, "wrong_shape", told))
        if order.do == "keep":
            await logins.keep(order.name, order.sealed, deed=order.deed)
        else:
            await logins.forget_sealed(order.name, deed=order.deed)
    except (NotOpened, SettingsError) as wrong:
        raise HttpRefusal(error(409, "vault_closed", str(wrong))) from None
    return ControlResult(done=1)


def _revealed(value: object) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError


def _secret(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError


_DECODER: Final = msgspec.json.Decoder(ControlCommand)
_ENCODER: Final = msgspec.json.Encoder()
