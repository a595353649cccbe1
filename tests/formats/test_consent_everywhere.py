"""Each consent signal at each place of each tag format, alone and with a grant elsewhere."""

import base64
import json
from itertools import permutations
from urllib.parse import urlencode

import pytest

from builders import NOW
from twite.consent.verdict import verdict
from twite.domain.consent import ConsentAction, ConsentPolicy
from twite.domain.conversion import Identifiers
from twite.formats.data_tag import read as data_tag
from twite.formats.event_data.consent import signals_of
from twite.formats.ga4 import read as ga4
from twite.formats.measurement_protocol import read as measurement_protocol
from twite.formats.sgtm_tag import read as sgtm_tag

# Per signal: its name in a request, a value that denies consent, and one that does not.
SIGNALS = [
    ("us_privacy", "1YYN", "1YNN"),
    ("gpc", "1", "0"),
    ("gdpr", "1", "0"),
    ("gdpr_consent", "what", ""),
    ("gpp", "what", ""),
    ("gcs", "G100", "G111"),
    ("gcd", "11q1q1q1q5", "11v1v1v1v5"),
    ("npa", "1", "0"),
    ("non_personalized_ads", "true", "false"),
    ("ad_storage", "denied", "granted"),
    ("ad_user_data", "denied", "granted"),
    ("consent", '{"ad_storage":"denied"}', '{"ad_storage":"granted"}'),
    ("consent_state", '{"ad_user_data":false}', '{"ad_user_data":true}'),
    ("consent", "denied", "granted"),
    ("consent.ad_storage", "denied", "granted"),
    ("usprivacy", "1YYN", "1YNN"),
    ("usPrivacy", "1YYN", "1YNN"),
    ("US_PRIVACY", "1YYN", "1YNN"),
    ("GPC", "1", "0"),
    ("gdprConsent", "what", ""),
    ("adStorage", "denied", "granted"),
]
LIMITS = {"npa", "non_personalized_ads"}


def of_ga4(said):
    pairs = lambda place, prefix: [  # noqa: E731
        (prefix + name, value) for name, value in said.get(place, ())
    ]
    query = [("v", "2"), ("tid", "G-1"), ("cid", "1.2"), ("en", "purchase")]
    line = [*pairs("line", ""), *pairs("line ep", "ep.")]
    (event,) = ga4.read(
        urlencode([*query, *pairs("url", ""), *pairs("url ep", "ep.")]), urlencode(line).encode()
    ).events
    return event


def of_measurement_protocol(said):
    at = {place: dict(pairs) for place, pairs in said.items()}
    event = {"name": "purchase", "params": {"value": 1} | at.get("params", {})}
    body = {"client_id": "1.2", "events": [event | at.get("event", {})]} | at.get("top", {})
    (read,) = measurement_protocol.read(
        json.dumps(body).encode(), query=urlencode(said.get("url", ())), measurement="G-1"
    ).events
    return read


def of_data_tag(kind):
    def read(said):
        query = [("v", "2"), ("event_name", "purchase"), *said.get("url", ())]
        pairs = [("value", "1"), *said.get("body", ())]
        text = json.dumps(dict(pairs))
        body = b""
        if kind == "dtdc":
            query.append(("dtdc", base64.b64encode(text.encode()).decode()))
        elif kind == "dtcd":
            query.append(("dtcd", text))
        elif kind == "form":
            body = urlencode(pairs).encode()
        else:
            body = (f"[{text}]" if kind == "list" else text).encode()
        (event,) = data_tag.read(urlencode(query), body, form=kind == "form").events
        return event

    return read


def of_sgtm(said):
    event = {"event_name": "purchase"} | dict(said.get("event", ()))
    (read,) = sgtm_tag.read(json.dumps({"event": event}).encode()).tagged.events
    return read


FORMATS = {
    "ga4": (of_ga4, ("url", "url ep", "line", "line ep")),
    "measurement protocol": (of_measurement_protocol, ("url", "top", "event", "params")),
    **{
        f"data tag, {kind}": (of_data_tag(kind), ("url", "body"))
        for kind in ("json", "list", "form", "dtdc", "dtcd")
    },
    "sgtm": (of_sgtm, ("event",)),
}
# JSON formats refuse repeated keys.
REPEATS = {"ga4": ("url", "url ep", "line", "line ep"), "measurement protocol": ("url",)} | {
    f"data tag, {kind}": ("url", "body") if kind == "form" else ("url",)
    for kind in ("json", "list", "form", "dtdc", "dtcd")
}


