"""The consent signals of a tag event, at every place where tags send them."""

import json

import pytest

from builders import NOW
from twite.consent.verdict import verdict
from twite.domain.consent import ConsentAction, ConsentPolicy
from twite.domain.conversion import Identifiers
from twite.formats.event_data.consent import signals_of
from twite.formats.ga4 import read as ga4
from twite.formats.measurement_protocol import read as measurement_protocol
from twite.gateway.ports.tags import policy_for

HIT = "v=2&tid=G-1&cid=1.2&en=purchase&ep.transaction_id=T-1"
DEFAULT = ConsentPolicy()
SOMEBODY = Identifiers(click_id="click")


def of_hit(query):
    (event,) = ga4.read(f"{HIT}&{query}", b"").events
    return signals_of(event, opted_out=False)


def of_request(**request):
    request.setdefault("events", [{"name": "purchase", "params": {"transaction_id": "T-1"}}])
    (event,) = measurement_protocol.read(json.dumps(request).encode(), measurement="G-1").events
    return signals_of(event, opted_out=False)


def decided(signals, policy=DEFAULT):
    found = verdict(signals, SOMEBODY, policy=policy, now=NOW)
    return found.action, found.reason


@pytest.mark.parametrize(
    ("query", "signals"),
    [
        ("us_privacy=1YYN", {"usp": "1YYN"}),
        ("ep.us_privacy=1YYN", {"usp": "1YYN"}),
        ("gdpr=1&gdpr_consent=what", {"gdpr_applies": "1", "tcf": "what"}),
        ("gpp=DBABMA~x&gpp_sid=2", {"gpp": "DBABMA~x", "gpp_sid": "2"}),
        ("gpc=1&addtl_consent=2~1~dv.", {"gpc": "1", "ac": "2~1~dv."}),
        # If page and tag disagree, the opt-out counts, wherever it is.
        ("us_privacy=1YNN&ep.us_privacy=1YYN", {"usp": "1YYN"}),
        ("us_privacy=1YYN&ep.us_privacy=1YNN", {"usp": "1YYN"}),
        ("gdpr=0&ep.gdpr=1", {"gdpr_applies": "1"}),
        ("gdpr_consent=one&ep.gdpr_consent=another", {"tcf": "unreadable"}),
        ("gdpr_consent=one&ep.gdpr_consent=one", {"tcf": "one"}),
        ("us_privacy=&gdpr=", {}),
        # The same holds if one place contains the signal twice.
        ("us_privacy=1YNN&us_privacy=1YYN", {"usp": "1YYN"}),
        ("us_privacy=1YYN&us_privacy=1YNN", {"usp": "1YYN"}),
        ("us_privacy=&us_privacy=1YYN", {"usp": "1YYN"}),
        ("us_privacy=1YYN&us_privacy=", {"usp": "1YYN"}),
        ("ep.us_privacy=1YNN&ep.us_privacy=1YYN", {"usp": "1YYN"}),
        ("ep.gdpr=0&epn.gdpr=1", {"gdpr_applies": "1"}),
        ("epn.gdpr=1&ep.gdpr=0", {"gdpr_applies": "1"}),
        ("gcs=G111&gcs=G100", {"gcs": "G100"}),
        ("gcs=G110&gcs=G1-1", {"gcs": "G1-0"}),
        ("gcs=G101&gcs=G110", {"gcs": "G100"}),
        ("gcs=G111&gcs=what", {"gcs": "unreadable"}),
        ("npa=0&npa=1", {"npa": "1"}),
        ("gcd=11v1v1v1v5&gcd=11q1q1q1q5", {"gcd": "unreadable"}),
        ("gpp=one&gpp=another", {"gpp": "unreadable"}),
    ],
)
def test_consent_signals_are_read_from_the_hit_and_the_event(query, signals):
    assert of_hit(query) == signals


@pytest.mark.parametrize("where", ["shared, line", "line, shared", "line twice", "shared twice"])
@pytest.mark.parametrize("first_denies", [True, False])
@pytest.mark.parametrize(
    ("name", "denies", "grants"),
    [
        ("gcs", "G100", "G111"),
        ("gcd", "11q1q1q1q5", "11v1v1v1v5"),
        ("us_privacy", "1YYN", "1YNN"),
        ("ep.us_privacy", "1YYN", "1YNN"),
        ("gpc", "1", "0"),
        ("npa", "1", "0"),
        ("epn.gdpr", "1", "0"),
        ("gpp", "what", ""),
        ("gdpr_consent", "what", ""),
    ],
)
def test_denial_suppresses_wherever_it_occurs(where, first_denies, name, denies, grants):
    first, second = (denies, grants) if first_denies else (grants, denies)
    query, line = {
        "shared, line": (f"{HIT}&{name}={first}", f"{name}={second}"),
        "line, shared": (f"{HIT}&{name}={second}", f"{name}={first}"),
        "line twice": (HIT, f"{name}={first}&{name}={second}"),
        "shared twice": (f"{HIT}&{name}={first}&{name}={second}", "ep.page=1"),
    }[where]

    (event,) = ga4.read(query, line.encode()).events

    expected = ConsentAction.RESTRICT if name == "npa" else ConsentAction.SUPPRESS
    assert decided(signals_of(event, opted_out=False))[0] is expected


def test_repeated_parameters_of_a_hit_have_the_value_of_their_line():
    (event,) = ga4.read(f"{HIT}&up.gdpr=1&dt=shared", b"dt=a&dt=b&up.gdpr=0").events

    assert (event["page_title"], event["x-ga-mp2-user_properties"]) == ("a", {"gdpr": "0"})


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("us_privacy=1YYN", "consent_denied: usp"),
        ("gdpr=1&gdpr_consent=what", "consent_unclear: tcf"),
        ("gdpr=1", "consent_missing"),
        ("gpp=what", "consent_unclear: gpp"),
    ],
)
def test_hit_that_denies_consent_is_suppressed(query, reason):
    assert decided(of_hit(query)) == (ConsentAction.SUPPRESS, reason)


def test_unreadable_gdpr_consent_is_not_consent_under_any_policy():
    lax = ConsentPolicy(unclear=None)

    assert decided(of_hit("gdpr=1&gdpr_consent=what"), lax) == (
        ConsentAction.SUPPRESS,
        "consent_missing",
    )
    assert decided(of_hit("gdpr=0&gdpr_consent=what"), lax) == (ConsentAction.SEND, None)


@pytest.mark.parametrize(
    "request_",
    [
        {"non_personalized_ads": True},
        {"non_personalized_ads": "true"},
        {"non_personalized_ads": 1},
        {"events": [{"name": "purchase", "params": {"non_personalized_ads": True}}]},
        {
            "non_personalized_ads": True,
            "events": [{"name": "purchase", "params": {"non_personalized_ads": False}}],
        },
    ],
)
def test_npa_restricts_conversions_for_x_and_suppresses_tags(request_):
    said = of_request(**request_)

    assert decided(said) == (ConsentAction.RESTRICT, "consent_limited: npa")
    assert decided(said, policy_for(ConsentPolicy())) == (
        ConsentAction.SUPPRESS,
        "consent_limited: npa",
    )


def test_signals_that_allow_personalized_ads_are_not_a_denial():
    assert decided(of_request(non_personalized_ads=False)) == (ConsentAction.SEND, None)


def test_consent_object_does_not_hide_signals_of_the_hit():
    event = {"consent_state": {"usp": "1YNN"}, "x-ga-mp2-us_privacy": "1YYN"}

    assert signals_of(event, opted_out=False) == {"usp": "1YYN"}
