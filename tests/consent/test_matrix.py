"""Every combination of what may be said, against a table written from the rules in the facts.

The table shares nothing with the code: it knows the strings by what they were made to say.
"""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st
from iab_strings import MADE, gpp, tc_core, us_core

from twite.consent.verdict import verdict
from twite.domain.consent import Action, Policy
from twite.domain.identifiers import Identifiers

PERSON = Identifiers(click_id="click", email="e" * 64)

# What is said → (how strong the objection, is it a yes, does it speak of storage or user data).
NO, UNCLEAR, LIMIT, FINE = "no", "unclear", "limit", "fine"
AD_STORAGE = {None: FINE, "granted": FINE, "denied": NO, "refused": UNCLEAR}
AD_USER_DATA = {None: FINE, "granted": FINE, "denied": NO}
AD_PERSONALIZATION = {None: FINE, "granted": FINE, "denied": LIMIT}
GCD = {None: FINE, "11v1v1v1v5": FINE, "11t1t1t1t5": FINE, "11q1q1q1q5": NO}
GCD_YES = {"11v1v1v1v5"}
BY_DEFAULT = "11t1t1t1t5"
ALL, NO_STORAGE, NO_ADS = tc_core(), tc_core(purposes=(3, 4, 7)), tc_core(purposes=(1, 7))
TCF = {None: FINE, ALL: FINE, NO_STORAGE: NO, NO_ADS: LIMIT, "CPfoo": UNCLEAR}
OPT_OUT = {
    (): FINE,
    (("gpc", True),): NO,
    (("gpp", gpp({7: us_core({18: 1})})), ("gpp_sid", "7")): NO,
    (("usp", "1YNN"),): FINE,
}
WHO = {"anyone": {}, "a European": {"region": "DE"}, "a source that asks": {}}


def combinations():
    for storage, data, ads, gcd, tcf, opt_out, who in product(
        AD_STORAGE, AD_USER_DATA, AD_PERSONALIZATION, GCD, TCF, OPT_OUT, WHO
    ):
        named = {
            "ad_storage": storage, "ad_user_data": data, "ad_personalization": ads, "gcd": gcd,
            "tcf": tcf,
        }  # fmt: skip
        signals = {name: word for name, word in named.items() if word is not None}
        yield signals | dict(opt_out) | WHO[who], (storage, data, ads, gcd, tcf, opt_out, who)


def words_said_yes(storage, data, gcd):
    """A grant in words is nobody's where the long form says that the site made it."""
    return "granted" in (storage, data) and gcd != BY_DEFAULT


def said_yes(storage, data, gcd, tcf):
    """Of those that speak, the first in order decides: words, TC string, Google's long form."""
    if words_said_yes(storage, data, gcd):
        return True
    if tcf is not None:
        return tcf in (ALL, NO_ADS)
    return gcd in GCD_YES


def expected(said):
    storage, data, ads, gcd, tcf, opt_out, who = said
    objections = {
        AD_STORAGE[storage], AD_USER_DATA[data], AD_PERSONALIZATION[ads], GCD[gcd], TCF[tcf],
        OPT_OUT[opt_out],
    }  # fmt: skip
    if objections & {NO, UNCLEAR}:
        return Action.SUPPRESS
    if who != "anyone" and not said_yes(storage, data, gcd, tcf):
        return Action.SUPPRESS
    return Action.RESTRICT if LIMIT in objections else Action.SEND


def expected_of_the_lenient(said):
    """Of a policy that strips on storage, restricts on opt-outs, and holds what it cannot know."""
    storage, data, ads, gcd, tcf, opt_out, who = said
    if data == "denied" or gcd == "11q1q1q1q5":
        return Action.SUPPRESS
    if storage == "refused" or tcf == "CPfoo":
        return Action.HOLD
    yes = (
        words_said_yes(storage, data, gcd)
        or (storage != "denied" and tcf in (ALL, NO_ADS))
        or (storage != "denied" and tcf == NO_STORAGE)
        or (storage != "denied" and tcf is None and gcd in GCD_YES)
    )
    if who != "anyone" and not yes:
        return Action.HOLD
    if storage == "denied" or tcf == NO_STORAGE:
        return Action.STRIP
    limited = ads == "denied" or tcf == NO_ADS or OPT_OUT[opt_out] == NO
    return Action.RESTRICT if limited else Action.SEND


def differences(policy, table):
    wrong = []
    for signals, combination in combinations():
        required = combination[-1] == "a source that asks"
        found = verdict(signals, PERSON, policy=policy(required=required), now=MADE).action
        if found is not table(combination):
            wrong.append((combination, found, table(combination)))
    return wrong


def test_the_default_policy_decides_every_combination_as_the_table_says():
    assert differences(Policy, expected) == []
    assert sum(1 for _ in combinations()) == 8_640


def lenient(*, required):
    return Policy(
        required=required,
        storage_denied=Action.STRIP,
        us_opt_out=Action.RESTRICT,
        unclear=Action.HOLD,
        missing=Action.HOLD,
    )


def test_a_lenient_policy_decides_every_combination_as_its_table_says():
    assert differences(lenient, expected_of_the_lenient) == []


SIGNALS = st.fixed_dictionaries(
    {},
    optional={
        "ad_storage": st.sampled_from(["granted", "denied", "", "x", True, False]),
        "ad_user_data": st.sampled_from(["granted", "denied", "", "x"]),
        "gcs": st.sampled_from(["G111", "G100", "G1--", "G"]),
        "gcd": st.sampled_from([*(one for one in GCD if one), "1"]),
        "tcf": st.sampled_from([one for one in TCF if one]),
        "npa": st.sampled_from(["0", "1"]),
        "gpc": st.booleans(),
        "region": st.sampled_from(["DE", "US", "?"]),
    },
)
RANK = {action: rank for rank, action in enumerate(Action)}


@given(SIGNALS)
def test_to_require_consent_never_lets_more_through(signals):
    free = verdict(signals, PERSON, policy=Policy(), now=MADE).action
    asked = verdict(signals, PERSON, policy=Policy(required=True), now=MADE).action

    assert RANK[asked] >= RANK[free]


@given(SIGNALS, st.sampled_from([("ad_storage", "denied"), ("gpc", "1"), ("gcs", "G100")]))
def test_a_denial_suppresses_whatever_else_is_said(signals, denial):
    found = verdict(signals | dict([denial]), PERSON, policy=Policy(), now=MADE).action

    assert found is Action.SUPPRESS
