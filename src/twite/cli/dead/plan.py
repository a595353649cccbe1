"""What `twite dead replay` sends: each body unchanged, or with its currently mapped event id."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.app.store_access import read_records
from twite.config.settings import Settings
from twite.domain.history import History
from twite.domain.plural import plural
from twite.gateway.operations.dry_run import DryRun, DryRunResult
from twite.gateway.operations.edit import Edit
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.store import StoreReader
from twite.machine.system import SystemClock

CURRENT: Final = Edit(today=True)

Doubt = tuple[History, str]  # a delivery that X could count twice, and why


class OldEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event id that deliveries carry, and the id that the settings now map their event to."""

    event: str
    now: str
    deliveries: int


class ReplayPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries that a replay sends, and why others cannot be edited, or may count twice."""

    edit: Edit = Edit()
    sent: Sequence[History] = ()
    faults: Mapping[int, str] = {}
    doubted: Sequence[Doubt] = ()
    old_events: Sequence[OldEvent] = ()


def replay_plan(
    settings: Settings, histories: Sequence[History], *, current_mapping: bool, now: int
) -> ReplayPlan:
    """Try a replay, and compare each event id with that of the current settings.

    With `current_mapping`, the current id replaces the other. Deliveries of tags are always sent
    unchanged. Raises StoreUnusable and LedgerUnavailable.
    """

    async def read(reader: StoreReader) -> tuple[Sequence[DryRunResult], Sequence[DryRunResult]]:
        dry_run = dry_run_of(settings, reader)
        mapped = await dry_run.each(histories, CURRENT, now=now, scope=QueryScope())
        if current_mapping:
            return mapped, mapped
        return mapped, await dry_run.each(histories, Edit(), now=now, scope=QueryScope())

    mapped, tried = read_records(settings, read)
    old = [result for result in mapped if result.result.fault is None and result.is_changed]
    counted = Counter((result.history.event, result.result.event) for result in old)
    sent = [result for result in tried if result.result.fault is None]
    return ReplayPlan(
        edit=CURRENT if current_mapping else Edit(),
        sent=[result.history for result in sent],
        faults={
            result.history.delivery: result.result.fault
            for result in tried
            if result.result.fault is not None
        },
        doubted=[(result.history, result.doubt) for result in sent if result.doubt is not None],
        old_events=[
            OldEvent(event=event, now=current, deliveries=many)
            for (event, current), many in counted.items()
        ],
    )


def dry_run_of(settings: Settings, queries: Queries) -> DryRun:
    return DryRun(
        destinations={pixel.pixel: pixel for pixel in settings.destinations()},
        sources=settings.sources(),
        queries=queries,
        clock=SystemClock(),
        is_cautious=settings.is_cautious,
    )


def old_events_in_words(plan: ReplayPlan) -> list[str]:
    """Return a sentence about each event id that is no longer the current one."""
    if plan.edit.today:
        return [
            f"{plural(old.deliveries, 'delivery')}: event {old.event} replaced by {old.now}."
            for old in plan.old_events
        ]
    return [
        f"{plural(old.deliveries, 'delivery carries', 'deliveries carry')} event {old.event}, but "
        f"the settings now map the event to {old.now}. Add --current-mapping to send that id."
        for old in plan.old_events
    ]
