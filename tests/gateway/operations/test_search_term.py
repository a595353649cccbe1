"""The text of the search box becomes an id or a digest; a person is never part of a URL."""

import hashlib

import msgspec
import pytest

from fakes import MovingClock
from twite.gateway.operations.search_term import NO_PERSON, SearchTerm, search_term, searched
from twite.gateway.ports.listing import ListPosition, ListQuery, SummaryPage


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("  order-1001 ", SearchTerm(named="order-1001")),
        ("0193f0a1-7c1e-7000-8000-000000000001", None),
        ("Shopper@Example.com ", SearchTerm(digest=_sha256("shopper@example.com"))),
        ("+44 20 7946 0958", SearchTerm(digest=_sha256("+442079460958"))),
        ("0044 20 7946 0958", SearchTerm(digest=_sha256("+442079460958"))),
        ("AB" * 32, SearchTerm(digest="ab" * 32)),
        ("shopper@example", SearchTerm(problem=NO_PERSON)),
        ("call +49 (0) 151", SearchTerm(named="call +49 (0) 151")),
        ("", SearchTerm()),
    ],
)
def test_text_becomes_an_id_a_digest_or_a_problem(text: str, found: SearchTerm | None) -> None:
    assert search_term(text) == (found or SearchTerm(named=text))


class _EmptySteps:
    """Pages without matches, each of which takes 20 ms of the clock."""

    def __init__(self, clock: MovingClock, *, steps: int) -> None:
        self._clock = clock
        self._left = steps
        self.asked: list[ListQuery] = []

    async def page(self, query: ListQuery) -> SummaryPage:
        self.asked.append(query)
        await self._clock.advance(20)
        self._left -= 1
        back_to = ListPosition(self._left) if self._left else None
        return SummaryPage(summaries=(), back_to=back_to, searched_to=back_to and self._left)


@pytest.mark.parametrize(
    ("list_query", "steps"), [(ListQuery(), 3), (ListQuery(digest="ab" * 32), 50)]
)
async def test_search_goes_on_for_a_while_and_longer_for_a_person(
    list_query: ListQuery, steps: int
) -> None:
    clock = MovingClock()
    queries = _EmptySteps(clock, steps=1_000)

    page = await searched(queries, list_query, clock=clock)  # type: ignore[arg-type]  # only `page`

    assert len(queries.asked) == steps
    assert page.searched_to == 1_000 - steps
    assert queries.asked[-1].position == ListPosition(1_000 - steps + 1)


async def test_search_ends_where_nothing_is_left() -> None:
    clock = MovingClock()
    queries = _EmptySteps(clock, steps=2)

    page = await searched(queries, ListQuery(limit=7), clock=clock)  # type: ignore[arg-type]  # only `page`

    assert page == SummaryPage(summaries=())
    assert msgspec.structs.replace(queries.asked[1], position=None) == ListQuery(limit=7)
