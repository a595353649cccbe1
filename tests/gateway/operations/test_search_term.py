"""The text of the search box becomes an id or a digest; a person is never part of a URL."""

import hashlib

import pytest

from twite.gateway.operations.search_term import NO_PERSON, SearchTerm, search_term


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
