"""Find conversions by an id, a receipt, or the digest of an email or phone number."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.app.reports.conversion_report import (
    ConversionReport,
    conversion_report,
    rejection_report,
)
from twite.app.store_access import open_records
from twite.config.settings import Settings
from twite.domain.blame.circuit_breaker import PROBE_EVERY
from twite.domain.delivery import State
from twite.domain.errors import UnknownName
from twite.domain.history import History
from twite.domain.normalize import visible_line
from twite.domain.plural import plural
from twite.domain.submission import KEPT_FOR, Rejection, RejectionQuery
from twite.domain.times import MINUTE, SECOND
from twite.gateway.operations.search_term import searched
from twite.gateway.ports.listing import ListedState, ListQuery, QueryScope
from twite.gateway.ports.queries import (
    AttemptsQuery,
    ByConversionId,
    ByDelivery,
    ByReceipt,
    DeliveredQuery,
    RejectionsQuery,
)
from twite.gateway.ports.store import StoreReader
from twite.gateway.ports.tags import PREFIX
from twite.http.routes.reports import RejectionView
from twite.machine.system import SystemClock

# The conversions of one request, and of one person, that a report contains at most.
MOST: Final = 1_000
_RECEIPT: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\0-\x1f\x7f\ud800-\udfff]")
_NOT_SENT: Final = (ListedState.HELD, ListedState.DEAD, ListedState.SUPPRESSED)
_RECENT: Final = 5 * MINUTE


class FoundReport(msgspec.Struct, frozen=True, kw_only=True):
    """The conversions that were found, and those that were rejected at intake, latest first.

    `more` is true if there are others: the search was limited.
    """

    conversions: tuple[ConversionReport, ...]
    rejected: tuple[RejectionView, ...]
    more: bool = False


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """The histories and rejections that a search found. `stalled` explains waits, by pixel."""

    histories: Sequence[History]
    rejections: Sequence[Rejection]
    stalled: Mapping[str, str]
    now: int
    more: bool


async def find(settings: Settings, name: str, pixel: str | None, *, limit: int = MOST) -> Findings:
    """Find conversions by their id, a receipt, or the SHA-256 of an email or phone number.

    The latest are returned: `limit` counts conversions and rejections. Raises StoreUnusable, and
    UnknownName for a pixel that neither the settings nor the store have.
    """
    async with open_records(settings) as reader:
        await _require_known(settings, reader, pixel)
        histories, more = await _histories(settings, reader, name, pixel, limit)
        return await _findings(reader, histories, name, pixel, limit=limit, more=more)


async def find_not_sent(settings: Settings, pixel: str | None, *, limit: int = MOST) -> Findings:
    """Find the latest conversions that are held, dead, suppressed or rejected, without tests.

    The latest are returned: `limit` counts conversions and rejections. Raises as `find`.
    """
    scope = QueryScope(pixel=pixel)
    async with open_records(settings) as reader:
        await _require_known(settings, reader, pixel)
        found: list[History] = []
        more = False
        for state in _NOT_SENT:
            query = ListQuery(scope=scope, state=state, tests=False, limit=limit)
            histories, has_more = await _listed(reader, query)
            found += histories
            more = more or has_more
        return await _findings(reader, found, None, pixel, limit=limit, more=more)


async def _findings(
    reader: StoreReader,
    histories: Sequence[History],
    name: str | None,
    pixel: str | None,
    *,
    limit: int,
    more: bool,
) -> Findings:
    """Add rejections of this name, or all, and why conversions wait."""
    now = SystemClock().now()
    pixels = None if pixel is None else frozenset({pixel})
    query = RejectionQuery(name=name, pixels=pixels, since=now - KEPT_FOR, limit=limit + 1)
    rejections = await reader.answer(RejectionsQuery(rejection_query=query))
    stalled = await _stalled(reader, histories, now=now)
    found: list[History | Rejection] = [*histories, *rejections]
    found.sort(key=_arrived_at, reverse=True)
    latest = found[:limit]
    return Findings(
        histories=[each for each in latest if isinstance(each, History)],
        rejections=[each for each in latest if isinstance(each, Rejection)],
        stalled=stalled,
        now=now,
        more=more or len(found) > limit,
    )


async def find_conversions(
    settings: Settings, name: str, pixel: str | None = None, *, limit: int = MOST
) -> FoundReport:
    """Find conversions as `find` does. Raises StoreUnusable, UnknownName."""
    return found_report(await find(settings, name, pixel, limit=limit))


def found_report(findings: Findings) -> FoundReport:
    return FoundReport(
        conversions=tuple(
            conversion_report(
                history, now=findings.now, stalled=findings.stalled.get(history.pixel)
            )
            for history in findings.histories
        ),
        rejected=tuple(map(rejection_report, findings.rejections)),
        more=findings.more,
    )


async def _histories(
    settings: Settings, reader: StoreReader, name: str, pixel: str | None, limit: int
) -> tuple[list[History], bool]:
    """Return the histories of an id, a receipt or a digest, and if there are more."""
    histories: dict[int, History] = {}
    # No accepted id has these characters, and databases refuse NUL or surrogates.
    name = visible_line(name) if _CONTROL.search(name) else name
    own = [destination.pixel for destination in settings.destinations()]
    # These are tags, and pixels that are no longer configured.
    others = {account.pixel for account in await reader.balance()}.difference(own)
    for known in (*own, *sorted(others)):
        if pixel in {None, known}:
            # All events of the pixel, because the mapping may have changed since then.
            for history in await reader.find(
                ByConversionId(pixel=known, events=None, conversion_id=name)
            ):
                histories[history.delivery] = history
    if _RECEIPT.fullmatch(name):
        for history in await reader.find(ByReceipt(receipt=name.lower())):
            if pixel in {None, history.pixel}:
                histories[history.delivery] = history
    more = False
    if _DIGEST.fullmatch(name):
        query = ListQuery(scope=QueryScope(pixel=pixel), digest=name.lower(), limit=limit)
        listed, more = await _listed(reader, query)
        histories |= {history.delivery: history for history in listed}
    return list(histories.values()), more


async def _listed(reader: StoreReader, query: ListQuery) -> tuple[Sequence[History], bool]:
    """Return the histories of a page, and whether there are more."""
    page = await searched(reader, query, clock=SystemClock())
    deliveries = [each.delivery for each in page.summaries if each.delivery is not None]
    histories = await reader.find(ByDelivery(scope=query.scope, deliveries=deliveries))
    return histories, page.back_to is not None


async def _require_known(settings: Settings, reader: StoreReader, pixel: str | None) -> None:
    """Raise UnknownName for a pixel that neither the settings nor the store have."""
    if pixel is None or settings.has_destination(pixel):
        return
    stored = {counts.pixel for counts in await reader.balance()}
    if pixel not in stored:
        available = {*settings.destination_names(), *stored}.difference({""})
        raise UnknownName("there is no such pixel or tag", available=sorted(available))


def _arrived_at(found: History | Rejection) -> int:
    return found.received_at if isinstance(found, History) else found.at


async def _stalled(
    reader: StoreReader, histories: Sequence[History], *, now: int
) -> dict[str, str]:
    """Return, for pixels and tags that recently accepted nothing, why conversions wait.

    A conversion that is ready, or was never tried, has no time of its own: after failures, the
    gateway sends a pixel one request at a time, and waits for at most PROBE_EVERY in between.
    """
    if not any(history.state is State.QUEUED for history in histories):
        return {}
    since = now - _RECENT
    tried = await reader.answer(AttemptsQuery(since=since))
    delivered = await reader.answer(DeliveredQuery(since=since))
    return {
        pixel: f"{'the recipient' if pixel.startswith(PREFIX) else 'X'} accepted nothing in the "
        f"last {_RECENT // MINUTE} minutes ({plural(len(attempts), 'request')}); after each "
        f"failure, Twite tries again within {PROBE_EVERY // SECOND} seconds"
        for pixel, attempts in tried.items()
        if attempts and not delivered.get(pixel)
    }
