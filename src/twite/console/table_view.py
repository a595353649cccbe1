"""Tables of pages: their columns, and the sort order, columns and filters that a URL chooses."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import msgspec
from markupsafe import Markup, escape

from twite.console.page import FormData, PageRequest
from twite.console.time_range import FIELDS, RANGES, TimeRange
from twite.domain.test_mode import is_test
from twite.gateway.ports.listing import NONE
from twite.gateway.ports.tags import PREFIX

SORT: Final = "sort"  # a key of a column, after a hyphen for descending order
COLUMN: Final = "column"  # given once for each chosen column
# The most existing values of a filter that a message names, and the longest value that it repeats.
_MOST_NAMED: Final = 20
_LONGEST: Final = 64

Row = TypeVar("Row")


class Column(msgspec.Struct, frozen=True):
    """A column of the macro `table`. Templates write `column("Value", value_cell, number=true)`.

    `cell` is a macro that gets the row. `key` names the column in URLs and totals; by default, it
    is the title in lower case with hyphens. A column that is not `shown` appears if it is chosen.
    `main` is the headline of a row's card on a phone. `kind` is a class: nowrap, wide, or id, which
    has a line of its own on that card.
    """

    title: str
    cell: Callable[..., str]
    key: str = ""
    number: bool = False
    shown: bool = True
    main: bool = False
    kind: str = ""

    def __post_init__(self) -> None:
        if not self.key:
            msgspec.structs.force_setattr(self, "key", "-".join(self.title.lower().split()))


class CellWriter:
    """Writes the cells of a table's rows. A macro for each cell would take five times as long."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = [(column, _opened(column), _opened(column, "blank")) for column in columns]

    def row(self, row: object) -> Markup:
        return self._written(column.cell(row) for column, _, _ in self._columns)

    def totals(self, totals: Mapping[str, object]) -> Markup:
        """Return the cells of the last row: texts by the keys of their columns."""
        first, *others = (column.key for column, _, _ in self._columns)
        texts = [totals.get(first, "Total"), *(totals.get(key, "") for key in others)]
        return self._written(texts)

    def _written(self, texts: Iterable[object]) -> Markup:
        written = []
        for text, (_, opened, blank) in zip(texts, self._columns, strict=True):
            content = escape(text).strip()
            written.append(f"{opened if content else blank}<div>{content}</div></td>")
        return Markup("".join(written))  # noqa: S704 escaped above


def _opened(column: Column, *names: str) -> str:
    classes = ["right"] * column.number + ["main"] * column.main + [column.kind, *names]
    named = " ".join(filter(None, classes))
    attribute = f' class="{escape(named)}"' if named else ""
    return f'<td role="cell" data-label="{escape(column.title)}"{attribute}>'


class FilterChip(msgspec.Struct, frozen=True, kw_only=True):
    """An active filter, and the URL of the page without it."""

    title: str
    text: str
    url: str


class TableView(msgspec.Struct, frozen=True, kw_only=True):
    """How a URL asks for a table. `fields` are the page's parameters, without the place in a list.

    `sorts` are the keys of the columns by which the page can sort, and `problems` say which values
    of filters do not exist.
    """

    path: str
    fields: tuple[tuple[str, str], ...] = ()
    sorts: tuple[str, ...] = ()
    sort: str = ""
    is_descending: bool = False
    chosen: tuple[str, ...] = ()
    chips: tuple[FilterChip, ...] = ()
    problems: tuple[str, ...] = ()

    def columns(self, every: Sequence[Column]) -> list[Column]:
        """Return the chosen columns in the page's order; those shown by default if none is."""
        found = [column for column in every if column.key in self.chosen]
        return found or [column for column in every if column.shown]

    def column_problems(self, every: Sequence[Column]) -> list[str]:
        """Say which of the chosen columns do not exist."""
        keys = [column.key for column in every]
        return [
            f"Column “{key[:_LONGEST]}” does not exist, so it is ignored.{_hint(key, keys)}"
            for key in self.chosen
            if key not in keys
        ]

    def sorted(self, rows: Iterable[Row], keys: Mapping[str, Callable[[Row], Any]]) -> list[Row]:
        """Return all rows of a table in its order, by functions of the columns' keys."""
        return sorted(rows, key=keys[self.sort], reverse=self.is_descending)

    def sort_url(self, key: str, *, number: bool = False) -> str:
        """Return the URL that sorts by a column; by the sorted one, in the other direction.

        Numbers begin with the largest.
        """
        is_descending = not self.is_descending if key == self.sort else number
        return self.url(SORT, added=[(SORT, f"-{key}" if is_descending else key)])

    def direction(self, key: str) -> str:
        """Return the value of aria-sort."""
        if key != self.sort:
            return "none"
        return "descending" if self.is_descending else "ascending"

    def kept(self, *names: str) -> list[tuple[str, str]]:
        """Return the parameters except some, for the hidden fields of a form."""
        return [pair for pair in self.fields if pair[0] not in names]

    def url(self, *without: str, added: Sequence[tuple[str, str]] = ()) -> str:
        """Return the URL without some parameters, and with the added ones."""
        fields = [*self.kept(*without), *added]
        return f"{self.path}?{urlencode(fields, safe=':')}" if fields else self.path

    @property
    def query(self) -> str:
        return urlencode(self.fields)

    @property
    def clear_url(self) -> str:
        """The URL without filters."""
        return self.url(*{name for name, _ in self.fields} - {SORT, COLUMN})


