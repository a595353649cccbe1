"""Run a change of thousands of deliveries in slices: other commits wait for one slice only."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from twite.domain.people.users import AuditEvent
from twite.stores.sql.directory import note
from twite.stores.sql.writer_session import WriterSession
from twite.stores.sqlite.engine.writer import Writer

T = TypeVar("T")
Item = TypeVar("Item")

# Some milliseconds of the writer's time, for what is moved by one statement.
SLICE: Final = 250


async def in_slices(
    writer: Writer,
    items: Sequence[Item],
    act: Callable[[WriterSession, Sequence[Item]], T],
    *,
    deed: AuditEvent | None,
    size: int = SLICE,
) -> list[T]:
    """Do it to all of them; return what came of each slice.

    The deed is noted in the transaction of the first: nothing is done without it.
    """
    came: list[T] = []
    for at in range(0, len(items), size):
        some, noted = items[at : at + size], None if at else deed

        def slice_(
            book: WriterSession, some: Sequence[Item] = some, noted: AuditEvent | None = noted
        ) -> T:
            if noted is not None:
                note(book, noted)
            return act(book, some)

        came.append(await writer.submit_act(slice_))
    return came
