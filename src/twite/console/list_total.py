"""The total above a list of conversions: exact for short lists, and cheap for long ones."""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.console.page import FormData
from twite.console.problem_filter import FILTERS as PROBLEM_FILTERS
from twite.console.problems import ListedProblem
from twite.console.scope import FILTERS
from twite.domain.history import total
from twite.domain.test_mode import is_test
from twite.gateway.ports.listing import ListCount, ListedState, ListQuery, SummaryPage
from twite.gateway.ports.queries import CountedSinceQuery, ListCountQuery, Queries

# The counters of conversions, by the state of a list; None for all conversions.
_COUNTERS: Final[Mapping[ListedState | None, str]] = {
    None: "conversions",
    ListedState.DELIVERED: "delivered",
    ListedState.PENDING: "pending",
    ListedState.HELD: "held",
    ListedState.DEAD: "dead",
    ListedState.SUPPRESSED: "suppressed",
}
# Filters of which the store has counters, together with the state.
_COUNTED: Final = frozenset({"account", "pixel", "source", "state", "test"})


class ListTotal(msgspec.Struct, frozen=True, kw_only=True):
    """How many conversions a list has, and their dropped `copies`, in the state `duplicate`.

    If `is_cut`, these are at least so many. `since` is when the first one of a counter arrived,
    which may be no longer listed.
    """

    conversions: int
    copies: int = 0
    is_cut: bool = False
    since: int | None = None


async def list_total(
    queries: Queries,
    list_query: ListQuery,
    summary_page: SummaryPage,
    *,
    form: FormData,
    problem: ListedProblem | None = None,
) -> ListTotal | None:
    """Return the total of a list, of which `summary_page` is the page that the query asks for.

    It may be the list of a `problem`.
    None if nothing is known, as in a search that has not come to its end.
    """
    if list_query.position is None and summary_page.back_to is None:
        return ListTotal(
            conversions=len(summary_page.summaries),
            copies=sum(summary.duplicates for summary in summary_page.summaries)
            if list_query.state is ListedState.DUPLICATE
            else 0,
        )
    if summary_page.searched_to is None:
        count = await queries.answer(ListCountQuery(list_query=list_query))
    else:
        count = ListCount(conversions=len(summary_page.summaries), is_cut=True)
    if count.is_cut and problem is not None:
        asked = {name for name in FILTERS if form.first(name)}
        if asked <= {"problem", *PROBLEM_FILTERS}:
            return ListTotal(conversions=problem.count, is_cut=problem.is_capped)
    elif count.is_cut:
        counter = await _counter(queries, list_query, form)
        if counter is not None:
            return counter
    if not count.conversions:
        return None
    return ListTotal(conversions=count.conversions, copies=count.copies, is_cut=count.is_cut)


async def _counter(queries: Queries, list_query: ListQuery, form: FormData) -> ListTotal | None:
    """Return what the store's counters say of a list; None if its filter has no counter."""
    is_counted = all(name in _COUNTED for name in FILTERS if form.first(name))
    if not is_counted or list_query.state not in _COUNTERS:
        return None
    counts = total(
        each
        for each in await queries.balance()
        if list_query.scope.shows(each.pixel)
        and list_query.scope.source in {None, each.source}
        and list_query.tests in {None, is_test(each.source)}
    )
    return ListTotal(
        conversions=getattr(counts, _COUNTERS[list_query.state]),
        since=await queries.answer(CountedSinceQuery(scope=list_query.scope)),
    )
