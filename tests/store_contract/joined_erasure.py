"""Store contract: an erasure finds what is known of the person's visitors."""

from builders import NOW, a_submission
from store_contract.actions import claim_or_none
from store_contract.joining import (
    CLICK_ID,
    MAIL,
    USER,
    WAIT,
    digest,
    fact,
    knowing,
    links,
    sent,
    waiting,
)
from twite.domain.conversion import Identifiers
from twite.domain.joins import JoinKind
from twite.domain.people.erasure import CLICK, EMAIL, ErasureIdentifier, all_of, asked
from twite.gateway.ports.privacy import EraseSearch, EraseStore, EraseTraces
from twite.gateway.ports.store import Store
from twite.stores.sql import erase_search


async def traces(store: Store, search: EraseSearch) -> EraseTraces:
    """Search a store as a reader does."""
    database = store._database  # type: ignore[attr-defined]  # noqa: SLF001
    found = await database.read(lambda connection: erase_search.search(connection, search))
    assert isinstance(found, EraseTraces)
    return found


def search_of(kind: str, text: str) -> EraseSearch:
    identifier = asked(kind, text, region=None)
    assert isinstance(identifier, ErasureIdentifier)
    return EraseSearch(subject=all_of([identifier]), opened=lambda _tag, body: body)


class JoinedErasureLaws:
    async def test_erasure_removes_what_is_known_of_the_visitor(self, store: Store) -> None:
        own = Identifiers(phone=digest("+1"))
        await store.record(a_submission(waiting(own=own, keys=(USER,), whose=USER)))
        await store.record(
            knowing(fact(JoinKind.CLICK, CLICK_ID), fact(JoinKind.EMAIL, digest(MAIL)), *links())
        )
        search = search_of(EMAIL, MAIL)

        before = await traces(store, search)
        await store.erase(EraseStore(known=tuple(before.known)), now=NOW)
        after = await traces(store, search)

        assert (len(before.known), after.known) == (4, [])
        assert await sent(store) == {"hashed_phone_number": digest("+1")}

    async def test_erasure_of_a_conversion_removes_what_it_waited_for(self, store: Store) -> None:
        await store.record(a_submission(waiting()))
        await store.record(knowing(fact(JoinKind.EMAIL, digest(MAIL))))
        search = search_of(CLICK, CLICK_ID)

        found = await traces(store, search)
        await store.erase(EraseStore(known=tuple(found.known)), now=NOW)
        await store.erase(EraseStore(conversions=tuple(found.conversions)), now=NOW)

        assert (len(found.known), len(found.conversions)) == (1, 1)
        assert (await traces(store, search)).size == 0
        assert await claim_or_none(store, now=NOW + WAIT) is None
