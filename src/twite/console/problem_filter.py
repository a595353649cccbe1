"""The filter of a problem: which of its conversions a page shows, and a replay takes."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from twite.console.page import FormData, PageRequest
from twite.console.problems import TIME_LABELS, ListedProblem, ProblemKind
from twite.console.scope import range_of, scope_of
from twite.console.table_view import TableView, table_view
from twite.console.time_range import FIELDS, TimeRange
from twite.domain.destination import Destination
from twite.domain.times import LATEST
from twite.gateway.operations.edit import Edit
from twite.gateway.ports.listing import ProblemConversions, QueryScope
from twite.gateway.ports.queries import ErrorGroup, InErrorGroups

TODAY: Final = "@today"  # no event of X has this name
FILTERS: Final = ("account", "pixel", "source", *FIELDS)
# The fields that a plan leads back with, and those that keep its time range.
_OF_EDIT: Final = ("which", "event_to", "currency", "value", "divide")
_OF_PLAN: Final = (*_OF_EDIT, "drop", "delivery", "since", "until")
_LONGEST_URL: Final = 4_000


class ProblemFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The conversions of a problem that are within a scope and a time range.

    `fields` are those of URLs and forms that choose them.
    """

    scope: QueryScope
    time_range: TimeRange
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def account(self) -> str:
        return dict(self.fields).get("account", "")

    @property
    def since(self) -> int:
        return self.time_range.since or 0

    @property
    def until(self) -> int:
        return self.time_range.until or LATEST

    def selection(self, groups: Sequence[ErrorGroup], *, after: int, limit: int) -> InErrorGroups:
        """Return the query for the chosen conversions of error groups."""
        return InErrorGroups(
            scope=self.scope,
            groups=groups,
            since=self.since,
            until=self.until,
            after=after,
            limit=limit,
        )

    @property
    def without_time(self) -> "ProblemFilter":
        """The filter without its time range."""
        return msgspec.structs.replace(
            self,
            time_range=msgspec.structs.replace(self.time_range, name="all", since=None, until=None),
            fields=tuple(pair for pair in self.fields if pair[0] not in FIELDS),
        )

    def conversions_path(self, problem: ListedProblem, when: str = "") -> str:
        """Return the list of the chosen conversions of a problem.

        `when` is a time range as the part of a URL, for a filter without one.
        """
        if problem.kind is ProblemKind.AMOUNT and problem.amounts:
            fields = {"state": "flagged", "reason": reason_of(problem)}
        else:
            fields = {"problem": problem.key}
        query = urlencode(fields | dict(self.fields), safe=":")
        return "&".join(filter(None, (f"/console/conversions?{query}", when)))

    def conversions(self, problem: ListedProblem | None) -> ProblemConversions:
        """Return what a list of the chosen conversions has: none, if the problem is None."""
        if problem is None:
            return ProblemConversions()
        return ProblemConversions(
            groups=tuple(
                (group.pixel, group.event, group.state.value, group.reason)
                for group in problem.groups
            ),
            since=self.since,
            until=self.until,
            first_fault=problem.first_fault,
        )

    @property
    def sentence(self) -> str:
        """The filter in words, such as "pixel o8z6j, last 7 days"; "" for all conversions."""
        time_range = self.time_range
        words = [
            f"account {self.account}" if self.account else "",
            f"pixel {self.scope.pixel}" if self.scope.pixel else "",
            f"source {self.scope.source}" if self.scope.source else "",
            "" if time_range.name == "all" else f"{time_range.label}: {time_range.title}".lower(),
        ]
        return ", ".join(filter(None, words))

    @property
    def query(self) -> str:
        """The filter as the end of a URL: "" or "?pixel=…"."""
        return f"?{urlencode(self.fields, safe=':')}" if self.fields else ""


def reason_of(problem: ListedProblem) -> str:
    """Return the `reason` of a ListQuery for a problem of unusual amounts."""
    return f"{problem.code} {problem.amounts[0].currency}"


def problem_filter(
    request: PageRequest,
    destinations: Mapping[str, Destination],
    form: FormData | None = None,
    *,
    kind: str = "",
) -> ProblemFilter:
    """Read the filter of a form, or of the URL, for problems of a kind, or "" for all.

    `since` and `until` (ms) keep the time range of a plan until it is sent.
    """
    asked = request.query if form is None else form
    time_range = msgspec.structs.replace(range_of(request, asked), label=TIME_LABELS[kind])
    since, until = asked.number("since"), asked.number("until")
    if since is not None and until is not None:
        time_range = msgspec.structs.replace(time_range, since=since, until=until)
    return ProblemFilter(
        scope=scope_of(request, destinations, asked),
        time_range=time_range,
        fields=tuple((name, asked.first(name)) for name in FILTERS if asked.first(name)),
    )


class ShownEdit(msgspec.Struct, frozen=True, kw_only=True):
    """What the form of a replay shows as chosen. `deliveries` are the selected ones."""

    is_all: bool = True
    event_to: str = ""
    currency: str = ""
    value: str = ""
    divide: str = ""
    drop: tuple[str, ...] = ()
    deliveries: frozenset[int] = frozenset()

    @property
    def selects_none(self) -> bool:
        return not (self.is_all or self.deliveries)


def shown_edit(form: FormData, suggested_edit: Edit) -> ShownEdit:
    """Return what a plan was made of, if the URL leads back from one; else the suggested edit."""
    if not form.first("which"):
        return ShownEdit(
            event_to=TODAY if suggested_edit.today else "",
            divide="" if suggested_edit.divide is None else str(suggested_edit.divide),
            drop=suggested_edit.drop,
        )
    return ShownEdit(
        is_all=form.first("which") == "all",
        event_to=form.first("event_to"),
        currency=form.first("currency"),
        value=form.first("value"),
        divide=form.first("divide"),
        drop=tuple(form.all("drop")),
        deliveries=frozenset(form.numbers("delivery")),
    )


def url_back(form: FormData, path: str) -> str:
    """Return the URL of the problem that shows what the form of a plan has.

    If that is too long for a header, return the path of all problems.
    """
    names = (*FILTERS, "after", *_OF_EDIT)
    fields = [(name, form.first(name)) for name in names if form.first(name)]
    fields += [("drop", name) for name in form.all("drop")]
    fields += [("delivery", str(delivery)) for delivery in form.numbers("delivery")]
    url = f"{path}/{quote(form.first('problem'), safe='')}?{urlencode(fields, safe=':')}"
    return url if len(url) <= _LONGEST_URL else path


def problem_view(
    request: PageRequest,
    chosen_filter: ProblemFilter,
    kind: str,
    *,
    known: Mapping[str, Collection[str]],
) -> TableView:
    """Return the active filter of a problem, as links that remove its parts."""
    pixel, source = chosen_filter.scope.pixel or "", chosen_filter.scope.source or ""
    filters = [
        ("account", "Account", chosen_filter.account),
        ("pixel", "Pixel", pixel),
        ("source", "Source", source),
    ]
    time_range = msgspec.structs.replace(chosen_filter.time_range, label=TIME_LABELS[kind])
    return table_view(
        request,
        filters=filters,
        known=known,
        time_range=time_range,
        place="after",
        others=_OF_PLAN,
    )
