"""The list of conversions: filters, and the search for one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from twite.console.list_total import list_total
from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.problem_finder import ListedConversions, ProblemFinder
from twite.console.render import moment
from twite.console.scope import (
    FILTERS,
    IGNORED,
    TONES,
    EventNames,
    account_choices,
    known_names,
    known_values,
    look_of,
    range_of,
    worth_of,
)
from twite.console.table_view import COLUMN, table_view
from twite.domain.destination import Destination
from twite.domain.stats.deduplication import MOST_DAYS, OtherId
from twite.gateway.operations.dedup_count import MOST_KEPT, DedupCount, DedupCounted, of_counted
from twite.gateway.operations.search_term import NO_PERSON, search_term, searched
from twite.gateway.ports.listing import (
    NONE,
    ConversionSummary,
    ListedState,
    ListQuery,
    SummaryPage,
)
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import Queries
from twite.gateway.ports.tags import PREFIX
from twite.redaction.mask_tree import masked_words

PATH: Final = "/console/conversions"
STATES: Final[Mapping[str, str]] = {
    ListedState.PENDING: "pending: queued or being sent",
    ListedState.QUEUED: "queued",
    ListedState.SENDING: "being sent",
    ListedState.DELIVERED: "delivered",
    ListedState.HELD: "held",
    ListedState.DEAD: "dead letters",
    ListedState.SUPPRESSED: "suppressed",
    ListedState.REJECTED: "rejected",
    ListedState.DUPLICATE: "with duplicates",
    ListedState.FLAGGED: "unusual amounts",
    ListedState.FLAWED: "flawed identifiers",
    ListedState.PRIVATE_ADDRESS: "private addresses",
    ListedState.MATCHABLE: "counted in match keys",
    ListedState.BOTH: "sent by X's pixel, too",
    ListedState.SERVER_ONLY: "not sent by X's pixel",
    ListedState.BLOCKED: "X's script was blocked",
    ListedState.TWO_IDS: "orders under two ids",
}
TESTS: Final[Mapping[str, str]] = {"only": "only tests", "without": "without tests"}
_ON_A_PAGE: Final = 50
_NOTHING_LEFT: Final = (
    "Nothing is left of this problem with these filters: its conversions were sent, discarded or "
    "deleted, or do not match."
)
_NOTHING_TYPED: Final = "Type a conversion id, a receipt, an email or a phone number."
_NO_SUCH_ID: Final = (
    "No conversion has this id or receipt, with its capital letters. Ids are found for "
    "store.dedup_window, receipts for store.keep_history, and rejected conversions for 7 days."
)
_NO_SUCH_PERSON: Final = (
    "No stored conversion has this email or phone number. They are found while the store has the "
    "bodies, for store.keep_bodies. A phone number needs its country code."
)


class ConversionLine(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the list. `alike` is the URL of the conversions with the same reason.

    `other` is the other id of an order with two ids, in the list of these.
    """

    summary: ConversionSummary
    name: str
    worth: str
    tone: str
    alike: str
    other: OtherId | None = None


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ConversionsPage:
    """The conversions of every outcome, latest first, with filters."""

    destinations: Mapping[str, Destination]
    sources: Sequence[str]
    queries: Queries
    finder: ProblemFinder
    clock: Clock
    count: DedupCount
    names: EventNames

    @property
    def routes(self) -> Sequence[PageRoute]:
        location = PageLocation("Conversions", NavigationGroup.CONVERSIONS)
        return (
            PageRoute("GET", PATH, self._list, location=location),
            PageRoute("POST", f"{PATH}/search", self._search),
        )

    async def _list(self, request: PageRequest) -> Response:
        query = request.query
        listed = await self.finder.listed(
            request,
            self.destinations,
            query,
            look_of(request, self.destinations, query, limit=_ON_A_PAGE),
        )
        look = listed.list_query
        has_two_ids = look.state is ListedState.TWO_IDS
        counted = await self.count.last() if has_two_ids else None
        listing = await searched(self.queries, of_counted(look, counted), clock=self.clock)
        times = {name: query.number(name) for name in ("since", "until") if query.first(name)}
        only = _only(listing) if look.named is not None and look.position is None else None
        if only is not None:
            return request.back_to(f"{PATH}/{only}")
        total = await list_total(
            self.queries, of_counted(look, counted), listing, form=query, problem=listed.problem
        )
        events = self.names.all(request)
        state = "" if look.state is None else look.state.value
        filters = [
            ("id", "Id or receipt", look.named or ""),
            ("digest", IGNORED["digest"], f"{look.digest[:8]}…" if look.digest else ""),
            ("problem", "Problem", _problem_label(listed)),
            ("state", IGNORED["state"], STATES.get(state, "")),
            ("account", "Account", query.first("account")),
            ("pixel", "Pixel", "none" if look.scope.pixel == "" else look.scope.pixel or ""),
            ("event", "Event", _event_label(events, query.first("event"))),
            ("source", "Source", look.scope.source or ""),
            ("test", IGNORED["test"], TESTS.get(query.first("test"), "")),
            ("reason", "Reason", masked_words(look.reason or "")),
            (COLUMN, "Columns", ""),
            *(
                (name, IGNORED[name], moment(at, request.zone) if at is not None else "")
                for name, at in times.items()
            ),
        ]
        known = known_names(request, self.destinations, self.sources) | known_values(query, look)
        known["event"] = {NONE, *self.names.known(request)}
        known["before"] = [] if look.position is None else [query.first("before")]
        time_range = range_of(request, query)
        if listed.chosen_filter is not None:
            time_range = msgspec.structs.replace(
                listed.chosen_filter.time_range, label=listed.time_label
            )
        return request.page(
            "conversions.html",
            title="Conversions",
            no_person=NO_PERSON,
            lines=[self._line(summary, counted) for summary in listing.summaries],
            counted=counted,
            waiting=has_two_ids and counted is None,
            orders=0
            if counted is None
            else sum(
                report.two_ids for report in counted.reports if look.scope.shows(report.pixel)
            ),
            kept=MOST_KEPT,
            days=MOST_DAYS,
            listing=listing,
            total=total,
            is_first=look.position is None,
            view=table_view(
                request,
                filters=filters,
                known=known,
                time_range=time_range,
                place="before",
                others=("digest", "since", "until"),
            ),
            no_match=_no_match(look),
            problem_path=listed.back_path,
            time_range=time_range,
            chosen={name: query.first(name) for name in FILTERS},
            account_choices=account_choices(request, self.destinations),
            pixel_choices=[(pixel, pixel) for pixel in request.viewer.of(self.destinations)],
            source_choices=[(source, source) for source in self.sources]
            if request.viewer.pixels is None
            else [],
            events=events,
            states=STATES.items(),
            tests=TESTS.items(),
        )

    async def _search(self, request: PageRequest) -> Response:
        """Redirect to the list of what the search box names. Its text is in no URL and no log."""
        term = search_term(request.form.first("term"))
        problem = term.problem or ("" if term.digest or term.named else _NOTHING_TYPED)
        if problem:
            return request.back_to(PATH, message=problem, bad=True)
        fields = {"digest": term.digest, "id": term.named}
        asked = urlencode([(name, text) for name, text in fields.items() if text])
        return request.back_to(f"{PATH}?{asked}")

    def _line(self, summary: ConversionSummary, counted: DedupCounted | None) -> ConversionLine:
        reason = summary.reason or ""
        if summary.state is ListedState.REJECTED:
            reason = _first_of(reason)
        alike = {"state": summary.state.value, "pixel": summary.pixel, "reason": reason}
        return ConversionLine(
            summary=summary,
            name=self.names(summary.pixel, summary.event) or summary.event,
            worth=worth_of(summary.body),
            tone=TONES[summary.state],
            alike=f"{PATH}?{urlencode(alike)}",
            other=None if counted is None else counted.other_ids.get(summary.delivery or 0),
        )


def _no_match(list_query: ListQuery) -> str:
    """Return what it means that a search found nothing; "" if it was none."""
    if list_query.problem is not None:
        return _NOTHING_LEFT
    if list_query.digest:
        return _NO_SUCH_PERSON
    return _NO_SUCH_ID if list_query.named else ""


def _problem_label(listed_conversions: ListedConversions) -> str:
    if listed_conversions.chosen_filter is None:
        return ""
    problem = listed_conversions.problem
    return "solved" if problem is None else masked_words(problem.remedy.what)


def _event_label(events: Sequence[tuple[str, str]], text: str) -> str:
    return "not in the settings" if text == NONE else dict(events).get(text, text)


def _first_of(codes: str) -> str:
    """Return the first code of a rejection: a filter has one."""
    return codes.split(", ", maxsplit=1)[0]


def _only(summary_page: SummaryPage) -> int | None:
    """Return the delivery that a search found, if there is one; those of tags do not count."""
    found = [
        summary for summary in summary_page.summaries if not summary.pixel.startswith(PREFIX)
    ] or summary_page.summaries
    return found[0].delivery if len(found) == 1 else None
