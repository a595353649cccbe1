"""`twite compare` without a container: the tags of the settings run on captured traffic."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

META = Path(__file__).parents[2] / "tags/templates/meta_post.tpl"
EMAIL = "shopper@mail.example"
URL = "https://graph.facebook.com/v20.0/1234567890/events?access_token="
SETTINGS = """
[[pixel]]
id = "o8z6j"
auth = {{ pixel_token = "px_2f7Qm9Zr4Tb8Lw1Kc6Vn3Hd5" }}
events = {{ purchase = "o8z6k" }}
[[source]]
name = "shop"
origins = ["https://shop.example"]
pixel = "o8z6j"
[[source]]
name = "other"
origins = ["https://other.example"]
pixel = "o8z6j"
[[tag]]
name = "meta"
template = "meta_post.tpl"
events = ["purchase"]
fields = {{ pixelId = "1234567890", accessToken = "{token}" }}
{more}
"""
EVENT = {
    "event_name": "purchase",
    "transaction_id": "order-1",
    "value": 49.9,
    "currency": "EUR",
    "user_data": {"email_address": EMAIL},
}


@pytest.fixture
def compare(command, tmp_path):
    """Run `compare` for a case, with lines for the tag."""

    def run(*cases, more="", access="a-token", arguments=()):
        shutil.copy(META, tmp_path)
        config = tmp_path / "twite.toml"
        config.write_text(SETTINGS.format(more=more, token=access))
        capture = tmp_path / "capture.jsonl"
        capture.write_text("".join(f"{json.dumps(each)}\n" for each in cases))
        ignored = ("--ignore", "*.client_*", "--ignore", "*.ph", "--ignore", "*.event_source_url")
        return command("compare", str(capture), "--config", str(config), *ignored, *arguments)

    return run


def captured(*, value=49.9, **came):
    user = {"em": sha256(EMAIL.encode()).hexdigest()}
    event = {
        "event_name": "Purchase",
        "event_id": "order-1",
        "action_source": "website",
        "user_data": user,
        "custom_data": {"value": value, "currency": "EUR"},
    }
    sent = {"url": f"{URL}a-token", "method": "POST", "body": {"data": [event]}}
    return {**(came or {"event": EVENT}), "sent": [sent]}


SECOND = """persons = "sealed"
[[tag]]
name = "second"
template = "meta_post.tpl"
sources = ["other"]
fields = { pixelId = "1" }
"""
SEALED = 'persons = "sealed"\n[server]\nsecret_key = "a-key-that-seals-things-safely"'


def test_matching_request_of_a_tag_exits_0(compare):
    code, out, _ = compare(captured(), more=SEALED)

    assert (code, out.splitlines()[-1]) == (
        0,
        "1 case. Requests: 1 match, 0 differ, 0 only in the capture, 0 only in Twite's run.",
    )


def test_different_request_of_a_tag_is_reported(compare):
    code, out, _ = compare(captured(value=50), more=SEALED)

    assert code == 1
    assert "different body.data.0.custom_data.value of “meta”, 1 time" in out


def test_tag_gets_hashes_if_its_own_setting_says_so(compare):
    code, out, _ = compare(captured(), more='persons = "hashed"')

    # The template hashes the hash, because it does not recognize one.
    assert code == 1
    assert "different body.data.0.user_data.em of “meta”" in out


@pytest.mark.parametrize(
    ("origin", "counted"),
    [("https://shop.example", "1 match"), ("https://other.example", "1 only in the capture")],
)
def test_tag_gets_only_the_events_of_its_sources(compare, origin, counted):
    query = (
        "v=2&tid=G-1&cid=1&en=purchase&ep.transaction_id=order-1&epn.value=49.9&cu=EUR"
        f"&ep.user_data.email_address={EMAIL}"
    )
    request = {"path": "/g/collect", "query": query, "headers": {"Origin": origin}}

    _, out, _ = compare(
        captured(request=request),
        more=f'sources = ["shop"]\n{SECOND}{SEALED}',
        arguments=("--tag", "meta"),
    )

    assert counted in out


def test_secret_that_is_missing_on_this_machine_is_not_compared(compare):
    code, out, _ = compare(captured(), more=SEALED, access="env:NOT_SET_HERE")

    assert code == 0, out
    assert "1 secret is not available here" in out


def test_unknown_tag_is_reported(compare):
    code, _, err = compare(captured(), arguments=("--tag", "nobody"))

    assert code == 2
    assert "Available: meta" in " ".join(err.replace("│", " ").split())


def test_compare_without_tags_in_the_settings_explains_what_is_missing(command, tmp_path):
    config = tmp_path / "twite.toml"
    config.write_text(SETTINGS.format(more="", token="x").partition("[[tag]]")[0])
    capture = tmp_path / "capture.jsonl"
    capture.write_text(json.dumps(captured()))

    code, _, err = command("compare", str(capture), "--config", str(config))

    assert code == 1
    assert "neither a container nor a [[tag]] is configured" in err
