"""`twite dead replay`: plan a replay, and start it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from twite.app.control_client import GatewayClient, running
from twite.app.reports.conversion_report import ConversionReport, conversion_report
from twite.app.store_access import open_operations
from twite.cli import printing
from twite.cli.dead.choice import Chosen, DeliveryNote, print_histories
from twite.cli.dead.plan import (
    Doubt,
    OldEvent,
    ReplayPlan,
    dry_run_of,
    old_events_in_words,
    replay_plan,
)
from twite.cli.dead.status import ReplayStatus, replays_of, status_of
from twite.cli.options import who
from twite.config.settings import Settings
from twite.domain.plural import plural
from twite.gateway.operations.replays import NewReplay, new_replay
from twite.gateway.ports.store import Store
from twite.machine.system import SystemClock, SystemRandomness

# The largest number of conversions named on the screen.
_SHOWN: Final = 20


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """A replay that was started, or would be.

    `replay` is the id of the started replay, None if nothing was started; `started` counts its
    deliveries. `refused` are deliveries that stay as they are; `unknown` are ids that are neither
    dead nor held.
    """

    dry_run: bool
    chosen: tuple[ConversionReport, ...]
    may_count_twice: tuple[DeliveryNote, ...]
    old_events: Sequence[OldEvent]
    refused: tuple[DeliveryNote, ...]
    replay: str | None
    started: int
    unknown: Sequence[str]


class ReplayChoice(msgspec.Struct, frozen=True, kw_only=True):
    """How to replay. `is_sure` confirms that X may count some conversions twice."""

    is_sure: bool
    current_mapping: bool
    dry_run: bool
    as_json: bool


class _Started(msgspec.Struct, frozen=True, kw_only=True):
    """A started replay; without a gateway also its status and why some were not changed."""

    replay: NewReplay
    status: ReplayStatus | None = None
    refused: dict[int, str] = {}


def replay_chosen(settings: Settings, chosen: Chosen, choice: ReplayChoice) -> bool:
    """Plan a replay, start it and print the report; return whether all are in it."""
    plan = ReplayPlan()
    if chosen.histories:
        plan = replay_plan(
            settings,
            chosen.histories,
            current_mapping=choice.current_mapping,
            now=SystemClock().now(),
        )
    is_begun = not choice.dry_run and bool(plan.sent) and (choice.is_sure or not plan.doubted)
    started = asyncio.run(_start(settings, plan, choice)) if is_begun else None
    refused = {**plan.faults, **({} if started is None else started.refused)}
    if choice.as_json:
        _print_json(chosen, plan, started, refused, choice)
    elif choice.dry_run:
        print_histories(chosen.histories)
        many = len(chosen.histories) - len(refused)
        printing.say(f"{plural(many, 'delivery')} would be queued again ({chosen.held} held).")
    elif started is not None:
        _print_started(settings, chosen, started)
    chosen.complain_unknown()
    for sentence in old_events_in_words(plan):
        printing.complain(sentence)
    for why, times in Counter(refused.values()).items():
        printing.complain(f"{plural(times, 'delivery')} not changed: {why}.")
    if plan.doubted and started is None:
        _print_doubts(plan.doubted, dry_run=choice.dry_run)
    is_whole = started is not None and not refused
    return not chosen.unknown and (choice.dry_run or is_whole or not chosen.histories)


async def _start(settings: Settings, plan: ReplayPlan, choice: ReplayChoice) -> _Started:
    replay = new_replay(
        plan.sent,
        plan.edit,
        is_confirmed=choice.is_sure and bool(plan.doubted),
        who=who(),
        now=SystemClock().now(),
        randomness=SystemRandomness(),
    )
    async with open_operations(settings) as operations:
        if isinstance(operations, GatewayClient):
            await operations.start_replay(replay)
            return _Started(replay=replay)
        return await _start_in(operations, settings, replay)


async def _start_in(store: Store, settings: Settings, replay: NewReplay) -> _Started:
    """Start a replay; work it off, unless other processes may share the store and do so."""
    replays = replays_of(store)
    await replays.start(replay)
    if store.ownership is not None:
        return _Started(replay=replay)
    await replays.work_off(replay.batch, dry_run_of(settings, store))
    batch = await replays.records.find(replay.batch.id) or replay.batch
    return _Started(
        replay=replay,
        status=await status_of(replays.records, batch),
        refused=dict(await replays.records.refusals(batch)),
    )


def _print_json(
    chosen: Chosen,
    plan: ReplayPlan,
    started: _Started | None,
    refused: dict[int, str],
    choice: ReplayChoice,
) -> None:
    batch = None if started is None else started.replay.batch
    printing.print_json(
        ReplayReport(
            dry_run=choice.dry_run,
            chosen=tuple(map(conversion_report, chosen.histories)),
            may_count_twice=tuple(
                DeliveryNote(delivery=history.delivery, why=why) for history, why in plan.doubted
            ),
            old_events=plan.old_events,
            refused=tuple(
                DeliveryNote(delivery=delivery, why=why) for delivery, why in refused.items()
            ),
            replay=None if batch is None else batch.id,
            started=0 if batch is None else batch.total,
            unknown=chosen.unknown,
        )
    )


def _print_started(settings: Settings, chosen: Chosen, started: _Started) -> None:
    batch = started.replay.batch
    if started.status is None:
        printing.say(f"Replay of {plural(batch.total, 'delivery')} started ({chosen.held} held).")
    else:
        queued = started.status.progress.queued
        printing.say(f"{plural(queued, 'delivery')} queued again ({chosen.held} held).")
        printing.say("No gateway is running: twite serve sends them.")
    printing.say(f"Follow it with: twite dead replays {batch.id} --follow")
    gateway = running(settings.store.gateway_file)
    if gateway is not None:
        console = settings.console_at(gateway.url)
        printing.say(f"or in the console: {console}/problems/replays/{batch.id}")


def _print_doubts(doubted: Sequence[Doubt], *, dry_run: bool) -> None:
    for history, why in doubted[:_SHOWN]:
        printing.complain(f"{history.conversion_id} ({history.delivery}): {why}.")
    if len(doubted) > _SHOWN:
        printing.complain(f"… and {len(doubted) - _SHOWN} more.")
    begun = "" if dry_run else "Nothing was sent: "
    printing.complain(
        f"{begun}X could count {plural(len(doubted), 'conversion')} twice. "
        "Use --may-count-twice to send anyway."
    )
