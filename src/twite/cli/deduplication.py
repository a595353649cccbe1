"""`twite deduplication`: the deduplication report."""

from typing import Annotated

import typer

from twite.app.store_access import read_records
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, Pixel, known_pixel, load, prints
from twite.domain.stats.deduplication import MOST_DAYS
from twite.gateway.operations.dedup_report import (
    COUNTS,
    DEFAULT_DAYS,
    PathCountsBy,
    first_moment,
    read_report,
    ways_by,
)
from twite.machine.system import SystemClock

Days = Annotated[
    int, typer.Option("--days", min=1, max=MOST_DAYS, help="Number of days, including today")
]


@prints(PathCountsBy)
def deduplication(
    *,
    config: Config = DEFAULT_CONFIG,
    days: Days = DEFAULT_DAYS,
    pixel: Pixel = None,
    as_json: Json = False,
) -> None:
    """Counts conversion ids by event and UTC day, for pixels whose source has origins.

    Example: `twite deduplication --days 14`
    """
    found = load(config)
    known_pixel(found, pixel)
    since = first_moment(SystemClock().now(), days)
    all_, pairs = read_records(found, lambda records: read_report(records, since=since))
    reports = [report for report in all_ if pixel in {None, report.pixel}]
    destinations = {destination.pixel: destination for destination in found.destinations()}
    report = ways_by(
        reports,
        destinations,
        since=since,
        pairs=[pair for pair in pairs if pixel in {None, pair.pixel}],
    )
    if as_json:
        printing.print_json(report)
    else:
        print_report(report)


def print_report(counts_by: PathCountsBy) -> None:
    """Print the table, and a sentence for each count that is not zero."""
    if not counts_by.by:
        printing.say(
            f"No conversion ids were reported since {counts_by.since}. The report covers pixels "
            f"whose source has origins. Add the script to your pages."
        )
        return
    rows: list[list[str | int]] = [
        [
            counts.day,
            counts.pixel,
            counts.name or counts.event,
            *(getattr(counts, name) for name in COUNTS),
        ]
        for counts in counts_by.by
    ]
    if len(rows) > 1:
        rows.append(["all", "", "", *(getattr(counts_by, name) for name in COUNTS)])
    names = [name.replace("_", " ") for name in COUNTS]
    printing.print_table(["day", "pixel", "event", *names], rows)
    for name, sentence in counts_by.advice.items():
        many = getattr(counts_by, name)
        printing.say(printing.styled(f"{many} {name.replace('_', ' ')}", "bold"), f": {sentence}.")
    if counts_by.pairs:
        printing.print_table(
            ["day", "pixel", "event", "the page's id", "the server's id"],
            [
                [pair.day, pair.pixel, pair.name or pair.event, pair.page_id, pair.server_id]
                for pair in counts_by.pairs
            ],
            title="Orders with two ids",
        )
