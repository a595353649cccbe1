"""Random histories of requests, and settings that differ, for tests of what-if."""

import json
from random import Random

import msgspec
from msgspec.structs import replace

from builders import NOW, a_destination, a_source
from twite.domain.consent import ConsentAction, ConsentPolicy
from twite.domain.stats.value_guard import ValueGuard
from twite.domain.times import DAY, HOUR, MINUTE
from twite.formats.value_rules import ValueRule
from twite.gateway.what_if.intake_settings import IntakeSettings

WINDOW = 7 * DAY
CLICKS = tuple(f"23opevjt88psuo13lu8d020qk{letter}" for letter in "abcdef")
TCF = "CQVMXAAQVMXAAAfQABENB6EgAP_AAEPAAAAAHxwAQAAgAAAA.YAAAAAAAAAAA"
WORDS = ("granted", "denied", "yes?")
ACTIONS = tuple(ConsentAction)
RULES = (
    ValueRule(name="large", when="value > `30`", value="divide(value, `3`)"),
    ValueRule(name="fixed", events=("sign_up",), value="`5`", currency="EUR"),
)
IDENTIFIERS = (
    {"email": "shopper@example.com"},
    {"email": "Other@Example.com ", "phone": "+44 20 7946 0018"},
    {"twclid": CLICKS[0]},
    {"twclid": CLICKS[1], "email": "third@example.com", "ip": "81.2.69.142", "user_agent": "Agent"},
    {"ip": "81.2.69.142", "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"},
    {"phone": "020 7946 0018"},
    {"url": f"https://shop.example/thanks?twclid={CLICKS[2]}&order=1"},
    {"email": "not an address"},
    {},
)  # fmt: skip


def settings_of(random: Random, number: int) -> IntakeSettings:
    """Return random settings for the pixels and the source of a history."""
    ours, other = f"p{number}", f"q{number}"
    names = {"purchase": "o1", "sign_up": "o2", "lead": "o3", "kauf": "o1"}
    destinations = tuple(
        replace(
            a_destination(pixel),
            events={
                name: random.choice((event, event, "o2"))
                for name, event in names.items()
                if random.random() < 0.8
            },
            value_guard=random.choice(tuple(ValueGuard)),
        )
        for pixel in (ours, other)
    )
    source = replace(
        a_source(f"shop{number}"),
        pixel=random.choice((ours, ours, ours, other)),
        pixels=frozenset(random.choice(((ours, other), (ours, other), (ours, other)))),
        consent=a_policy(random),
        value_guard=random.choice((None, None, None, *ValueGuard)),
        events=random.choice(
            ({}, {"checkout_done": "purchase"}, {"checkout_done": "ignore", "newsletter": "lead"})
        ),
        test_until=random.choice((None, None, None, beginning(number) + 3 * DAY)),
    )
    return IntakeSettings.of(
        sources=(source,),
        destinations=destinations,
        dedup_window=WINDOW,
        rules=random.choice(((), (), RULES)),
    )


def changed(random: Random, settings: IntakeSettings, number: int) -> IntakeSettings:
    """Return settings of which some parts are others."""
    other = settings_of(random, number)
    name = f"shop{number}"
    ours, theirs = settings.sources[name], other.sources[name]
    fields = ("pixel", "consent", "value_guard", "events", "test_until")
    taken = {field: getattr(theirs, field) for field in fields if random.random() < 0.4}
    return IntakeSettings(
        sources={name: replace(ours, **taken)},
        destinations={
            pixel: other.destinations[pixel] if random.random() < 0.4 else own
            for pixel, own in settings.destinations.items()
        },
        dedup_window=WINDOW,
        value_rules=random.choice((settings, other)).value_rules,
    )


def a_policy(random: Random) -> ConsentPolicy:
    actions = {
        field: random.choice(ACTIONS)
        for field in ("storage_denied", "user_data_denied", "personalization_denied", "missing")
        if random.random() < 0.5
    }
    return ConsentPolicy(
        required=random.random() < 0.25,
        unclear=random.choice((ConsentAction.SUPPRESS, ConsentAction.HOLD, None)),
        tcf_vendor_id=random.choice((None, None, 25)),
        **actions,
    )


def beginning(number: int) -> int:
    """Return when a history begins (ms): 40 days after the one before."""
    return NOW + number * 40 * DAY


class PastCall(msgspec.Struct):
    """A request of a history. `kind` is native, x or tag."""

    at: int
    kind: str
    body: object
    key: str | None = None
    pixel: str = ""


