"""Templates read the user-provided data of a GA4 hit as in Google's container."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from twite.formats.ga4 import read as ga4
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.effects import HttpEffect
from twite.tags.template.sandbox import Call
from twite.tags.template.template import read_template
from twite.tags.vendors.vendor_checks import KnownPerson, VendorRequest, query_of
from twite.tags.vendors.vendor_rules import problems_of

TEMPLATES = Path(__file__).parents[2] / "tags/templates"
NOW = 1_795_600_000_000
QUERY = "v=2&tid=G-1&cid=1.2&en=purchase&ep.transaction_id=T1&cu=EUR&epn.value=5"
PERSON = (
    "&ep.user_data.email_address=shopper%40mail.example&ep.user_data.phone_number=%2B442079460958"
    "&ep.user_data.address.first_name=Ada&ep.user_data.address.city=London"
)
EMAIL, PHONE = "shopper@mail.example", "+442079460958"


def event_of(more):
    return ga4.read(QUERY + more, b"").readable[0]


def read_by_template(code, more):
    """Return what a template's code reads from the hit's event data."""
    text = (TEMPLATES / "crm_post.tpl").read_text()
    whole = re.sub(
        r"(?<=___SANDBOXED_JS_FOR_SERVER___\n)(.|\n)*?(?=\n___SERVER_PERMISSIONS___)", code, text
    )
    turn = QuickJsEngine(read_template(whole.encode())).start(
        Call(fields={}, now=NOW, event=event_of(more))
    )
    assert turn.error is None, turn.error
    return turn.returned


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("user_data.email_address", EMAIL),
        ("user_data.address.city", "London"),
        ("user_data.address", {"first_name": "Ada", "city": "London"}),
        ("user_data.nothing", None),
    ],
)
def test_template_can_read_user_data_by_path(path, expected):
    assert read_by_template(f"return require('getEventData')('{path}');", PERSON) == expected


def test_template_can_read_user_data_as_an_object():
    code = "const user = require('getEventData')('user_data') || {}; return user.email_address;"

    assert read_by_template(code, PERSON) == EMAIL


def test_tag_for_meta_sends_the_hashes_of_user_data_in_a_hit():
    template = read_template((TEMPLATES / "meta_post.tpl").read_bytes())

    turn = QuickJsEngine(template).start(
        Call(fields={"pixelId": "1", "accessToken": "t"}, now=NOW, event=event_of(PERSON))
    )

    (sent,) = [effect for effect in turn.effects if isinstance(effect, HttpEffect)]
    body = json.loads(sent.body)
    assert body["data"][0]["user_data"]["em"] == hashlib.sha256(EMAIL.encode()).hexdigest()
    path, _, query = sent.url.removeprefix("https://graph.facebook.com").partition("?")
    judged = problems_of(
        VendorRequest(
            host="graph.facebook.com",
            method="POST",
            path=path,
            query=query_of(query),
            headers={},
            body=body,
        ),
        KnownPerson(email=EMAIL, phone=PHONE),
    )
    assert not [problem for problem in judged if "hash" in problem]
