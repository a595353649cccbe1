"""Store contract: an erasure finds what is known of the person's visitors."""

import msgspec

from builders import NOW, a_submission, an_entry
from store_contract.actions import PIXEL, claim_or_none, histories
from store_contract.joining import (
    CLICK_ID,
    MAIL,
    OTHER_CLICK,
    USER,
    VISITOR,
    WAIT,
    digest,
    fact,
    knowing,
    known_of,
    links,
    sent,
    user_of,
    waiting,
)
from twite.domain.consent import REVOKED, person_keys
from twite.domain.conversion import Identifiers
from twite.domain.delivery import State
from twite.domain.joins import JoinKind, KeyKind, join_key, person_join_keys
from twite.domain.people.erasure import (
    CLICK,
    CONVERSION_ID,
    EMAIL,
    ErasureIdentifier,
    all_of,
    asked,
)
from twite.gateway.ports.privacy import EraseSearch, EraseStore, EraseTraces
from twite.gateway.ports.state import ALL_PAUSED, SyncRecord
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

    async def test_erasure_of_a_conversion_that_did_not_wait_removes_what_it_made_known(
        self, store: Store
    ) -> None:
        entry = an_entry("order-1")
        order = join_key(store.salt, PIXEL, KeyKind.ORDER, f"{entry.event}\0order-1")
        said = msgspec.structs.replace(
            a_submission(entry),
            known=(
                fact(JoinKind.EMAIL, digest(MAIL), key=USER, whose=USER),
                fact(JoinKind.EMAIL, digest(MAIL), key=order, whose=USER),
                fact(JoinKind.LINK, USER, key=order, whose=USER),
            ),
        )
        await store.record(said)
        search = search_of(CONVERSION_ID, "order-1")

        found = await traces(store, search)
        other = await traces(store, search_of(CONVERSION_ID, "order-2"))
        erasing = EraseStore(known=tuple(found.known), conversions=tuple(found.conversions))
        await store.erase(erasing, now=NOW)

        assert (len(found.known), other.known) == (3, [])
        assert (await known_of(store, USER), await known_of(store, order)) == ([], [])

    async def test_erasure_by_email_follows_links_to_the_click(self, store: Store) -> None:
        other = user_of("u-2")
        await store.record(
            knowing(
                fact(JoinKind.CLICK, CLICK_ID),
                fact(JoinKind.EMAIL, digest(MAIL), key=USER, whose=USER),
                fact(JoinKind.CLICK, OTHER_CLICK, key=other, whose=other),
                *links(),
            )
        )

        found = await traces(store, search_of(EMAIL, MAIL))
        await store.erase(EraseStore(known=tuple(found.known)), now=NOW)

        assert (await known_of(store, USER), await known_of(store, VISITOR)) == ([], [])
        assert [row.value for row in await known_of(store, other)] == [OTHER_CLICK]

    async def test_erasure_by_email_finds_the_click_weeks_after_the_email(
        self, store: Store
    ) -> None:
        (person,) = person_join_keys(Identifiers(email=digest(MAIL)), pixel=PIXEL, salt=store.salt)
        # Erasures look at the pixels of stored conversions.
        await store.record(a_submission(an_entry("order-9")))
        await store.record(
            knowing(
                fact(JoinKind.CLICK, CLICK_ID),
                fact(JoinKind.PERSON, person, key=USER, whose=USER),
                *links(),
            )
        )

        found = await traces(store, search_of(EMAIL, MAIL))
        await store.erase(EraseStore(known=tuple(found.known)), now=NOW)

        assert (await known_of(store, USER), await known_of(store, VISITOR)) == ([], [])

    async def test_identifiers_of_all_visitors_are_forgotten_and_denials_stay(
        self, store: Store
    ) -> None:
        click, denial = fact(JoinKind.CLICK, CLICK_ID), fact(JoinKind.DENIED)
        await store.record(knowing(denial))
        await store.record(
            knowing(click, fact(JoinKind.EMAIL, digest(MAIL), key=USER), *links(), receipt="r-2")
        )

        forgotten = [await store.forget_identifiers(most=9) for _ in range(2)]

        rows = await known_of(store, VISITOR) + await known_of(store, USER)
        assert forgotten == [2, 0]
        assert sorted(row.kind for row in rows) == [JoinKind.DENIED, JoinKind.LINK, JoinKind.LINK]

    async def test_opt_out_by_email_counts_for_the_user_weeks_after_the_email(
        self, store: Store
    ) -> None:
        person = Identifiers(email=digest(MAIL))
        (row,) = person_join_keys(person, pixel=PIXEL, salt=store.salt)
        await store.record(knowing(fact(JoinKind.PERSON, row, key=USER, whose=USER), *links()))
        await store.record(knowing(fact(JoinKind.CLICK, OTHER_CLICK), receipt="click"))
        await store.revoke(person_keys(person, pixel=PIXEL, salt=store.salt), now=NOW)
        own = Identifiers(phone=digest("+1"))
        await store.record(a_submission(waiting(own=own, keys=(USER,), whose=USER)))
        guest = waiting("order-2", own=own)
        await store.record(a_submission(guest, receipt="guest"))

        assert await sent(store) == {"hashed_phone_number": digest("+1")}
        (history,) = await histories(store, "order-1")
        assert (history.state, history.reason) == (State.SUPPRESSED, REVOKED)

    async def test_erasure_by_order_id_removes_a_result_that_waits_for_write_back(
        self, store: Store
    ) -> None:
        def page(*names: str) -> SyncRecord:
            state = {"waiting": [{"conversion_id": name} for name in names]}
            return SyncRecord(name="orders/1-1", state=msgspec.json.encode(state).decode())

        await store.put([page("order-1", "order-2")])
        position = SyncRecord(name="orders/", state='{"has_begun":true}')
        await store.put([position])

        found = await traces(store, search_of(CONVERSION_ID, "order-1"))
        await store.erase(EraseStore(texts=tuple(found.texts)), now=NOW)

        left, erased = await store.load(SyncRecord, prefix="orders/")
        assert (left, found.size) == (position, 1)
        assert msgspec.json.decode(erased.state) == msgspec.json.decode(page().state)

    async def test_erasure_by_order_id_removes_the_refused_row_of_a_sync(
        self, store: Store
    ) -> None:
        def states(*names: str) -> list[SyncRecord]:
            refused = [{"conversion_id": name, "verdict": "rejected"} for name in names]
            state = {"has_begun": True, "last_run": {"at": NOW, "refused": refused}}
            return [SyncRecord(name="orders/", state=msgspec.json.encode(state).decode())]

        paused = SyncRecord(name=ALL_PAUSED, state=str(NOW))
        await store.put([*states("order-1", "order-2"), paused])

        other = await traces(store, search_of(CONVERSION_ID, "order-3"))
        found = await traces(store, search_of(CONVERSION_ID, "order-1"))
        await store.erase(EraseStore(texts=tuple(found.texts)), now=NOW)

        assert (other.size, found.size) == (0, 1)
        (left,) = await store.load(SyncRecord, prefix="orders/")
        assert msgspec.json.decode(left.state) == msgspec.json.decode(states()[0].state)
        assert (await traces(store, search_of(CONVERSION_ID, "order-1"))).size == 0
