import msgspec

from twite.app.reports.accounting import AccountingFigures, accounting_report
from twite.cli.accounting import print_ignored
from twite.domain.submission import IgnoredTally


def _counted(name, times=1, *, day=20_782):
    return IgnoredTally(
        day=day, source="shop", endpoint="ga4", name=name, reason="not_configured", times=times
    )


def _cells(out):
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in out.splitlines()
        if line[0] == "│"
    ]


def test_ignored_events_are_a_table_with_the_most_frequent_first(capsys):
    print_ignored([_counted("click", 2), _counted("scroll", 2), _counted("scroll", 3, day=20_783)])

    assert _cells(capsys.readouterr().out) == [
        ["shop", "ga4", "scroll", "not_configured", "5"],
        ["shop", "ga4", "click", "not_configured", "2"],
    ]


def test_ignored_events_beyond_twenty_names_are_summarized(capsys):
    print_ignored([_counted(f"name-{number}", 1) for number in range(23)])

    *_, last = _cells(capsys.readouterr().out)
    assert last == ["…", "", "3 more", "", "3"]


def test_no_table_is_printed_without_ignored_events(capsys):
    print_ignored([])

    assert capsys.readouterr().out == ""


def test_ignored_events_as_json_are_listed_by_day():
    figures = AccountingFigures(accounts=[], forecasts=[], ignored=[_counted("scroll", 3)] * 2)
    report = accounting_report(figures, most_ignored=1)

    assert msgspec.to_builtins(report.ignored) == (
        {
            "day": "2026-11-25",
            "source": "shop",
            "endpoint": "ga4",
            "name": "scroll",
            "reason": "not_configured",
            "times": 3,
        },
    )
