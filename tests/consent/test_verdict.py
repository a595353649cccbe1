import json
from pathlib import Path

import pytest
from iab_strings import MADE, disclosed, gpp, tc_core, us_core

from twite.consent.verdict import decide, judging, verdict
from twite.domain.consent import PLAIN, ConsentAction, ConsentPolicy, policy_version
from twite.domain.conversion import Identifiers

SEND, RESTRICT, STRIP, HOLD, SUPPRESS = ConsentAction
ALL = Identifiers(
    click_id="click", email="e" * 64, phone="p" * 64, ip="203.0.113.7", user_agent="agent",
    browser_id="browser",
)  # fmt: skip
STORAGE = ("click_id", "browser_id")
USER_DATA = ("email", "phone", "ip", "user_agent")


def decided(signals, *, identifiers=ALL, revoked=False, **policy):
    found = verdict(signals, identifiers, policy=ConsentPolicy(**policy), now=MADE, revoked=revoked)
    return found.action, found.reason


def test_missing_signals_are_consent_unless_it_is_required():
    assert verdict(None, ALL, policy=ConsentPolicy(), now=MADE) is PLAIN
    assert judging(policy=ConsentPolicy(), now=MADE)(None, ALL, "o8z6j") is PLAIN


@pytest.mark.parametrize("word", ["granted", "GRANTED", " Granted ", "true", "1", "yes", True])
def test_granted_conversion_is_sent_even_if_consent_is_required(word):
    assert decided({"ad_storage": word}, required=True) == (SEND, None)


@pytest.mark.parametrize("word", ["denied", "DENIED", " Denied ", "false", "0", "no", False])
@pytest.mark.parametrize("name", ["ad_storage", "ad_user_data"])
@pytest.mark.parametrize("required", [True, False])
def test_denial_in_any_signal_suppresses(word, name, required):
    assert decided({name: word}, required=required) == (SUPPRESS, f"consent_denied: {name}")


@pytest.mark.parametrize("required", [True, False])
def test_denial_overrides_a_grant(required):
    signals = {"ad_storage": "granted", "ad_user_data": "denied"}

    assert decided(signals, required=required) == (SUPPRESS, "consent_denied: ad_user_data")


@pytest.mark.parametrize("name", ["AD_STORAGE", "Ad_Storage", " ad_storage "])
def test_denial_is_recognized_in_any_spelling_of_the_signal_name(name):
    assert decided({name: "denied"}) == (SUPPRESS, "consent_denied: ad_storage")


@pytest.mark.parametrize("first", ["granted", "denied"])
def test_conversion_with_a_duplicate_signal_name_is_not_sent(first):
    other = {"granted": "denied", "denied": "granted"}[first]

    assert decided({"ad_storage": first, "AD_STORAGE": other})[0] is SUPPRESS


@pytest.mark.parametrize(
    "signals", [None, {}, {"ad_storage": ""}, {"analytics_storage": "granted"}]
)
def test_missing_signals_are_a_denial_only_if_consent_is_required(signals):
    assert decided(signals, required=True) == (SUPPRESS, "consent_missing")
    assert decided(signals) == (SEND, None)


def test_signals_of_unrelated_purposes_do_not_affect_the_verdict():
    assert decided({"analytics_storage": "denied", "security_storage": False}) == (SEND, None)


@pytest.mark.parametrize(
    "signals",
    [
        {"ad_storge": "denied"},
        {"ad_storage": "refused"},
        {"ad_storage": "granted", "ad_user_data": "maybe"},
        {"": "granted"},
        {"gcs": "G1"},
        {"gcd": "11o1t1t1t5"},
        {"tcf": "CPX"},
        {"gpp": "DBAB"},
        {"gpp": gpp({7: us_core({18: 3})})},
        {"usp": "1Y"},
        {"gpc": "perhaps"},
        {"npa": "2"},
        {"gdpr_applies": "maybe"},
        {"region": "Germany"},
    ],
)
def test_possibly_misspelt_denial_suppresses_the_conversion(signals):
    action, reason = decided(signals)

    assert (action, reason.split(":")[0]) == (SUPPRESS, "consent_unclear")


def test_conversion_with_an_unreadable_signal_is_held_or_sent_by_the_policy():
    unclear = {"ad_storage": "refused"}

    assert decided(unclear, unclear=HOLD) == (HOLD, "consent_unclear: ad_storage")
    assert decided(unclear, unclear=None) == (SEND, None)
    assert decided(unclear, unclear=None, required=True) == (SUPPRESS, "consent_missing")


