import json

import pytest
from readings import FULL, NOW, a_source, read, read_bytes, read_one_x

from twite.domain.conversion import Identifiers
from twite.domain.times import DAY
from twite.formats.native import read as native
from twite.formats.x_api.read import XApiRefusal
from twite.redaction.scrub_text import scrubbed_json

PERSON = {
    "email": "canary@example.com",
    "email_sha256": "canary@example.com",
    "phone": "canary@example.com",
    "phone_sha256": "canary@example.com",
    "twclid": "https://shop.example/?email=canary@example.com",
    "url": "https://canary:canary@shop.example/canary@example.com?canary=1#canary",
    "description": "canary@example.com",
    "search": "canary@example.com",
    "value": "canary@example.com",
    "currency": "canary@example.com",
    "time": "canary@example.com",
    "ip": "canary@example.com",
    "user_agent": "canary@example.com",
    "pixel": "canary@example.com",
    "consent": {"canary@example.com": "granted"},
    "contents": [{"id": "canary@example.com", "price": "canary@example.com"}],
}


@pytest.mark.parametrize("field", sorted(PERSON))
@pytest.mark.parametrize("event", ["purchase", "unknown"])
def test_no_plain_identifier_is_stored_or_in_an_error(field, event):
    body = {"event": event, "conversion_id": "c", "value": "1", field: PERSON[field]}

    reading = read_bytes(json.dumps(body).encode())

    assert b"canary" not in reading.body
    assert "canary" not in f"{reading!r}"


@pytest.mark.parametrize("field", sorted(PERSON))
def test_invalid_conversion_in_a_batch_is_stored_without_personal_data(field):
    faulty = {"event": "purchase", "conversion_id": "c", "value": "x", field: PERSON[field]}

    reading = read_bytes(json.dumps({"conversions": [FULL, faulty, FULL]}).encode())

    assert [result.is_faulty for result in reading.results] == [False, True, False]
    assert b"canary" not in reading.body
    assert len(json.loads(reading.body)["conversions"]) == 3


def test_only_invalid_conversions_of_a_request_are_searched_thoroughly(monkeypatch):
    searched = []

    def searching(kept, *, thoroughly=False):
        searched.append((json.loads(kept)["conversion_id"], thoroughly))
        return scrubbed_json(kept, thoroughly=thoroughly)

    monkeypatch.setattr(native, "scrubbed_json", searching)
    several = [FULL | {"conversion_id": id_} for id_ in ("1", "2", "3")]
    several[1]["value"] = "x"

    read_bytes(json.dumps({"conversions": several}).encode())

    assert searched == [("1", False), ("2", True), ("3", False)]


def test_denied_conversion_is_suppressed_and_stores_no_match_key():
    body = json.dumps(FULL | {"consent": {"ad_storage": "denied"}}).encode()

    reading = read_bytes(body)

    result = reading.results[0]
    kept = json.loads(reading.body)
    assert result.suppressed == "consent_denied: ad_storage"
    assert result.conversion.identifiers == Identifiers()
    assert not {"email_sha256", "phone_sha256", "twclid", "ip", "user_agent"} & kept.keys()
    assert kept["conversion_id"] == "order-1001"


def test_rejected_conversion_that_denies_consent_stores_no_match_key():
    body = FULL | {"consent": {"ad_storage": "denied"}, "event": "unknown"}

    kept = json.loads(read_bytes(json.dumps(body).encode()).body)

    assert not {"email_sha256", "phone_sha256", "twclid", "ip", "user_agent"} & kept.keys()


def test_missing_consent_is_a_denial_where_it_is_required():
    source = a_source(consent_required=True)

    assert read(source).suppressed == "consent_missing"
    assert read(source, consent={"ad_storage": True}).suppressed is None
    assert read().suppressed is None


def spellings():
    """Return twenty spellings of one conversion without an id."""
    plain = {name: value for name, value in FULL.items() if name not in {"conversion_id", "value"}}
    plain |= {"description": "Café", "value": "1.00"}
    ways = [json.dumps(plain | {"value": value}) for value in (1, 1.0, "1", "1.0", "1.000", "1e0")]
    ways += [json.dumps(plain, indent=indent) for indent in (0, 1, 4, "\t")]
    ways += [json.dumps(plain, ensure_ascii=False), json.dumps(plain, sort_keys=True)]
    ways.append(json.dumps(dict(reversed(plain.items()))))
    ways.append(json.dumps(plain | {"description": "Cafe\u0301"}))
    ways.append(json.dumps(plain | {"time": "2026-11-24T11:00:00.000+01:00"}))
    ways.append(json.dumps(plain | {"email": "SHOPPER@EXAMPLE.COM"}))
    ways.append(json.dumps(plain | {"phone": "0044 20 7946 0958", "currency": "eur"}))
    ways.append(
        json.dumps(plain | {"url": "https://shop.example/thanks#again", "conversion_id": ""})
    )
    ways.append(json.dumps(plain | {"event": "PURCHASE", "pixel": None}))
    ways.append(json.dumps({"conversions": [plain]}))
    return ways