def history_of(random: Random, number: int) -> list[PastCall]:
    """Return requests in the order of time, with copies, retries and faults."""
    calls: list[PastCall] = []
    at = beginning(number)
    for _ in range(random.randint(3, 14)):
        at += random.choice((MINUTE, MINUTE, HOUR, 20 * HOUR, 3 * DAY))
        if calls and random.random() < 0.15:
            again = random.choice(calls)
            calls.append(replace(again, at=at))
            continue
        kind = random.choice(("native", "native", "native", "batch", "x", "tag"))
        if kind == "x":
            body = {"conversions": [an_x_conversion(random) for _ in range(random.randint(1, 2))]}
            calls.append(PastCall(at=at, kind="x", body=body, pixel=f"p{number}"))
        elif kind == "tag":
            calls.append(PastCall(at=at, kind="tag", body=a_tag_event(random)))
        elif kind == "batch":
            body = {"conversions": [a_conversion(random, number) for _ in range(3)]}
            calls.append(PastCall(at=at, kind="native", body=body))
        else:
            key = random.choice((None, None, f"k{random.randint(1, 3)}-{len(calls)}"))
            body = a_conversion(random, number)
            calls.append(PastCall(at=at, kind="native", body=body, key=key))
    # Amounts that are alike, so that the guards know what is usual.
    if random.random() < 0.3:
        usual = [
            {"event": "purchase", "conversion_id": f"u{n}", "value": "49.90", "currency": "EUR",
             "twclid": CLICKS[3]} for n in range(24)
        ]  # fmt: skip
        calls.insert(0, PastCall(at=beginning(number), kind="native", body={"conversions": usual}))
        calls.append(PastCall(at=at + 1, kind="native", body=usual[0] | {
            "conversion_id": "unusual", "value": random.choice(("4990", "49.90", "0"))
        }))  # fmt: skip
    return calls


def a_conversion(random: Random, number: int) -> dict[str, object]:
    conversion: dict[str, object] = {
        "event": random.choice(("purchase", "purchase", "sign_up", "lead", "kauf", "Purchase ")),
        **random.choice(IDENTIFIERS),
    }
    if random.random() < 0.75:
        conversion["conversion_id"] = f"order-{random.randint(1, 6)}"
    if random.random() < 0.8:
        conversion["value"] = random.choice(("20.00", 35, "49.9", "-3"))
        conversion["currency"] = random.choice(("EUR", "eur", "EUR", "xyz"))
    if "url" not in conversion:
        conversion["url"] = "https://shop.example/thanks?order=7&email=a@example.com"
    if random.random() < 0.3:
        conversion["description"] = "for a@example.com, a gift"
        conversion["contents"] = [{"id": "sku-1", "price": "10.00", "quantity": 2}]
    if random.random() < 0.2:
        conversion["pixel"] = random.choice((f"p{number}", f"q{number}", "nobody"))
    if random.random() < 0.1:
        conversion["unknown"] = 1
    consent = some_consent(random)
    if consent:
        conversion["consent"] = consent
    return conversion


def some_consent(random: Random) -> dict[str, object]:
    if random.random() < 0.5:
        return {}
    names = ("ad_storage", "ad_user_data", "ad_personalization")
    signals: dict[str, object] = {
        name: random.choice(WORDS[:2] * 4 + WORDS) for name in names if random.random() < 0.6
    }
    if random.random() < 0.25:
        signals |= {"tcf": TCF, "gdpr_applies": "1"}
    if random.random() < 0.2:
        signals["region"] = random.choice(("DE", "US-CA"))
    return signals


def an_x_conversion(random: Random) -> dict[str, object]:
    return {
        "conversion_time": "2026-11-24T10:00:00.000Z",
        "event_id": random.choice(("o1", "o2")),
        "conversion_id": f"order-{random.randint(1, 6)}",
        "identifiers": [{"twclid": random.choice(CLICKS[:2])}],
        "value": "20.00",
        "price_currency": "EUR",
    }


def a_tag_event(random: Random) -> dict[str, object]:
    names = ("purchase", "checkout_done", "newsletter", "scroll", "sign up")
    return {
        "event_name": random.choice(names),
        "transaction_id": f"order-{random.randint(1, 6)}",
        "value": "20.00",
        "currency": "EUR",
        "page_location": f"https://shop.example/?twclid={CLICKS[4]}",
    } | random.choice(({}, {"x-ga-gcs": "G111"}, {"x-ga-gcs": "G100"}))


def encoded(call: PastCall) -> bytes:
    return json.dumps(call.body).encode()
