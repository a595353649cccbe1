"""`twite rejected`: list conversions rejected at intake, and the reasons."""

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from twite.app.store_access import read_records
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, option, prints, time_given
from twite.config.settings import Settings
from twite.domain.fault import CODES, ROW_CODES
from twite.domain.submission import KEPT_FOR, Rejection, RejectionQuery
from twite.domain.times import spelled
from twite.gateway.ports.queries import RejectionsQuery
from twite.http.routes.reports import RejectionView, rejection_view
from twite.machine.system import SystemClock

_COLUMNS: Final = ("at", "source", "conversion id", "code", "path", "value", "reason")

Since = Annotated[
    str | None, option("--since", "TIME", "Only conversions rejected since this day or time")
]
Code = Annotated[str | None, option("--code", "CODE", "Only this error code")]
Source = Annotated[str | None, option("--source", "NAME", "Only this source")]
Limit = Annotated[
    int,
    typer.Option(
        "--limit", min=1, max=5_000, help="Show at most this many conversions, latest first"
    ),
]


@prints(list[RejectionView])
def rejected(
    *,
    since: Since = None,
    code: Code = None,
    source: Source = None,
    limit: Limit = 100,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Rejections are kept for seven days, the latest 5,000 for each source and pixel, masked.

    Example: `twite rejected --code event_unknown`
    """
    if code is not None and code not in CODES | ROW_CODES:
        raise typer.BadParameter(f"unknown code {code!r}", param_hint="--code")
    settings = load(config)
    now = SystemClock().now()
    wanted = RejectionQuery(
        since=max(now - KEPT_FOR, time_given("--since", since, now) or 0),
        code=code,
        source=source,
        limit=limit,
    )
    found = read_rejections(settings, wanted)
    if as_json:
        printing.print_json([rejection_view(rejection) for rejection in found])
    elif found:
        printing.print_table(_COLUMNS, [row for rejection in found for row in _rows(rejection)])
    else:
        printing.say("Nothing was rejected in the last seven days.")


def read_rejections(settings: Settings, wanted: RejectionQuery) -> Sequence[Rejection]:
    """Read rejections from the store. Raises StoreUnusable."""
    query = RejectionsQuery(rejection_query=wanted)
    return read_records(settings, lambda records: records.answer(query))


def print_rejection(rejection: Rejection) -> None:
    named = rejection.conversion_id or "no conversion id"
    whose = f" of pixel {rejection.pixel}" if rejection.pixel else ""
    printing.say(
        f"{named}  event {rejection.event or 'none'}{whose}: ",
        printing.styled("rejected", "bold red"),
    )
    printing.say(f"  source       {rejection.source}")
    printing.say(
        f"  receipt      {rejection.receipt}, conversion {rejection.index + 1} of the request"
    )
    printing.say(f"  received at  {spelled(rejection.at)}")
    for fault in rejection.faults:
        value = f": {fault.value}" if fault.value else ""
        printing.say(f"  {fault.code}  {fault.path or 'the whole conversion'}{value}")
        printing.say(f"               {fault.message}")


def _rows(rejection: Rejection) -> list[list[str]]:
    """Return a row for each fault. Only the first row has the time, source and conversion id."""
    rows = [
        ["", "", "", fault.code, fault.path, fault.value, fault.message]
        for fault in rejection.faults
    ]
    rows = rows or [[""] * len(_COLUMNS)]
    rows[0][:3] = [spelled(rejection.at), rejection.source, rejection.conversion_id or "none"]
    return rows
