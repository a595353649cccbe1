"""Edits of a conversion, and when sending it again could count it twice."""

import msgspec
import pytest

from builders import NOW, a_conversion
from twite.domain.conversion import Identifiers
from twite.domain.delivery import (
    AMBIGUITY_WINDOW,
    MAY_COUNT_TWICE,
    OLDER_COPY,
    RECOVERED,
    UNKNOWN_COPY,
    State,
)
from twite.domain.history import History, PastAttempt
from twite.domain.times import HOUR
from twite.gateway.operations.edit import Edit, apply_edit, doubt
from twite.gateway.tags.run.outcome import AT_MOST_ONCE
from twite.x.encode import conversion_body


def _history(*, attempts=(), reason="400 INVALID_PARAMETER", **said):
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
        reason=reason,
    )


def _unanswered(at):
    return PastAttempt(at=at, outcome="errored", status=None, answer="", ambiguous=True)


def _sent(edited):
    return msgspec.json.decode(edited.body)


def test_without_a_change_the_body_is_the_same_to_the_byte():
    history = _history()

    assert apply_edit(history, Edit()).body == history.sent


def test_another_event_takes_the_place_of_the_first():
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
def test_an_amount_is_divided_to_the_digit(value, divide, after):
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
def test_what_x_would_refuse_stays(edit, fault):
    assert fault in apply_edit(_history(), edit).fault


def test_without_an_amount_there_is_no_currency():
    sent = _sent(apply_edit(_history(), Edit(drop=("value",))))

    assert not sent.keys() & {"value", "price_currency"}


def test_an_address_that_rode_on_what_is_left_out_goes_too():
    identifiers = Identifiers(click_id="23opevjt", email="ab" * 32, ip="203.0.113.7")

    edited = apply_edit(_history(identifiers=identifiers), Edit(drop=("twclid",)))

    assert (_sent(edited)["identifiers"], edited.fault) == ([{"hashed_email": "ab" * 32}], None)


def test_a_body_that_is_not_kept_cannot_be_changed():
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
def test_forty_hours_after_x_may_have_had_it_a_person_must_be_sure(
    attempts, after, changed, doubtful
):
    said = doubt(_history(attempts=attempts), now=NOW + after, changed=changed)

    assert (said is not None) is doubtful


def test_what_is_held_for_it_is_doubtful_though_its_attempts_are_forgotten():
    assert doubt(_history(reason=MAY_COUNT_TWICE), now=NOW) is not None


def test_what_is_held_for_it_within_the_hours_is_a_persons_to_repeat():
    history = _history(reason=MAY_COUNT_TWICE, attempts=(_unanswered(NOW),))

    assert "only if you confirm" in doubt(history, now=NOW + HOUR)


@pytest.mark.parametrize("after", [HOUR, AMBIGUITY_WINDOW])
@pytest.mark.parametrize(
    "known",
    [{"attempts": (_unanswered(NOW),)}, {"ambiguous_since": NOW}, {"reason": OLDER_COPY}],
)
def test_a_cautious_tag_is_asked_about_whatever_it_is_held_for_and_however_long(known, after):
    history = msgspec.structs.replace(_history(reason="it took longer than 30 s"), pixel="tag:crm")
    history = msgspec.structs.replace(history, **known)

    said = doubt(history, now=NOW + after, is_cautious=True)

    assert said.startswith("the tag's vendor may have had this conversion since ")
    assert said.endswith("and Twite repeats the request only if you confirm")


def test_what_never_left_needs_nobody_to_be_sure_though_the_tag_be_cautious():
    history = msgspec.structs.replace(_history(reason="no such template"), pixel="tag:crm")

    assert doubt(history, now=NOW, is_cautious=True) is None


def test_what_a_tag_holds_since_it_runs_at_most_once_is_held_for_doubt():
    history = msgspec.structs.replace(_history(reason=f"{AT_MOST_ONCE}: 500"), pixel="tag:crm")

    assert doubt(history, now=NOW) is not None


@pytest.mark.parametrize("reason", [OLDER_COPY, UNKNOWN_COPY, RECOVERED])
def test_of_a_copy_it_is_doubtful_forty_hours_after_it_came_in(reason):
    history = _history(reason=reason)

    assert doubt(history, now=NOW + AMBIGUITY_WINDOW - 1) is None
    assert doubt(history, now=NOW + AMBIGUITY_WINDOW - 1, changed=True) is not None
    assert doubt(history, now=NOW + AMBIGUITY_WINDOW).startswith(
        "X may have had this conversion since "
    )


def test_what_a_tag_sent_its_vendor_may_have():
    history = msgspec.structs.replace(_history(attempts=(_unanswered(NOW),)), pixel="tag:crm")

    assert doubt(history, now=NOW + AMBIGUITY_WINDOW).startswith(
        "the tag's vendor may have had this conversion since "
    )


def test_a_change_is_told_in_words():
    edit = Edit(event="o8z6m", currency="GBP", divide=100, drop=("description",))

    assert edit.sentence == ("event o8z6m, value divided by 100, currency GBP, without description")
