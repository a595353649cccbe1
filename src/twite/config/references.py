"""Tables that refer to a `[[source]]`, and to an event of its pixel: webhooks and syncs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

from twite.config import toml, values
from twite.config.collected_errors import CollectedErrors
from twite.domain.destination import Source
from twite.domain.errors import SettingsError

T = TypeVar("T", bound="SourceReference")
M = TypeVar("M")


class SourceReference(Protocol):
    """A table with a name, a source, and perhaps an event."""

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def event(self) -> str | None: ...


def checked_tables(
    kind: str,
    written: Sequence[T],
    make: Callable[[T, str, CollectedErrors], M],
    *,
    sources: Collection[Source],
    pixels: Mapping[str, Collection[str]],
) -> tuple[M, ...]:
    """Return what `make` returns for each table, if no table has a mistake.

    `pixels` has the events of each pixel. `make` gets a table, its place, and the mistakes so far,
    which it raises with its own.
    """
    made = []
    wrong = CollectedErrors()
    by_name = {source.name: source for source in sources}
    for index, table in enumerate(written):
        place = f"{kind}[{index}]"
        with wrong.collect():
            of_table = CollectedErrors()
            with of_table.collect():
                _require_event(table, place, by_name, pixels)
            made.append(make(table, place, of_table))
    with wrong.collect():
        values.differ([table.name for table in written], f"{kind}[{{}}].name", kind)
    wrong.raise_any()
    return tuple(made)


def _require_event(
    reference: SourceReference,
    place: str,
    sources: Mapping[str, Source],
    pixels: Mapping[str, Collection[str]],
) -> None:
    source = sources.get(reference.source)
    if source is None:
        known = toml.nearest(reference.source, sources, none="There is no [[source]] yet. Add one")
        raise SettingsError(
            f"{place}.source", f"{reference.source!r} is not the name of a [[source]]. {known}"
        )
    events = pixels[source.pixel]
    if reference.event is not None and reference.event not in events:
        known = toml.nearest(reference.event, events)
        raise SettingsError(
            f"{place}.event", f"{reference.event!r} is not an event of the source's pixel. {known}"
        )
