"""Charts over time: values become positions, with round ticks and labels of the local clock."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from twite.console.overview_charts import latency_chart, traffic_chart
from twite.console.page import FormData
from twite.console.problem_trend import trend_chart
from twite.console.render import FOLDER, PageTemplates
from twite.console.time_chart import (
    HEIGHT,
    ChartCurve,
    ChartKind,
    ChartSeries,
    ChartStep,
    Unit,
    time_chart,
)
from twite.domain.stats.tally import DeliveryTimes, FlowCounts
from twite.domain.times import DAY, HOUR, MINUTE, SECOND
from twite.gateway.ports.listing import QueryScope

BERLIN = ZoneInfo("Europe/Berlin")
NOON = round(datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp() * 1000)
DAY_START = NOON - 12 * HOUR
BOTH = (ChartSeries("delivered", "ok"), ChartSeries("refused", "bad"))


def drawn(values, *, each=HOUR, at=NOON, unit=Unit.COUNT, kind=ChartKind.COLUMNS, zone="UTC"):
    steps = [
        ChartStep(at=at + index * each, until=at + (index + 1) * each, values=two, url=f"/{index}")
        for index, two in enumerate(values)
    ]
    return time_chart(steps, series=BOTH, kind=kind, unit=unit, zone=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("highest", "unit", "ticks"),
    [
        (0, Unit.COUNT, ["0", "1"]),
        (1, Unit.COUNT, ["0", "1"]),
        (7, Unit.COUNT, ["0", "2", "4", "6", "8"]),
        (93, Unit.COUNT, ["0", "50", "100"]),
        (1_234_567, Unit.COUNT, ["0", "500,000", "1,000,000", "1,500,000"]),
        (700, Unit.DURATION, ["0 ms", "200 ms", "400 ms", "600 ms", "800 ms"]),
        (1_800, Unit.DURATION, ["0 ms", "500 ms", "1 s", "1.5 s", "2 s"]),
        (100 * SECOND, Unit.DURATION, ["0 ms", "30 s", "1 min", "1 min 30 s", "2 min"]),
        (36 * HOUR, Unit.DURATION, ["0 ms", "12 h", "1 d", "1 d 12 h"]),
        (0.03, Unit.SHARE, ["0.0 %", "25.0 %", "50.0 %", "75.0 %", "100.0 %"]),
    ],
)
def test_ticks_are_round_numbers_up_to_the_highest_value(highest, unit, ticks):
    chart = drawn([(highest, None)], unit=unit, kind=ChartKind.LINES)

    texts = [tick.text.replace("\xa0", " ") for tick in chart.ticks]
    assert [text.replace("\N{NARROW NO-BREAK SPACE}", "," if unit is Unit.COUNT else " ")
            for text in texts] == ticks  # fmt: skip
    assert (chart.ticks[0].y, chart.ticks[-1].y) == (HEIGHT, 0)


def test_parts_of_a_column_are_stacked_and_reach_its_tick():
    first, second = drawn([(6, 2), (4, 0)]).steps

    assert [(mark.tone, mark.y, mark.height) for mark in first.marks] == [
        ("ok", 50, 150),
        ("bad", 0, 50),
    ]
    assert [mark.height for mark in second.marks] == [100]


def test_one_of_a_million_stays_visible():
    chart = drawn([(1_000_000, 0), (0, 1)])

    assert chart.steps[1].marks[0].height >= 1


def test_line_has_a_gap_where_there_is_no_value():
    chart = drawn([(4, None), (2, None), (None, None), (4, 1)], kind=ChartKind.LINES)

    assert chart.curves == (
        ChartCurve(tone="ok", path="M12.5 0L37.5 100M87.5 0"),
        ChartCurve(tone="bad", path="M87.5 150"),
    )
    assert [len(step.marks) for step in chart.steps] == [1, 1, 0, 2]


def test_each_step_says_its_time_and_values_and_is_a_link():
    step = drawn([(1200, 3)], zone="Europe/Berlin").steps[0]

    said = step.text.replace("\N{NARROW NO-BREAK SPACE}", ",")
    assert said == "25 Nov, 13:00 to 14:00: 1,200 delivered, 3 refused"
    assert step.url == "/0"


def labels_of(chart):
    return [label.text for label in chart.labels]


def test_labels_are_round_times_of_the_viewers_clock():
    # Kathmandu is 5:45 ahead of UTC, so no hour of UTC begins at a round time there.
    day = [(1, 0)] * 24

    assert labels_of(drawn(day, at=DAY_START)) == [
        *("25 Nov", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00")
    ]
    assert labels_of(drawn(day, at=DAY_START, zone="Asia/Kathmandu")) == [
        *("06:00", "09:00", "12:00", "15:00", "18:00", "21:00", "26 Nov", "03:00")
    ]


def test_labels_of_a_week_are_days_and_those_of_a_quarter_mondays():
    week = drawn([(1, 0)] * 28, each=6 * HOUR, at=DAY_START, zone="Europe/Berlin")
    weeks = drawn([(1, 0)] * 50, each=DAY, at=DAY_START)

    assert labels_of(week) == [
        *("26 Nov", "27 Nov", "28 Nov", "29 Nov", "30 Nov", "1 Dec", "2 Dec")
    ]
    assert labels_of(weeks) == [
        f"{day.day} {day:%b}"
        for day in (datetime(2026, 11, 30, tzinfo=UTC) + timedelta(days=7 * i) for i in range(7))
    ]


def test_day_on_which_summer_time_ends_is_labelled_once():
    zone = ZoneInfo("America/Los_Angeles")
    starts = [datetime(2026, 9, 1, tzinfo=zone) + timedelta(days=day) for day in range(91)]
    times = [round(start.timestamp() * 1_000) for start in starts]
    steps = [ChartStep(at=at, until=until, values=(1,)) for at, until in pairwise(times)]
    chart = time_chart(steps, series=BOTH[:1], kind=ChartKind.COLUMNS, unit=Unit.COUNT, zone=zone)

    assert labels_of(chart) == ["7 Sep", "21 Sep", "5 Oct", "19 Oct", "2 Nov", "16 Nov"]


@pytest.mark.parametrize("steps", range(1, 130, 7))
@pytest.mark.parametrize("each", [MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY])
def test_labels_are_few_on_a_wide_screen_and_fewer_on_a_phone(steps, each):
    labels = drawn([(1, 0)] * steps, each=each, zone="Europe/Berlin").labels

    assert len(labels) <= 9
    assert sum(not label.is_minor for label in labels) <= 5


def test_days_counted_by_utc_are_named_by_utc():
    chart = drawn([(1, 0)] * 3, each=DAY, at=DAY_START, zone="Europe/Berlin")

    assert chart.axis == "Day, UTC"
    assert drawn([(1, 0)] * 3, zone="Europe/Berlin").axis == "Time, Europe/Berlin"
    assert drawn([(1, 0)], each=DAY, at=DAY_START - HOUR, zone="Europe/Berlin").axis == (
        "Day, Europe/Berlin"
    )
    assert [step.name for step in chart.steps] == ["25 Nov", "26 Nov", "27 Nov"]


def test_days_of_another_zone_than_the_viewers_are_noted():
    by_utc = drawn([(1, 0)] * 3, each=DAY, at=DAY_START, zone="Europe/Berlin")
    others = [
        drawn([(1, 0)], each=DAY, at=DAY_START - HOUR, zone="Europe/Berlin"),
        drawn([(1, 0)] * 3, each=DAY, at=DAY_START),
        drawn([(1, 0)] * 3, zone="Europe/Berlin"),
    ]

    assert by_utc.note == (
        "A day begins at midnight in UTC. The times on this page are in Europe/Berlin."
    )
    assert [chart.note for chart in others] == ["", "", ""]


def test_days_of_a_problem_keep_their_names_when_the_clocks_change():
    monday = round(datetime(2026, 10, 26, 12, tzinfo=UTC).timestamp() * 1000)
    request = SimpleNamespace(now=monday, zone=BERLIN)
    problem = SimpleNamespace(trend=tuple(range(14)), title="Refused", tone="bad")

    chart = trend_chart(request, problem, "?{}".format)

    assert [step.name for step in chart.steps][-3:] == ["24 Oct", "25 Oct", "26 Oct"]
    assert (chart.axis, chart.note) == ("Day, Europe/Berlin", "")
    # The days were counted by today's offset, one hour less than in summer.
    assert [step.url for step in chart.steps][-3:] == [
        "?from=2026-10-24T01:00&to=2026-10-25T01:00",
        "?from=2026-10-25T01:00&to=2026-10-26T00:00",
        "?from=2026-10-26T00:00&to=2026-10-27T00:00",
    ]


def test_traffic_after_a_pause_calls_nothing_undelivered_that_was_delivered_later():
    request = SimpleNamespace(zone=ZoneInfo("UTC"), query=FormData(""))
    flows = [FlowCounts(at=NOON, received=9, duplicate=2), FlowCounts(at=NOON + HOUR, delivered=7)]

    chart = traffic_chart(request, QueryScope(), flows, range(NOON, NOON + 2 * HOUR, HOUR))

    assert [step.text.partition(": ")[2] for step in chart.steps] == [
        "7 received, 0 delivered, 0 refused, 2 duplicate copies or suppressed",
        "0 received, 7 delivered, 0 refused, 0 duplicate copies or suppressed",
    ]


@pytest.mark.parametrize("chart_of", [traffic_chart, latency_chart])
def test_steps_of_the_last_hour_have_all_tallies_of_their_minutes(chart_of):
    request = SimpleNamespace(zone=ZoneInfo("UTC"), query=FormData(""))
    minutes = range(NOON - MINUTE, NOON + 5 * MINUTE, MINUTE)
    tallies = {
        traffic_chart: [FlowCounts(at=at, received=3, delivered=2, dead=1) for at in minutes],
        latency_chart: [DeliveryTimes(at=at, slots={at // MINUTE % 2: 1}) for at in minutes],
    }[chart_of]

    chart = chart_of(request, QueryScope(), tallies, range(NOON, NOON + 4 * MINUTE, 2 * MINUTE))

    assert [step.text for step in chart.steps] == {
        traffic_chart: [
            f"25 Nov, {span}: 6 received, 4 delivered, 2 refused, 0 duplicate copies or suppressed"
            for span in ("12:00 to 12:02", "12:02 to 12:04")
        ],
        latency_chart: [
            f"25 Nov, {span}: 0 ms p50, 1 ms p95, 1 ms p99"
            for span in ("12:00 to 12:02", "12:02 to 12:04")
        ],
    }[chart_of]


def test_drawn_step_of_a_week_is_small():
    request = SimpleNamespace(zone=BERLIN, query=FormData(""))
    steps = range(DAY_START, DAY_START + 7 * DAY, 6 * HOUR)
    flows = [
        FlowCounts(at=at, received=70_400 + index, delivered=69_600 - index, duplicate=1_999)
        for index, at in enumerate(steps)
    ]

    chart = traffic_chart(request, QueryScope(), flows, steps)
    drawn_lines = sum(len(curve.path) for curve in chart.curves)

    assert chart.drawn_steps.count("<a ") == 28
    assert (len(chart.drawn_steps) + drawn_lines) / 28 < 640


def test_chart_without_steps_is_empty():
    chart = drawn([])

    assert (chart.steps, chart.labels, [tick.text for tick in chart.ticks]) == ((), (), ["0", "1"])


def test_margin_is_as_wide_as_the_longest_label_needs():
    seconds = drawn([(100 * SECOND, 0)], unit=Unit.DURATION)

    assert seconds.margin == 7 * len("1 min 30 s")


def test_page_has_a_link_for_each_step_and_the_same_numbers_as_a_table(tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/page.html").write_text(
        '{% import "chart.html" as charts with context %}{{ charts.chart(chart, "Orders <b>") }}'
    )
    page = PageTemplates((FOLDER, tmp_path), {}).draw("page.html", {"chart": drawn([(3, 1)])})

    assert 'aria-label="Orders &lt;b&gt;"' in page
    assert '<a href="/0" class="step"><title>25 Nov, 12:00 to 13:00: 3 delivered, 1' in page
    assert '<td role="cell" data-label="Refused" class="right"><div>1</div></td>' in page
    assert "Time, UTC" in page
    assert '<svg class="y-axis" width="7"' in page


def test_line_marks_the_step_with_which_something_begins():
    steps = [
        ChartStep(
            at=DAY_START + index * DAY,
            until=DAY_START + (index + 1) * DAY,
            values=(1, 0),
            turn="cut-over" if index == 2 else "",
        )
        for index in range(4)
    ]
    chart = time_chart(
        steps, series=BOTH, kind=ChartKind.COLUMNS, unit=Unit.COUNT, zone=ZoneInfo("UTC")
    )

    assert chart.drawn_steps.count('<line class="turn" x1="50%" x2="50%"') == 1
    assert ["(cut-over)" in step.text for step in chart.steps] == [False, False, True, False]
    assert "cut-over" in chart.steps[2].name
