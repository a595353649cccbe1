"""Every combination of consent signals, compared with a table written from the documented rules.

The table is independent of the code: it knows what each string means, because it made the string.
"""

import os
from itertools import islice, product

from hypothesis import given
from hypothesis import strategies as st
from iab_strings import MADE, gpp, tc_core, us_core

from twite.consent.verdict import read_evidence, verdict
from twite.domain.consent import PLAIN, ConsentAction, ConsentPolicy
from twite.domain.conversion import Identifiers

PERSON = Identifiers(click_id="click", email="e" * 64)

# Signal → (strength of the objection, whether it grants, whether it concerns storage or user data).
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


# From the most permissive to the strictest.
RANK = {action: rank for rank, action in enumerate(ConsentAction)}


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


def grants_in_words(storage, data, gcd):
    """Whether the words grant.

    If Google's long form says that the grant is the site's default, it does not count.
    """
    return "granted" in (storage, data) and gcd != BY_DEFAULT


def denials(said):
    """Yield the objection of each signal in order of precedence: (matter, signal)."""
    storage, data, ads, gcd, tcf, opt_out, _ = said
    of_words = {"denied": "storage", "refused": "unclear"}
    if storage in of_words:
        yield of_words[storage], "ad_storage"
    if data == "denied":
        yield "user_data", "ad_user_data"
    if ads == "denied":
        yield "personalization", "ad_personalization"
    if opt_out == (("gpc", True),):
        yield "sale", "gpc"
    of_tcf = {
        NO_STORAGE: ("storage", "tcf purpose 1"),
        NO_ADS: ("personalization", "tcf purpose 3"),
        "CPfoo": ("unclear", "tcf"),
    }
    if tcf in of_tcf:
        yield of_tcf[tcf]
    if OPT_OUT[opt_out] == NO and opt_out != (("gpc", True),):
        yield "sale", "gpp usnat sale"
    if gcd == "11q1q1q1q5":
        yield "storage", "gcd ad_storage"
        yield "user_data", "gcd ad_user_data"
        yield "personalization", "gcd ad_personalization"


def is_granted(storage, data, gcd, tcf):
    """The first signal present decides: words, TC string, Google's long form.

    A TC string that only denies storage still grants user data.
    """
    if grants_in_words(storage, data, gcd):
        return True
    if "denied" in (storage, data):
        return False
    if tcf not in (None, "CPfoo"):
        return tcf in (ALL, NO_ADS, NO_STORAGE)
    return gcd in GCD_YES


def expected_verdict(said, policy):
    """Return (action, rule, reason, strip, restricted), only from the rules."""
    storage, data, _ads, gcd, tcf, opt_out, who = said
    actions = {
        "storage": policy.storage_denied,
        "user_data": policy.user_data_denied,
        "personalization": policy.personalization_denied,
        "sale": policy.us_opt_out,
        "unclear": policy.unclear,
    }
    firing_result = {
        ConsentAction.STRIP,
        ConsentAction.RESTRICT,
        ConsentAction.HOLD,
        ConsentAction.SUPPRESS,
    }
    found = [denial for denial in denials(said) if actions[denial[0]] in firing_result]
    strictest = max((RANK[actions[matter]] for matter, _ in found), default=None)
    first = next((signal for signal in found if RANK[actions[signal[0]]] == strictest), None)
    is_final = first is not None and actions[first[0]] in {
        ConsentAction.SUPPRESS,
        ConsentAction.HOLD,
    }
    yes = is_granted(storage, data, gcd, tcf)
    if who != "anyone" and not is_final and not yes:
        action, rule, reason = policy.missing, "missing", "consent_missing"
    elif first is None:
        is_silent = not any((storage, data, _ads, gcd, tcf, opt_out)) and who == "anyone"
        rule = "nothing_said" if is_silent else "granted" if yes else "nothing_denied"
        return ConsentAction.SEND, rule, None, (), False
    else:
        action, rule = actions[first[0]], first[0]
        code = (
            "consent_limited"
            if action in {ConsentAction.STRIP, ConsentAction.RESTRICT}
            else "consent_denied"
        )
        reason = f"{'consent_unclear' if rule == 'unclear' else code}: {first[1]}"
    if action is ConsentAction.SUPPRESS:
        return action, rule, reason, (), False
    named = {actions[matter] for matter, _ in found}
    strip = tuple(
        name
        for matter, names in (("storage", DEVICE), ("user_data", REPORTED))
        if actions[matter] is ConsentAction.STRIP and matter in {signal for signal, _ in found}
        for name in names
    )
    if strip == DEVICE + REPORTED:
        return ConsentAction.SUPPRESS, "nothing_left", reason, (), False
    return action, rule, reason, strip, ConsentAction.RESTRICT in named


