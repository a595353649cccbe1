"""Find the problems that a viewer sees, and the conversions of one."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from twite.console.page import FormData, PageRequest
from twite.console.problem_filter import ProblemFilter, problem_filter, reason_of
from twite.console.problem_trend import utc_offset
from twite.console.problems import (
    TIME_LABELS,
    ListedProblem,
    ProblemKind,
    of_amounts,
    of_groups,
    of_rejections,
)
from twite.console.time_range import TimeRange, named
from twite.domain.alert import Mute
from twite.domain.destination import Destination
from twite.domain.submission import KEPT_FOR, RejectionQuery
from twite.domain.times import LATEST
from twite.gateway.operations.problem_keys import mute_subject
from twite.gateway.ports.listing import ListedState, ListQuery, QueryScope
from twite.gateway.ports.queries import FlaggedAmountsQuery, Queries, RejectionsQuery
from twite.gateway.ports.state import StateReader

_MOST_REJECTIONS: Final = 2_000
_MOST_AMOUNTS: Final = 2_000
_OF_GROUPS: Final = frozenset({ProblemKind.REFUSED, ProblemKind.HELD})
_READ_TOGETHER: Final = (_OF_GROUPS, {ProblemKind.REJECTED}, {ProblemKind.AMOUNT})


class ListedConversions(msgspec.Struct, frozen=True, kw_only=True):
    """A list of conversions. It may be that of a `problem`; then `chosen_filter` is its filter.

    The problem is None if none of its conversions is left.
    """

    list_query: ListQuery
    chosen_filter: ProblemFilter | None = None
    problem: ListedProblem | None = None

    @property
    def time_label(self) -> str:
        """What the list's time range limits."""
        return TIME_LABELS["" if self.problem is None else self.problem.kind]

    @property
    def back_path(self) -> str:
        """The page of the problem; "" without one."""
        if self.problem is None or self.chosen_filter is None:
            return ""
        return f"/console/problems/{self.problem.key}{self.chosen_filter.query}"


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ProblemFinder:
    """Reads the store for problems."""

    queries: Queries
    state: StateReader

    async def problems(
        self,
        request: PageRequest,
        *,
        scope: QueryScope,
        time_range: TimeRange,
        kinds: Collection[ProblemKind],
    ) -> list[ListedProblem]:
        """Return the problems of some kinds in a time range, with their mutes."""
        since, until = time_range.since or 0, time_range.until or LATEST
        offset = utc_offset(request)
        found: list[ListedProblem] = []
        if not _OF_GROUPS.isdisjoint(kinds):
            found += of_groups(await self.queries.group(scope, since=since, until=until))
        if ProblemKind.REJECTED in kinds:
            wanted = RejectionQuery(
                since=max(since, request.now - KEPT_FOR),
                until=until,
                source=scope.source,
                pixels=scope.seen,
                limit=_MOST_REJECTIONS,
            )
            rejections = await self.queries.answer(RejectionsQuery(rejection_query=wanted))
            listed = of_rejections(rejections, offset=offset)
            found += _capped(listed, rejections, _MOST_REJECTIONS)
        if ProblemKind.AMOUNT in kinds:
            amounts = await self.queries.answer(
                FlaggedAmountsQuery(scope=scope, since=since, until=until, limit=_MOST_AMOUNTS)
            )
            found += _capped(of_amounts(amounts, offset=offset), amounts, _MOST_AMOUNTS)
        mutes = {
            mute.subject: mute
            for mute in await self.state.load(Mute, prefix=mute_subject(""))
            if mute.until > request.now
        }
        if request.viewer.pixels is not None:
            # The note may be about others' pixels.
            mutes = {
                subject: msgspec.structs.replace(mute, who="", note="")
                for subject, mute in mutes.items()
            }
        return [
            msgspec.structs.replace(problem, mute=mutes.get(mute_subject(problem.key)))
            for problem in found
            if problem.kind in kinds
        ]

    async def find(
        self, request: PageRequest, key: str, chosen_filter: ProblemFilter | None = None
    ) -> ListedProblem | None:
        """Return a problem with what a filter chooses of it: without one, all that the viewer sees.

        None if that is nothing.
        """
        chosen_filter = chosen_filter or _everything(request)
        scope, time_range = chosen_filter.scope, chosen_filter.time_range
        # One read of the error groups finds refused and held ones; other kinds are read only then.
        for kinds in _READ_TOGETHER:
            found = await self.problems(request, scope=scope, time_range=time_range, kinds=kinds)
            problem = next((problem for problem in found if problem.key == key), None)
            if problem is not None:
                return problem
        return None

    async def listed(
        self,
        request: PageRequest,
        destinations: Mapping[str, Destination],
        form: FormData,
        list_query: ListQuery,
    ) -> ListedConversions:
        """Return what a list shows, limited to the problem that the field `problem` names.

        The form's time range then limits what it limits in the list of problems.
        """
        key = form.first("problem")
        if not key:
            return ListedConversions(list_query=list_query)
        chosen_filter = problem_filter(request, destinations, form)
        problem = await self.find(request, key, chosen_filter)
        if problem is not None and problem.kind is ProblemKind.AMOUNT:
            list_query = msgspec.structs.replace(
                list_query, state=ListedState.FLAGGED, reason=reason_of(problem)
            )
        else:
            conversions = chosen_filter.conversions(problem)
            list_query = msgspec.structs.replace(list_query, problem=conversions)
            if conversions.first_fault is None:
                list_query = msgspec.structs.replace(list_query, since=0, until=LATEST)
        return ListedConversions(
            list_query=list_query, chosen_filter=chosen_filter, problem=problem
        )


def _everything(request: PageRequest) -> ProblemFilter:
    return ProblemFilter(
        scope=QueryScope(pixels=request.viewer.pixels),
        time_range=named("all", zone=request.zone, now=request.now),
    )


def _capped(
    problems: Sequence[ListedProblem], read: Sequence[object], limit: int
) -> Sequence[ListedProblem]:
    """Mark counts that may be higher, because only the latest conversions were read."""
    if len(read) < limit:
        return problems
    return [msgspec.structs.replace(problem, is_capped=True) for problem in problems]
