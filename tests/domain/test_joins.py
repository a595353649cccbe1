"""Which known identifiers fill the gaps of a conversion: laws."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as some

from builders import NOW
from twite.domain.conversion import Identifiers
from twite.domain.joins import (
    CLICK_KEPT,
    GainedIdentifier,
    JoinKind,
    KnownIdentifier,
    age_of,
    gained,
)
from twite.domain.times import DAY, HOUR

V, V2, U1, U2, ORDER = "v1", "v2", "u1", "u2", "o1"
EMAIL, PHONE, CLICK, LINK, DENIED = (
    JoinKind.EMAIL, JoinKind.PHONE, JoinKind.CLICK, JoinKind.LINK, JoinKind.DENIED,
)  # fmt: skip


def a_row(kind, value="a", *, key=V, whose="", at=NOW, seen_at=NOW):
    return KnownIdentifier(
        key=key, mark="", kind=kind, value=value, whose=whose,
        at=at, seen_at=seen_at, origin="identify",
    )  # fmt: skip


rows = some.builds(
    a_row,
    some.sampled_from([EMAIL, PHONE, CLICK]),
    some.sampled_from(["a", "b", "c"]),
    key=some.sampled_from([V, U1, ORDER]),
    whose=some.sampled_from(["", U1, U2]),
    at=some.integers(NOW - 2 * CLICK_KEPT, NOW + HOUR),
    seen_at=some.integers(NOW - 2 * HOUR, NOW + HOUR),
)
links = some.builds(
    a_row,
    some.just(LINK),
    some.sampled_from([V, V2, U1, U2, ORDER]),
    key=some.sampled_from([V, V2, U1, U2, ORDER]),
    whose=some.sampled_from(["", U1, U2]),
)
texts = some.sampled_from([None, "own"])
owns = some.builds(Identifiers, click_id=texts, email=texts, phone=texts)
WHOSE = some.sampled_from(["", U1])
SINCE = NOW - HOUR
NOBODY = (Identifiers(), ())


def joined(known, own=NOBODY[0], whose="", keys=(V,), at=NOW):
    by_key = defaultdict(list)
    for row in known:
        by_key[row.key].append(row)
    keys = (*keys, whose) if whose else keys
    return gained(by_key, own=own, keys=keys, whose=whose, since=SINCE, at=at)


@given(some.lists(rows), owns, WHOSE, some.randoms())
def test_order_of_what_is_known_does_not_matter(known, own, whose, chance):
    other = [*known]
    chance.shuffle(other)

    before, _ = joined(known, own, whose)
    after, _ = joined(other, own, whose)

    assert before == after


@given(some.lists(rows), owns, WHOSE)
def test_only_gaps_are_filled(known, own, whose):
    more, origins = joined(known, own, whose)

    for name in ("click_id", "email", "phone"):
        assert getattr(own, name) is None or getattr(more, name) is None
    filled = [name for name in more.__struct_fields__ if getattr(more, name) is not None]
    assert len(origins) == len(filled)


@given(some.lists(rows), some.lists(links), owns, WHOSE)
def test_a_recent_denial_under_any_linked_key_prevents_every_join(known, others, own, whose):
    path = [a_row(LINK, V2), a_row(LINK, U2, key=V2), a_row(DENIED, "", key=U2)]

    assert joined([*known, *others, *path], own, whose) == NOBODY


@given(some.lists(rows), some.lists(links), owns, WHOSE)
def test_nothing_from_before_an_older_denial_is_joined(known, others, own, whose):
    denial = a_row(DENIED, "", seen_at=SINCE - 1)

    later = [row for row in known if row.at > denial.seen_at]

    assert joined([*known, *others, denial], own, whose) == joined([*later, *others], own, whose)


@given(some.lists(rows.filter(lambda row: row.whose == U2)), some.lists(links), owns)
def test_nothing_of_another_user_is_joined(known, others, own):
    assert joined([*known, *others], own, U1) == NOBODY


@given(some.lists(rows), owns, WHOSE)
def test_only_what_a_user_said_is_joined_in_a_shared_browser(known, own, whose):
    shared = [a_row(LINK, U1, whose=U1), a_row(LINK, U2, whose=U2)]
    here = [row for row in known if row.key == V]
    same = [row for row in here if whose and row.whose == whose]

    assert joined([*here, *shared], own, whose) == joined([*same, *shared], own, whose)


@given(some.lists(rows.filter(lambda row: row.kind is not CLICK and row.key == V)), owns, WHOSE)
def test_guest_and_user_exchange_no_email_or_phone(known, own, whose):
    same = [row for row in known if row.whose == whose]

    assert joined(known, own, whose)[0] in {joined(same, own, whose)[0], Identifiers()}


def test_copy_of_an_order_that_names_another_user_gives_nothing():
    known = [
        a_row(EMAIL, key=ORDER, whose=U2),
        a_row(PHONE, key=ORDER),
        a_row(LINK, U2, key=ORDER, whose=U2),
    ]

    assert joined(known, whose=U1, keys=(ORDER,)) == NOBODY


def test_another_order_of_the_same_browser_gives_nothing():
    known = [a_row(LINK, ORDER), a_row(LINK, V, key=ORDER), a_row(EMAIL, key=ORDER)]

    assert joined(known) == NOBODY


def test_click_counts_up_to_90_days_before_the_conversion():
    known = [a_row(CLICK, "old", at=NOW - CLICK_KEPT - 1), a_row(CLICK, "later", at=NOW + 1)]

    assert joined(known) == NOBODY
    assert joined([*known, a_row(CLICK, "first", at=NOW - CLICK_KEPT)])[0].click_id == "first"


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (0, "0 days old, within X's click windows of 1, 7, 14, 30, 60, 90 days"),
        (DAY, "1 day old, within X's click windows of 1, 7, 14, 30, 60, 90 days"),
        (DAY + 1, "1 day old, within X's click windows of 7, 14, 30, 60, 90 days"),
        (45 * DAY, "45 days old, within X's click windows of 60, 90 days"),
        (91 * DAY, "91 days old, outside of X's click windows"),
    ],
)
def test_age_of_a_click_is_shown_with_the_windows_that_include_it(age, said):
    click = GainedIdentifier(identifier="twclid", origin="page", at=NOW - age, age=age)

    assert age_of(click) == said