# What a denial of storage, or of user data, removes if the policy is to strip.
DEVICE = ("click_id", "browser_id")
REPORTED = ("email", "phone", "ip", "user_agent")


# All combinations with the default policy. With other policies every eleventh combination, which
# still covers each pair of words.
SOME = 1 if os.environ.get("TWITE_TRIAL") == "1" else 11


def differences(policy, every=1):
    wrong = []
    for signals, combination in islice(combinations(), 0, None, every):
        asked = policy(required=combination[-1] == "a source that asks")
        found = verdict(signals, PERSON, policy=asked, now=MADE)
        reported = found.action, found.rule, found.reason, found.strip, found.restricted
        if reported != expected_verdict(combination, asked) or not evidence_matches(found, signals):
            wrong.append((combination, reported, expected_verdict(combination, asked)))
    return wrong


def evidence_matches(found, signals):
    """Return whether the evidence names the decision and its signals."""
    if found.evidence is None:
        return found is PLAIN
    kept = read_evidence(found.evidence)
    said = kept.action, kept.rule, kept.reason, kept.strip, kept.restricted
    reported = found.action, found.rule, found.reason, found.strip, found.restricted
    return said == reported and kept.signals.keys() == signals.keys()


def test_default_policy_decides_every_combination_of_signals_by_the_rules():
    assert differences(ConsentPolicy) == []
    assert sum(1 for _ in combinations()) == 8_640


def lenient(*, required):
    return ConsentPolicy(
        required=required,
        storage_denied=ConsentAction.STRIP,
        us_opt_out=ConsentAction.RESTRICT,
        unclear=ConsentAction.HOLD,
        missing=ConsentAction.HOLD,
    )


def test_lenient_policy_decides_every_combination_of_signals_by_the_rules():
    assert differences(lenient, SOME) == []


def stripping(*, required):
    return ConsentPolicy(
        required=required,
        storage_denied=ConsentAction.STRIP,
        user_data_denied=ConsentAction.STRIP,
        personalization_denied=ConsentAction.SEND,
        us_opt_out=ConsentAction.RESTRICT,
        unclear=None,
    )


def test_stripping_policy_decides_every_combination_of_signals_by_the_rules():
    assert differences(stripping, SOME) == []


def measuring(*, required):
    return ConsentPolicy(
        required=required,
        storage_denied=ConsentAction.RESTRICT,
        user_data_denied=ConsentAction.RESTRICT,
    )


def test_restricting_policy_strips_no_identifiers():
    assert differences(measuring, SOME) == []


SIGNALS = st.fixed_dictionaries(
    {},
    optional={
        "ad_storage": st.sampled_from(["granted", "denied", "", "x", True, False]),
        "ad_user_data": st.sampled_from(["granted", "denied", "", "x"]),
        "gcs": st.sampled_from(["G111", "G100", "G1--", "G"]),
        "gcd": st.sampled_from([*(signal for signal in GCD if signal), "1"]),
        "tcf": st.sampled_from([signal for signal in TCF if signal]),
        "npa": st.sampled_from(["0", "1"]),
        "gpc": st.booleans(),
        "region": st.sampled_from(["DE", "US", "?"]),
    },
)


@given(SIGNALS)
def test_required_consent_never_permits_more_than_optional_consent(signals):
    free = verdict(signals, PERSON, policy=ConsentPolicy(), now=MADE).action
    asked = verdict(signals, PERSON, policy=ConsentPolicy(required=True), now=MADE).action

    assert RANK[asked] >= RANK[free]


@given(SIGNALS, st.sampled_from([("ad_storage", "denied"), ("gpc", "1"), ("gcs", "G100")]))
def test_denial_suppresses_whatever_other_signals_are_present(signals, denial):
    found = verdict(signals | dict([denial]), PERSON, policy=ConsentPolicy(), now=MADE).action

    assert found is ConsentAction.SUPPRESS
