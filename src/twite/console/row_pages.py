"""Rows of accounts and pixels: the filter by name, and pages of a table."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec

from twite.console.page import PageRequest
from twite.console.table_view import TableView
from twite.domain.destination import Destination

ROWS_ON_A_PAGE: Final = 25
_LONGEST: Final = 64


class NamedRow(Protocol):
    """A row of an account."""

    @property
    def name(self) -> str: ...
    @property
    def pixels(self) -> Sequence[str]: ...


Row = TypeVar("Row")
Named = TypeVar("Named", bound=NamedRow)


class RowPage(msgspec.Struct, Generic[Row], frozen=True, kw_only=True):
    """A part of the rows: from the `first` to the `last` of `whole`, counted from 1.

    `links` are the URLs of the previous and the next page, with their text.
    """

    rows: Sequence[Row]
    first: int
    last: int
    whole: int
    links: Sequence[tuple[str, str]]


def row_page(request: PageRequest, view: TableView, rows: Sequence[Row]) -> RowPage[Row]:
    """Return the page of a table that the parameter `page` asks for; otherwise the first."""
    first = ROWS_ON_A_PAGE * ((request.query.number("page") or 1) - 1)
    first = first if 0 <= first < len(rows) else 0
    last = min(first + ROWS_ON_A_PAGE, len(rows))
    pages = [(first // ROWS_ON_A_PAGE, "Previous")] if first else []
    pages += [(last // ROWS_ON_A_PAGE + 1, "Next")] if last < len(rows) else []
    return RowPage(
        rows=rows[first:last],
        first=first + 1,
        last=last,
        whole=len(rows),
        links=[(view.url(added=[("page", str(place))]), text) for place, text in pages],
    )


def typed_name(request: PageRequest) -> str:
    """Return what was typed into the filter by name."""
    return request.query.first("q").strip()[:_LONGEST]


def matching(rows: Iterable[Named], typed: str) -> list[Named]:
    """Return the rows whose account or pixel contains a text, in any case."""
    wanted = typed.casefold()
    return [
        row
        for row in rows
        if not wanted or any(wanted in name.casefold() for name in (row.name, *row.pixels))
    ]


def account_of(destinations: Mapping[str, Destination], pixel: str) -> str:
    """Return the ads account of a pixel; the pixel itself if the settings have none."""
    destination = destinations.get(pixel)
    return (destination and destination.account) or pixel


def overview_path(path: str, name: str, pixels: Sequence[str], **more: str) -> str:
    """Return the URL of a page about an account, or about its only pixel."""
    only = {"pixel": pixels[0]} if len(pixels) == 1 else {"account": name}
    return f"{path}?{urlencode(only | more)}"
