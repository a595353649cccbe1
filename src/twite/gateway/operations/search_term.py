"""What a person types into the search box: a conversion id, a receipt, an email, or a phone number.

Emails and phone numbers become digests at once, because a search is part of URLs.
"""

import re
from typing import Final

import msgspec

from twite.domain.fault import Fault
from twite.domain.normalize import email_digest, phone_digest
from twite.domain.secret import Masked
from twite.domain.times import SECOND
from twite.gateway.ports.listing import ListQuery, SummaryPage
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import Queries
from twite.redaction.scrub_text import names_a_person

_PHONE: Final = re.compile(r"\+|00")
# How long one request searches for rare matches, in milliseconds. An open page loads itself again
# whenever something changes, but a person's search must reach back for days.
_SEARCHED_FOR: Final = 50
_PERSON_SEARCHED_FOR: Final = 1 * SECOND
NO_PERSON: Final = (
    "Write a whole email address, or a phone number with + and its country code. It is hashed, and "
    "never part of a URL."
)


class SearchTerm(Masked, frozen=True, kw_only=True):
    """What to search for: an id or receipt (`named`), or a `digest`; or the text's `problem`."""

    named: str = ""
    digest: str = ""
    problem: str = ""


def search_term(text: str) -> SearchTerm:
    """Read the text of the search box."""
    plain = text.strip()
    found = email_digest(plain, path="term")
    if isinstance(found, Fault) and _PHONE.match(plain):
        found = phone_digest(plain, region=None, path="term")
    if not isinstance(found, Fault):
        return SearchTerm(digest=found)
    if "@" in plain or names_a_person(plain):
        return SearchTerm(problem=NO_PERSON)
    return SearchTerm(named=plain)


async def searched(queries: Queries, list_query: ListQuery, *, clock: Clock) -> SummaryPage:
    """Return a page, searching further back for a while until it is full."""
    span = _PERSON_SEARCHED_FOR if list_query.digest else _SEARCHED_FOR
    ends = clock.elapsed() + span
    page = await queries.page(list_query)
    while page.searched_to is not None and clock.elapsed() < ends:
        rest = msgspec.structs.replace(
            list_query,
            position=page.back_to,
            limit=list_query.limit - len(page.summaries),
        )
        further = await queries.page(rest)
        page = msgspec.structs.replace(
            further, summaries=(*page.summaries, *further.summaries), latest=page.latest
        )
    return page
