"""`twite accounting`: the balance, and a forecast of the pending conversions."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import typer

from twite.app.store_access import read_forecasts, read_ignored, read_records
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load
from twite.domain.history import ConversionCounts, tests_of, total, without_tests
from twite.domain.stats.backlog import Forecast
from twite.domain.submission import IgnoredTally
from twite.domain.times import DAY, spelled
from twite.gateway.ports.store import StoreReader

_COLUMNS: Final = (*ConversionCounts.__struct_fields__[2:], "balance")
_MOST_LINES: Final = 20
_IGNORED_COLUMNS: Final = ("source", "endpoint", "event", "reason", "times")


def accounting(*, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Received = delivered + duplicate + suppressed + rejected + dead + held + pending.

    Below the balance, the command shows for each pixel with pending conversions when all will be
    sent, and how many will miss the 48-hour deadline. At the end, it lists events that tag and page
    endpoints ignored in the last seven days. Exits with 1 if the two sides are not equal.

    Example: `twite accounting --json | jq .balance`
    """
    found = load(config)

    async def read(
        reader: StoreReader,
    ) -> tuple[list[ConversionCounts], list[Forecast], list[IgnoredTally]]:
        accounts, expected = await reader.balance(), await read_forecasts(found, reader)
        return list(accounts), expected, await read_ignored(reader)

    accounts, expected, ignored = read_records(found, read)
    if as_json:
        by = [
            {"source": account.source, "pixel": account.pixel} | _sums(account)
            for account in accounts
        ]
        parts = {
            "by": by,
            "forecast": [_as_json(forecast) for forecast in expected],
        } | ignored_as_json(ignored)
        printing.print_json(_sums(total(without_tests(accounts))) | parts)
    else:
        _print(accounts)
        _print_forecasts([forecast for forecast in expected if forecast.pending])
        print_ignored(ignored)
    if any(account.balance for account in accounts):
        printing.complain("The balance is not 0: conversions are unaccounted for. Run twite check.")
        raise typer.Exit(1)


def _print(accounts: list[ConversionCounts]) -> None:
    rows: list[list[str | int]] = [
        [account.source, account.pixel or "none", *_sums(account).values()]
        for account in [*accounts, total(without_tests(accounts))]
    ]
    rows[-1][:2] = ["all but tests" if tests_of(accounts) else "all", ""]
    printing.print_table(["source", "pixel", *_COLUMNS], rows)


def _print_forecasts(expected: Sequence[Forecast]) -> None:
    if not expected:
        return
    printing.print_table(
        ["pixel", "pending", "since", "per hour", "all sent by", "late", "will be late"],
        [
            [
                forecast.pixel,
                forecast.pending,
                _moment(forecast.oldest) or "",
                forecast.rate,
                _moment(forecast.drained_at) or "never: delivery has stopped",
                forecast.late,
                forecast.misses,
            ]
            for forecast in expected
        ],
        title="Pending conversions",
    )


def _as_json(forecast: Forecast) -> dict[str, object]:
    return {
        "pixel": forecast.pixel,
        "pending": forecast.pending,
        "oldest_at": _moment(forecast.oldest),
        "rate_per_hour": forecast.rate,
        "drained_at": _moment(forecast.drained_at),
        "late": forecast.late,
        "misses": forecast.misses,
        "next_deadline_at": _moment(forecast.next_deadline),
    }


def _moment(ms: int | None) -> str | None:
    return None if ms is None else spelled(ms)


def _sums(counts: ConversionCounts) -> dict[str, int]:
    return {name: getattr(counts, name) for name in _COLUMNS}


def print_ignored(counted: Sequence[IgnoredTally]) -> None:
    """Print the most frequent reasons, summed over all days, or nothing if there are none."""
    sums: Counter[tuple[str, str, str, str]] = Counter()
    for tally in counted:
        sums[tally.source, tally.endpoint, tally.name, tally.reason] += tally.times
    if not sums:
        return
    shown = sums.most_common(_MOST_LINES)
    rows: list[list[str | int]] = [
        [source, endpoint, name or "(none)", reason, times]
        for (source, endpoint, name, reason), times in shown
    ]
    if len(sums) > len(shown):
        left = sums.total() - sum(times for _, times in shown)
        rows.append(["…", "", f"{len(sums) - len(shown)} more", "", left])
    printing.print_table(list(_IGNORED_COLUMNS), rows, title="Ignored in the last seven days")


def ignored_as_json(counted: Sequence[IgnoredTally]) -> dict[str, object]:
    """Return the ignored events for JSON, under `ignored`, or an empty dict if there are none."""
    rows = [
        {
            "day": spelled(tally.day * DAY)[:10],
            "source": tally.source,
            "endpoint": tally.endpoint,
            "name": tally.name,
            "reason": tally.reason,
            "times": tally.times,
        }
        for tally in counted
    ]
    return {"ignored": rows} if rows else {}
