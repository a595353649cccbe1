"""`twite dead`: list, replay or discard dead and held deliveries."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
import typer

from twite.app.reports.conversion_report import ConversionReport, conversion_report
from twite.app.store_access import open_operations, read_records
from twite.cli import printing
from twite.cli.options import (
    DEFAULT_CONFIG,
    Config,
    Json,
    ListedByDefault,
    Pixel,
    known_pixel,
    load,
    option,
    prints,
    time_given,
    who,
)
from twite.cli.replay_plan import (
    CURRENT,
    Doubt,
    OldEvent,
    ReplayPlan,
    old_events_in_words,
    replay_plan,
)
from twite.config.settings import Settings
from twite.domain.delivery import State
from twite.domain.history import History
from twite.domain.people.users import AuditAction, AuditEvent
from twite.domain.plural import plural
from twite.domain.times import LATEST, spelled
from twite.gateway.ports.outbox import Discard, EditBodies, MoveResult, Replay
from twite.gateway.ports.queries import AtRest
from twite.machine.system import SystemClock
from twite.redaction.mask_tree import masked_words

_MOST: Final = 100_000
_LONGEST_REASON: Final = 160
# The largest number of conversions named on the screen and in the audit log.
_SHOWN: Final = 20
_NAMED: Final = 5

Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="Conversion ids or delivery numbers"),
]
All = Annotated[bool, typer.Option("--all", help="All dead letters, instead of ids")]
Held = Annotated[bool, typer.Option("--held", help="With --all: include held conversions")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would happen without changing anything")
]
Sure = Annotated[
    bool,
    typer.Option("--may-count-twice", help="Also send conversions that X may count twice"),
]
CurrentMapping = Annotated[
    bool,
    typer.Option(
        "--current-mapping", help="Send each with the event id that the settings now map it to"
    ),
]
Note = Annotated[str, typer.Option("--note", help="The reason, stored with the conversions")]
Limit = Annotated[
    int, typer.Option("--limit", min=1, max=_MOST, help="Show at most this many conversions")
]
Since = Annotated[str | None, option("--since", "TIME", "Only those dead or held since then")]
Until = Annotated[str | None, option("--until", "TIME", "Only those dead or held before then")]


class DeadLetterCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, and with which deliveries."""

    do: Literal["replay", "discard"]
    ids: list[str]
    every: bool
    held: bool
    pixel: str | None
    note: str = ""
    dry_run: bool
    is_sure: bool = False
    current_mapping: bool = False
    as_json: bool


class DeliveryNote(msgspec.Struct, frozen=True, kw_only=True):
    """The number of a delivery, and why it may count twice, or was refused."""

    delivery: int
    why: str


class DeadLetterReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay or a discard did, or would do.

    `done` counts the changed deliveries, `refused` those that were not changed; `unknown` are ids
    that are neither dead nor held.
    """

    do: str
    dry_run: bool
    chosen: tuple[ConversionReport, ...]
    may_count_twice: tuple[DeliveryNote, ...]
    old_events: Sequence[OldEvent]
    refused: tuple[DeliveryNote, ...]
    done: int
    unknown: Sequence[str]


dead = typer.Typer(
    help="Example: `twite dead list`, then `twite dead replay order-1001`", cls=ListedByDefault
)


@dead.command("list")
@prints(list[ConversionReport])
def listed(
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List dead letters and held conversions, latest first.

    Example: `twite dead list --since 2026-11-24 --until 2026-11-25`
    """
    found = load(config)
    known_pixel(found, pixel)
    now = SystemClock().now()
    ends = time_given("--until", until, now)
    wanted = AtRest(
        pixel=pixel,
        since=time_given("--since", since, now) or 0,
        until=LATEST if ends is None else ends,
        limit=limit,
    )
    histories = _resting(found, wanted)
    if as_json:
        printing.print_json([conversion_report(history) for history in histories])
    elif not histories:
        printing.say("No dead letters or held conversions.")
    else:
        _print(histories)
    if len(histories) == limit:
        printing.complain(f"Only the latest {limit} are shown; --limit shows more.")


