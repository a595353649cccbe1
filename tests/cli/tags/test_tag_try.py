"""`twite tag try` runs a template like the gateway. A fake vendor checks the requests."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from twite.tags.vendors.vendors import FakeVendor

META = str(Path(__file__).parents[2] / "tags/templates/meta_post.tpl")
FIELDS = {"pixelId": "1234567890", "accessToken": "a-token"}
EVENT = {
    "event_name": "purchase",
    "transaction_id": "order-1",
    "value": 49.9,
    "currency": "EUR",
    "page_location": "https://shop.example/thanks",
    "user_agent": "Mozilla/5.0",
    "ip_override": "203.0.113.7",
    "user_data": {"email_address": "shopper@mail.example", "phone_number": "+442079460958"},
}
ADDRESS = "POST https://graph.facebook.com/v20.0/1234567890/events"


def tried(command, *more, fields=None, event=None):
    given = json.dumps(FIELDS | (fields or {}))
    return command(
        "tag", "try", META, "--data", given, "--event", json.dumps(EVENT | (event or {})), *more
    )


def test_request_accepted_by_the_vendor_is_shown_with_its_response(command):
    assert tried(command) == (
        0,
        f"✓ {ADDRESS} → 200 (Meta)\nlog: Meta answered 200\noutcome: success\n",
        "",
    )


@pytest.mark.parametrize(
    ("fields", "event", "problem"),
    [
        ({"keepPlus": True}, {}, "ph is not the hash of the person's phone"),
        ({}, {"transaction_id": ""}, "event_id is missing"),
        ({}, {"user_agent": ""}, "client_user_agent is missing"),
    ],
)
def test_request_refused_by_the_vendor_is_explained_and_exits_1(command, fields, event, problem):
    code, out, _ = tried(command, fields=fields, event=event)

    assert code == 1
    assert out.splitlines()[:2] == [f"✗ {ADDRESS} → 400 (Meta)", f"    {problem}"]
    assert out.endswith("outcome: failure\n")


def test_tag_try_prints_its_result_as_json(command):
    code, out, _ = tried(command, "--json", fields={"keepPlus": True})

    reported = json.loads(out)
    assert (code, reported["outcome"], reported["error"]) == (1, "failure", None)
    (request,) = reported["requests"]
    assert (request["vendor"], request["status"]) == ("Meta", 400)
    assert request["problems"] == ["ph is not the hash of the person's phone"]
    assert request["body"]["data"][0]["event_id"] == "order-1"


def test_local_server_can_replace_the_fake_vendor(command):
    with FakeVendor() as own:
        code, out, _ = tried(command, "--to", own.url)

    assert (code, out) == (0, "log: Meta answered 200\noutcome: success\n")
    assert [found.request.host for found in own.asked] == ["graph.facebook.com"]


def test_remote_server_cannot_replace_the_fake_vendor(command):
    code, _, err = tried(command, "--to", "http://vendor.example:80")

    assert code != 0
    assert "--to" in err


def test_field_with_a_wrong_value_is_named(command):
    code, _, err = tried(command, fields={"pixelId": ""})

    assert code == 1
    assert err == "Error: pixelId: must not be empty. Posts to Meta requires it\n"


def test_unknown_field_of_a_template_is_named(command):
    code, _, err = tried(command, fields={"pixelID": "1"})

    assert code == 0
    assert err == "pixelID: is not a field of this template. Did you mean 'pixelId'?\n"


def test_tag_try_refuses_a_client_template(command):
    client = str(Path(__file__).parents[2] / "tags/templates/client_json.tpl")

    code, _, err = command("tag", "try", client)

    assert code == 1
    assert err.startswith("Error: template: client_json.tpl is not a tag template")


def test_error_of_a_template_names_its_line_in_the_file_once(command, tmp_path):
    text = Path(META).read_text()
    start = "___SANDBOXED_JS_FOR_SERVER___\n\n"
    file = tmp_path / "wrong.tpl"
    file.write_text(text.replace(start, f"{start}require('noSuchApi');\n"))
    line = text.partition(start)[0].count("\n") + 3

    _, _, tried = command("tag", "try", str(file), "--data", json.dumps(FIELDS))
    _, _, ran = command("tag", "run", str(file), "--data", json.dumps(FIELDS))

    assert tried == ran == f"Error: there is no API noSuchApi (line {line})\n"


def test_json_option_that_is_not_an_object_exits_2(command):
    code, _, err = command("tag", "try", META, "--event", "[1]")

    assert code == 2
    assert "[1] is neither a JSON object nor a file" in " ".join(err.replace("│", " ").split())


def test_cookies_that_the_tag_sets_are_shown(command):
    keeper = str(Path(__file__).parents[2] / "tags/templates/cookie_keeper.tpl")
    given = json.dumps({"name": "visitor", "days": 30})
    request = json.dumps({"headers": {"cookie": "visitor=v.1"}})

    ran = command("tag", "try", keeper, "--data", given, "--request", request)
    _, out, _ = command("tag", "try", keeper, "--data", given, "--request", request, "--json")

    assert ran == (0, "cookie: visitor=v.1\noutcome: success\n", "")
    assert json.loads(out)["cookies"] == {"visitor": "v.1"}


def test_cookie_that_browsers_refuse_is_a_log_line(command, tmp_path):
    text = (Path(__file__).parents[2] / "tags/templates/cookie_keeper.tpl").read_text()
    head, start, rest = text.partition("___SANDBOXED_JS_FOR_SERVER___\n\n")
    code = "".join(
        f"require('setCookie')('{name}', '1', {{domain: '{domain}', path: '/', secure: true}});\n"
        for name, domain in (
            ("visitor", "other.example"),
            ("visitor_2", "shop.example"),
            ("visitor_3", "auto"),
            ("__Host-visitor", "auto"),
        )
    )
    file = tmp_path / "cookies.tpl"
    every = rest.replace('"string": "visitor"', '"string": "*"')
    file.write_text(head + start + code + every)
    event = json.dumps({"event_name": "view", "page_location": "https://shop.example/a"})
    given = json.dumps({"name": "kept", "days": 30})

    _, out, _ = command("tag", "try", str(file), "--data", given, "--event", event, "--json")

    found = json.loads(out)
    assert {name for name in found["cookies"] if name != "kept"} == {"visitor_2", "visitor_3"}
    assert found["logs"] == [
        "the cookie visitor is for a domain outside the gateway's site",
        "a tag cannot set the cookie __Host-visitor",
    ]


@pytest.mark.parametrize(
    ("headers", "host", "key"),
    [
        ({}, "try.stape.io", "key"),
        (
            {
                "x-gtm-identifier": "a",
                "x-gtm-default-domain": "t.shop.example",
                "x-gtm-api-key": "k",
            },
            "a.t.shop.example",
            "k",
        ),
    ],
)
def test_stape_x_tag_in_oauth_mode_reaches_the_proxy(command, headers, host, key):
    proxied = str(Path(__file__).parents[2] / "tags/templates/proxy_post.tpl")
    person = {"sha256_email_address": sha256(b"shopper@mail.example").hexdigest()}
    event = {
        "conversion_time": "2026-11-25T09:46:40.000Z",
        "transaction_id": "order-1",
        "user_data": person | {"email_address": "shopper@mail.example"},
    }

    ran = command(
        "tag", "try", proxied, "--data", '{"pixelId": "o8z6j"}',
        "--event", json.dumps(event), "--request", json.dumps({"headers": headers}),
    )  # fmt: skip

    address = f"POST https://{host}/stape-api/{key}/v1/twitter/auth-proxy"
    assert ran == (0, f"✓ {address} → 200 (X, through Stape's auth proxy)\noutcome: success\n", "")


@pytest.mark.parametrize("phone", ["+44 20 7946 0958", "020 7946 0958", "442079460958"])
def test_phone_number_that_is_not_e164_is_a_warning(command, phone):
    person = {"email_address": "shopper@mail.example", "phone_number": phone}

    _, _, err = tried(command, event={"user_data": person})

    assert err.startswith(
        "event: user_data.phone_number is not in E.164 form, such as +442079460958."
    )


@pytest.mark.parametrize(
    "event",
    [{"phone": "+442079460958"}, {"phone": sha256(b"+442079460958").hexdigest()}, {"phone": ""}],
)
def test_phone_number_in_e164_or_hashed_has_no_warning(command, event):
    assert tried(command, event=event)[2] == ""


def test_hash_of_a_phone_number_with_blanks_is_an_error(command):
    person = {"email_address": "shopper@mail.example", "phone_number": "+44 20 7946 0958"}

    code, out, _ = tried(command, event={"user_data": person})

    assert code == 1
    assert "    ph is not the hash of the person's phone" in out.splitlines()


@pytest.mark.parametrize(
    "phone",
    ["020 7946 0958", "02079460958", "(020) 7946 0958", "(415) 555-0100", "44 20 7946 0958"],
)
def test_hash_of_a_phone_number_in_a_form_that_no_vendor_accepts_is_an_error(command, phone):
    person = {"email_address": "shopper@mail.example", "phone_number": phone}

    code, out, _ = tried(command, event={"user_data": person})

    assert code == 1
    assert "    the hash is that of a phone number that is not in E.164 form" in out.splitlines()
