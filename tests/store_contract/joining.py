"""Store contract: conversions that wait for identifiers of their visitor."""

import hashlib
from itertools import permutations

import msgspec

from builders import NOW, a_conversion, a_submission, an_entry
from store_contract.actions import (
    PIXEL,
    balanced,
    claim,
    claim_or_none,
    delivered,
    histories,
    settle,
    sweep,
)
from twite.domain.consent import REVOKED, person_keys
from twite.domain.conversion import Identifiers
from twite.domain.delivery import State
from twite.domain.joins import (
    GainedIdentifier,
    JoinCount,
    JoinKind,
    JoinRequest,
    KnownIdentifier,
    join_key,
    mark_of,
)
from twite.domain.people.erasure import CLICK, EMAIL, ErasureIdentifier, all_of, asked
from twite.domain.submission import AcceptedConversion, Submission
from twite.gateway.ports.privacy import EraseSearch, EraseStore, EraseTraces
from twite.gateway.ports.queries import JoinsQuery
from twite.gateway.ports.store import Store
from twite.stores.sql import erase_search
from twite.x.encode import conversion_body

WAIT = 60_000
CLICK_ID = "23opevjt88psuo13lu8d020qkn"
OTHER_CLICK = "26l6412g5p4iyj65a2oic2ayg2"
MAIL = "shopper@example.com"
SALT = b"salt"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def key_of(kind: str, name: str) -> str:
    return join_key(SALT, PIXEL, kind, name)


VISITOR, USER = key_of("visitor", "v-1"), key_of("user", "u-1")


def fact(
    kind: JoinKind,
    value: str = "",
    *,
    key: str = VISITOR,
    whose: str = "",
    at: int = NOW,
    seen_at: int = NOW,
    origin: str = "identify",
) -> KnownIdentifier:
    return KnownIdentifier(
        key=key,
        mark=mark_of(SALT, kind, value, whose),
        kind=kind,
        value=value,
        whose=whose,
        at=at,
        seen_at=seen_at,
        origin=origin,
    )


def links(*, at: int = NOW) -> tuple[KnownIdentifier, ...]:
    """Link the visitor and the user, as an event with both does."""
    return (
        fact(JoinKind.LINK, USER, whose=USER, seen_at=at),
        fact(JoinKind.LINK, VISITOR, key=USER, whose=USER, seen_at=at),
    )


def waiting(
    conversion_id: str = "order-1",
    *,
    own: Identifiers | None = None,
    keys: tuple[str, ...] = (VISITOR,),
    whose: str = "",
) -> AcceptedConversion:
    """Return a conversion that waits for identifiers."""
    own = own or Identifiers(click_id=CLICK_ID)
    conversion = msgspec.structs.replace(a_conversion(conversion_id), identifiers=own)
    return msgspec.structs.replace(
        an_entry(conversion_id),
        body=conversion_body(conversion),
        join=JoinRequest(keys=keys, whose=whose, wait=WAIT),
    )


def knowing(*known: KnownIdentifier, receipt: str = "r-known", at: int = NOW) -> Submission:
    return msgspec.structs.replace(a_submission(receipt=receipt, received_at=at), known=known)


def identifiers_in(body: bytes) -> dict[str, str]:
    """Return the identifiers of a body for X."""
    return {
        name: value
        for element in msgspec.json.decode(body)["identifiers"]
        for name, value in element.items()
    }


async def sent(store: Store, *, now: int = NOW + WAIT) -> dict[str, str]:
    """Return the identifiers of the only conversion that is claimed."""
    batch = await claim(store, now=now)
    (delivery,) = batch.deliveries
    return identifiers_in(delivery.body)


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