def test_conversion_without_consent_is_held_by_the_policy():
    assert decided(None, required=True, missing=HOLD) == (HOLD, "consent_missing")


@pytest.mark.parametrize(
    ("signals", "reason"),
    [
        ({"gpc": True}, "gpc"),
        ({"gpc": "1"}, "gpc"),
        ({"usp": "1YYN"}, "usp"),
        ({"gpp": gpp({8: us_core({12: 1})}), "gpp_sid": "8"}, "gpp usca sale"),
        ({"gpp": gpp({6: "1NYN"})}, "gpp uspv1 sale"),
        ({"gpp": gpp({7: us_core({22: 1})}), "gpp_sid": "8"}, "gpp usnat advertising"),
    ],
)
def test_us_opt_out_suppresses_or_restricts_by_the_policy(signals, reason):
    assert decided(signals) == (SUPPRESS, f"consent_denied: {reason}")
    assert decided(signals, us_opt_out=RESTRICT) == (RESTRICT, f"consent_limited: {reason}")


@pytest.mark.parametrize(
    "signals", [{"gpc": False}, {"gpc": "0"}, {"usp": "1---"}, {"usp": "1YNN"}]
)
def test_us_signals_without_an_opt_out_send(signals):
    assert decided(signals) == (SEND, None)


@pytest.mark.parametrize(
    "signals", [{"ad_personalization": "denied"}, {"npa": "1"}, {"gcd": "11l1l1l1q5"}]
)
def test_denial_of_personalization_restricts_data_use(signals):
    found = verdict(signals, ALL, policy=ConsentPolicy(), now=MADE)

    assert (found.action, found.restricted) == (RESTRICT, True)
    assert decided(signals, personalization_denied=SEND) == (SEND, None)
    assert decided(signals, personalization_denied=SUPPRESS)[0] is SUPPRESS


def test_conversion_is_suppressed_if_restriction_is_not_supported():
    found = verdict({"npa": "1"}, ALL, policy=ConsentPolicy(can_restrict=False), now=MADE)

    assert (found.action, found.rule) == (SUPPRESS, "cannot_restrict")


def test_denied_storage_strips_device_identifiers():
    found = verdict(
        {"ad_storage": "denied"}, ALL, policy=ConsentPolicy(storage_denied=STRIP), now=MADE
    )

    assert (found.action, found.strip, found.reason) == (
        STRIP, STORAGE, "consent_limited: ad_storage",
    )  # fmt: skip


def test_denied_user_data_strips_personal_identifiers():
    found = verdict(
        {"ad_user_data": "denied"}, ALL, policy=ConsentPolicy(user_data_denied=STRIP), now=MADE
    )

    assert (found.action, found.strip) == (STRIP, USER_DATA)


@pytest.mark.parametrize(
    ("signals", "identifiers"),
    [
        ({"ad_storage": "denied", "ad_user_data": "denied"}, ALL),
        ({"ad_storage": "denied"}, Identifiers(click_id="click", ip="203.0.113.7")),
        ({"ad_user_data": "denied"}, Identifiers(email="e" * 64, browser_id="browser")),
    ],
)
def test_conversion_without_enough_identifiers_after_stripping_is_suppressed(signals, identifiers):
    policy = ConsentPolicy(storage_denied=STRIP, user_data_denied=STRIP)

    found = verdict(signals, identifiers, policy=policy, now=MADE)

    assert (found.action, found.rule, found.strip) == (SUPPRESS, "nothing_left", ())


def test_stripped_conversion_can_also_be_restricted():
    signals = {"ad_storage": "denied", "npa": "1"}

    found = verdict(signals, ALL, policy=ConsentPolicy(storage_denied=STRIP), now=MADE)

    assert (found.action, found.strip, found.restricted) == (STRIP, STORAGE, True)


def test_held_conversion_is_stripped_when_it_is_released():
    signals = {"ad_storage": "denied", "ad_user_data": "who knows"}

    found = verdict(
        signals, ALL, policy=ConsentPolicy(storage_denied=STRIP, unclear=HOLD), now=MADE
    )

    assert (found.action, found.strip) == (HOLD, STORAGE)