def requests(form, name, denies, grants):
    _, places = FORMATS[form]
    for place in places:
        yield {place: [(name, denies)]}
    for place, other in permutations(places, 2):
        yield {place: [(name, denies)], other: [(name, grants)]}
    for place in REPEATS.get(form, ()):
        yield {place: [(name, denies), (name, grants)]}
        yield {place: [(name, grants), (name, denies)]}


@pytest.mark.parametrize("form", FORMATS)
def test_denial_at_any_place_of_any_format_suppresses(form):
    read, _ = FORMATS[form]
    ignored = []
    for name, denies, grants in SIGNALS:
        action = ConsentAction.RESTRICT if name in LIMITS else ConsentAction.SUPPRESS
        for said in requests(form, name, denies, grants):
            found = verdict(
                signals_of(read(said), opted_out=False),
                Identifiers(click_id="click"),
                policy=ConsentPolicy(),
                now=NOW,
            )
            if found.action is not action:
                ignored.append((said, found.action))

    assert ignored == []


@pytest.mark.parametrize("form", FORMATS)
def test_granted_consent_signals_do_not_suppress(form):
    read, places = FORMATS[form]
    for place in places:
        for name, _, grants in SIGNALS:
            found = verdict(
                signals_of(read({place: [(name, grants)]}), opted_out=False),
                Identifiers(click_id="click"),
                policy=ConsentPolicy(),
                now=NOW,
            )
            assert found.action is ConsentAction.SEND, (place, name, found.reason)


def test_consent_objects_are_merged_like_texts():
    said = {
        "top": [("consent", {"ad_user_data": "GRANTED", "ad_personalization": "DENIED"})],
        "params": [("consent", {"ad_user_data": "DENIED"})],
    }

    signals = signals_of(of_measurement_protocol(said), opted_out=False)

    assert {name: str(word).lower() for name, word in signals.items()} == {
        "ad_user_data": "denied",
        "ad_personalization": "denied",
    }


@pytest.mark.parametrize("first", ["what", "denied"])
def test_unreadable_signal_does_not_hide_a_denial(first):
    second = "denied" if first == "what" else "what"
    event = {"consent_state": {"ad_storage": first}, "consent": {"ad_storage": second}}
    lax = ConsentPolicy(unclear=None)

    found = verdict(
        signals_of(event, opted_out=False), Identifiers(click_id="click"), policy=lax, now=NOW
    )

    assert found.reason == "consent_denied: ad_storage"


@pytest.mark.parametrize(
    ("consent", "signals"),
    [
        ("", {}),
        (" ", {}),
        ("yes", {}),
        (True, {}),
        (None, {}),
        (False, {"ad_storage": "denied"}),
        (0, {"ad_storage": "denied"}),
        ("No", {"ad_storage": "denied"}),
        ("marketing", {"consent": "unreadable"}),
        (["denied"], {"ad_storage": "denied"}),
        ([{}], {"consent": "unreadable"}),
        ('{"ad_storage":', {"consent": "unreadable"}),
        ("{" * 100_000, {"consent": "unreadable"}),
        ('{"ad_storage":true}', {"ad_storage": True}),
    ],
)
def test_invalid_consent_object_is_a_denial_empty_or_unreadable(consent, signals):
    assert signals_of({"consent": consent}, opted_out=False) == signals


def test_url_of_a_json_request_provides_only_consent_signals():
    event = of_measurement_protocol({"url": [("user_id", "u"), ("email", "a@example.com")]})

    assert event.keys() == {"client_id", "event_name", "value"}


def test_denial_in_user_properties_and_google_parameters_suppresses():
    properties = {"user_properties": {"us_privacy": {"value": "1YYN"}}}
    said = [
        of_ga4({"url": [("up.us_privacy", "1YYN")]}),
        of_ga4({"line": [("sst.gcs", "G100"), ("gcs", "G111")]}),
        of_measurement_protocol({"top": properties.items()}),
    ]
    actions = [
        verdict(
            signals_of(event, opted_out=False),
            Identifiers(click_id="click"),
            policy=ConsentPolicy(),
            now=NOW,
        ).action
        for event in said
    ]

    assert actions == [ConsentAction.SUPPRESS] * 3
