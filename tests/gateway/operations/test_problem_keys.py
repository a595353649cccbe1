"""Dead and held deliveries with one cause are one problem, whatever values X echoes."""

import msgspec
import pytest

from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.gateway.operations.problem_keys import key_of, mute_subject, muted_deliveries
from twite.gateway.ports.queries import ErrorGroup

WORDS = "400 INVALID_PARAMETER: hashed_email (abc) is not a valid SHA-256 hash"


def _group(**more):
    group = ErrorGroup(
        pixel="o8z6j", event="o8z6k", state=State.DEAD, reason=WORDS, deliveries=3, first_at=1,
        last_at=2, cause=DeliveryCause.REFUSED,
    )  # fmt: skip
    return msgspec.structs.replace(group, **more)


@pytest.mark.parametrize(
    ("more", "is_same"),
    [
        ({"reason": WORDS.replace("(abc)", "(xyz 7)")}, True),
        ({"pixel": "o6dkt", "event": "o6dkv"}, True),
        ({"reason": WORDS.replace("hashed_email", "hashed_phone_number")}, False),
        ({"reason": WORDS.replace("400", "404")}, False),
        ({"state": State.HELD}, False),
        ({"cause": DeliveryCause.REFUSED_ALIKE}, False),
        ({"pixel": "tag:crm"}, False),
    ],
)
def test_problem_is_the_same_if_only_echoed_values_or_places_differ(more, is_same):
    assert (key_of(_group(**more)) == key_of(_group())) is is_same


def test_own_reasons_differ_only_by_their_cause():
    held = _group(state=State.HELD, cause=DeliveryCause.EVENT_UNKNOWN, reason="404 a")

    assert key_of(held) == key_of(msgspec.structs.replace(held, reason="404 quite different"))


def test_deliveries_of_muted_problems_are_counted_by_pixel_and_state():
    held = _group(state=State.HELD, deliveries=5)
    groups = [_group(), _group(event="o8z6m", deliveries=4), held]

    muted = muted_deliveries(groups, {mute_subject(key_of(_group()))})

    assert muted == {("o8z6j", State.DEAD): 7}
