"""Consent is decided again from the stored evidence after the policy has changed."""

import msgspec
import pytest
from iab_strings import MADE, tc_core

from twite.consent.decide_again import decide_again
from twite.consent.verdict import read_evidence, verdict
from twite.domain.cause import DeliveryCause
from twite.domain.consent import ConsentAction, ConsentDecision, ConsentPolicy, policy_version
from twite.domain.conversion import Identifiers

SEND, RESTRICT, STRIP, HOLD, SUPPRESS = ConsentAction
ALL = Identifiers(click_id="click", email="e" * 64)
STRIPPED = {"storage_denied": STRIP}


def stored_evidence(signals, **policy):
    return verdict(signals, ALL, policy=ConsentPolicy(**policy), now=MADE).evidence


def decided_again(evidence, **policy):
    found = decide_again(evidence, ConsentPolicy(**policy))
    return found and (found.action, found.reason)


def test_conversion_without_evidence_is_suppressed_only_if_consent_is_required():
    assert decided_again(None) is None
    assert decided_again(None, required=True) == (SUPPRESS, "consent_missing")


def test_conversion_with_unreadable_evidence_is_held():
    assert decide_again(b"{", ConsentPolicy()) == ConsentDecision(
        action=HOLD,
        rule="unclear",
        cause=DeliveryCause.CONSENT_UNCLEAR,
        reason="consent_unclear: the evidence",
    )


def test_decision_stays_under_the_same_policy():
    evidence = msgspec.structs.replace(
        read_evidence(stored_evidence({"ad_storage": "denied"})), action="send", reason=None
    )

    same = msgspec.json.encode(evidence)

    assert evidence.policy == policy_version(ConsentPolicy())
    assert decided_again(same) is None
    assert decided_again(same, can_restrict=False) == (SUPPRESS, "consent_denied: ad_storage")


@pytest.mark.parametrize(
    ("signals", "before", "after", "found"),
    [
        ({"ad_storage": "granted"}, {}, {"required": True}, None),
        ({"ad_storage": "denied"}, {"storage_denied": SEND}, {},
         (SUPPRESS, "consent_denied: ad_storage")),
        ({"ad_storage": "denied"}, {"storage_denied": SEND}, {"storage_denied": HOLD},
         (HOLD, "consent_denied: ad_storage")),
        ({"ad_storage": "denied"}, {"storage_denied": HOLD},
         {"storage_denied": HOLD, "required": True}, None),
        ({"ad_storage": "denied"}, {"storage_denied": SEND}, STRIPPED,
         (SUPPRESS, "consent_limited: ad_storage")),
        ({"ad_storage": "denied"}, STRIPPED, STRIPPED | {"unclear": None}, None),
        ({"ad_storage": "denied"}, STRIPPED, {"storage_denied": SEND}, None),
        ({"npa": "1"}, {"personalization_denied": SEND}, {}, (SUPPRESS, "consent_limited: npa")),
        ({"npa": "1"}, {}, {"unclear": None}, None),
        ({"npa": "1", "ad_storage": "denied"}, {"storage_denied": SEND}, STRIPPED,
         (SUPPRESS, "consent_limited: ad_storage")),
        ({"npa": "1", "ad_storage": "denied"}, STRIPPED | {"personalization_denied": SEND},
         STRIPPED, (SUPPRESS, "consent_limited: ad_storage")),
        ({"region": "BR"}, {}, {"strict_regions": frozenset({"BR"})},
         (SUPPRESS, "consent_missing")),
    ],
)  # fmt: skip
def test_only_a_stricter_policy_changes_a_decision(signals, before, after, found):
    assert decided_again(stored_evidence(signals, **before), **after) == found


@pytest.mark.parametrize(
    ("signals", "after", "found"),
    [
        # Only the hash of the string is stored, so it cannot be read for other purposes.
        ({"tcf": tc_core()}, {"tcf_purposes": (1, 2)}, (SUPPRESS, "consent_unclear: tcf")),
        ({"tcf": tc_core()}, {"required": True}, None),
        ({"ad_storage": "granted"}, {"tcf_purposes": (1, 2)}, None),
        ({"tcf": tc_core()}, {"tcf_purposes": (1, 2), "unclear": None}, None),
    ],
)
def test_consent_string_that_the_changed_policy_reads_differently_is_unclear(signals, after, found):
    assert decided_again(stored_evidence(signals), **after) == found
