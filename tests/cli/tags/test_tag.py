"""`twite tag test`, `run` and `fields`."""

import json
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from command_stage import HOSTILE

ROOT = Path(__file__).parents[3]
TEMPLATES = ROOT / "tests/tags/templates"
OWN = ROOT / "sgtm/twite-tag.tpl"
HEAD = '___INFO___\n{"type": "TAG", "displayName": "A tag"}\n___SANDBOXED_JS_FOR_SERVER___\n'


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "a.tpl"
        path.write_text(HEAD + text)
        return str(path)

    return write


def test_tests_of_a_template_are_run_and_listed(command):
    code, out, err = command("tag", "test", str(TEMPLATES / "cookie_keeper.tpl"))

    assert (code, err) == (0, "")
    assert out == (
        "✓ A new visitor gets a cookie\n"
        "✓ Another keeps the own one\n"
        "✓ A cookie that is not granted is not set\n"
        "Keeps a cookie: 3 of 3 tests passed.\n"
    )


def test_failed_template_test_is_reported_with_its_line_and_exits_1(command, written):
    path = written(
        "return 1;\n___TESTS___\nscenarios:\n- name: Is two\n  code: |-\n"
        "    assertThat(runCode({})).isEqualTo(2);\n"
    )

    assert command("tag", "test", path) == (
        1,
        ("✗ Is two\n    expected 1 isEqualTo 2 (scenario line 1)\nA tag: 0 of 1 test passed.\n"),
        "",
    )


def test_tag_test_of_a_template_without_tests_exits_1(command, written):
    assert command("tag", "test", written("return 1;")) == (1, "A tag has no tests.\n", "")


def test_results_of_template_tests_can_be_a_junit_file(command, tmp_path):
    report = tmp_path / "report.xml"

    code, _, _ = command("tag", "test", str(OWN), "--junit", str(report))

    assert code == 0
    assert ET.parse(report).getroot().get("failures") == "0"  # noqa: S314 - own file


def test_names_and_messages_are_escaped_in_the_terminal(command, written):
    text = json.dumps(HOSTILE)
    head = f"return 1;\n___TESTS___\nscenarios:\n- name: {text}\n"
    path = written(f"{head}  code: |-\n    fail({text});")

    _, out, _ = command("tag", "test", path)

    assert "\x1b" not in out
    assert "\u202e" not in out


RUN = """
require('logToConsole')('hello', data.one);
require('sendHttpRequest')('https://a.example/x', {method: 'POST'}, 'body').then((answer) => {
  if (answer.statusCode === 200) data.gtmOnSuccess(); else data.gtmOnFailure();
});
___TEMPLATE_PARAMETERS___
[{"type": "TEXT", "name": "one", "defaultValue": "1"}]
___SERVER_PERMISSIONS___
[{"instance": {"key": {"publicId": "logging"}, "param":
  [{"key": "environments", "value": {"type": 1, "string": "all"}}]}},
 {"instance": {"key": {"publicId": "send_http"}, "param":
  [{"key": "allowedUrls", "value": {"type": 1, "string": "any"}}]}}]
"""


def test_run_shows_the_effects_of_a_tag_and_performs_none(command, written):
    assert command("tag", "run", written(RUN)) == (
        0,
        (
            'log {"text":"hello 1"}\n'
            'request {"id":1,"url":"https://a.example/x","method":"POST","body":"body"}\n'
            "outcome: silent\n"
            "The code is waiting for responses. Pass them with --answer.\n"
        ),
        "",
    )


def test_run_continues_with_the_given_http_response(command, written):
    path = written(RUN)

    taken = command("tag", "run", path, "--answer", "{}", "--json", "--data", '{"one": "2"}')
    refused = command("tag", "run", path, "--answer", '{"status": 500}')

    assert (taken[0], json.loads(taken[1])) == (
        0,
        {
            "effects": [
                {"effect": "log", "text": "hello 2"},
                {
                    "effect": "request",
                    "id": 1,
                    "url": "https://a.example/x",
                    "method": "POST",
                    "body": "body",
                },
            ],
            "outcome": "success",
            "returned": None,
            "error": None,
            "waiting": [],
        },
    )
    assert refused[0] == 1
    assert "outcome: failure" in refused[1]


