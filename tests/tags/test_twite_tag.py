"""sgtm/twite-tag.tpl: Twite's tag for Google's server container."""

import hashlib
import importlib.util
import json
import re
from pathlib import Path

from twite.domain.incoming_request import IncomingRequest
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.engines.quickjs.scenarios import run_scenarios
from twite.tags.template.effects import HttpEffect, LogEffect, SetCookie
from twite.tags.template.field_rules import remarks_on
from twite.tags.template.fields import fill
from twite.tags.template.lint import lint
from twite.tags.template.permissions import policy
from twite.tags.template.sandbox import Call, ContainerVersion
from twite.tags.template.template import TemplateKind, read_scenarios, read_template

ROOT = Path(__file__).parents[2] / "sgtm"
TAG = read_template((ROOT / "twite-tag.tpl").read_bytes())
GIVEN = {"gatewayUrl": "https://t.shop.example", "sourceKey": "a-source-key"}
NOW = 1_764_000_000_000
EVENT = {
    "event_name": "purchase",
    "transaction_id": "order-1001",
    "page_location": "https://shop.example/thanks?twclid=abc-1",
    "user_data": {"email_address": "Shopper@example.com", "phone_number": "+442079460958"},
    "x-ga-gcs": "G111",
    "secret_of_the_page": "never sent",
}


def called(**changed: object) -> Call:
    assert remarks_on(TAG.fields, GIVEN) == ()
    said = {
        "fields": fill(TAG.fields, GIVEN),
        "event": EVENT,
        "now": NOW,
        "container": ContainerVersion(debug_mode=True),
        "request": IncomingRequest(headers=(("cookie", "_twpid=tw.1.2; twclid=old"),)),
    }
    return Call(**(said | changed))  # type: ignore[arg-type]  # fields of Call by name


def test_images_in_the_documentation_match_the_fields():
    said = importlib.util.spec_from_file_location("draw", ROOT / "draw.py")
    draw = importlib.util.module_from_spec(said)
    said.loader.exec_module(draw)
    page = (ROOT / "README.md").read_text()

    bodies = draw.bodies()

    stale = [
        name
        for name, body in bodies.items()
        if draw.digest(body) not in (ROOT / "images" / name).read_bytes()
    ]
    assert stale == [], "run: python sgtm/draw.py"
    assert [name for name in bodies if f"(images/{name})" not in page] == []


def test_documentation_names_every_field_of_the_tag():
    page = (ROOT / "README.md").read_text()
    listed = set(re.findall(r"^\| `(\w+)` \|", page.split("## Fields")[1], re.MULTILINE))

    assert {field.name for field in everything(TAG.fields)} - {""} <= listed


def everything(fields):
    for field in fields:
        if field.type not in {"GROUP", "LABEL"}:
            yield field
        yield from everything(field.fields)
        for choice in field.choices:
            yield from everything(choice.fields)


def test_twite_tag_is_a_server_tag():
    assert (TAG.kind, TAG.id) == (TemplateKind.TAG, "cvt_temp_public_id")


def test_twite_tag_passes_at_least_twelve_own_tests():
    verdicts = run_scenarios(TAG, read_scenarios(TAG.tests), now=NOW)

    assert {verdict.name: verdict.failures for verdict in verdicts if verdict.failures} == {}
    assert len(verdicts) >= 12


def test_twite_tag_passes_the_lint():
    assert lint(TAG) == ()


def test_twite_tag_may_read_only_named_data_and_set_one_cookie():
    granted = policy(TAG.grants)

    assert ".*" not in granted.event
    assert granted.headers == ("referer", "sec\\-gpc")
    assert sorted(granted.read_cookies) == ["_twclid", "_twite", "_twpid", "twclid"]
    assert [(set_cooky.name, set_cooky.secure) for set_cooky in granted.set_cookies] == [
        ("_twite", True)
    ]
    assert (granted.query, granted.request, granted.logging) == ((), (), "debug")


def test_twite_tag_sends_hashes_and_stores_the_click_id():
    turn = QuickJsEngine(TAG).start(called())

    assert turn.error is None
    [cookie] = [effect for effect in turn.effects if isinstance(effect, SetCookie)]
    assert (cookie.name, cookie.value, cookie.max_age) == (
        "_twite",
        f"1.{NOW}.abc-1",
        90 * 86_400,
    )
    [request] = [effect for effect in turn.effects if isinstance(effect, HttpEffect)]
    assert request.url == "https://t.shop.example/v1/sgtm"
    assert json.loads(request.body or "") == {
        "version": "1.0.0",
        "event": {
            "event_name": "purchase",
            "transaction_id": "order-1001",
            "page_location": "https://shop.example/thanks",
            "x-ga-gcs": "G111",
            "conversion_timestamp": NOW,
            "email_sha256": hashlib.sha256(b"shopper@example.com").hexdigest(),
            "phone_sha256": hashlib.sha256(b"+442079460958").hexdigest(),
            "twclid": "abc-1",
            "_twpid": "tw.1.2",
        },
    }


def test_no_call_of_the_twite_tag_is_denied():
    everything = dict.fromkeys((*policy(TAG.grants).event, "other"), "x")

    turn = QuickJsEngine(TAG).start(called(event=everything))

    assert [
        effect for effect in turn.effects if isinstance(effect, LogEffect) and effect.denied
    ] == []
    assert turn.error is None


def test_twite_tag_never_logs_a_key_or_personal_data():
    engine = QuickJsEngine(TAG)

    first = engine.start(called())
    last = engine.resume(first.run, (), now=NOW + 5_000)

    said = " ".join(
        effect.text for effect in (*first.effects, *last.effects) if isinstance(effect, LogEffect)
    )
    assert "was not answered: timed_out" in said
    assert "a-source-key" not in said
    assert "hopper" not in said
    assert "abc-1" not in said
