"""The result of a copy of a conversion, for each state of the earlier one."""

import msgspec
import pytest

from builders import NOW, an_entry
from twite.consent.verdict import Evidence
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.domain.times import HOUR, MINUTE, spelled
from twite.gateway.ports.copies import (
    CORRECTED,
    LIMITED,
    OTHER_BODY,
    RENEWED,
    CopyDecision,
    CopyOutcome,
    Holder,
    asks,
    by_later,
    is_plain,
    limits_of,
    rule,
    said,
)

BODY = an_entry().body
DENIED = "consent_denied: ad_storage"
LIMITS = "consent_limited: ad_storage"
DUPLICATE = CopyDecision(takes=False)
NEW = CopyDecision(takes=True)


def evidence(*strip, restricted=False, reason=LIMITS):
    return msgspec.json.encode(
        Evidence(
            action="strip", rule="storage", policy="p", reason=reason, strip=strip,
            restricted=restricted,
        )
    )  # fmt: skip


def a_copy(**fields):
    return msgspec.structs.replace(an_entry(), **fields)


def result_of(copy, *, at=NOW + 1, **holder):
    fields = {"state": State.QUEUED, "is_live": True, "received_at": NOW, "body": BODY} | holder
    return rule(copy, Holder(**fields), at=at)


def withdrawn(reason, *, cause=DeliveryCause.SUPERSEDED, takes=True, held=None, held_cause=None):
    return CopyDecision(
        takes=takes,
        outcome=CopyOutcome.WITHDRAWN,
        cause=cause,
        reason=reason,
        held=held,
        held_cause=held_cause,
    )


@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize("state", State)
def test_denied_copy_withdraws_the_earlier_conversion(state, is_live):
    cause = DeliveryCause.CONSENT_DENIED
    found = result_of(a_copy(suppressed=DENIED, cause=cause), state=state, is_live=is_live)

    assert found == withdrawn(f"{DENIED}, according to a later copy", cause=cause)


@pytest.mark.parametrize("state", [state for state in State if state is not State.DEAD])
def test_copy_after_the_deduplication_window_is_new(state):
    assert result_of(a_copy(), state=state, is_live=False) == NEW


def test_copy_after_the_window_replaces_a_dead_letter():
    assert result_of(a_copy(), state=State.DEAD, is_live=False) == withdrawn(RENEWED)


@pytest.mark.parametrize("state", [State.DELIVERED, State.SUPPRESSED])
def test_copy_of_a_delivered_or_suppressed_conversion_is_a_duplicate(state):
    copy = a_copy(body=b"{}", consent=evidence("email"), held="consent_unclear: gcd")

    assert result_of(copy, state=state) == DUPLICATE


@pytest.mark.parametrize("state", State)
def test_copy_with_the_same_body_is_a_duplicate(state):
    assert result_of(a_copy(), state=state) == DUPLICATE


@pytest.mark.parametrize("state", [State.QUEUED, State.SENDING, State.HELD])
def test_pending_conversion_is_not_corrected(state):
    assert result_of(a_copy(body=b"{}"), state=state) == DUPLICATE


def test_copy_with_another_body_corrects_a_dead_letter():
    assert result_of(a_copy(body=b"{}"), state=State.DEAD) == withdrawn(CORRECTED)


def test_correction_of_an_ambiguous_dead_letter_is_held():
    found = result_of(a_copy(body=b"{}"), state=State.DEAD, is_ambiguous=True)

    assert found == withdrawn(CORRECTED, held=OTHER_BODY, held_cause=DeliveryCause.MAY_COUNT_TWICE)


def test_dead_tag_delivery_is_not_corrected():
    assert result_of(a_copy(body=b"{}", pixel="tag:crm"), state=State.DEAD) == DUPLICATE


@pytest.mark.parametrize(
    ("limits", "corrects"),
    [((), False), (("email",), False), (("email", "ip"), True), (("email", "ip", "phone"), True)],
)
def test_correction_has_at_least_the_restrictions_of_the_dead_letter(limits, corrects):
    copy = a_copy(body=b"{}", consent=evidence(*limits))
    found = result_of(copy, state=State.DEAD, evidence=evidence("email", "ip"))

    assert (found.reason == CORRECTED) == found.takes == corrects


@pytest.mark.parametrize("state", [State.QUEUED, State.HELD])
def test_copy_with_more_restrictions_replaces_an_unsent_conversion(state):
    unclear = DeliveryCause.CONSENT_UNCLEAR
    found = result_of(
        a_copy(consent=evidence("ip")), state=state, cause=unclear, reason="by a user"
    )

    assert found == withdrawn(LIMITED, held="by a user", held_cause=unclear)


