"""What `twite dead replay` sends: each body unchanged, or with its currently mapped event id."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.app.store_access import read_records
from twite.config.settings import Settings
from twite.domain.history import History
from twite.domain.plural import plural
from twite.domain.test_mode import is_test
from twite.gateway.operations.dry_run import DryRun, DryRunResult
from twite.gateway.operations.edit import Edit
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.outbox import EditedBody
from twite.gateway.ports.store import StoreReader
from twite.gateway.ports.tags import PREFIX
from twite.machine.system import SystemClock

CURRENT: Final = Edit(today=True)

Doubt = tuple[History, str]  # a delivery that X could count twice, and why


class OldEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event id that deliveries carry, and the id that the settings now map their event to."""

    event: str
    now: str
    deliveries: int


class ReplayPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries to send unchanged, the edited ones, and why others cannot be edited."""

    same: Sequence[History]
    edited: Sequence[EditedBody] = ()
    faults: Mapping[int, str] = {}
    doubted: Sequence[Doubt] = ()
    old_events: Sequence[OldEvent] = ()

    @property
    def sure(self) -> list[int]:
        """The deliveries that are sent only after a confirmation, and tests: X never gets them."""
        tests = [history.delivery for history in self.same if is_test(history.pixel)]
        return [*tests, *(history.delivery for history, _ in self.doubted)]


def replay_plan(
    settings: Settings, histories: Sequence[History], *, current_mapping: bool, now: int
) -> ReplayPlan:
    """Compare each event id with the current settings; with `current_mapping`, replace it.

    Deliveries of tags are always sent unchanged. Raises StoreUnusable and LedgerUnavailable.
    """
    results, unchanged = _tried(settings, histories, now=now)
    old = [result for result in results if _is_old(result)]
    counted = Counter((result.history.event, result.result.event) for result in old)
    replaced = {result.history.delivery: result for result in old} if current_mapping else {}
    faults = {
        result.history.delivery: result.result.fault
        for result in results
        if current_mapping and result.result.fault is not None
    }
    sent = [history for history in histories if history.delivery not in faults]
    tried = {result.history.delivery: result for result in unchanged} | replaced
    doubts = [(history, tried[history.delivery].doubt) for history in sent]
    return ReplayPlan(
        same=[history for history in sent if history.delivery not in replaced],
        edited=[
            EditedBody(delivery=delivery, event=result.result.event, body=result.result.body)
            for delivery, result in replaced.items()
        ],
        faults=faults,
        doubted=[(history, why) for history, why in doubts if why is not None],
        old_events=[
            OldEvent(event=event, now=current, deliveries=many)
            for (event, current), many in counted.items()
        ],
    )


def old_events_in_words(plan: ReplayPlan, *, current_mapping: bool) -> list[str]:
    """Return a sentence about each event id that is no longer the current one."""
    if current_mapping:
        return [
            f"{plural(old.deliveries, 'delivery')}: event {old.event} replaced by {old.now}."
            for old in plan.old_events
        ]
    return [
        f"{plural(old.deliveries, 'delivery carries', 'deliveries carry')} event {old.event}, but "
        f"the settings now map the event to {old.now}. Add --current-mapping to send that id."
        for old in plan.old_events
    ]


def _is_old(result: DryRunResult) -> bool:
    return result.result.fault is None and result.result.event != result.history.event


def _tried(
    settings: Settings, histories: Sequence[History], *, now: int
) -> tuple[list[DryRunResult], list[DryRunResult]]:
    """Return each delivery to a pixel with the event id of the current settings, and all as is."""
    own = [history for history in histories if not history.pixel.startswith(PREFIX)]

    async def read(reader: StoreReader) -> tuple[list[DryRunResult], list[DryRunResult]]:
        dry_run = DryRun(
            destinations={pixel.pixel: pixel for pixel in settings.destinations()},
            sources=settings.sources(),
            queries=reader,
            clock=SystemClock(),
            is_cautious=settings.is_cautious,
        )
        scope = QueryScope()
        mapped = await dry_run.each(own, CURRENT, now=now, scope=scope)
        return mapped, await dry_run.each(histories, Edit(), now=now, scope=scope)

    return read_records(settings, read)
