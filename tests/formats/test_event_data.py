"""The tag formats convert requests to event data with Google's field names."""

from decimal import Decimal

import msgspec
import pytest
from tag_cases import DESTINATIONS, NOW, a_shop

from canaries import SPELLINGS, found_in
from twite.formats.data_tag import read as data_tag
from twite.formats.data_tag.event import event_of
from twite.formats.event_data.conversions import click_of, ignored_as, parse_events
from twite.formats.event_data.values import trace_of
from twite.formats.ga4 import read as ga4
from twite.formats.ga4.read import CODES, item_of
from twite.formats.measurement_protocol import read as measurement_protocol
from twite.formats.page_visit import Visitor

HIT = (
    "v=2&tid=G-1&gtm=45je&_p=17&_s=3&en=purchase&cid=1.2&uid=u7&sid=9&sct=2&seg=1&_et=12"
    "&dl=https%3A%2F%2Fshop.example%2F&dr=https%3A%2F%2Fsearch.example%2F&dt=Thanks&ul=en-gb"
    "&sr=1920x1080&ep.coupon=MAY&epn.value=49.9&epn.odd=many&up.plan=gold&upn.age=44&cu=EUR"
    "&gcs=G111&gcd=13l3l3l3l1&npa=0&dma=1&dma_cps=sypham&ecid=5&em=tv.1&ur=US-CA&pscdl=noapi"
    "&_c=1&_fv=1&_dbg=1&tt=internal&tag_exp=1~2&sst.etld=google.com&sst.tft=5"
    "&uaa=x86&uab=64&uafvl=Chromium%3B130.0%7CNot%253FA%3B99&uamb=0&uap=Linux&uip=203.0.113.7"
)


def test_ga4_hit_has_the_names_of_googles_event_data():
    ((hit,), _) = ga4.hits_of(HIT, b"")

    assert ga4.event_of(hit) == {
        "x-ga-protocol_version": "2",
        "x-ga-measurement_id": "G-1",
        "x-ga-gtm_version": "45je",
        "x-ga-page_id": 17,
        "x-ga-request_count": 3,
        "event_name": "purchase",
        "client_id": "1.2",
        "user_id": "u7",
        "ga_session_id": "9",
        "ga_session_number": 2,
        "x-ga-mp2-seg": "1",
        "engagement_time_msec": 12,
        "page_location": "https://shop.example/",
        "page_referrer": "https://search.example/",
        "page_title": "Thanks",
        "language": "en-gb",
        "screen_resolution": "1920x1080",
        "coupon": "MAY",
        "value": 49.9,
        "odd": "many",
        "x-ga-mp2-user_properties": {"plan": "gold", "age": 44},
        "currency": "EUR",
        "x-ga-gcs": "G111",
        "x-ga-gcd": "13l3l3l3l1",
        "x-ga-npa": "0",
        "x-ga-dma": "1",
        "x-ga-dma_cps": "sypham",
        "x-ga-ecid": "5",
        "x-ga-em": "tv.1",
        "x-ga-ur": "US-CA",
        "x-ga-pscdl": "noapi",
        "x-ga-system_properties": {"c": "1", "fv": "1", "dbg": "1"},
        "x-ga-mp2-tt": "internal",
        "x-ga-mp2-tag_exp": "1~2",
        "x-sst-system_properties": {"etld": "google.com", "tft": "5"},
        "client_hints": {
            "architecture": "x86",
            "bitness": "64",
            "full_version_list": [
                {"brand": "Chromium", "version": "130.0"},
                {"brand": "Not?A", "version": "99"},
            ],
            "mobile": "0",
            "platform": "Linux",
        },
        "ip_override": "203.0.113.7",
    }


def test_parameter_of_a_tag_does_not_override_one_of_google():
    ((hit,), _) = ga4.hits_of("v=2&tid=G-1&en=purchase&ep.event_name=other&ep.client_id=other", b"")

    assert ga4.event_of(hit)["event_name"] == "purchase"


def test_every_code_of_an_item_field_has_a_name():
    text = "~".join(f"{code}7" for code in CODES)

    assert set(item_of(text)) == set(CODES.values())
    assert item_of("pr9.49~qt2~lp1~ds0.5~k0colour~v0red~k1~v1lost~xx~id") == {
        "price": 9.49,
        "quantity": 2,
        "index": 1,
        "discount": 0.5,
        "item_id": "",
        "colour": "red",
    }


def test_data_tag_event_matches_the_event_of_its_client():
    given = {
        "eventName": "purchase",
        "pageLocation": "https://shop.example/",
        "referrer": "https://search.example/",
        "hostname": "shop.example",
        "userEmail": "shopper@example.com",
        "family_name": "Doe",
        "state": "CA",
        "zip": "94016",
        "_dcid_temp": "dcid.1.2.3",
        "items": [{"item_id": "A", "item_name": "Mug", "price": "5.50", "quantity": 2}],
        "odd": {"kept": True},
    }

    built = event_of(given, client="dcid.1.2.3")

    assert {name: value for name, value in built.items() if name not in given} == {
        "event_name": "purchase",
        "page_location": "https://shop.example/",
        "page_referrer": "https://search.example/",
        "page_hostname": "shop.example",
        "client_id": "dcid.1.2.3",
        "value": "11.00",
        "item_id": "A",
        "item_name": "Mug",
        "user_data": {
            "email_address": "shopper@example.com",
            "address": {"last_name": "Doe", "region": "CA", "postal_code": "94016"},
        },
    }
    assert ("_dcid_temp" in built, built["odd"]) == (False, {"kept": True})


