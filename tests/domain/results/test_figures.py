"""Figures by day: sums over placements, days and campaigns, and what replaces what."""

from hypothesis import given
from hypothesis import strategies as st

from twite.domain.results.figures import (
    AttributedSum,
    DeliveredEvent,
    EventFigure,
    FigureGroup,
    ResultCell,
    ResultDay,
)
from twite.domain.times import DAY, HOUR

counts = st.none() | st.integers(min_value=0, max_value=1_000)
figures = st.builds(EventFigure, count=counts, sale_amount=counts, order_quantity=counts)


def a_cell(**changes):
    return ResultCell(
        **{"campaign": "c1", "placement": "TREND", "group": FigureGroup.CONVERSIONS,
           "fetched_at": 1} | changes
    )  # fmt: skip


cells = st.builds(
    ResultCell,
    campaign=st.sampled_from(["c1", "c2"]),
    placement=st.sampled_from(["ALL_ON_TWITTER", "SPOTLIGHT", "TREND"]),
    group=st.sampled_from(FigureGroup),
    fetched_at=st.just(1),
    events=st.dictionaries(st.sampled_from(["PURCHASE", "SEARCH"]), figures),
    spend_micro=counts,
)


@given(found=st.lists(cells, max_size=12), place=st.integers(min_value=0, max_value=12))
def test_sum_over_parts_equals_the_whole(found, place):
    some, other = AttributedSum.of(found[:place]), AttributedSum.of(found[place:])
    whole = AttributedSum.of(found)
    sums = AttributedSum.of(
        a_cell(events=part.events, spend_micro=part.spend_micro) for part in (some, other)
    )

    assert sums == whole
    assert (whole.spend_micro or 0) == sum(cell.spend_micro or 0 for cell in found)
    assert (whole.figure("PURCHASE").count or 0) == sum(
        cell.events.get("PURCHASE", EventFigure()).count or 0 for cell in found
    )


def test_figure_that_x_did_not_serve_stays_none_and_is_not_0():
    whole = AttributedSum.of([a_cell(events={"PURCHASE": EventFigure(sale_amount=5)})])

    assert whole.figure("PURCHASE").count is None
    assert whole.figure("SEARCH") == EventFigure()
    assert whole.spend_micro is None
    assert AttributedSum.of([a_cell(spend_micro=0)]).spend_micro == 0


def test_later_answer_replaces_the_earlier_one_of_the_same_request():
    day = ResultDay(day="2026-11-01", start=0, end=DAY)
    day = day.with_cells(
        [a_cell(spend_micro=5), a_cell(campaign="c2", spend_micro=1)], fetched_at=1
    )
    day = day.with_cells([a_cell(spend_micro=3, fetched_at=2)], fetched_at=2)

    assert AttributedSum.of(day.cells).spend_micro == 4
    assert day.fetched_at == 2


def test_figures_are_estimates_until_a_day_after_and_spend_is_final_after_three():
    day = ResultDay(day="2026-11-01", start=0, end=25 * HOUR)
    states = [
        (fetched.is_estimate, fetched.is_spend_final)
        for at in (49 * HOUR - 1, 49 * HOUR, 97 * HOUR - 1, 97 * HOUR)
        for fetched in [day.with_cells([], fetched_at=at)]
    ]

    assert states == [(True, False), (False, False), (False, False), (False, True)]


def test_figure_that_a_later_answer_omits_is_kept_as_an_estimate():
    day = ResultDay(day="2026-11-01", start=0, end=DAY)
    day = day.with_cells([a_cell(spend_micro=5)], fetched_at=1)
    omitted = [a_cell(is_omitted=True), a_cell(campaign="c2", is_omitted=True)]
    omitted_day = day.with_cells(omitted, fetched_at=9 * DAY)
    again = omitted_day.with_cells(
        [a_cell(spend_micro=6), a_cell(campaign="c2")], fetched_at=9 * DAY
    )

    assert AttributedSum.of(omitted_day.cells).spend_micro == 5
    assert (omitted_day.is_estimate, omitted_day.is_spend_final) == (True, False)
    assert (AttributedSum.of(again.cells).spend_micro, again.is_spend_final) == (6, True)


def test_count_of_deliveries_never_falls_because_attempts_are_pruned():
    day = ResultDay(day="2026-11-01", start=0, end=DAY)
    for counted in (3, 1):
        day = day.with_delivered([DeliveredEvent(pixel="o8z6j", event="o8z6k", count=counted)])

    assert [each.count for each in day.delivered] == [3]
