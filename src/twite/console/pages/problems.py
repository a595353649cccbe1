"""Problems: one list by cause, and one problem with its conversions and what to do about it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.responses import Response

from twite.console.latest_replays import LatestReplays
from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.problem_filter import (
    TODAY,
    ProblemFilter,
    problem_filter,
    problem_view,
    shown_edit,
)
from twite.console.problem_finder import ProblemFinder
from twite.console.problem_trend import DAYS, last_days, trend_chart, utc_offset
from twite.console.problems import (
    MOST_DETAILED,
    TITLES,
    ListedProblem,
    ProblemKind,
    detailed,
    factor_of,
)
from twite.console.request_checks import AccessDenied
from twite.console.scope import EventNames, account_choices, known_names, worth_of
from twite.console.table_view import table_view
from twite.domain.alert import Mute
from twite.domain.conversion import shown_amount
from twite.domain.destination import Destination
from twite.domain.history import History
from twite.domain.people.users import AuditAction, Role
from twite.domain.submission import KEPT_FOR, RejectionQuery
from twite.domain.test_mode import real_name
from twite.domain.times import DAY, HOUR
from twite.gateway.operations.dry_run import DryRun
from twite.gateway.operations.edit import DIVISORS, DROPPABLE
from twite.gateway.operations.problem_keys import IS_KEY, mute_subject
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import (
    COUNTED,
    ErrorDetailsQuery,
    ErrorGroup,
    Queries,
    RejectionsQuery,
)
from twite.gateway.ports.state import StateStore

PATH: Final = "/console/problems"
_ON_A_PAGE: Final = 25
_LONGEST_NOTE: Final = 300
MUTES: Final[Mapping[str, tuple[str, int]]] = {
    "1h": ("for an hour", HOUR),
    "1d": ("for a day", DAY),
    "7d": ("for a week", 7 * DAY),
    "30d": ("for 30 days", 30 * DAY),
}
_ORDERS: Final[Mapping[str, Callable[[ListedProblem], Any]]] = {
    "how-many": lambda problem: problem.count,
    "last-seen": lambda problem: problem.last_at,
    "what": lambda problem: problem.remedy.what,
    "": lambda problem: problem.urgency,  # by default; no column
}
_KINDS: Final[Mapping[str, str]] = {kind.value: title for kind, title in TITLES.items()}


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ProblemsPage:
    """The pages of problems."""

    destinations: Mapping[str, Destination]
    sources: Sequence[str]
    queries: Queries
    state: StateStore
    finder: ProblemFinder
    dry_run: DryRun
    latest_replays: LatestReplays
    names: EventNames

    @property
    def routes(self) -> Sequence[PageRoute]:
        place = PageLocation("Problems", NavigationGroup.CONVERSIONS)
        path = f"{PATH}/{{problem}}"
        return (
            PageRoute("GET", PATH, self._list, location=place),
            PageRoute("GET", path, self._show),
            PageRoute("POST", f"{path}/mute", self._mute, role=Role.OPERATOR),
            PageRoute("POST", f"{path}/unmute", self._unmute, role=Role.OPERATOR),
        )

    async def _list(self, request: PageRequest) -> Response:
        query = request.query
        kind = query.first("kind") if query.first("kind") in _KINDS else ""
        chosen_filter = problem_filter(request, self.destinations, kind=kind)
        scope, time_range = chosen_filter.scope, chosen_filter.time_range
        kinds = [ProblemKind(kind)] if kind else [*ProblemKind]
        found = await self.finder.problems(request, scope=scope, time_range=time_range, kinds=kinds)
        known = known_names(request, self.destinations, self.sources) | {"kind": _KINDS}
        after = query.first("after")
        known["after"] = [after] if after in {problem.key for problem in found} else []
        view = table_view(
            request,
            filters=[
                ("kind", "Kind", _KINDS.get(kind, "")),
                ("account", "Account", chosen_filter.account),
                ("pixel", "Pixel", scope.pixel or ""),
                ("source", "Source", scope.source or ""),
            ],
            known=known,
            time_range=time_range,
            sorts=[key for key in _ORDERS if key],
            place="after",
        )
        in_order = view.sorted(found, _ORDERS)
        active = [problem for problem in in_order if problem.mute is None]
        shown, further = _page(active, after)
        return request.page(
            "problems.html",
            title="Problems",
            problems=await self._detailed(request, shown, scope),
            muted=await self._detailed(
                request, [problem for problem in in_order if problem.mute], scope
            ),
            count=len(active),
            further=further,
            view=view,
            time_range=time_range,
            kind=kind,
            kinds=list(_KINDS.items()),
            scope=scope,
            accounts=account_choices(request, self.destinations),
            pixels=_pairs(request.viewer.of(self.destinations)),
            sources=_pairs(self.sources if request.viewer.pixels is None else ()),
            replays=await self.latest_replays.listed(request),
            names=self.names,
            chosen=chosen_filter,
        )

    async def _existing(
        self, request: PageRequest, chosen_filter: ProblemFilter | None = None
    ) -> ListedProblem:
        """Return what a filter chooses of the problem of the URL, which may be nothing.

        Raises AccessDenied if the viewer sees no conversion of the problem.
        """
        key = request.part("problem")
        problem = None
        if chosen_filter is not None:
            problem = await self.finder.find(request, key, chosen_filter)
        if problem is not None:
            return problem
        whole = await self.finder.find(request, key)
        if whole is None:
            raise AccessDenied(404, "No such problem", _no_problem(key))
        return (
            whole
            if chosen_filter is None
            else msgspec.structs.replace(whole, count=0, groups=(), amounts=())
        )

    async def _detailed(
        self, request: PageRequest, problems: Sequence[ListedProblem], scope: QueryScope
    ) -> list[ListedProblem]:
        """Add samples and days to problems of dead and held deliveries."""
        groups: list[ErrorGroup] = []
        for problem in problems:
            groups += problem.groups[:MOST_DETAILED]
        query = ErrorDetailsQuery(
            groups=groups, scope=scope, since=request.now - DAYS * DAY, offset=utc_offset(request)
        )
        details = await self.queries.answer(query) if groups else ()
        made, place = [], 0
        for problem in problems:
            own = details[place : place + len(problem.groups[:MOST_DETAILED])]
            place += len(own)
            made.append(detailed(problem, own) if own else problem)
        return [
            msgspec.structs.replace(
                problem, trend=tuple(problem.days.get(day, 0) for day in last_days(request))
            )
            for problem in made
        ]

    async def _show(self, request: PageRequest) -> Response:
        query, chosen_filter = request.query, problem_filter(request, self.destinations)
        try:
            found = await self._existing(request, chosen_filter)
        except AccessDenied:
            if not IS_KEY.fullmatch(request.part("problem")):
                raise
            latest = next(iter(await self.latest_replays.batches(request)), None)
            return request.page("problem_solved.html", title="Nothing left", latest=latest)
        # The chart has the last days, whatever the time range of the filter.
        of_days = chosen_filter.without_time
        wanted = [found]
        if of_days != chosen_filter:
            wanted.append(await self.finder.find(request, found.key, of_days) or found)
        shown = await self._detailed(request, wanted, of_days.scope)
        problem, charted = shown[0], shown[-1]
        pixels = {group.pixel for group in problem.groups}
        histories, further = await self._conversions(request, problem.groups, chosen_filter)
        return request.page(
            "problem.html",
            title=problem.remedy.what,
            problem=problem,
            chosen=chosen_filter,
            view=problem_view(
                request,
                chosen_filter,
                problem.kind,
                known=known_names(request, self.destinations, self.sources),
            ),
            names=self.names,
            event_pixels=[
                name for name in map(real_name, problem.pixels) if name in self.destinations
            ]
            if problem.remedy.about_events
            else (),
            lines=[
                (history, worth_of(history.sent), self.dry_run.doubt(history, now=request.now))
                for history in histories
            ],
            further=further,
            after=query.number("after"),
            rejections=await self._rejections(request, problem, chosen_filter),
            factor_of=factor_of,
            shown_amount=shown_amount,
            amounts=problem.amounts[:_ON_A_PAGE],
            events=self.names.of(min(pixels)) if len(pixels) == 1 else {},
            today=TODAY,
            edit=shown_edit(query, problem.remedy.edit),
            divisors=DIVISORS,
            droppable=DROPPABLE,
            mutes=[(name, title) for name, (title, _) in MUTES.items()],
            most_at_once=COUNTED,
            may_mute=request.viewer.may(Role.OPERATOR) and request.viewer.pixels is None,
            chart=trend_chart(
                request,
                charted,
                lambda when: of_days.conversions_path(charted, when) if charted.is_counted else "",
            ),
        )

    async def _conversions(
        self, request: PageRequest, groups: Sequence[ErrorGroup], chosen_filter: ProblemFilter
    ) -> tuple[Sequence[History], int | None]:
        """Return a page of the groups' conversions, and where the next one begins."""
        after = request.query.number("after") or 0
        found = await self.queries.find(
            chosen_filter.selection(groups, after=after, limit=_ON_A_PAGE + 1)
        )
        page = found[:_ON_A_PAGE]
        return page, page[-1].delivery if len(found) > _ON_A_PAGE else None

    async def _rejections(
        self, request: PageRequest, problem: ListedProblem, chosen_filter: ProblemFilter
    ) -> list[Any]:
        if problem.kind is not ProblemKind.REJECTED:
            return []
        wanted = RejectionQuery(
            since=max(chosen_filter.since, request.now - KEPT_FOR),
            until=chosen_filter.until,
            first_fault=problem.first_fault,
            source=chosen_filter.scope.source,
            pixels=chosen_filter.scope.seen,
            limit=_ON_A_PAGE,
        )
        return [*await self.queries.answer(RejectionsQuery(rejection_query=wanted))]

    async def _mute(self, request: PageRequest) -> Response:
        _require_all_pixels(request)
        key, form = request.part("problem"), request.form
        problem = await self._existing(request)
        there = f"{PATH}/{key}{problem_filter(request, self.destinations).query}"
        note = form.first("note").strip()[:_LONGEST_NOTE]
        chosen = MUTES.get(form.first("for"))
        if chosen is None or not note:
            message = "Choose how long, and enter why. Others see the reason."
            return request.back_to(there, message=message, bad=True)
        title, span = chosen
        mute = Mute(
            subject=mute_subject(key),
            until=request.now + span,
            at=request.now,
            who=request.viewer.name,
            note=note,
        )
        audit_event = request.audit_event(
            AuditAction.PROBLEM_MUTE, problem.remedy.what, f"{title}: {note}"
        )
        await self.state.put([mute], audit_event=audit_event)
        return request.back_to(there, message=f"Muted {title}.")

    async def _unmute(self, request: PageRequest) -> Response:
        _require_all_pixels(request)
        key = request.part("problem")
        problem = await self._existing(request)
        audit_event = request.audit_event(AuditAction.PROBLEM_UNMUTE, problem.remedy.what)
        await self.state.delete(Mute, mute_subject(key), audit_event=audit_event)
        there = f"{PATH}/{key}{problem_filter(request, self.destinations).query}"
        return request.back_to(there, message="No longer muted.")


def _no_problem(key: str) -> str:
    """Say why there is no problem with a key, which may be the last part of a form's address."""
    if IS_KEY.fullmatch(key):
        return "No conversion is left in this problem: all were sent, discarded or deleted."
    if key == "plan":
        return "A plan is not kept. Make it again from its problem."
    return "No problem has this address. Open it from the list of problems."


def _require_all_pixels(request: PageRequest) -> None:
    """Refuse a viewer of some pixels: a mute covers a problem on all of them."""
    if request.viewer.pixels is not None:
        raise AccessDenied(
            403,
            "Not for users of some pixels",
            "A mute covers all pixels. Ask somebody who sees all of them.",
        )


def _pairs(values: Iterable[str]) -> list[tuple[str, str]]:
    return [(value, value) for value in values]


def _page(
    problems: Sequence[ListedProblem], after: str
) -> tuple[Sequence[ListedProblem], str | None]:
    """Return the page after a problem's key, and the key after which the next page begins."""
    keys = [problem.key for problem in problems]
    start = keys.index(after) + 1 if after in keys else 0
    page = problems[start : start + _ON_A_PAGE]
    return page, page[-1].key if len(problems) > start + _ON_A_PAGE else None
