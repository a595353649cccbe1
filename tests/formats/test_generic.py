"""Generic webhooks: signatures as the settings describe them, logins, and secrets in the path."""

import base64
import hmac

import msgspec
import pytest

from builders import NOW
from formats.webhook_builders import a_message, a_webhook
from twite.formats.generic.presets import HUBSPOT
from twite.formats.generic.read import GenericOptions, check
from twite.formats.webhook_kind import SignatureVerdict
from twite.formats.webhook_kinds import KINDS

GENERIC = KINDS["generic"]
BODY = b'{"id":820982911946154508,"total_price":"403.00","currency":"USD"}'
MAP = {"conversion_id": "id", "value": "total_price", "currency": "currency"}
GENUINE, WRONG, LATE = SignatureVerdict.GENUINE, SignatureVerdict.WRONG, SignatureVerdict.LATE


def a_generic(*secrets, **options):
    return a_webhook(GENERIC, *secrets, **({"map": MAP} | options))


def judged(webhook, message, now=NOW):
    return webhook.kind.verify(message, webhook, now)


def complaints(**options):
    made = msgspec.convert({"map": MAP} | options, GenericOptions)
    return [f"{each.key}: {each.message}" for each in check(made)]


def test_hex_signature_of_the_body_is_genuine():
    """The vector is one of Shopware."""
    webhook = a_generic("app-secret", signature={"header": "shopware-shop-signature"})
    digest = "50771982e5cc194138b7633ccfbcdd2d7e4882933f459442f86915c6d2c2c8ce"

    assert judged(webhook, a_message(BODY, shopware_shop_signature=digest)) is GENUINE
    assert judged(webhook, a_message(BODY, shopware_shop_signature=digest.upper())) is GENUINE
    assert judged(webhook, a_message(BODY + b" ", shopware_shop_signature=digest)) is WRONG
    assert judged(webhook, a_message(BODY, shopware_shop_signature="")) is WRONG
    assert judged(webhook, a_message(BODY)) is WRONG
    assert judged(a_generic("b", signature={"header": "shopware-shop-signature"}),
                  a_message(BODY, shopware_shop_signature=digest)) is WRONG  # fmt: skip


def test_base64_signature_with_a_prefix_is_genuine():
    """The vector is one of Shopify."""
    signature = {"header": "X-Sig", "encoding": "base64", "prefix": "sha256="}
    webhook = a_generic("old", "hush", signature=signature)
    digest = "1ZDKZwAdfM9noJW+WFAIRYVA6U2i5DmOBDIZZixly/Q="

    assert judged(webhook, a_message(BODY, x_sig=f"sha256={digest}")) is GENUINE
    assert judged(webhook, a_message(BODY, x_sig=digest)) is WRONG
    assert judged(webhook, a_message(BODY, x_sig="sha256=ö")) is WRONG


HUBSPOT_URL = "https://t.shop.example/hooks/hubspot?x=1"
HUBSPOT_V3 = "30NtOZ+dbLpKu4fX0CKq7ISUfDanPbbilYw/9QCAHz8="
HUBSPOT_AT = 1_700_000_000_000


def from_hubspot(url=HUBSPOT_URL, given=HUBSPOT_V3, at=HUBSPOT_AT, body=b'[{"eventId":1}]'):
    message = a_message(body, x_hubspot_signature_v3=given, x_hubspot_request_timestamp=str(at))
    return msgspec.structs.replace(message, url=url)


def hubspot():
    return a_webhook(KINDS["hubspot"], "client-secret", **HUBSPOT)


@pytest.mark.parametrize(
    ("message", "after", "verdict"),
    [
        (from_hubspot(), 0, GENUINE),
        (from_hubspot(url="https://t.shop.example/hooks/hubspot%3Fx%3D1"), 0, GENUINE),
        (from_hubspot(), 300_000, GENUINE),
        (from_hubspot(), 300_001, LATE),
        (from_hubspot(), -300_001, LATE),
        (from_hubspot(url="https://t.shop.example/hooks/hubspot?x=2"), 0, WRONG),
        (from_hubspot(url="http://t.shop.example/hooks/hubspot?x=1"), 0, WRONG),
        (from_hubspot(at=HUBSPOT_AT + 1), 0, WRONG),
        (from_hubspot(at=""), 0, WRONG),
        (from_hubspot(at="-1"), 0, WRONG),
        (from_hubspot(body=b"[]"), 0, WRONG),
        (from_hubspot(given=""), 0, WRONG),
    ],
)
def test_signature_of_hubspot_covers_method_url_body_and_time(message, after, verdict):
    assert judged(hubspot(), message, HUBSPOT_AT + after) is verdict