UNCAUGHT = (
    r'log {"text":"unhandled promise rejection: {\"reason\":\"timed_out\"}","own":true}'
    "\n"
)
RAN_OUT = "The code waited until the time limit for a promise that never settles.\n"


@pytest.mark.parametrize(
    ("code", "status", "shown"),
    [
        ("wait().catch(data.gtmOnFailure);", 1, f"outcome: failure\n{RAN_OUT}"),
        (
            "wait();",
            0,
            f"{UNCAUGHT}outcome: silent\n{RAN_OUT}",
        ),
        (
            "const again = () => wait().catch(again); again();",
            0,
            f"outcome: silent\n{RAN_OUT}The code is still waiting after 100 turns.\n",
        ),
    ],
)
def test_run_of_a_tag_with_an_unsettled_promise_times_out(command, written, code, status, shown):
    path = written(f"const wait = () => require('Promise').create(() => {{}});\n{code}")

    assert command("tag", "run", path) == (status, shown, "")


CALLS = """const log = require('logToConsole');
require('runContainer')({event_name: 'upsell'}, (bind) => {
  bind(require('addEventCallback'))((id, event) => {
    log('ended', event.tags.length);
    data.gtmOnSuccess();
  });
}, (bind) => log('began', bind(require('getEventData'))('event_name')));
___SERVER_PERMISSIONS___
[{"instance": {"key": {"publicId": "run_container", "versionId": "1"}, "param": []}},
 {"instance": {"key": {"publicId": "read_event_metadata", "versionId": "1"}, "param": []}},
 {"instance": {"key": {"publicId": "read_event_data", "versionId": "1"}, "param": [
  {"key": "eventDataAccess", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "logging", "versionId": "1"}, "param": [
  {"key": "environments", "value": {"type": 1, "string": "all"}}]}}]
"""


ENDS = """const log = require('logToConsole');
require('addEventCallback')((id, event) => log(event.tags));
%s
___SERVER_PERMISSIONS___
[{"instance": {"key": {"publicId": "read_event_metadata", "versionId": "1"}, "param": []}},
 {"instance": {"key": {"publicId": "send_http", "versionId": "1"}, "param": []}},
 {"instance": {"key": {"publicId": "logging", "versionId": "1"}, "param": [
  {"key": "environments", "value": {"type": 1, "string": "all"}}]}}]
"""
ASKS = (
    "require('sendHttpRequest')('https://a.example/', {}).then((response) => "
    "response.statusCode === 200 ? data.gtmOnSuccess() : data.gtmOnFailure());"
)


@pytest.mark.parametrize(
    ("act", "answer", "status"),
    [
        ("data.gtmOnSuccess();", (), "success"),
        ("data.gtmOnFailure();", (), "failure"),
        (ASKS, ("--answer", '{"status": 200}'), "success"),
        (ASKS, ("--answer", '{"status": 500}'), "failure"),
    ],
)
def test_run_calls_the_event_callback_with_the_result_of_the_tag(
    command, written, act, answer, status
):
    _, out, _ = command("tag", "run", written(ENDS % act), *answer)

    said = f'[{{"id":"A tag","status":"{status}","executionTime":0}}]'
    assert f"log {json.dumps({'text': said}, separators=(',', ':'))}\n" in out
    assert f"outcome: {status}\n" in out


def test_run_shows_created_events_and_calls_their_callbacks_at_once(command, written):
    code, out, _ = command("tag", "run", written(CALLS))

    assert code == 0
    assert out == (
        'run_container {"id":1,"event":{"event_name":"upsell"},"on_start":true,'
        '"on_complete":true}\n'
        'log {"text":"began upsell"}\n'
        'after_event {"id":2,"event":1}\n'
        'log {"text":"ended 0"}\n'
        "outcome: success\n"
    )


def test_run_reads_json_from_files(command, tmp_path):
    (tmp_path / "event.json").write_text('{"event_name": "a", "value": 1}')
    (tmp_path / "fields.json").write_text('{"token": "t"}')

    code, out, _ = command(
        "tag",
        "run",
        str(TEMPLATES / "ads_promise.tpl"),
        "--event",
        str(tmp_path / "event.json"),
        "--data",
        str(tmp_path / "fields.json"),
        "--json",
    )

    assert code == 0
    assert [load["url"] for load in json.loads(out)["effects"]] == [
        "https://ads.example/one",
        "https://ads.example/two",
    ]


