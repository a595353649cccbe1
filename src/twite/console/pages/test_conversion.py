"""A conversion to try the way with: sent like a source's own, and watched to its end."""

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from starlette.responses import Response

from twite.console.page import PageRequest, PageRoute
from twite.console.pages.pixels import known_pixel
from twite.console.request_checks import AccessDenied
from twite.domain.delivery import State
from twite.domain.destination import Destination, Source
from twite.domain.errors import ClientError
from twite.domain.people.users import AuditAction, Role
from twite.gateway.ingest.accept import AcceptReceipt
from twite.gateway.operations.explain import masked
from twite.gateway.ports.queries import ByConversionId, Queries

_PATH: Final = "/console/pixels/{pixel}/try"
_FIELDS: Final = ("value", "currency", "email", "phone", "twclid", "ip", "user_agent")
_UNDER_WAY: Final = {State.QUEUED, State.SENDING}


class AcceptsTestConversion(Protocol):
    """Takes submissions in: see gateway.accept.Accept."""

    async def native(
        self, *, source: Source, body: bytes, idempotency_key: str | None = None
    ) -> AcceptReceipt:
        """Raises Malformed, LedgerFull, LedgerUnavailable."""
        ...


class TestConversionPage:
    """Sends one conversion through a source. It is a real one: X counts it."""

    def __init__(
        self,
        *,
        accept: AcceptsTestConversion,
        records: Queries,
        destinations: Mapping[str, Destination],
        sources: Sequence[Source],
    ) -> None:
        self._accept = accept
        self._records = records
        self._destinations = destinations
        self._sources = {source.name: source for source in sources}

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute("POST", _PATH, self._sent, role=Role.OPERATOR),
            PageRoute("GET", f"{_PATH}/{{conversion_id}}", self._followed, role=Role.OPERATOR),
        )

    async def _sent(self, visit: PageRequest) -> Response:
        pixel = known_pixel(visit, self._destinations)
        back, form = f"/console/pixels/{pixel}", visit.form
        source = self._sources.get(form.first("source"))
        event = form.first("event")
        if source is None or pixel not in source.pixels:
            return visit.back_to(back, message="Choose a source that submits for it.", bad=True)
        conversion_id = f"console-test-{secrets.token_hex(6)}"
        fields = {name: text for name in _FIELDS if (text := form.first(name).strip())}
        body = {"event": event, "conversion_id": conversion_id, "pixel": pixel, **fields}
        await visit.note(AuditAction.CONVERSION_TEST, conversion_id, f"{event}, as {source.name}")
        try:
            receipt = await self._accept.native(source=source, body=json.dumps(body).encode())
        except ClientError as wrong:
            return visit.back_to(back, message=f"Not accepted: {wrong}", bad=True)
        if receipt.rejected:
            faults = "; ".join(
                f"{fault.path}: {fault.message}" for fault in receipt.rejected[0].errors
            )
            return visit.back_to(back, message=f"Not accepted: {faults}", bad=True)
        return visit.back_to(f"{back}/try/{conversion_id}")

    async def _followed(self, visit: PageRequest) -> Response:
        pixel = known_pixel(visit, self._destinations)
        histories = await self._records.find(
            ByConversionId(pixel=pixel, events=None, conversion_id=visit.part("conversion_id"))
        )
        if not histories:
            raise AccessDenied(
                404,
                "No such conversion",
                "There is no conversion with this id, or it is no longer stored.",
            )
        history = histories[0]
        return visit.page(
            "test_conversion.html",
            title="Test conversion",
            history=history,
            sent=masked(history.sent),
            in_progress=history.state in _UNDER_WAY,
        )