def test_time_in_seconds_is_signed_between_texts():
    signature = {
        "header": "X-Sig", "signed": "v0:{timestamp}:{body}", "timestamp_header": "X-Time",
        "tolerance": 60,
    }  # fmt: skip
    at = NOW // 1_000
    digest = hmac.digest(b"s", f"v0:{at}:".encode() + BODY, "sha256").hex()
    message = a_message(BODY, x_sig=digest, x_time=str(at))

    assert judged(a_generic("s", signature=signature), message) is GENUINE
    assert judged(a_generic("s", signature=signature), message, NOW + 61_000) is LATE


def test_header_may_contain_the_secret_itself():
    signature = {"header": "Authorization", "algorithm": "secret", "prefix": "Bearer "}
    webhook = a_generic("old", "a-token", signature=signature)

    assert judged(webhook, a_message(BODY, authorization="Bearer a-token")) is GENUINE
    assert judged(webhook, a_message(BODY, authorization="Bearer a-toke")) is WRONG
    assert judged(webhook, a_message(BODY, authorization="a-token")) is WRONG
    assert judged(webhook, a_message(BODY)) is WRONG
    # The secret could not be read.
    empty = a_generic("", signature=signature)
    assert judged(empty, a_message(BODY, authorization="Bearer ")) is WRONG


@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        ("Basic " + base64.b64encode(b"crm:pa:ss").decode(), GENUINE),
        ("basic " + base64.b64encode(b"crm:old").decode(), GENUINE),
        ("Basic " + base64.b64encode(b"crm:other").decode(), WRONG),
        ("Basic " + base64.b64encode(b"other:pa:ss").decode(), WRONG),
        ("Basic crm:pa:ss", WRONG),
        ("Basic ö", WRONG),
        ("Bearer pa:ss", WRONG),
        ("", WRONG),
    ],
)
def test_basic_authentication_compares_user_and_password(header, verdict):
    webhook = a_generic("pa:ss", "old", authentication="basic", user="crm")

    assert judged(webhook, a_message(BODY, authorization=header)) is verdict


@pytest.mark.parametrize(
    ("rest", "verdict"),
    [
        ("a-long-secret", GENUINE),
        ("old/secret", GENUINE),
        ("a-long-secre", WRONG),
        ("a-long-secret/", WRONG),
        ("", WRONG),
        ("\udcff", WRONG),
    ],
)
def test_secret_in_the_path_is_compared_as_a_whole(rest, verdict):
    webhook = a_generic("a-long-secret", "old/secret", authentication="path")
    message = msgspec.structs.replace(a_message(BODY), rest=rest)

    assert judged(webhook, message) is verdict


def test_empty_secret_in_the_path_admits_nobody():
    assert judged(a_generic("", authentication="path"), a_message(BODY)) is WRONG


def test_webhook_without_a_signature_admits_nobody():
    assert judged(a_generic("s"), a_message(BODY)) is WRONG


SIGNED: dict[str, object] = {"header": "X-Sig"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"signature": SIGNED}, []),
        ({"authentication": "path"}, []),
        ({"authentication": "basic", "user": "crm"}, []),
        ({"authentication": "basic"}, ["user: is missing. Set user ="]),
        ({}, ["signature: is missing. Set signature = { header ="]),
        ({"signature": {"header": "X Sig"}}, ["signature.header: 'X Sig' is no name of a header."]),
        ({"signature": SIGNED | {"signed": "{id}.{body}"}},
         ["signature.signed: {id} is not known. Available: {body}, {timestamp}, {method}, {url}"]),
        ({"signature": SIGNED | {"signed": "{url}"}},
         ["signature.signed: does not contain {body}, so anyone could change it. Add it"]),
        ({"signature": SIGNED | {"signed": "{timestamp}{body}"}},
         ["signature.timestamp_header: is missing. Name the header with the {timestamp}"]),
        ({"signature": SIGNED | {"timestamp_header": "X-Time"}},
         ["signature.signed: does not contain {timestamp}, so anyone could change it."]),
        ({"signature": SIGNED | {"algorithm": "secret"}}, []),
        ({"signature": SIGNED, "when": "a =="}, ["when: ends too early"]),
    ],
)  # fmt: skip
def test_wrong_options_are_refused_by_place(options, expected):
    found = complaints(**options)

    assert [text[: len(start)] for text, start in zip(found, expected, strict=True)] == expected


@pytest.mark.parametrize(
    "options",
    [
        {"signature": SIGNED},
        {"signature": SIGNED | {"encoding": "base64", "prefix": "v1="}},
        {"signature": SIGNED | {"signed": "{method}{url}{timestamp}{body}",
                                "timestamp_header": "X-Time"}},
        {"signature": SIGNED | {"algorithm": "secret"}},
        {"authentication": "basic", "user": "crm"},
        {"authentication": "path"},
    ],
)  # fmt: skip
def test_samples_are_genuine(options):
    webhook = a_generic("a-secret", **options)
    message = webhook.kind.sample(webhook, NOW, "https://t.shop.example/webhooks/crm")

    assert judged(webhook, message) is GENUINE
    assert webhook.kind.read(message, webhook).parsed.conversions[0].conversion_id == "order-1001"
