import pytest
from iab_strings import DAY, MADE, tc_core

from twite.consent.verdict import verdict
from twite.domain.consent import ConsentAction, ConsentPolicy
from twite.domain.conversion import Identifiers

SEND, SUPPRESS = ConsentAction.SEND, ConsentAction.SUPPRESS
ALL = Identifiers(click_id="click", email="e" * 64)


@pytest.mark.parametrize("is_asked", [True, False])
def test_purpose_one_is_neither_granted_nor_denied_if_the_law_does_not_ask_for_it(is_asked):
    text = tc_core(purposes=[3, 4, 7], purpose_one_treatment=not is_asked)

    found = verdict({"tcf": text}, ALL, policy=ConsentPolicy(), now=MADE)

    assert (found.action, found.reason) == (
        (SUPPRESS, "consent_denied: tcf purpose 1") if is_asked else (SEND, None)
    )


def test_tc_string_dated_in_the_future_is_consent_from_one_day_before_its_date():
    text = tc_core(created=MADE + 2 * DAY, updated=MADE + 2 * DAY)
    days = [
        verdict({"tcf": text}, ALL, policy=ConsentPolicy(), now=MADE + later).action
        for later in (0, DAY - 1, DAY, 2 * DAY)
    ]

    assert days == [SUPPRESS, SUPPRESS, SEND, SEND]


def test_each_policy_has_its_own_verdict_on_a_tc_string():
    text = tc_core(purposes=[1, 3, 4])
    policies = [ConsentPolicy(tcf_purposes=purposes) for purposes in ((1, 7), (1,))]

    found = [verdict({"tcf": text}, ALL, policy=each, now=MADE).action for each in policies * 2]

    assert found == [SUPPRESS, SEND] * 2
