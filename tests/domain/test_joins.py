"""Which known identifiers fill the gaps of a conversion: laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from builders import NOW
from twite.domain.conversion import Identifiers
from twite.domain.joins import CLICK_KEPT, JoinKind, KnownIdentifier, age_of, gained
from twite.domain.times import DAY, HOUR

rows = some.builds(
    KnownIdentifier,
    key=some.sampled_from(["v", "u"]),
    mark=some.just(""),
    kind=some.sampled_from(JoinKind),
    value=some.sampled_from(["a", "b", "c"]),
    whose=some.sampled_from(["", "u1", "u2"]),
    at=some.integers(NOW - 2 * CLICK_KEPT, NOW + HOUR),
    seen_at=some.integers(NOW - 2 * HOUR, NOW + HOUR),
    origin=some.just("identify"),
)
texts = some.sampled_from([None, "own"])
owns = some.builds(Identifiers, click_id=texts, email=texts, phone=texts)
WHOSE = some.sampled_from(["", "u1"])
SINCE = NOW - HOUR


def joined(known, own, whose=""):
    return gained(known, own=own, whose=whose, since=SINCE, received_at=NOW)


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


@given(some.lists(rows), owns, WHOSE)
def test_a_recent_denial_of_the_visitor_prevents_every_join(known, own, whose):
    denial = KnownIdentifier(
        key="v", mark="", kind=JoinKind.DENIED, value="", whose="", at=NOW, seen_at=NOW, origin=""
    )

    assert joined([*known, denial], own, whose) == (Identifiers(), ())


@given(some.lists(rows.filter(lambda row: row.whose == "u2")), owns)
def test_nothing_of_another_user_is_joined(known, own):
    assert joined(known, own, "u1") == (Identifiers(), ())


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
    assert age_of(NOW - age, NOW) == said
