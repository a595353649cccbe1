"""`twite joins`: what conversions gained by waiting for identifiers."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from twite.app.store_access import read_records
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, Pixel, known_pixel, load, prints
from twite.domain.joins import JoinCount, JoinKind
from twite.domain.times import DAY
from twite.gateway.ports.queries import JoinsQuery
from twite.machine.system import SystemClock

DEFAULT_DAYS = 7
MOST_DAYS = 90
_COLUMNS = (JoinKind.CLICK, JoinKind.EMAIL, JoinKind.PHONE)

Days = Annotated[
    int, typer.Option("--days", min=1, max=MOST_DAYS, help="Number of days, up to now")
]


class GainedOf(msgspec.Struct, kw_only=True):
    """What the conversions of a source and pixel gained.

    `gained` counts conversions with at least one more identifier; the others count each kind.
    """

    source: str
    pixel: str
    waited: int = 0
    gained: int = 0
    twclid: int = 0
    email: int = 0
    phone: int = 0


@prints(list[GainedOf])
def joins(
    *,
    config: Config = DEFAULT_CONFIG,
    days: Days = DEFAULT_DAYS,
    pixel: Pixel = None,
    as_json: Json = False,
) -> None:
    """Counts the conversions whose wait has ended, by source and pixel.

    Example: `twite joins --days 30`
    """
    found = load(config)
    known_pixel(found, pixel)
    since = SystemClock().now() - days * DAY
    counts = read_records(found, lambda records: records.answer(JoinsQuery(since=since)))
    rows = gained_by([count for count in counts if pixel in {None, count.pixel}])
    if as_json:
        printing.print_json(rows)
        return
    if not rows:
        printing.say(
            f"No conversion has waited for identifiers in the last {days} days. "
            "Set `wait` for a source."
        )
        return
    names = GainedOf.__struct_fields__
    printing.print_table(names, [[getattr(row, name) for name in names] for row in rows])


def gained_by(counts: Sequence[JoinCount]) -> list[GainedOf]:
    """Sum up counts by source and pixel."""
    rows: dict[tuple[str, str], GainedOf] = {}
    for count in counts:
        place = count.source, count.pixel
        row = rows.setdefault(place, GainedOf(source=count.source, pixel=count.pixel))
        row.waited += count.conversions
        row.gained += count.conversions if count.identifiers else 0
        for kind in _COLUMNS:
            if kind in count.identifiers:
                setattr(row, kind.value, getattr(row, kind.value) + count.conversions)
    return list(rows.values())