def test_user_data_of_the_request_is_unchanged():
    built = event_of({"event": "lead", "email": "a@b.example", "user_data": {"email_address": "c"}})

    assert built["user_data"] == {"email_address": "c"}


@pytest.mark.parametrize("action", ["detail", "add", "checkout", "refund"])
def test_ecommerce_action_other_than_a_purchase_is_only_named(action):
    built = event_of({"event": "x", "ecommerce": {action: {"actionField": {"id": "T-1"}}}})

    assert (built["x-ga-mp1-pa"], "transaction_id" in built) == (action, False)


def test_event_parameters_override_fields_of_the_request():
    body = {
        "client_id": "1.2",
        "user_id": "u",
        "ip_override": "203.0.113.7",
        "user_properties": {"plan": {"value": "gold"}},
        "events": [{"name": "sign_up", "params": {"user_id": "own", "event_name": "not this"}}],
    }

    assert measurement_protocol.events_of(msgspec.json.encode(body))[0] == [
        {
            "client_id": "1.2",
            "user_id": "own",
            "ip_override": "203.0.113.7",
            "x-ga-mp2-user_properties": {"plan": "gold"},
            "event_name": "sign_up",
        }
    ]


def test_stored_event_contains_no_personal_data():
    event = {
        "event_name": "purchase",
        "transaction_id": "T-1",
        "value": 49.9,
        "page_location": "https://bob:secret@shop.example/thanks?email=bob%40example.com&utm_source=x",
        "page_title": "Thank you, Bob",
        "client_id": "1234567890.1795500000",
        "user_id": "bob",
        "ip_override": "203.0.113.7",
        "user_agent": "Mozilla/5.0",
        "user_data": {"address": {"first_name": "Bob"}},
        "x-ga-em": "tv.1~em.x",
        "bob@example.com": 1,
        "+14155550100": 1,
        "items": [{"item_id": "A", "engraving": "Bob"}],
        "consent_state": {"ad_storage": True, "ad_user_data": "granted"},
    }

    assert trace_of(event) == {
        "event_name": "purchase",
        "transaction_id": "T-1",
        "value": "49.9",
        "page_location": "https://shop.example/thanks?utm_source=x",
        "consent_state": {"ad_storage": "True", "ad_user_data": "granted"},
        "items": [{"item_id": "A"}],
        "also": [
            "client_id", "ip_override", "page_title", "user_agent", "user_data", "user_id",
            "x-ga-em",
        ],
    }  # fmt: skip


def test_newest_click_of_page_and_cookies_is_kept():
    visitor = Visitor(cookies={"_twite": f"1.{NOW - 5}.older", "twclid": "undated"}, now=NOW)
    landed = {"event_name": "page_view", "page_location": "https://shop.example/?twclid=newer"}

    assert click_of([landed], visitor).id == "newer"
    assert click_of([{"event_name": "page_view"}], visitor).id == "older"
    assert click_of([], Visitor(now=NOW)) is None


@pytest.mark.parametrize(
    ("cookies", "count", "click"),
    [
        # The page is viewed again: the click keeps its age.
        ({"_twite": f"1.{NOW - 5}.landed"}, 1, ("landed", NOW - 5)),
        ({"_twite": f"1.{NOW - 5}.landed", "_twclid": "landed"}, 2, ("landed", NOW - 5)),
        # Another tab has had a newer landing since: later events of this page still have the older
        # click.
        ({"_twite": f"1.{NOW - 5}.newer"}, 7, ("newer", NOW - 5)),
        ({"_twite": f"1.{NOW - 5}.older"}, 1, ("landed", NOW)),
        ({}, 7, ("landed", 0)),
    ],
)
def test_later_hit_of_a_page_creates_no_new_click(cookies, count, click):
    hit = {
        "event_name": "scroll",
        "page_location": "https://shop.example/?twclid=landed",
        "x-ga-request_count": count,
    }

    found = click_of([hit], Visitor(cookies=cookies, now=NOW))

    assert (found.id, found.at) == click


def test_event_for_another_pixel_uses_the_mapping_of_that_pixel():
    found = parse_events(
        [{"event_name": "purchase"}],
        source=a_shop(),
        destinations={},
        visitor=Visitor(trusted=True),
        pixel="p2",
    )

    assert [(tally.name, tally.reason) for tally in found.ignored] == [
        ("purchase", "not_configured")
    ]


@pytest.mark.parametrize(
    ("visitor", "reason"),
    [
        (Visitor(user_agent="Mozilla/5.0 (compatible; Googlebot/2.1)"), "bot"),
        (Visitor(value_limit=Decimal(10)), "value_limit"),
    ],
)
def test_tags_get_unmapped_events_of_people_but_not_of_robots_or_previews(visitor, reason):
    event = {"event_name": "scroll", "value": 11, "currency": "EUR"}
    seen = [
        parse_events([event], source=a_shop(), destinations=DESTINATIONS, visitor=who)
        for who in (visitor, Visitor(user_agent="Mozilla/5.0 Firefox/140.0"))
    ]

    assert [len(tagged.tag_events) for tagged in seen] == [0, 1]
    assert [tagged.ignored[0].reason for tagged in seen] == [reason, "not_configured"]


@pytest.mark.parametrize("value", [data_tag.read("event=a", b"", form=False), Visitor(ip="x")])
def test_repr_of_tag_events_hides_personal_data(value):
    assert "***" in repr(value) or repr(value) == "Tagged(1 events)"


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_name_of_an_ignored_event_contains_no_personal_data(spelled):
    for name in (spelled, f"for {spelled}", spelled.replace(" ", "\0")):
        assert found_in(ignored_as(name, "not_configured").name.encode()) == []