@pytest.mark.parametrize(
    ("purposes", "action", "reason"),
    [
        ((1, 3, 4, 7), SEND, None),
        ((1, 7), RESTRICT, "consent_limited: tcf purpose 3"),
        ((3, 4, 7), SUPPRESS, "consent_denied: tcf purpose 1"),
        ((1, 3, 4), SUPPRESS, "consent_denied: tcf purpose 7"),
        ((), SUPPRESS, "consent_denied: tcf purpose 1"),
    ],
)
def test_tc_string_must_grant_the_required_purposes(purposes, action, reason):
    assert decided({"tcf": tc_core(purposes=purposes)}, required=True) == (action, reason)


def test_tc_string_is_ignored_where_gdpr_does_not_apply():
    signals = {"tcf": tc_core(purposes=()), "gdpr_applies": False}

    assert decided(signals) == (SEND, None)


def test_purpose_one_is_not_denied_where_the_law_does_not_ask_for_it():
    signals = {"tcf": tc_core(purposes=(3, 4, 7), purpose_one_treatment=True)}

    assert decided(signals, required=True) == (SEND, None)


@pytest.mark.parametrize(
    ("text", "action"),
    [
        (tc_core(vendor_ids=(25,)), SEND),
        (tc_core(vendor_ids=(26,)), SUPPRESS),
        (tc_core(vendor_ids=(25,), restrictions=[(7, 0, [(20, 30)])]), SUPPRESS),
        (f"{tc_core(vendor_ids=(25,))}.{disclosed([26])}", SUPPRESS),
        (f"{tc_core(vendor_ids=(25,))}.{disclosed([25])}", SEND),
    ],
)
def test_configured_vendor_must_have_consent_in_the_tc_string(text, action):
    assert decided({"tcf": text}, tcf_vendor_id=25)[0] is action


@pytest.mark.parametrize(
    ("text", "action"), [("2~35.40~dv.9", SEND), ("2~40~dv.35", SUPPRESS), ("1~35", SEND)]
)
def test_configured_provider_must_be_in_the_additional_consent_string(text, action):
    assert decided({"ac": text}, ac_provider_id=35)[0] is action


@pytest.mark.parametrize(("text", "action"), [("meta,x", SEND), ("meta", SUPPRESS)])
def test_configured_cmp_vendor_must_have_consent(text, action):
    assert decided({"vendors": text}, cmp_vendor="x")[0] is action


def test_vendor_consents_are_ignored_if_no_vendor_is_configured():
    assert decided({"ac": "2~40", "vendors": "meta", "tcf": tc_core(vendor_ids=())}) == (SEND, None)


def test_tc_string_in_a_gpp_string_applies_where_its_law_applies():
    denied = gpp({2: tc_core(purposes=())})

    assert decided({"gpp": denied})[0] is SUPPRESS
    assert decided({"gpp": denied, "gpp_sid": "2"})[0] is SUPPRESS
    assert decided({"gpp": denied, "gpp_sid": "7"}) == (SEND, None)
    assert decided({"gpp": denied, "gdpr_applies": "0"}) == (SEND, None)


@pytest.mark.parametrize("region", ["DE", "de", "GB", "UK", "CH", "NO", "GR", "EL", "FR-75"])
def test_missing_consent_in_a_strict_region_is_a_denial(region):
    assert decided({"region": region}) == (SUPPRESS, "consent_missing")


@pytest.mark.parametrize("region", ["US", "US-CA", "BR"])
def test_missing_consent_outside_a_strict_region_is_not_a_denial(region):
    assert decided({"region": region}) == (SEND, None)


def test_missing_consent_is_a_denial_if_gdpr_applies():
    assert decided({"gdpr_applies": "1"}) == (SUPPRESS, "consent_missing")


@pytest.mark.parametrize(
    ("gcd", "action"),
    [
        ("11r1l1r1r5", SEND), ("11n1l1v1t5", SEND), ("11t1t1t1t5", SUPPRESS),
        ("11r1r1t1r5", SUPPRESS), ("11r1r1l1r5", SUPPRESS), ("11l1l1l1l5", SUPPRESS),
    ],
)  # fmt: skip
def test_only_an_active_choice_in_gcd_is_consent_in_a_strict_region(gcd, action):
    assert decided({"gcd": gcd, "region": "DE"})[0] is action
    assert decided({"gcd": gcd}) == (SEND, None)


GOOGLE = json.loads((Path(__file__).parent / "google_acts.json").read_text())


