"""Edits of a dead letter, and when sending it again could count it twice."""

import msgspec
import pytest

from builders import NOW, a_conversion
from twite.domain.cause import MAYBE_SENT, DeliveryCause
from twite.domain.conversion import Identifiers
from twite.domain.delivery import (
    AMBIGUITY_WINDOW,
    State,
)
from twite.domain.history import History, PastAttempt
from twite.domain.times import HOUR
from twite.gateway.operations.edit import Edit, apply_edit, doubt
from twite.x.encode import conversion_body


def _history(*, attempts=(), cause=DeliveryCause.REFUSED, **said):
    conversion = msgspec.structs.replace(a_conversion(), **said)
    return History(
        delivery=7,
        pixel="o8z6j",
        event="o8z6k",
        conversion_id="order-1",
        state=State.DEAD,
        source="shop",
        receipt="r1",
        received_at=NOW,
        deadline_at=NOW,
        sent=conversion_body(conversion),
        attempts=attempts,
        cause=cause,
        reason="of no meaning for a decision",
    )


def _unanswered(at):
    return PastAttempt(at=at, outcome="errored", status=None, answer="", ambiguous=True)


def _sent(edited):
    return msgspec.json.decode(edited.body)


def test_body_without_an_edit_is_unchanged():
    history = _history()

    assert apply_edit(history, Edit()).body == history.sent


def test_edit_can_replace_the_event():
    edited = apply_edit(_history(), Edit(event="o8z6m"))

    before = msgspec.json.decode(_history().sent)
    assert (edited.event, _sent(edited), edited.fault) == (
        "o8z6m",
        before | {"event_id": "o8z6m"},
        None,
    )
    assert list(_sent(edited)) == list(before)


@pytest.mark.parametrize(
    ("value", "divide", "after"),
    [
        ("4990.00", 100, "49.90"),
        ("5.00", 100, "0.05"),
        ("49.90", 1_000, "0.0499"),
        ("123456789012345678.00", 10, "12345678901234567.80"),
    ],
)
def test_edit_divides_the_amount_exactly(value, divide, after):
    edited = apply_edit(_history(value=value), Edit(divide=divide))

    assert (_sent(edited)["value"], edited.fault) == (after, None)


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (Edit(value="1,50"), "is not an amount"),
        (Edit(currency="EURO"), "not a currency"),
        (Edit(drop=("twclid",)), "the edit would leave no match key"),
    ],
)
def test_edit_that_x_would_refuse_is_an_error(edit, fault):
    assert fault in apply_edit(_history(), edit).fault


def test_edit_that_removes_the_amount_removes_the_currency():
    sent = _sent(apply_edit(_history(), Edit(drop=("value",))))

    assert not sent.keys() & {"value", "price_currency"}


def test_edit_that_removes_an_identifier_removes_its_pair():
    identifiers = Identifiers(click_id="23opevjt", email="ab" * 32, ip="203.0.113.7")

    edited = apply_edit(_history(identifiers=identifiers), Edit(drop=("twclid",)))

    assert (_sent(edited)["identifiers"], edited.fault) == ([{"hashed_email": "ab" * 32}], None)


def test_deleted_body_cannot_be_edited():
    history = msgspec.structs.replace(_history(), sent=b"")

    assert apply_edit(history, Edit(currency="GBP")).fault is not None


@pytest.mark.parametrize(
    ("attempts", "after", "changed", "doubtful"),
    [
        ((), 0, True, False),
        ((_unanswered(NOW),), HOUR, False, False),
        ((_unanswered(NOW),), HOUR, True, True),
        ((_unanswered(NOW),), AMBIGUITY_WINDOW, False, True),
        ((_unanswered(NOW), _unanswered(NOW + 30 * HOUR)), AMBIGUITY_WINDOW, False, True),
    ],
)
def test_ambiguous_delivery_needs_confirmation_after_forty_hours(
    attempts, after, changed, doubtful
):
    said = doubt(_history(attempts=attempts), now=NOW + after, changed=changed)

    assert (said is not None) is doubtful


def test_delivery_held_as_ambiguous_needs_confirmation_without_attempts():
    assert doubt(_history(cause=DeliveryCause.MAY_COUNT_TWICE), now=NOW) is not None


def test_delivery_held_as_ambiguous_needs_confirmation_within_forty_hours():
    history = _history(cause=DeliveryCause.MAY_COUNT_TWICE, attempts=(_unanswered(NOW),))

    assert "only if you confirm" in doubt(history, now=NOW + HOUR)


@pytest.mark.parametrize("after", [HOUR, AMBIGUITY_WINDOW])
@pytest.mark.parametrize(
    "known",
    [
        {"attempts": (_unanswered(NOW),)},
        {"ambiguous_since": NOW},
        {"cause": DeliveryCause.STORE_RESTORED},
    ],
)
def test_ambiguous_delivery_of_a_cautious_tag_needs_confirmation(known, after):
    history = msgspec.structs.replace(_history(cause=DeliveryCause.FAILED), pixel="tag:crm")
    history = msgspec.structs.replace(history, **known)

    said = doubt(history, now=NOW + after, is_cautious=True)

    assert said.startswith("the tag's vendor may already have this conversion since ")
    assert said.endswith("and Twite repeats the request only if you confirm")


def test_delivery_of_a_cautious_tag_without_attempts_needs_no_confirmation():
    history = msgspec.structs.replace(_history(cause=DeliveryCause.FAILED), pixel="tag:crm")

    assert doubt(history, now=NOW, is_cautious=True) is None


def test_held_run_of_a_tag_that_runs_at_most_once_needs_confirmation():
    history = msgspec.structs.replace(
        _history(cause=DeliveryCause.MAY_COUNT_TWICE), pixel="tag:crm"
    )

    assert doubt(history, now=NOW) is not None


@pytest.mark.parametrize("cause", sorted(MAYBE_SENT))
def test_conversion_with_a_later_copy_needs_confirmation_after_forty_hours(cause):
    history = _history(cause=cause)

    assert doubt(history, now=NOW + AMBIGUITY_WINDOW - 1) is None
    assert doubt(history, now=NOW + AMBIGUITY_WINDOW - 1, changed=True) is not None
    assert doubt(history, now=NOW + AMBIGUITY_WINDOW).startswith(
        "X may already have this conversion since "
    )


def test_confirmation_of_an_ambiguous_tag_delivery_mentions_the_vendor():
    history = msgspec.structs.replace(_history(attempts=(_unanswered(NOW),)), pixel="tag:crm")

    assert doubt(history, now=NOW + AMBIGUITY_WINDOW).startswith(
        "the tag's vendor may already have this conversion since "
    )


def test_edit_is_described_in_a_sentence():
    edit = Edit(event="o8z6m", currency="GBP", divide=100, drop=("description",))

    assert edit.sentence == ("event o8z6m, value divided by 100, currency GBP, without description")
