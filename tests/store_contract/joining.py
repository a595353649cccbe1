"""Store contract: conversions that wait for identifiers of their visitor."""

import hashlib
from itertools import pairwise, permutations

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
    MOST_LINKED,
    MOST_OF_KEY,
    GainedIdentifier,
    JoinCount,
    JoinKind,
    JoinRequest,
    KeyKind,
    KnownIdentifier,
    join_key,
    mark_of,
)
from twite.domain.submission import AcceptedConversion, Submission
from twite.gateway.ports.queries import JoinsQuery
from twite.gateway.ports.store import Store
from twite.stores.sql.joins import read_linked
from twite.stores.sql.statements import query
from twite.x.encode import conversion_body

WAIT = 60_000
CLICK_ID = "23opevjt88psuo13lu8d020qkn"
OTHER_CLICK = "26l6412g5p4iyj65a2oic2ayg2"
MAIL = "shopper@example.com"
SALT = b"salt"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def visitor_of(name: str) -> str:
    return join_key(SALT, PIXEL, KeyKind.VISITOR, name)


def user_of(name: str) -> str:
    return join_key(SALT, PIXEL, KeyKind.USER, name)


VISITOR, USER = visitor_of("v-1"), user_of("u-1")
ORDER = join_key(SALT, PIXEL, KeyKind.ORDER, "order-1")


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
    at: int = NOW,
) -> AcceptedConversion:
    """Return a conversion that waits for identifiers."""
    own = own or Identifiers(click_id=CLICK_ID)
    conversion = msgspec.structs.replace(a_conversion(conversion_id), identifiers=own, time=at)
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


async def known_of(store: Store, key: str) -> list[KnownIdentifier]:
    """Return what is stored under a key."""
    database = store._database  # type: ignore[attr-defined]  # noqa: SLF001
    found = await database.read(
        lambda connection: read_linked(
            lambda name, /, **values: connection.execute(query(name), values), [[key]], most=1
        )
    )
    return list(found[key])


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
            visitor, user = visitor_of(f"v-{number}"), user_of(f"u-{number}")
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
        own = Identifiers(email=digest(MAIL))
        await store.record(a_submission(waiting(own=own, keys=(ORDER,))))
        copy = a_submission(an_entry("order-1"), receipt="r2", received_at=NOW + 1)
        await store.record(
            msgspec.structs.replace(copy, known=(fact(JoinKind.CLICK, CLICK_ID, key=ORDER),))
        )

        assert await sent(store) == {"twclid": CLICK_ID, "hashed_email": digest(MAIL)}

    async def test_click_serves_weeks_later_and_an_email_does_not(self, store: Store) -> None:
        weeks = 21 * 86_400_000
        await store.record(
            knowing(fact(JoinKind.CLICK, CLICK_ID), fact(JoinKind.EMAIL, digest(MAIL)), *links())
        )
        own = Identifiers(phone=digest("+1"))
        order = waiting(own=own, keys=(USER,), whose=USER, at=NOW + weeks)
        await store.record(a_submission(order, received_at=NOW + weeks))

        found = await sent(store, now=NOW + weeks + WAIT)

        (history,) = await histories(store, "order-1")
        assert found == {"twclid": CLICK_ID, "hashed_phone_number": digest("+1")}
        assert history.gained == (
            GainedIdentifier(identifier="twclid", origin="identify", at=NOW, age=weeks),
        )

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
        other = user_of("u-2")
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

    async def test_rows_of_one_visitor_are_limited_by_kind_and_the_latest_stay(
        self, store: Store
    ) -> None:
        for start in range(0, 100, 10):
            clicks = [
                fact(JoinKind.CLICK, f"c{number:02}", at=NOW - 99 + number, seen_at=NOW + number)
                for number in range(start, start + 10)
            ]
            mails = [fact(JoinKind.LINK, f"v{number}") for number in range(start, start + 10)]
            await store.record(knowing(*clicks, *mails, receipt=f"k{start}"))
        await store.record(knowing(fact(JoinKind.EMAIL, digest(MAIL)), receipt="last"))
        await store.record(a_submission(waiting(own=Identifiers(phone=digest("+1")))))

        found = await sent(store)

        assert (found["twclid"], found["hashed_email"]) == ("c99", digest(MAIL))
        kept = [row.kind for row in await known_of(store, VISITOR)]
        assert {kind: kept.count(kind) for kind in kept} == {
            JoinKind.CLICK: MOST_OF_KEY, JoinKind.LINK: MOST_OF_KEY, JoinKind.EMAIL: 1,
        }  # fmt: skip

    async def test_denial_forgets_identifiers_under_all_linked_keys(self, store: Store) -> None:
        chain = [visitor_of(f"chain-{number}") for number in range(9)]
        for key, other in pairwise(chain):
            await store.record(
                knowing(
                    fact(JoinKind.LINK, other, key=key),
                    fact(JoinKind.LINK, key, key=other),
                    fact(JoinKind.CLICK, CLICK_ID, key=other),
                    receipt=key,
                )
            )
        await store.record(knowing(fact(JoinKind.DENIED, key=chain[0])))

        left = [await known_of(store, key) for key in chain]

        assert {row.kind for rows in left for row in rows} == {JoinKind.LINK, JoinKind.DENIED}

    async def test_keys_of_a_crowd_join_nothing(self, store: Store) -> None:
        crowd = [USER, *(visitor_of(f"crowd-{number}") for number in range(MOST_LINKED))]
        await store.record(
            knowing(*(fact(JoinKind.LINK, other, key=key) for key, other in pairwise(crowd)))
        )
        await store.record(knowing(fact(JoinKind.EMAIL, digest(MAIL), key=USER, whose=USER)))
        await store.record(a_submission(waiting(keys=(USER,), whose=USER)))

        assert await sent(store) == {"twclid": CLICK_ID}

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
