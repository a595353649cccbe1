"""`twite dead discard`: suppress dead and held deliveries."""

import asyncio
from collections.abc import Sequence

import msgspec

from twite.app.control_client import GatewayClient
from twite.app.reports.conversion_report import ConversionReport, conversion_report
from twite.app.store_access import open_operations
from twite.cli import printing
from twite.cli.dead.choice import Chosen, print_histories
from twite.cli.options import who
from twite.config.settings import Settings
from twite.domain.people.users import AuditAction, AuditEvent
from twite.domain.plural import plural
from twite.gateway.operations.replays import conversions_in_words
from twite.gateway.ports.outbox import Discard
from twite.machine.system import SystemClock


class DiscardReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was discarded, or would be.

    `done` counts the discarded deliveries; `unknown` are ids that are neither dead nor held.
    """

    dry_run: bool
    chosen: tuple[ConversionReport, ...]
    done: int
    unknown: Sequence[str]


def discard_chosen(
    settings: Settings, chosen: Chosen, note: str, *, dry_run: bool, as_json: bool
) -> bool:
    """Discard deliveries and print the report; return whether all were discarded."""
    histories = chosen.histories
    done = 0
    if histories and not dry_run:
        done = asyncio.run(_discarded(settings, chosen, note))
    if as_json:
        printing.print_json(
            DiscardReport(
                dry_run=dry_run,
                chosen=tuple(map(conversion_report, histories)),
                done=done,
                unknown=chosen.unknown,
            )
        )
    elif dry_run:
        print_histories(histories)
        many = plural(len(histories), "delivery")
        printing.say(f"{many} would be discarded ({chosen.held} held).")
    else:
        printing.say(f"{plural(done, 'delivery')} discarded ({chosen.held} held).")
    chosen.complain_unknown()
    missed = 0 if dry_run else len(histories) - done
    if missed:
        printing.complain(
            f"{plural(missed, 'delivery was', 'deliveries were')} no longer dead or held, and "
            "not changed."
        )
    return not (chosen.unknown or missed)


async def _discarded(settings: Settings, chosen: Chosen, note: str) -> int:
    now = SystemClock().now()
    histories = chosen.histories
    discard = Discard(deliveries=[history.delivery for history in histories], note=note)
    audit_event = AuditEvent(
        at=now,
        who=who(),
        what=AuditAction.DISCARD,
        subject=", ".join(sorted({history.pixel for history in histories})),
        detail=f"{conversions_in_words(histories)}; {note}",
    )
    async with open_operations(settings) as operations:
        if isinstance(operations, GatewayClient):
            result = await operations.discard(discard, audit_event=audit_event)
        else:
            result = await operations.move(discard, now=now, audit_event=audit_event)
    return result.moved