@dead.command("replay")
@prints(DeadLetterReport)
def replay(
    ids: Ids = None,
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    every: All = False,
    held: Held = False,
    may_count_twice: Sure = False,
    current_mapping: CurrentMapping = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Send conversions again, with the same conversion id and body.

    X may already have received some of these conversions. X could count such a conversion twice if
    40 hours have passed since then. If that is possible, or if the settings forbid resending, the
    command sends nothing unless you add --may-count-twice.

    After you have corrected `events` in the settings, add --current-mapping: otherwise the
    conversions are sent with the event id that X refused.

    Example: `twite dead replay --all --pixel o8z6j --dry-run`
    """
    order = DeadLetterCommand(
        do="replay",
        ids=ids or [],
        every=every,
        held=held,
        pixel=pixel,
        dry_run=dry_run,
        is_sure=may_count_twice,
        current_mapping=current_mapping,
        as_json=as_json,
    )
    _decide(load(config), order)


@dead.command("discard")
@prints(DeadLetterReport)
def discard(
    ids: Ids = None,
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    every: All = False,
    held: Held = False,
    note: Note = "discarded by hand",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Discard conversions permanently. Twite then counts them as suppressed.

    Example: `twite dead discard order-1001 --note "test order"`
    """
    order = DeadLetterCommand(
        do="discard",
        ids=ids or [],
        every=every,
        held=held,
        pixel=pixel,
        note=note,
        dry_run=dry_run,
        as_json=as_json,
    )
    _decide(load(config), order)


def _decide(settings: Settings, command: DeadLetterCommand) -> None:
    known_pixel(settings, command.pixel)
    if bool(command.ids) == command.every:
        raise typer.BadParameter("give ids, or --all. Run twite dead list to see the ids")
    if command.held and not command.every:
        raise typer.BadParameter("--held requires --all; ids always include held conversions")
    chosen, unknown = _chosen(_resting(settings, AtRest(pixel=command.pixel, limit=_MOST)), command)
    now = SystemClock().now()
    plan = ReplayPlan(same=chosen)
    if command.do == "replay" and chosen:
        plan = replay_plan(settings, chosen, current_mapping=command.current_mapping, now=now)
    refused = bool(plan.doubted) and not command.is_sure
    result = MoveResult(moved=0, refused=plan.faults)
    if chosen and not command.dry_run and not refused:
        result = asyncio.run(_carried_out(settings, chosen, plan, command, now))
    _report(chosen, unknown, plan, result, command)
    if unknown or (not command.dry_run and result.moved < len(chosen)):
        raise typer.Exit(1)


def _chosen(
    histories: Sequence[History], command: DeadLetterCommand
) -> tuple[list[History], list[str]]:
    """Return the selected histories, and the ids that match no history.

    A name that is both a conversion id and a delivery number is taken as the conversion id.
    """
    if command.every:
        return [history for history in histories if command.held or history.state is State.DEAD], []
    chosen: dict[int, History] = {}
    unknown: list[str] = []
    for name in command.ids:
        meant = [
            history for history in histories if name in {history.conversion_id, history.called}
        ] or [history for history in histories if str(history.delivery) == name]
        chosen |= {history.delivery: history for history in meant}
        if not meant:
            unknown.append(name)
    return list(chosen.values()), unknown


def _report(
    chosen: Sequence[History],
    unknown: Sequence[str],
    plan: ReplayPlan,
    result: MoveResult,
    command: DeadLetterCommand,
) -> None:
    doubted, done, not_changed = plan.doubted, result.moved, result.refused
    refused = bool(doubted) and not command.is_sure and not command.dry_run
    held = sum(history.state is State.HELD for history in chosen)
    if command.as_json:
        printing.print_json(
            DeadLetterReport(
                do=command.do,
                dry_run=command.dry_run,
                chosen=tuple(map(conversion_report, chosen)),
                may_count_twice=tuple(
                    DeliveryNote(delivery=history.delivery, why=why) for history, why in doubted
                ),
                old_events=plan.old_events,
                refused=tuple(
                    DeliveryNote(delivery=delivery, why=why)
                    for delivery, why in not_changed.items()
                ),
                done=done,
                unknown=unknown,
            )
        )
    elif command.dry_run:
        _print(chosen)
        many = len(chosen) - len(not_changed)
        printing.say(f"{plural(many, 'delivery')} would be {_participle(command)} ({held} held).")
    elif not refused:
        printing.say(f"{plural(done, 'delivery')} {_participle(command)} ({held} held).")
    for name in unknown:
        printing.complain(f"{name} is neither dead nor held. twite show {name} shows its history.")
    for sentence in old_events_in_words(plan, current_mapping=command.current_mapping):
        printing.complain(sentence)
    for why, times in Counter(not_changed.values()).items():
        printing.complain(f"{plural(times, 'delivery')} not changed: {why}.")
    if doubted and (refused or command.dry_run):
        _print_doubts(doubted, refused=refused)
    missed = 0 if command.dry_run or refused else len(chosen) - done - len(not_changed)
    if missed:
        printing.complain(
            f"{plural(missed, 'delivery was', 'deliveries were')} no longer dead or held, and "
            "not changed."
        )


def _print_doubts(doubted: Sequence[Doubt], *, refused: bool) -> None:
    for history, why in doubted[:_SHOWN]:
        printing.complain(f"{history.conversion_id} ({history.delivery}): {why}.")
    if len(doubted) > _SHOWN:
        printing.complain(f"… and {len(doubted) - _SHOWN} more.")
    begun = "Nothing was sent: " if refused else ""
    printing.complain(
        f"{begun}X could count {plural(len(doubted), 'conversion')} twice. "
        "Use --may-count-twice to send anyway."
    )


def _participle(command: DeadLetterCommand) -> str:
    return "queued again" if command.do == "replay" else "discarded"


def _print(histories: Sequence[History]) -> None:
    printing.print_table(
        ["delivery", "state", "pixel", "event", "conversion id", "received at", "reason"],
        [
            [
                str(history.delivery),
                history.state.value,
                history.pixel,
                history.event,
                history.conversion_id,
                spelled(history.received_at),
                printing.safe(masked_words(history.reason or ""), longest=_LONGEST_REASON),
            ]
            for history in histories
        ],
    )


def _resting(settings: Settings, at_rest: AtRest) -> Sequence[History]:
    return read_records(settings, lambda records: records.find(at_rest))


async def _carried_out(
    settings: Settings,
    chosen: Sequence[History],
    plan: ReplayPlan,
    command: DeadLetterCommand,
    now: int,
) -> MoveResult:
    same = [history.delivery for history in plan.same]
    moves: list[Replay | Discard | EditBodies] = []
    if command.do == "discard":
        moves = [Discard(deliveries=same, note=command.note)]
    if command.do == "replay" and same:
        moves.append(Replay(deliveries=same, sure=plan.sure))
    if plan.edited:
        note = f"{who()}: {CURRENT.sentence}"
        moves.append(EditBodies(edited=plan.edited, note=note, sure=plan.sure))
    audit_event: AuditEvent | None = _audit_event(chosen, plan, command, now)
    moved, refused = 0, dict(plan.faults)
    async with open_operations(settings) as operations:
        for move in moves:
            result = await operations.move(move, now=now, audit_event=audit_event)
            moved, refused = moved + result.moved, refused | dict(result.refused)
            audit_event = None  # one action, although it may take two moves
    return MoveResult(moved=moved, refused=refused)


def _audit_event(
    chosen: Sequence[History], plan: ReplayPlan, command: DeadLetterCommand, now: int
) -> AuditEvent:
    names = [history.conversion_id for history in chosen[:_NAMED]]
    more = f" and {len(chosen) - _NAMED} more" if len(chosen) > _NAMED else ""
    detail = f"{len(chosen)}: {', '.join(names)}{more}"
    if command.do == "discard":
        detail = f"{detail}; {command.note}"
    if command.current_mapping:
        detail = f"{detail}; {CURRENT.sentence}"
    if plan.doubted:
        detail = f"{detail}; may count twice: confirmed"
    pixels = sorted({history.pixel for history in chosen})
    return AuditEvent(
        at=now, who=who(), what=AuditAction(command.do), subject=", ".join(pixels), detail=detail
    )
