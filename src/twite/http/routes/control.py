"""`POST /-/desk`: the control channel of commands on this machine to the running gateway."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Protocol

import msgspec
from starlette.types import Receive

from twite.domain.errors import NotOpened, SettingsError
from twite.domain.people.users import AuditEvent
from twite.domain.secret import Secret
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.outbox import Operations, RewrittenPayloads
from twite.gateway.ports.privacy import Eraser, EraseStore
from twite.gateway.ports.secret_store import CONTAINER
from twite.gateway.x_account.credential_store import PREFIX
from twite.http.bodies import read_body
from twite.http.responses import HttpRefusal, HttpResponse, error
from twite.http.source_keys import bearer

Delivery = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Name = Annotated[str, msgspec.Meta(max_length=128)]
Sealed = Annotated[bytes, msgspec.Meta(max_length=16_384)]


class KeepsLogins(Protocol):
    """Holds the vault of X credentials."""

    async def keep(self, name: str, sealed: bytes, *, deed: AuditEvent | None = None) -> None:
        """Raises NotOpened, LedgerUnavailable."""
        ...

    async def forget_sealed(self, name: str, *, deed: AuditEvent | None = None) -> None:
        """Raises LedgerUnavailable, NotOpened."""
        ...

    async def reseal(self, *, deed: AuditEvent | None = None) -> int:
        """Raises NotOpened, SettingsError, LedgerUnavailable."""
        ...

    async def reseal_letters(self, *, after: int) -> RewrittenPayloads:
        """Raises LedgerUnavailable."""
        ...


class ControlCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do to which deliveries, to the vault, or to a person's data.

    `note` is the reason that discarded deliveries get; `sure` are those to send again though X may
    have them. For the vault: `keep` stores what is `sealed` (base64) under a `name`, `forget`
    removes it, `reseal` reads the key anew and seals all secrets with it, `reseal_letters` some of
    the queued tag payloads, behind the delivery `after`. `deed` is the audit event. For a person:
    one slice of an `erase`.
    """

    do: Literal["replay", "discard", "keep", "forget", "reseal", "reseal_letters", "erase"]
    deliveries: tuple[Delivery, ...] | None = None
    note: str = ""
    sure: tuple[Delivery, ...] = ()
    name: Name = ""
    sealed: Sealed = b""
    after: Delivery = 0
    deed: AuditEvent | None = None
    erasing: EraseStore | None = None


class ControlResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many deliveries or secrets were changed; `last` is where to continue, if anywhere.

    For an erasure see gateway.operations.
    """

    done: int
    last: int | None = None


class ControlRoute:
    """Runs commands of the token's holder. Without a valid token the answer is 404."""

    def __init__(
        self,
        *,
        desk: Operations,
        clock: Clock,
        token: Secret | None,
        body_limit: int,
        logins: KeepsLogins | None = None,
        eraser: Eraser | None = None,
    ) -> None:
        """`logins` is None for a gateway without a vault key: vault commands are then refused."""
        self._desk = desk
        self._eraser = eraser
        self._logins = logins
        self._clock = clock
        self._token = token
        self._body_limit = body_limit

    def opens_to(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether the request carries the token."""
        offered = bearer(headers)
        return (
            self._token is not None
            and offered is not None
            and self._token.matches(offered.decode("latin-1"))
        )

    async def answer(self, headers: Mapping[bytes, bytes], receive: Receive) -> HttpResponse:
        """Raises HttpRefusal and ClientGone, and LedgerUnavailable if the store is."""
        body = await read_body(headers, receive, self._body_limit)
        try:
            order = _DECODER.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as wrong:
            raise HttpRefusal(error(400, "wrong_shape", str(wrong))) from None
        if order.do in {"replay", "discard"}:
            done = ControlResult(done=await self._of_deliveries(order))
        elif order.do == "erase":
            done = ControlResult(done=await self._of_persons(order))
        else:
            done = await self._of_the_vault(order)
        return HttpResponse(status=200, body=_ENCODER.encode(done))

    async def _of_deliveries(self, order: ControlCommand) -> int:
        if order.deliveries is None:
            raise HttpRefusal(error(400, "wrong_shape", "deliveries is missing"))
        now = self._clock.now()
        if order.do == "replay":
            return await self._desk.replay(
                order.deliveries, now=now, sure=frozenset(order.sure), deed=order.deed
            )
        return await self._desk.discard(order.deliveries, now=now, note=order.note, deed=order.deed)

    async def _of_persons(self, order: ControlCommand) -> int:
        if self._eraser is None or order.erasing is None:
            raise HttpRefusal(error(400, "wrong_shape", "erasing is missing"))
        return await self._eraser.erase(order.erasing, now=self._clock.now())

    async def _of_the_vault(self, order: ControlCommand) -> ControlResult:
        if self._logins is None:
            raise HttpRefusal(error(409, "vault_closed"))
        try:
            if order.do == "reseal":
                return ControlResult(done=await self._logins.reseal(deed=order.deed))
            if order.do == "reseal_letters":
                some = await self._logins.reseal_letters(after=order.after)
                return ControlResult(done=some.letters, last=some.last)
            if not order.name.startswith((PREFIX, CONTAINER)):
                told = f"a name begins with {PREFIX} or {CONTAINER}"
                raise HttpRefusal(error(400, "wrong_shape", told))
            if order.do == "keep":
                await self._logins.keep(order.name, order.sealed, deed=order.deed)
            else:
                await self._logins.forget_sealed(order.name, deed=order.deed)
        except (NotOpened, SettingsError) as wrong:
            raise HttpRefusal(error(409, "vault_closed", str(wrong))) from None
        return ControlResult(done=1)


_DECODER: Final = msgspec.json.Decoder(ControlCommand)
_ENCODER: Final = msgspec.json.Encoder()
