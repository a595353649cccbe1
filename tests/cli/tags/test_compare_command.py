"""`twite compare`."""

import json
import shutil
from contextlib import redirect_stdout
from hashlib import sha256
from io import StringIO
from pathlib import Path

import pytest

from twite.cli import run

SHOP = Path(__file__).parents[2] / "tags/containers/shop.json"
URL = "https://ads-api.x.com/12/measurement/conversions/o8z6j"
EMAIL = "shopper@example.com"
TOKEN = "px_2f7Qm9Zr4Tb8Lw1Kc6Vn3Hd5"
PURCHASE = {
    "event_name": "purchase",
    "transaction_id": "order-1",
    "value": 49.9,
    "currency": "GBP",
    "user_data": {"email_address": EMAIL},
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """The folder of the shop's container, and the variable of its token: an import takes 80 ms."""
    folder = tmp_path_factory.mktemp("imported")
    with redirect_stdout(StringIO()) as said:
        run(("import", str(SHOP), "--out", str(folder), "--secrets", "env", "--json"))
    (token,) = [
        load for load in json.loads(said.getvalue())["secrets"] if load["name"] == "X access"
    ]
    return folder, token["kept"].removeprefix("env:")


@pytest.fixture
def container(imported, tmp_path, monkeypatch):
    """The shop's container, with its secret in the environment."""
    folder, variable = imported
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv(variable, TOKEN)
    return str(tmp_path / "container.toml")


@pytest.fixture
def settings(tmp_path):
    """Settings that give tags unhashed personal data."""
    path = tmp_path / "sealed.toml"
    path.write_text('[container]\nfile = "container.toml"\npersons = "sealed"\n')
    return str(path)


def body(**more):
    conversion = {
        "conversion_time": "2026-11-25T10:00:00Z",
        "event_id": "o8z6k",
        "conversion_id": "order-1",
        "identifiers": [{"hashed_email": sha256(EMAIL.encode()).hexdigest()}],
        "value": "49.9",
        "price_currency": "GBP",
        **more,
    }
    return {"conversions": [conversion]}


def captured(folder, *cases):
    path = folder / "capture.jsonl"
    path.write_text("".join(f"{json.dumps(example)}\n" for example in cases))
    return str(path)


def case(event=PURCHASE, sent=None, **more):
    headers = {"Content-Type": "application/json", "X-Pixel-Token": TOKEN, "User-Agent": "other"}
    said = {"url": URL, "method": "POST", "headers": headers, "body": sent or body()}
    return {"event": event, "sent": [said], **more}


def test_matching_requests_are_reported_and_exit_0(command, container, settings, tmp_path):
    capture = captured(tmp_path, case(), case())

    found = command("compare", capture, "--config", settings, "--tag", "X purchase")

    assert found == (
        0,
        (
            "2 cases. Requests: 2 match, 0 differ, 0 only in the capture, "
            "0 only in Twite's run.\n"
            "2 secrets are not available here (not set, or the key is missing). Fields "
            "that contain these secrets are not compared.\n"
        ),
        "",
    )


def test_differences_are_reported_by_path_without_personal_data(
    command, container, settings, tmp_path
):
    other = body(value="50.00", identifiers=[{"hashed_email": "0" * 64}])
    capture = captured(tmp_path, case(sent=other), case(sent=body(value="50.00")))

    code, out, _ = command("compare", capture, "--config", settings, "--tag", "X purchase")

    assert code == 1
    assert "different body.conversions.0.value of “X purchase”, 2 times" in out
    assert 'captured "50.00", Twite "49.9" (line 1)' in out
    assert "different body.conversions.0.identifiers.0.hashed_email of “X purchase”, 1 time" in out
    assert "2 cases. Requests: 0 match, 2 differ" in out
    assert [secret for secret in (EMAIL, "0" * 64, TOKEN) if secret in out] == []


def test_tag_that_would_get_only_hashes_runs_with_hashes(command, container, tmp_path):
    capture = captured(tmp_path, case())

    code, out, _ = command("compare", capture, "--container", container, "--tag", "X purchase")

    assert code == 1
    assert "different body.conversions.0.identifiers.0.hashed_email of “X purchase”" in out


def test_ignored_paths_are_counted(command, container, settings, tmp_path):
    capture = captured(tmp_path, case(sent=body(value="50.00")))

    code, out, _ = command(
        "compare", capture, "--config", settings, "--tag", "X purchase", "--ignore", "*.value"
    )

    assert (code, "ignored body.conversions.0.value, 1 time" in out) == (0, True)


def test_event_is_read_from_a_request_and_matched_by_trace(command, container, tmp_path):
    query = "v=2&tid=G-1&cid=1&en=purchase&ep.transaction_id=order-1&epn.value=49.9&cu=GBP"
    came = {"trace": "t", "request": {"method": "GET", "path": "/g/collect", "query": query}}
    sent = {"trace": "t", "sent": case()["sent"]}
    sent["sent"][0]["body"] = body(identifiers=[])
    capture = captured(tmp_path, came, sent)

    code, out, _ = command("compare", capture, "--container", container, "--tag", "X purchase")

    assert code == 0, out


def test_request_that_no_endpoint_can_read_is_reported(command, container, tmp_path):
    capture = captured(tmp_path, {"request": {"path": "/odd"}})

    code, out, _ = command("compare", capture, "--container", container)

    assert (code, "unread no endpoint reads '/odd'" in out) == (1, True)


def test_comparison_is_printed_as_json(command, container, settings, tmp_path):
    capture = captured(tmp_path, case(sent=body(value="50.00")))

    _, out, _ = command("compare", capture, "--config", settings, "--json")

    reported = json.loads(out)
    assert (reported["cases"], reported["different"]) == (1, 1)
    assert reported["differences"][0]["path"] == "body.conversions.0.value"
    assert "Large orders twice: GET https://warehouse.example/large" in reported["extra"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tag", "Nobody"), "no tag 'Nobody'"),
        (("--container", "nowhere.toml"), "nowhere.toml: cannot be read"),
    ],
)
def test_unknown_tag_or_source_names_are_reported(command, container, tmp_path, arguments, said):
    capture = captured(tmp_path, case())

    code, _, err = command("compare", capture, "--container", container, *arguments)

    assert (code in {1, 2}, said in err) == (True, True)