@pytest.mark.parametrize("case", [pytest.param(case, id=case["is"]) for case in GOOGLE])
def test_granting_default_of_google_is_not_consent(case):
    asked = decided(case["signals"], required=True)[0]
    unasked = decided(case["signals"])[0]

    assert (asked is SEND, unasked is SEND) == (case["a_yes"], not case["a_no"])


def test_person_on_the_opt_out_list_is_suppressed_whatever_the_signals():
    granted = {"ad_storage": "granted", "ad_user_data": "granted"}

    assert decided(granted, revoked=True) == (SUPPRESS, "consent_revoked")
    assert decided(None, revoked=True) == (SUPPRESS, "consent_revoked")


def test_opt_out_list_is_checked_per_pixel():
    asked = []

    def revoked(identifiers, pixel):
        asked.append((identifiers, pixel))
        return pixel == "o8z6j"

    judge = judging(policy=ConsentPolicy(), now=MADE, revoked=revoked)

    assert judge(None, ALL, "o8z6j").reason == "consent_revoked"
    assert judge(None, ALL, "o8z6k") is PLAIN
    assert asked == [(ALL, "o8z6j"), (ALL, "o8z6k")]


def test_consent_judge_applies_the_policy_of_its_source():
    free, strict = (
        judging(policy=ConsentPolicy(required=required), now=MADE) for required in (False, True)
    )

    assert (free(None, ALL, "p"), strict(None, ALL, "p").reason) == (PLAIN, "consent_missing")
    assert free({"npa": "1"}, ALL, "p").action is RESTRICT


def test_verdict_names_the_signals_that_decided():
    policy = ConsentPolicy(required=True)

    said, silent = (verdict(given, ALL, policy=policy, now=MADE) for given in ({"npa": "1"}, {}))

    assert (said.signals, silent.signals) == ({"npa": "1"}, None)


@pytest.mark.parametrize(("length", "is_kept"), [(32, True), (33, False)])
def test_signal_value_of_at_most_32_letters_is_stored(length, is_kept):
    word = "a word, another word and a long one"[:length]

    found = verdict({"region": word}, ALL, policy=ConsentPolicy(), now=MADE)

    assert (found.signals == {"region": word}) == is_kept


def test_evidence_contains_the_decision_and_hides_the_consent_strings():
    text = tc_core(purposes=(1, 7))

    found = verdict({"tcf": text, "ad_storage": "granted"}, ALL, policy=ConsentPolicy(), now=MADE)

    shown = json.loads(found.evidence)
    assert (shown["action"], shown["rule"], shown["policy"]) == (
        "restrict", "personalization", policy_version(ConsentPolicy()),
    )  # fmt: skip
    assert shown["signals"]["ad_storage"] == "granted"
    assert shown["signals"]["tcf"].startswith("sha256:")
    assert text not in found.evidence.decode()
    assert ["storage", "granted", "tcf purpose 1", "tcf"] in shown["said"]


def test_unknown_signal_is_stored_only_as_a_hash():
    signals = {"canary@example.com": "canary@example.com", "ad_storage": f"{'long ' * 9}canary"}

    found = verdict(signals, ALL, policy=ConsentPolicy(), now=MADE)

    assert b"canary" not in found.evidence


@pytest.mark.parametrize("word", ["a@canary.example", "+442079460016", "phone=442079460016"])
def test_signal_value_that_is_an_email_or_phone_number_is_stored_as_a_hash(word):
    found = verdict({"ad_storage": word}, ALL, policy=ConsentPolicy(), now=MADE)

    assert json.loads(found.evidence)["signals"]["ad_storage"].startswith("sha256:")
    assert word.encode() not in found.evidence


@pytest.mark.parametrize("word", ["\ud800", "\x1b[2J", "granted\u202e"])
def test_signal_value_with_special_characters_is_stored_as_a_hash(word):
    found = verdict({"region": word}, ALL, policy=ConsentPolicy(), now=MADE)

    assert json.loads(found.evidence)["signals"]["region"].startswith("sha256:")


@pytest.mark.parametrize(
    ("signals", "rule"),
    [({"ad_storage": "granted"}, "granted"), ({"analytics_storage": "granted"}, "nothing_denied")],
)
def test_rule_of_a_sent_conversion_says_whether_consent_was_granted_or_missing(signals, rule):
    assert verdict(signals, ALL, policy=ConsentPolicy(), now=MADE).rule == rule


def test_conversion_without_signals_is_sent_outside_strict_regions():
    assert decide((), ConsentPolicy(), strict=False).action is SEND