def test_run_reads_a_captured_request_and_reports_wrong_fields(command):
    code, out, err = command(
        "tag",
        "run",
        str(TEMPLATES / "client_json.tpl"),
        "--data",
        '{"path": "/in", "other": 1}',
        "--request",
        '{"path": "/in", "method": "POST", "body": "{\\"a\\": 1}", "remote_address": "192.0.2.1"}',
        "--json",
    )

    assert code == 0
    assert err == "other: is not a field of this template\n"
    effects = json.loads(out)["effects"]
    assert [effect["effect"] for effect in effects[2:]] == ["status", "header", "body", "respond"]
    assert effects[:2] == [
        {"effect": "claim"},
        {
            "effect": "run_container",
            "id": 1,
            "event": {"a": 1, "ip_override": "192.0.2.1", "query": ""},
            "on_complete": True,
        },
    ]


MPV2 = (
    "const events = require('extractEventsFromMpv2')();\n"
    "return [require('isRequestMpv2')(), events.length, events[0].event_name, events[0].value];\n"
    '___SERVER_PERMISSIONS___\n[{"instance": {"key": {"publicId": "read_request"}, "param": '
    '[{"key": "requestAccess", "value": {"type": 1, "string": "any"}}]}}]\n'
)


def test_run_reads_the_events_of_a_measurement_protocol_request(command, written):
    request = {
        "path": "/g/collect",
        "query": "v=2&tid=G-1&cid=1.2&en=purchase&epn.value=7",
        "headers": {"User-Agent": "A"},
    }

    code, out, _ = command("tag", "run", written(MPV2), "--request", json.dumps(request))

    assert (code, out.splitlines()[0]) == (0, 'returned [true,1,"purchase",7]')


def test_run_reports_that_a_request_contains_no_events(command, written):
    code, _, err = command("tag", "run", written(MPV2), "--request", '{"path": "/g/collect"}')

    assert code == 1
    assert "the request is not a Measurement Protocol v2 request" in err


def test_error_thrown_by_a_template_is_reported_with_its_line(command, written):
    code, out, err = command("tag", "run", written("const a = 1;\nnull.x;"))

    assert (code, out) == (1, "outcome: silent\n")
    assert err == "Error: TypeError: cannot read property 'x' of null (line 5)\n"


@pytest.mark.parametrize(
    "arguments",
    [("--data", "no file"), ("--event", "{"), ("--request", '{"x": 1}'), ("--answer", "[]")],
)
def test_invalid_json_option_of_run_exits_2(command, written, arguments):
    code, _, err = command("tag", "run", written("return 1;"), *arguments)

    assert code == 2
    assert arguments[0] in err


def test_fields_prints_the_form_and_a_valid_toml_block(command):
    code, out, err = command("tag", "fields", str(TEMPLATES / "x_post.tpl"))

    assert (code, err) == (0, "")
    table, block = out.split("[[tag]]")
    fields = json.loads(command("tag", "fields", str(TEMPLATES / "x_post.tpl"), "--json")[1])
    assert fields
    assert [field["name"] for field in fields if field["name"] not in table] == []
    (tag,) = tomllib.loads(f"[[tag]]{block}")["tag"]
    assert tag["template"] == "x_post.tpl"


@pytest.mark.parametrize("what", ["test", "run", "lint", "fields"])
def test_file_that_is_not_a_template_is_explained(command, tmp_path, what):
    path = tmp_path / "no.tpl"
    path.write_text("hello")

    code, _, err = command("tag", what, str(path))
    absent = command("tag", what, str(tmp_path / "absent.tpl"))

    assert code == 1
    assert err == f"Error: {path}, line 1: no section: this is not a tag template (.tpl)\n"
    assert (absent[0], absent[2]) == (
        1,
        f"Error: {tmp_path / 'absent.tpl'}: cannot be read (No such file or directory)\n",
    )


@pytest.mark.parametrize("what", ["test", "run"])
def test_syntax_error_of_a_template_is_reported_with_its_line(command, written, what):
    path = written("const a = ;")

    code, _, err = command("tag", what, path)

    assert code == 1
    assert err.startswith(f"Error: {path}, line 4: SANDBOXED_JS_FOR_SERVER: SyntaxError")


def test_tag_without_a_subcommand_prints_the_help(command):
    code, out, err = command("tag")

    assert code == 2
    assert "lint" in out + err