def test_capture_without_cases_fails(command, container, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")

    code, _, err = command("compare", str(empty), "--container", container)

    assert (code, err) == (1, "The captures contain no requests to compare.\n")


def test_unreadable_line_of_a_capture_is_named_with_its_file(command, container, tmp_path):
    capture = tmp_path / "capture.jsonl"
    capture.write_text('{"event": {}}\n{"sent": 1}\n')

    code, _, err = command("compare", str(capture), "--container", container)

    assert (code, err.startswith(f"Error: {capture}, line 2: ")) == (1, True)


ASKS = """___INFO___
{"type": "%s", "id": "cvt_temp_public_id", "displayName": "T", "containerContexts": ["SERVER"]}
___TEMPLATE_PARAMETERS___
[{"type": "TEXT", "name": "segment"}]
___SANDBOXED_JS_FOR_SERVER___
%s
___SERVER_PERMISSIONS___
[{"instance": {"key": {"publicId": "send_http", "versionId": "1"},
  "param": [{"key": "allowedUrls", "value": {"type": 1, "string": "any"}}]}}]
"""


def test_variable_lookup_is_answered_from_the_capture(command, tmp_path):
    send = "const send = require('sendHttpRequest');\n"
    lookup = f"{send}return send('https://lookup.example/').then((answer) => answer.body);"
    tag = f"{send}send('https://vendor.example/' + data.segment).then(data.gtmOnSuccess);"
    version = {
        "containerId": "1",
        "container": {"publicId": "GTM-TEST", "usageContext": ["SERVER"]},
        "customTemplate": [
            {"templateId": "1", "name": "Lookup", "templateData": ASKS % ("MACRO", lookup)},
            {"templateId": "2", "name": "Main", "templateData": ASKS % ("TAG", tag)},
        ],
        "variable": [{"variableId": "3", "name": "segment", "type": "cvt_1_1"}],
        "tag": [
            {
                "tagId": "4",
                "name": "CRM",
                "type": "cvt_1_2",
                "parameter": [{"type": "TEMPLATE", "key": "segment", "value": "{{segment}}"}],
                "firingTriggerId": ["2147479574"],
            }
        ],
    }
    export = tmp_path / "export.json"
    export.write_text(json.dumps({"exportFormatVersion": 2, "containerVersion": version}))
    command("import", str(export), "--out", str(tmp_path), "--secrets", "env")
    sent = [
        {"url": "https://lookup.example/", "method": "GET", "status": 200, "answer": "gold"},
        {"url": "https://vendor.example/gold", "method": "GET"},
    ]
    capture = captured(tmp_path, {"event": PURCHASE, "sent": sent})

    code, out, _ = command("compare", capture, "--container", str(tmp_path / "container.toml"))

    assert (code, out) == (
        0,
        "1 case. Requests: 2 match, 0 differ, 0 only in the capture, 0 only in Twite's run.\n",
    )


HIT = "v=2&tid=G-1&cid=1&en=purchase&ep.transaction_id=order-1&epn.value=49.9&cu=GBP"
ROBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
SOURCES = """
[[pixel]]
id = "o8z6j"
auth = { pixel_token = "px_2f7Qm9Zr4Tb8Lw1Kc6Vn3Hd5" }
events = { purchase = "o8z6k" }

[[source]]
name = "shop"
origins = ["https://shop.example"]
pixel = "o8z6j"
browser_value_limit = "100"

[[source]]
name = "strict"
origins = ["https://strict.example"]
pixel = "o8z6j"
consent = "required"

[container]
file = "container.toml"
persons = "sealed"
"""


@pytest.fixture
def compare_at_endpoints(command, container, tmp_path):
    """Return a function that runs `compare` with two sources; only one requires consent."""
    path = tmp_path / "endpoints.toml"
    path.write_text(SOURCES)

    def compare(came, *arguments):
        capture = captured(tmp_path, came)
        options = ("--config", str(path), "--tag", "X purchase", "--ignore", "*.identifiers*")
        return command("compare", capture, *options, *arguments)

    return compare


def hit(query="", *, event=None, headers=None):
    request = {
        "method": "GET",
        "path": "/g/collect",
        "query": HIT + query,
        "headers": headers or {},
    }
    came = {"request": request} if event is None else {"event": event}
    return {**came, "sent": case(sent=body(identifiers=[]))["sent"]}


@pytest.mark.parametrize(
    ("came", "reason"),
    [
        (hit("&gcs=G100"), "consent_denied: gcs"),
        (hit("&npa=1"), "consent_limited: npa"),
        (hit(headers={"User-Agent": ROBOT}), "bot"),
        (hit(headers={"Sec-GPC": "1"}), "consent_denied: gpc"),
        (hit("&dl=https%3A%2F%2Fgtm-msr.appspot.com%2F"), "preview"),
        (hit(event={**PURCHASE, "value": 1000}), "value_limit"),
        (hit(headers={"Origin": "https://strict.example"}), "consent_missing"),
        (hit(headers={"Referer": "https://strict.example/x"}), "consent_missing"),
        (hit(event={**PURCHASE, "user_agent": ROBOT}), "bot"),
        (hit(event={**PURCHASE, "x-ga-gcs": "G100"}), "consent_denied: gcs"),
    ],
)
def test_event_that_the_gateway_does_not_send_does_not_match(compare_at_endpoints, came, reason):
    code, out, _ = compare_at_endpoints(came)
    _, reported, _ = compare_at_endpoints(came, "--json")

    assert code == 1
    assert f"not sent {reason}, 1 time" in out
    assert out.splitlines()[-2].endswith(
        "1 case. Requests: 0 match, 0 differ, 0 only in the capture, 0 only in Twite's run. "
        "Twite did not send 1 event."
    )
    assert json.loads(reported)["kept_back"] == {reason: 1}


@pytest.mark.parametrize(
    "came",
    [
        hit("&gcs=G111"),
        hit("&gcs=G111", headers={"Origin": "https://strict.example"}),
        hit(headers={"Authorization": "Bearer k", "User-Agent": ROBOT}),
        {"event": {"event_name": "page_view", "user_agent": ROBOT}},
    ],
)
def test_accepted_event_or_event_that_is_no_conversion_is_a_match(compare_at_endpoints, came):
    code, out, err = compare_at_endpoints(came)

    assert (code, err, "not sent" in out) == (0, "", False), out


def test_consent_signal_of_a_captured_event_is_used(compare_at_endpoints, container):
    path = Path(container)
    tag = 'name = "X purchase"\n'
    path.write_text(path.read_text().replace(tag, f'{tag}consent = ["ad_storage"]\n'))

    silent = compare_at_endpoints(case())
    granted = compare_at_endpoints(case({**PURCHASE, "consent": {"ad_storage": "GRANTED"}}))

    assert (silent[0], "missing POST" in silent[1]) == (1, True)
    assert granted[0] == 0, granted


def test_source_of_the_captured_requests_can_be_chosen(compare_at_endpoints):
    strict = compare_at_endpoints(case(), "--source", "strict")
    nobodys = compare_at_endpoints(case(), "--source", "nobody")

    assert (strict[0], "not sent consent_missing, 1 time" in strict[1]) == (1, True)
    assert (nobodys[0], "no source 'nobody'. Available: shop, strict" in nobodys[2]) == (1, True)