@pytest.mark.parametrize(
    "holder",
    [{"state": State.SENDING}, {"is_ambiguous": True}, {"evidence": evidence("phone")}],
)
def test_more_restrictions_withdraw_a_conversion_that_cannot_be_replaced(holder):
    found = result_of(a_copy(consent=evidence("ip")), **holder)

    assert found == withdrawn(by_later(LIMITS), cause=DeliveryCause.CONSENT_LIMITED, takes=False)


def test_restrictions_without_a_reason_have_a_general_reason():
    found = result_of(a_copy(consent=evidence("ip", reason=None)), state=State.SENDING)

    assert found == withdrawn(
        by_later("consent_limited"), cause=DeliveryCause.CONSENT_LIMITED, takes=False
    )


@pytest.mark.parametrize("limits", [(), ("ip",)])
def test_copy_with_as_many_restrictions_or_fewer_is_a_duplicate(limits):
    assert result_of(a_copy(consent=evidence(*limits)), evidence=evidence("ip")) == DUPLICATE


def test_copy_held_for_its_consent_holds_a_queued_conversion():
    cause = DeliveryCause.CONSENT_UNCLEAR

    assert result_of(a_copy(held="its consent", cause=cause)) == CopyDecision(
        takes=False, outcome=CopyOutcome.HELD, cause=cause, reason=by_later("its consent")
    )


@pytest.mark.parametrize(
    ("cause", "state"),
    [
        (DeliveryCause.AMOUNT_ZERO, State.QUEUED),
        (DeliveryCause.CONSENT_UNCLEAR, State.HELD),
        (DeliveryCause.CONSENT_UNCLEAR, State.SENDING),
        (DeliveryCause.CONSENT_UNCLEAR, State.DEAD),
    ],
)
def test_copy_held_for_another_cause_is_a_duplicate(cause, state):
    assert result_of(a_copy(held="consent_unclear: gcd", cause=cause), state=state) == DUPLICATE


def body_at(time):
    return f'{{"conversion_time":"{spelled(time)}","value":"1.00"}}'.encode()


@pytest.mark.parametrize("ahead", [-MINUTE, -1, 0, 1, MINUTE])
def test_bodies_that_differ_only_in_the_time_of_receipt_are_equal(ahead):
    assert said(body_at(NOW + ahead), at=NOW) == b'{"conversion_time":"","value":"1.00"}'


@pytest.mark.parametrize("ahead", [-MINUTE - 1, MINUTE + 1, HOUR])
def test_bodies_with_another_conversion_time_differ(ahead):
    assert said(body_at(NOW + ahead), at=NOW) == body_at(NOW + ahead)


@pytest.mark.parametrize("body", [b"{}", b'{"conversion_time":"soon"}', b"\xff"])
def test_body_without_a_time_is_compared_unchanged(body):
    assert said(body, at=NOW) == body


def test_each_body_is_compared_without_its_own_time_of_receipt():
    again = {"state": State.DEAD, "body": body_at(NOW), "at": NOW + HOUR}

    assert result_of(a_copy(body=body_at(NOW + HOUR)), **again) == DUPLICATE
    assert result_of(a_copy(body=body_at(NOW)), **again) == withdrawn(CORRECTED)


@pytest.mark.parametrize(
    ("cause", "asked"),
    [
        (DeliveryCause.CONSENT_DENIED, True),
        (DeliveryCause.CONSENT_REVOKED, True),
        (DeliveryCause.CONSENT_MISSING, False),
    ],
)
def test_key_of_a_suppressed_conversion_is_taken_only_for_a_denial(cause, asked):
    assert asks(a_copy())
    assert asks(a_copy(suppressed=DENIED, cause=cause)) == asked


def test_plain_copy_has_no_consent_hold_and_no_suppression():
    assert is_plain(a_copy())
    for field in ({"suppressed": DENIED}, {"consent": evidence()}, {"held": "value guard"}):
        assert not is_plain(a_copy(**field))


@pytest.mark.parametrize(
    ("kept", "limits"),
    [
        (None, set()),
        (b"not a record", set()),
        (evidence(), set()),
        (evidence("email", "ip"), {"email", "ip"}),
        (evidence("email", restricted=True), {"email", "restricted"}),
    ],
)
def test_restrictions_are_the_removed_identifiers_and_restricted_use(kept, limits):
    assert limits_of(kept) == limits
