"""`POST /v1/conversions`: accept conversions in Twite's own format."""

import re
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec
from starlette.types import Receive

from twite.domain.destination import Source
from twite.domain.fault import Fault
from twite.domain.submission import Endpoint
from twite.gateway.ingest.accept import AcceptReceipt
from twite.gateway.ingest.entries import IdentifierWarning, Suppressed
from twite.gateway.ports.events import Observer
from twite.http.admission import AdmissionGate
from twite.http.bodies import read_body, require_json
from twite.http.error_responses import at_a_door
from twite.http.responses import ClientGone, HttpRefusal, HttpResponse, error
from twite.http.source_keys import SourceKeys

NATIVE_PATH: Final = "/v1/conversions"
_IDEMPOTENCY_KEY: Final = re.compile(rb"[\x20-\x7e]{1,255}")


class AcceptsNative(Protocol):
    """The gateway's accept function: see gateway.ingest.accept."""

    async def native(
        self, *, source: Source, body: bytes, idempotency_key: str | None
    ) -> AcceptReceipt: ...


class RejectedItem(msgspec.Struct, frozen=True, kw_only=True):
    """A rejected conversion: its index in the request, and its errors."""

    index: int
    errors: tuple[Fault, ...]


class NativeReceipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of a request. `warnings` names identifiers that were left out.

    `duplicates`, `suppressed` and `held` count conversions, and their indexes say which; a person
    must release the held ones; `suppressed_reasons` gives a reason for each suppressed one.
    `ignored` counts tag events that are not conversions of the source.
    """

    receipt: str
    accepted: int
    duplicates: int
    suppressed: int
    rejected: tuple[RejectedItem, ...]
    warnings: tuple[IdentifierWarning, ...] = ()
    duplicate_indexes: tuple[int, ...] = ()
    suppressed_indexes: tuple[int, ...] = ()
    held: int = 0
    held_indexes: tuple[int, ...] = ()
    suppressed_reasons: tuple[Suppressed, ...] = ()
    ignored: int = 0


class NativeRoute:
    """Authenticate, read, accept, answer."""

    def __init__(
        self,
        *,
        accept: AcceptsNative,
        keys: SourceKeys,
        gate: AdmissionGate,
        body_limit: int,
        observer: Observer,
    ) -> None:
        self._accept = accept
        self._keys = keys
        self._gate = gate
        self._body_limit = body_limit
        self._observer = observer

    async def answer(self, headers: Mapping[bytes, bytes], receive: Receive) -> HttpResponse:
        """Raises HttpRefusal (401) and ClientGone."""
        source = self._keys.require(headers)
        try:
            return await self._taken(source, headers, receive)
        except ClientGone:
            raise
        except Exception as fault:  # noqa: BLE001 - here it is still known whose request it is
            return at_a_door(
                fault,
                source=source.name,
                door=Endpoint.NATIVE,
                where=NATIVE_PATH,
                observer=self._observer,
            )

    async def _taken(
        self, source: Source, headers: Mapping[bytes, bytes], receive: Receive
    ) -> HttpResponse:
        require_json(headers)
        key = headers.get(b"idempotency-key")
        if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
            raise HttpRefusal(_BAD_IDEMPOTENCY_KEY)
        weight = self._gate.enter(headers)
        try:
            body = self._keys.without(await read_body(headers, receive, self._body_limit))
            receipt = await self._accept.native(
                source=source,
                body=body,
                idempotency_key=None if key is None else self._keys.without(key).decode("ascii"),
            )
        finally:
            self._gate.leave(weight)
        return told(receipt)


def told(receipt: AcceptReceipt, *, ignored: int = 0) -> HttpResponse:
    """Return the response; `ignored` counts events that are not conversions of the source."""
    body = _ENCODER.encode(
        NativeReceipt(
            receipt=receipt.receipt,
            accepted=receipt.accepted,
            duplicates=receipt.duplicates,
            suppressed=receipt.suppressed,
            rejected=tuple(
                RejectedItem(index=refusal.index, errors=refusal.errors)
                for refusal in receipt.rejected
            ),
            warnings=receipt.warnings,
            duplicate_indexes=receipt.duplicate_indexes,
            suppressed_indexes=receipt.suppressed_indexes,
            held=receipt.held,
            held_indexes=receipt.held_indexes,
            suppressed_reasons=receipt.suppressed_reasons,
            ignored=ignored,
        )
    )
    taken = receipt.accepted or receipt.duplicates or receipt.suppressed or receipt.held or ignored
    return HttpResponse(status=202 if taken else 422, body=body)


_BAD_IDEMPOTENCY_KEY: Final = error(
    400,
    "idempotency_key",
    "Idempotency-Key must have 1 to 255 characters of printable ASCII",
)
_ENCODER: Final = msgspec.json.Encoder()