class JoinLaws:
    async def test_conversion_waits_and_stays_counted(self, store: Store) -> None:
        await store.record(a_submission(waiting()))

        early = await claim_or_none(store, now=NOW + WAIT - 1)
        (history,) = await histories(store, "order-1")
        whole = await balanced(store)

        assert early is None
        assert (history.state, history.due_at, history.is_joining) == (
            State.QUEUED, NOW + WAIT, True,
        )  # fmt: skip
        assert (whole.received, whole.pending) == (1, 1)
        assert await sent(store) == {"twclid": CLICK_ID}

    async def test_identifiers_that_become_known_fill_gaps(self, store: Store) -> None:
        await store.record(a_submission(waiting()))
        await store.record(
            knowing(
                fact(JoinKind.EMAIL, digest(MAIL)),
                fact(JoinKind.PHONE, digest("+1"), origin="sign_up", at=NOW + 2),
            )
        )

        found = await sent(store)

        (history,) = await histories(store, "order-1")
        assert found == {
            "twclid": CLICK_ID,
            "hashed_email": digest(MAIL),
            "hashed_phone_number": digest("+1"),
        }
        assert identifiers_in(history.sent) == found
        assert history.gained == (
            GainedIdentifier(identifier="email", origin="identify", at=NOW),
            GainedIdentifier(identifier="phone", origin="sign_up", at=NOW + 2),
        )
        assert not history.is_joining

    async def test_join_never_overwrites_the_conversion(self, store: Store) -> None:
        own = Identifiers(click_id=CLICK_ID, email=digest("own@example.com"))
        await store.record(a_submission(waiting(own=own)))
        await store.record(
            knowing(fact(JoinKind.EMAIL, digest(MAIL)), fact(JoinKind.CLICK, OTHER_CLICK))
        )

        found = await sent(store)

        (history,) = await histories(store, "order-1")
        assert found == {"twclid": CLICK_ID, "hashed_email": digest("own@example.com")}
        assert history.gained == ()

    async def test_order_of_arrival_does_not_matter(self, store: Store) -> None:
        for number, order in enumerate(permutations(range(3))):
            visitor, user = key_of("visitor", f"v-{number}"), key_of("user", f"u-{number}")
            name = f"order-{number}"
            events = (
                a_submission(waiting(name, keys=(user,), whose=user), receipt=f"r-{number}"),
                knowing(fact(JoinKind.CLICK, OTHER_CLICK, key=visitor)),
                knowing(
                    fact(JoinKind.LINK, user, key=visitor, whose=user),
                    fact(JoinKind.LINK, visitor, key=user, whose=user),
                    fact(JoinKind.EMAIL, digest(MAIL), key=user, whose=user),
                ),
            )
            own = Identifiers(phone=digest("+1"))
            conversion = msgspec.structs.replace(a_conversion(name), identifiers=own)
            (entry,) = events[0].entries
            entry = msgspec.structs.replace(entry, body=conversion_body(conversion))
            events = (msgspec.structs.replace(events[0], entries=(entry,)), *events[1:])
            for place in order:
                await store.record(events[place])

        batch = await claim(store, now=NOW + WAIT)
        results = [identifiers_in(delivery.body) for delivery in batch.deliveries]
        assert results == 6 * [
            {
                "twclid": OTHER_CLICK,
                "hashed_email": digest(MAIL),
                "hashed_phone_number": digest("+1"),
            }
        ]

    async def test_joined_conversion_is_sent_once(self, store: Store) -> None:
        await store.record(a_submission(waiting()))
        await store.record(knowing(fact(JoinKind.EMAIL, digest(MAIL))))
        await sweep(store, now=NOW + WAIT)

        batch = await claim(store, now=NOW + WAIT)
        await settle(store, batch, "delivered", delivered(batch), at=NOW + WAIT)
        await store.record(knowing(fact(JoinKind.PHONE, digest("+1")), receipt="late"))
        await sweep(store, now=NOW + 2 * WAIT)

        (history,) = await histories(store, "order-1")
        whole = await balanced(store)
        assert (history.state, len(history.attempts)) == (State.DELIVERED, 1)
        assert identifiers_in(history.sent) == {"twclid": CLICK_ID, "hashed_email": digest(MAIL)}
        assert (whole.received, whole.delivered) == (1, 1)
        assert await claim_or_none(store, now=NOW + 2 * WAIT) is None

    async def test_identifiers_of_a_duplicate_fill_gaps(self, store: Store) -> None:
        order = key_of("order", "order-1")
        own = Identifiers(email=digest(MAIL))
        await store.record(a_submission(waiting(own=own, keys=(order,))))
        copy = a_submission(an_entry("order-1"), receipt="r2", received_at=NOW + 1)
        await store.record(
            msgspec.structs.replace(copy, known=(fact(JoinKind.CLICK, CLICK_ID, key=order),))
        )

        assert await sent(store) == {"twclid": CLICK_ID, "hashed_email": digest(MAIL)}

    async def test_click_serves_weeks_later_and_an_email_does_not(self, store: Store) -> None:
        weeks = 21 * 86_400_000
        await store.record(
            knowing(fact(JoinKind.CLICK, CLICK_ID), fact(JoinKind.EMAIL, digest(MAIL)), *links())
        )
        own = Identifiers(phone=digest("+1"))
        await store.record(
            a_submission(waiting(own=own, keys=(USER,), whose=USER), received_at=NOW + weeks)
        )

        found = await sent(store, now=NOW + weeks + WAIT)

        (history,) = await histories(store, "order-1")
        assert found == {"twclid": CLICK_ID, "hashed_phone_number": digest("+1")}
        assert history.gained == (GainedIdentifier(identifier="twclid", origin="identify", at=NOW),)

    async def test_newest_click_before_the_conversion_counts(self, store: Store) -> None:
        own = Identifiers(email=digest(MAIL))
        await store.record(
            knowing(
                fact(JoinKind.CLICK, CLICK_ID, at=NOW - 9),
                fact(JoinKind.CLICK, OTHER_CLICK, at=NOW - 1),
                fact(JoinKind.CLICK, "later", at=NOW + 1),
            )
        )
        await store.record(a_submission(waiting(own=own)))

        assert (await sent(store))["twclid"] == OTHER_CLICK

    async def test_users_of_one_browser_are_not_mixed(self, store: Store) -> None:
        other = key_of("user", "u-2")
        await store.record(
            knowing(
                fact(JoinKind.EMAIL, digest("one@example.com"), whose=USER),
                fact(JoinKind.EMAIL, digest("two@example.com"), whose=other),
            )
        )
        await store.record(a_submission(waiting("a", keys=(VISITOR, USER), whose=USER)))
        await store.record(a_submission(waiting("b"), receipt="r2"))

        batch = await claim(store, now=NOW + WAIT)

        own, nobody = (identifiers_in(delivery.body) for delivery in batch.deliveries)
        assert own["hashed_email"] == digest("one@example.com")
        assert "hashed_email" not in nobody

    async def test_denial_of_the_visitor_prevents_a_join_in_any_order(self, store: Store) -> None:
        denial = fact(JoinKind.DENIED)
        mail = fact(JoinKind.EMAIL, digest(MAIL))
        await store.record(a_submission(waiting()))
        await store.record(knowing(mail))
        await store.record(knowing(denial))
        await store.record(knowing(mail))

        assert await sent(store) == {"twclid": CLICK_ID}

    async def test_opt_out_of_the_joined_person_suppresses(self, store: Store) -> None:
        await store.record(a_submission(waiting()))
        await store.record(knowing(fact(JoinKind.EMAIL, digest(MAIL))))
        person = Identifiers(email=digest(MAIL))
        await store.revoke(person_keys(person, pixel=PIXEL, salt=store.salt), now=NOW)

        assert await claim_or_none(store, now=NOW + WAIT) is None

        (history,) = await histories(store, "order-1")
        whole = await balanced(store)
        assert (history.state, history.reason) == (State.SUPPRESSED, REVOKED)
        assert digest(MAIL).encode() not in history.sent
        assert whole.suppressed == 1

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

    async def test_rows_of_one_visitor_are_limited(self, store: Store) -> None:
        many = [fact(JoinKind.EMAIL, digest(f"{number}")) for number in range(100)]
        for start in range(0, 100, 10):
            await store.record(knowing(*many[start : start + 10], receipt=f"k{start}"))
        await store.record(a_submission(waiting()))

        assert "hashed_email" in await sent(store)

    async def test_joins_are_counted_by_source_and_identifier(self, store: Store) -> None:
        await store.record(a_submission(waiting("a")))
        await store.record(a_submission(waiting("b", keys=("none",)), receipt="r2"))
        await store.record(knowing(fact(JoinKind.EMAIL, digest(MAIL))))
        await sweep(store, now=NOW + WAIT)

        counts = await store.answer(JoinsQuery(since=NOW))

        assert list(counts) == [
            JoinCount(source="shop", pixel=PIXEL, identifiers=(), conversions=1),
            JoinCount(source="shop", pixel=PIXEL, identifiers=("email",), conversions=1),
        ]
        assert list(await store.answer(JoinsQuery(since=NOW + WAIT + 1))) == []

    async def test_waiting_conversion_is_not_taken_for_a_wrong_clock(self, store: Store) -> None:
        entry = waiting()
        hours = 6 * 3_600_000
        entry = msgspec.structs.replace(
            entry, join=JoinRequest(keys=(VISITOR,), whose="", wait=hours)
        )
        await store.record(a_submission(entry))

        swept = await sweep(store, now=NOW, furthest=NOW + 600_000)

        assert (swept.promoted, swept.next_due) == (0, NOW + hours)