def derived(body, **how):
    return read_bytes(body.encode(), **how).results[0].conversion.conversion_id


def test_every_spelling_of_one_conversion_derives_the_same_id():
    assert len(spellings()) == 20
    assert len({derived(body) for body in spellings()}) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"value": "1.01"}, {"currency": "USD"}, {"email": "other@example.com"}, {"twclid": "other"},
        {"time": "2026-11-24T10:00:00.001Z"}, {"event": "sign_up"}, {"pixel": "p2"},
        {"contents": []}, {"description": "Other"}, {"ip": "203.0.113.8"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_different_conversions_have_different_derived_ids(change):
    plain = {name: value for name, value in FULL.items() if name != "conversion_id"}

    assert derived(json.dumps(plain)) != derived(json.dumps(plain | change))


def test_retry_without_a_time_derives_the_same_id_on_the_same_day():
    body = '{"event":"sign_up","email":"a@example.com"}'
    start = NOW - NOW % DAY

    assert derived(body, now=start) == derived(body, now=start + DAY - 1)
    assert derived(body, now=start) != derived(body, now=start + DAY)


def test_idempotency_key_determines_the_derived_id():
    body, other = '{"event":"sign_up","twclid":"a"}', '{"event":"sign_up","twclid":"b"}'

    assert derived(body, idempotency_key="k") == derived(other, idempotency_key="k")
    assert derived(body, idempotency_key="k") != derived(body, idempotency_key="l")
    assert derived(body, idempotency_key="k") != derived(body)


def test_ids_derived_from_an_idempotency_key_differ_by_position_and_source():
    conversion = '{"event":"sign_up","twclid":"a"}'
    batch = f'{{"conversions":[{conversion},{conversion}]}}'.encode()

    results = read_bytes(batch, idempotency_key="k").results
    ids = {result.conversion.conversion_id for result in results}
    ids.add(derived(conversion, idempotency_key="k", source=a_source(name="other")))

    assert len(ids) == 3


def test_derived_id_depends_on_a_salt():
    body = '{"event":"sign_up","twclid":"a"}'

    assert derived(body, salt=b"one") != derived(body, salt=b"other")


def ids_of(*conversions, **how):
    body = json.dumps({"conversions": [*conversions]}).encode()
    return [result.conversion.conversion_id for result in read_bytes(body, **how).results]


SIGN_UP = {"event": "sign_up", "twclid": "a"}


def test_equal_conversions_without_an_id_in_one_request_have_different_ids():
    ids = ids_of(SIGN_UP, FULL, SIGN_UP, SIGN_UP | {"conversion_id": " "})

    assert len(set(ids)) == 4
    assert ids[0] == ids_of(SIGN_UP)[0]


def test_repeated_request_derives_the_same_ids():
    conversions = [SIGN_UP, SIGN_UP, SIGN_UP | {"twclid": "b"}, SIGN_UP]

    assert ids_of(*conversions) == ids_of(*conversions)
    assert ids_of(*conversions)[:2] == ids_of(*conversions[:2])


def test_equal_conversions_of_which_one_is_denied_share_an_id():
    denied, granted = ({"consent": {"ad_storage": word}} for word in ("denied", "granted"))

    assert len(set(ids_of(SIGN_UP | denied, SIGN_UP | granted, SIGN_UP | granted))) == 1
    assert len(set(ids_of(SIGN_UP | granted, SIGN_UP | granted))) == 2


def test_id_repeated_in_a_request_is_one_conversion():
    assert ids_of(FULL, FULL) == ["order-1001", "order-1001"]


@pytest.mark.parametrize(
    "id_",
    [
        "whatsapp://send?phone=442079460059",
        "https://api.whatsapp.com/send?text=hi&phone=442079460059",
        "Tel: 020 7946 0059",
        "first_name=Zqerika",
        '{"first_name":"Zqerika"}',
        "order?%66irst_name%3DZqerika",
        "call+%2B442079460059",
    ],
)
def test_conversion_id_with_personal_data_is_rejected_and_not_stored(id_):
    body = json.dumps({"conversions": [FULL, FULL | {"conversion_id": id_}]}).encode()

    reading = read_bytes(body)

    assert [fault.code for fault in reading.results[1].faults] == ["id_is_a_person"]
    assert json.loads(reading.body)["conversions"][1]["conversion_id"] == "***"
    x = read_one_x(conversion_id=id_)
    assert isinstance(x, XApiRefusal)
    assert id_ not in f"{x.complaints}"
