"""A denial affects the purpose that it names. A grant of the other purpose still applies."""

import json

import pytest
from iab_strings import MADE, tc_core

from twite.consent.verdict import kept, verdict
from twite.domain.consent import ConsentAction, ConsentPolicy
from twite.domain.conversion import Identifiers

ALL = Identifiers(
    click_id="click", email="e" * 64, phone="p" * 64, ip="203.0.113.7", user_agent="agent",
    browser_id="browser",
)  # fmt: skip
STRIPS = ConsentPolicy(
    required=True, storage_denied=ConsentAction.STRIP, user_data_denied=ConsentAction.STRIP
)


def decided(policy=STRIPS, **signals):
    return verdict(signals, ALL, policy=policy, now=MADE)


@pytest.mark.parametrize(
    ("storage", "user_data", "strip"),
    [
        ("denied", "granted", ("click_id", "browser_id")),
        ("granted", "denied", ("email", "phone", "ip", "user_agent")),
    ],
)
def test_only_the_denied_purpose_is_stripped(storage, user_data, strip):
    found = decided(ad_storage=storage, ad_user_data=user_data)

    assert (found.action, found.strip) == (ConsentAction.STRIP, strip)


def test_grant_in_a_tc_string_applies_beside_a_default_of_google():
    default = {"ad_storage": "granted", "ad_user_data": "granted", "gcd": "11t1t1t1t5"}

    assert decided(**default).rule == "missing"
    assert decided(**default, tcf=tc_core(purposes=(1, 3, 4, 7, 9, 10))).rule == "granted"


def test_suppressed_conversion_names_the_denial_and_is_not_stripped():
    policy = ConsentPolicy(can_restrict=False, user_data_denied=ConsentAction.STRIP)

    found = decided(policy, ad_storage="denied", ad_user_data="denied", npa="1")

    assert (found.action, found.rule) == (ConsentAction.SUPPRESS, "storage")
    assert (found.strip, found.restricted) == ((), False)


@pytest.mark.parametrize("word", [True, False])
def test_boolean_consent_value_is_stored_as_a_boolean(word):
    assert kept({"ad_storage": word}) == {"ad_storage": word}
    assert json.loads(decided(ad_storage=word).evidence)["signals"] == {"ad_storage": word}
