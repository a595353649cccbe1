"""What the pages about conversions share: visible pixels, filters and event names."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from twite.console.page import FormData, PageRequest
from twite.console.row_pages import account_of
from twite.console.table_view import known_numbers
from twite.console.time_range import FIELDS, TimeRange, time_range_of
from twite.domain.conversion import shown_amount
from twite.domain.destination import X_SOURCE, Destination
from twite.domain.test_mode import real_name, with_test_names
from twite.domain.times import LATEST, SECOND
from twite.gateway.operations.conversion_value import value_of
from twite.gateway.operations.list_filter import events_of, pixel_of
from twite.gateway.ports.listing import (
    NONE,
    TEST_FILTERS,
    ListedState,
    ListPosition,
    ListQuery,
    QueryScope,
)

# The fields of a URL that choose what a list of conversions shows.
FILTERS: Final = (
    *("id", "digest", "account", "pixel", "source", "event", "state", "reason", "problem"),
    *("since", "until", "test", *FIELDS),
)
# Those of them that a list ignores if their value does not exist, with their titles.
IGNORED: Final[Mapping[str, str]] = {
    "digest": "Email or phone",
    "state": "State",
    "test": "Tests",
    "since": "Since",
    "until": "Until",
}
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
TONES: Final[Mapping[str, str]] = {
    ListedState.QUEUED: "wait",
    ListedState.SENDING: "wait",
    ListedState.DELIVERED: "ok",
    ListedState.HELD: "warn",
    ListedState.DEAD: "bad",
    ListedState.SUPPRESSED: "none",
    ListedState.REJECTED: "bad",
}
# The outcomes of conversions and their colours, in the order of the chart.
ENDS: Final = (
    ("delivered", "ok"),
    ("pending", "wait"),
    ("held", "warn"),
    ("dead", "bad"),
    ("rejected", "bad"),
    ("suppressed", "none"),
)


def worth_of(body: bytes) -> str:
    """Return the amount with its currency, and that currency's decimals; "" without an amount."""
    worth = value_of(body)
    if not worth.value:
        return ""
    currency = worth.price_currency or ""
    return f"{shown_amount(worth.value, currency)} {currency}".strip()


def scope_of(
    request: PageRequest, destinations: Mapping[str, Destination], form: FormData | None = None
) -> QueryScope:
    """Return the pixels that the form or the query requests, limited to the viewer's.

    `account` requests those of an ads account in the settings, and the pixel NONE the rejections
    that name no pixel.
    """
    asked = form or request.query
    pixels = request.viewer.pixels
    if account := asked.first("account"):
        pixels = frozenset(
            pixel
            for pixel in request.viewer.of(destinations)
            if account_of(destinations, pixel) == account
        )
    return QueryScope(
        pixels=pixels,
        pixel=pixel_of(asked.first("pixel")),
        source=asked.first("source") or None,
    )


def account_choices(
    request: PageRequest, destinations: Mapping[str, Destination]
) -> list[tuple[str, str]]:
    """Return (value, text) of the accounts with several pixels; the others are those of a pixel."""
    counts = Counter(account_of(destinations, pixel) for pixel in request.viewer.of(destinations))
    return [(account, account) for account, pixels in counts.items() if pixels > 1]


def known_names(
    request: PageRequest, destinations: Mapping[str, Destination], sources: Collection[str] = ()
) -> dict[str, Collection[str]]:
    """Return the pixels, accounts and sources that the viewer may name in a filter."""
    pixels = request.viewer.of(destinations)
    known: dict[str, Collection[str]] = {
        "pixel": {*with_test_names(pixels), NONE},
        "account": {account_of(destinations, pixel) for pixel in pixels},
    }
    # Only users who see all pixels may know the names of sources.
    if sources and request.viewer.pixels is None:
        known["source"] = {*with_test_names(sources), X_SOURCE}
    return known


def known_values(form: FormData, list_query: ListQuery) -> dict[str, Collection[str]]:
    """Return the values that exist of the filters that a list ignores if they are wrong."""
    return {
        "state": [*ListedState],
        "test": TEST_FILTERS,
        "digest": [list_query.digest or ""],
        **known_numbers(form, "since", "until"),
    }


def range_of(request: PageRequest, form: FormData) -> TimeRange:
    """Return the time range of a filter of conversions: all of them by default."""
    return time_range_of(form, zone=request.zone, now=request.now, default="all")


def look_of(
    request: PageRequest, destinations: Mapping[str, Destination], form: FormData, *, limit: int
) -> ListQuery:
    """Return the filter of conversions. Invalid states, digests and numbers are ignored.

    `id` is a conversion id or a receipt, `digest` that of an email or a phone number. `since` and
    `until` (ms) replace a named time range. `test=only` selects the tests of the requested pixels
    and source, `test=without` leaves tests out.
    """
    state, digest, time_range = form.first("state"), form.first("digest"), range_of(request, form)
    since, until = form.number("since"), form.number("until")
    scope, tests = scope_of(request, destinations, form), TEST_FILTERS.get(form.first("test"))
    return ListQuery(
        since=(time_range.since or 0) if since is None else since,
        until=(time_range.until or LATEST) if until is None else until,
        scope=scope.of_tests if tests else scope,
        events=events_of(destinations.values(), form.first("event")),
        state=ListedState(state) if state in set(ListedState) else None,
        reason=form.first("reason") or None,
        named=form.first("id").strip() or None,
        digest=digest if _DIGEST.fullmatch(digest) else None,
        tests=tests,
        position=ListPosition.read(form.first("before")),
        limit=limit,
    )


def asked_again(form: FormData, names: tuple[str, ...]) -> str:
    """Return the query string of the request without empty fields."""
    return urlencode([(name, form.first(name)) for name in names if form.first(name)])


def day_of(day: int) -> str:
    """Format a day, such as 25 Nov."""
    return f"{datetime.fromtimestamp(day * 86_400, UTC):%-d %b}"


def clock_of(at: int) -> str:
    """Format a time as hours and minutes, in UTC."""
    return f"{datetime.fromtimestamp(at / SECOND, UTC):%H:%M}"


class EventNames:
    """The names that the settings give to X's event ids."""

    def __init__(self, destinations: Mapping[str, Destination]) -> None:
        self._destinations = destinations

    def __call__(self, pixel: str, event: str) -> str:
        """Return the name of an event in the settings; "" if it has none."""
        return next((name for name, id_ in self.of(pixel).items() if id_ == event), "")

    def of(self, pixel: str) -> Mapping[str, str]:
        """Return a pixel's events, by their names in the settings."""
        destination = self._destinations.get(real_name(pixel))
        return {} if destination is None else destination.events

    def known(self, request: PageRequest) -> set[str]:
        """Return the names and ids of the events of all pixels that the viewer sees.

        If the filter names one of them in other capital letters, its text is among them.
        """
        mappings = [self.of(pixel) for pixel in request.viewer.of(self._destinations)]
        found = {text for mapping in mappings for pair in mapping.items() for text in pair}
        asked = request.query.first("event")
        return found | {asked} if asked.strip().lower() in found else found

    def all(self, request: PageRequest) -> list[tuple[str, str]]:
        """Return (id, label) of the events of all pixels that the viewer sees."""
        several = len(self._destinations) > 1
        return [
            (id_, f"{name} ({pixel})" if several else name)
            for pixel in request.viewer.of(self._destinations)
            for name, id_ in self._destinations[pixel].events.items()
        ]
