"""The dead and held deliveries that a command names."""

from collections.abc import Sequence
from typing import Final

import msgspec
import typer

from twite.app.store_access import read_records
from twite.cli import printing
from twite.cli.options import known_pixel
from twite.config.settings import Settings
from twite.domain.delivery import State
from twite.domain.history import History
from twite.domain.times import spelled
from twite.gateway.ports.queries import AtRest
from twite.redaction.mask_tree import masked_words

MOST: Final = 100_000
_LONGEST_REASON: Final = 160


class DeliveryNote(msgspec.Struct, frozen=True, kw_only=True):
    """The number of a delivery, and why it may count twice, or was refused."""

    delivery: int
    why: str


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What a command names: ids, or all dead letters of a pixel, with `held` also held ones."""

    ids: Sequence[str]
    every: bool
    held: bool
    pixel: str | None


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The histories that a selection names, and the ids that name none."""

    histories: Sequence[History]
    unknown: Sequence[str] = ()

    @property
    def held(self) -> int:
        return sum(history.state is State.HELD for history in self.histories)

    def complain_unknown(self) -> None:
        for name in self.unknown:
            printing.complain(
                f"{name} is neither dead nor held. twite show {name} shows its history."
            )


def resting(settings: Settings, at_rest: AtRest) -> Sequence[History]:
    return read_records(settings, lambda records: records.find(at_rest))


def choose(settings: Settings, selection: Selection) -> Chosen:
    """Read what a selection names. A name that is an id and a number is taken as the id."""
    known_pixel(settings, selection.pixel)
    if bool(selection.ids) == selection.every:
        raise typer.BadParameter("give ids, or --all. Run twite dead list to see the ids")
    if selection.held and not selection.every:
        raise typer.BadParameter("--held requires --all; ids always include held conversions")
    histories = resting(settings, AtRest(pixel=selection.pixel, limit=MOST))
    if selection.every:
        return Chosen(
            histories=[
                history for history in histories if selection.held or history.state is State.DEAD
            ]
        )
    chosen: dict[int, History] = {}
    unknown: list[str] = []
    for name in selection.ids:
        meant = [
            history for history in histories if name in {history.conversion_id, history.called}
        ] or [history for history in histories if str(history.delivery) == name]
        chosen |= {history.delivery: history for history in meant}
        if not meant:
            unknown.append(name)
    return Chosen(histories=list(chosen.values()), unknown=unknown)


def print_histories(histories: Sequence[History]) -> None:
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