def table_view(
    request: PageRequest,
    *,
    filters: Sequence[tuple[str, str, str]] = (),
    known: Mapping[str, Collection[str]] = {},
    time_range: TimeRange | None = None,
    sorts: Collection[str] = (),
    sort: str = "",
    place: str = "",
    others: Collection[str] = (),
) -> TableView:
    """Read how the query string asks for a table.

    `filters` are (parameter, title, text) of the filters that the page knows; those without text
    are not active. `known` has the values that exist, by parameter. `sorts` are the columns that
    can be sorted, and `sort` the order by default, such as `-received`. `place` is the parameter of
    the place in the list, a number unless `known` has it, and `others` are those that the page
    reads, but users do not write.
    """
    asked = request.query.first(SORT)
    order = asked if asked.removeprefix("-") in sorts else sort
    fields = [(name, request.query.first(name)) for name, _, text in filters if text]
    if time_range is not None:
        fields += [
            (name, request.query.first(name)) for name in FIELDS if request.query.first(name)
        ]
    fields += [(SORT, asked)] if order == asked and asked else []
    chosen = tuple(dict.fromkeys(request.query.all(COLUMN)))[:64]
    fields += [(COLUMN, key) for key in chosen]
    view = TableView(
        path=request.request.url.path,
        fields=tuple(fields),
        sorts=tuple(sorts),
        sort=order.removeprefix("-"),
        is_descending=order.startswith("-"),
        chosen=chosen,
        problems=(
            *_unread(request.query, filters, time_range, sorts=sorts, others=(*others, place)),
            *filter_problems(
                request.query,
                [*filters, (SORT, "Sort", ""), (place, "Place in the list", "")],
                {
                    **known_numbers(request.query, place),
                    **known,
                    SORT: [asked] if asked and order == asked else sorts,
                },
            ),
        ),
    )
    chips = [
        FilterChip(title=title, text=text, url=view.url(name))
        for name, title, text in filters
        if text
    ]
    if time_range is not None and any(name in FIELDS for name, _ in fields):
        title, text = time_range.label, time_range.title
        chips.append(FilterChip(title=title, text=text, url=view.url(*FIELDS)))
    return msgspec.structs.replace(view, chips=tuple(chips))


def known_numbers(form: FormData, *names: str) -> dict[str, Collection[str]]:
    """Return the values that exist of parameters that take any number."""
    return {name: [] if form.number(name) is None else [form.first(name)] for name in names}


def _unread(
    form: FormData,
    filters: Sequence[tuple[str, str, str]],
    time_range: TimeRange | None,
    *,
    sorts: Collection[str],
    others: Collection[str],
) -> list[str]:
    """Say which parameters of a URL the page does not have.

    Users do not write `others`, so the message names none of them.
    """
    names = {name for name, _, _ in filters} | set(FIELDS if time_range else ())
    names |= {SORT} if sorts else set()
    public = names - {*others}
    return [
        f"Parameter “{name[:_LONGEST]}” does not exist, so it is ignored.{_hint(name, public)}"
        for name in form.names
        if name not in {*names, *others, SORT, COLUMN} and form.first(name)
    ]


def filter_problems(
    form: FormData,
    filters: Sequence[tuple[str, str, str]],
    known: Mapping[str, Collection[str]],
    *,
    consequence: str = ", so it is ignored",
) -> tuple[str, ...]:
    """Return what is wrong with the values of a URL or a form.

    `filters` are (parameter, title, text), as of `table_view`: a filter without text is ignored,
    with this `consequence`. `known` has the values that exist, by parameter.
    """
    titles = [*filters]
    if not (form.first("from") or form.first("to")):
        titles.append(("when", "Time range", ""))
        known = {**known, "when": RANGES}
    found = []
    for name, title, text in titles:
        value = form.first(name)
        if value and name in known and value not in known[name] and not value.startswith(PREFIX):
            is_applied = bool(text)
            what = (
                " is not in twite.toml, or you may not see it."
                if is_applied
                else f" does not exist{consequence}."
            )
            found.append(f"{title} “{value[:_LONGEST]}”{what}{_hint(value, known[name])}")
    return tuple(found)


def _hint(value: str, known: Collection[str]) -> str:
    shown = sorted(name for name in known if name and not is_test(name) and name != NONE)
    if not shown:
        return ""
    near = get_close_matches(value[:_LONGEST], shown, n=1, cutoff=0.6)
    meant = f" Did you mean “{near[0]}”?" if near else ""
    more = len(shown) - _MOST_NAMED
    listed = ", ".join(shown[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{meant} These exist: {listed}."
