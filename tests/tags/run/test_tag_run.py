"""A tag run performs a template's effects within limits, and masks its output."""

import asyncio
from urllib.parse import urlsplit

import pytest
from local_engines import LocalEngines, LocalProcess
from tag_run_stage import SECRET, SEND, Skipping, Stage

from twite.domain.incoming_request import IncomingRequest
from twite.domain.secret import Secret
from twite.gateway.ports.ownership import LEASE_IS_OVER
from twite.gateway.ports.transport import NoResponse, Response
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.ports.tags import completed
from twite.tags.redaction.mask_line import LineMask
from twite.tags.run.outbound import MOST_REQUESTS
from twite.tags.runtime.tag_log import STORAGE_FULL
from twite.tags.template.effects import HttpEffect, RunContainer
from twite.tags.template.sandbox import RunResult, Turn


async def test_response_resumes_the_template():
    stage = Stage(Response(status=204, headers={}, body=b""))

    ran = await stage.run(
        SEND + "send('https://a.example/').then((a) => "
        "a.statusCode === 204 ? data.gtmOnSuccess() : data.gtmOnFailure());"
    )

    assert ran.succeeded
    assert [request.url for request in stage.web.asked] == ["https://a.example/"]


async def test_request_without_a_response_is_reported_and_ambiguous():
    stage = Stage(NoResponse(reason="no answer in time", left=True, is_late=True))

    ran = await stage.run(SEND + "send('https://a.example/').catch(data.gtmOnFailure);")

    assert (ran.outcome, ran.left, ran.may_pass) == (RunResult.FAILURE, True, True)


async def test_gateway_without_its_lease_sends_no_tag_request():
    stage = Stage()
    stage.may_send = False

    ran = await stage.run(SEND + "send('https://a.example/').catch(data.gtmOnFailure);")

    assert (ran.outcome, ran.left, stage.web.asked) == (RunResult.FAILURE, False, [])
    assert [request.words for request in ran.tried] == [LEASE_IS_OVER]


async def test_run_with_too_many_requests_ends():
    stage = Stage()

    ran = await stage.run(SEND + "for (let i = 0; i < 300; i++) send('https://a.example/');")

    assert ran.error == (
        f"it made more than {MOST_REQUESTS} requests. Combine requests in the template, or divide "
        "them among several tags"
    )
    assert (ran.passed_a_limit, ran.is_spent) == (True, False)
    assert stage.web.asked == []


@pytest.mark.parametrize(("needed", "succeeded"), [(True, False), (False, True)])
async def test_tag_does_not_run_if_its_required_setup_tag_failed(needed, succeeded):
    ran = await Stage().run("data.gtmOnSuccess();", setup="data.gtmOnFailure();", needed=needed)

    assert ran.succeeded is succeeded


@pytest.mark.parametrize(
    ("setup", "why"),
    [
        ("data.gtmFailed();", "TypeError: not a function (line 1)"),
        ("data.gtmOnSuccess(); data.gtmFailed();", "TypeError: not a function (line 1)"),
        ("", "the setup tag 'setup' did not succeed"),
    ],
)
async def test_failed_setup_tag_is_the_reason_why_the_tag_does_not_run(setup, why):
    stage = Stage()

    ran = await stage.run("require('logToConsole')('ran'); data.gtmOnSuccess();", setup=setup)

    assert (ran.outcome, ran.error) == (RunResult.FAILURE, why)
    assert stage.seen.notices == []


@pytest.mark.parametrize(
    ("code", "needed", "runs"),
    [
        ("data.gtmOnSuccess();", True, True),
        ("data.gtmOnFailure();", True, False),
        ("data.gtmOnSuccess(); data.gtmFailed();", True, False),
        ("data.gtmOnFailure();", False, True),
        ("data.gtmFailed();", False, True),
    ],
)
async def test_cleanup_tag_that_requires_success_runs_only_after_it(code, needed, runs):
    stage = Stage()

    await stage.run(code, teardown="require('logToConsole')('after');", needed=needed)

    assert [notice.text for notice in stage.seen.notices] == (["after"] if runs else [])


async def test_random_variable_has_the_same_value_at_each_attempt():
    stage = Stage()
    code = "require('logToConsole')(data.lot);\ndata.gtmOnSuccess();"

    for draw in (5, 5, 8, 0, 0):
        await stage.run(code, draw=draw)

    first, again, other, waited, waited_again = [notice.text for notice in stage.seen.notices]
    # Payloads from before events had a random number use the delivery's.
    assert (first, waited) == (again, waited_again)
    assert len({first, other, waited}) == 3


async def test_run_that_hangs_is_ended_and_starts_probation():
    ran = await Stage().run("while (true) {}")

    assert ran.is_spent
    assert not ran.left


class BusyProcess(LocalProcess):
    """A process that is busy with others for twice the tag's time limit."""

    async def start(self, template, call):
        await asyncio.sleep(0.6)
        return await super().start(template, call)


class BusyEngines(LocalEngines):
    def process(self, limits):
        return BusyProcess(QuickJsEngine, limits)


async def test_template_gets_the_cookies_of_a_response_as_a_list():
    cookies = ("a=1; Path=/", "b=2, 3")
    stage = Stage(Response(status=200, headers={"x-a": "1, 2"}, cookies=cookies, body=b"\xff\x00"))

    ran = await stage.run(
        SEND + "send('https://a.example/').then((response) => {"
        "  const [first, second] = response.headers['set-cookie'];"
        "  if (first === 'a=1; Path=/' && second === 'b=2, 3' && response.headers['x-a'] === '1, 2'"
        "    && response.body === '\\ufffd\\0') data.gtmOnSuccess();"
        "});"
    )

    assert ran.succeeded


async def test_time_of_other_runs_does_not_count_towards_the_timeout():
    stage = Stage(Response(status=200, headers={}, body=b""))

    ran = await stage.run(
        SEND + "send('https://a.example/', data.gtmOnSuccess);",
        engines=BusyEngines(QuickJsEngine),
        timeout=300,
    )

    assert ran.succeeded


async def test_promises_do_not_time_out_during_other_runs():
    stage = Stage(Response(status=200, headers={}, body=b""))
    clock = stage.clock = Skipping()

    answered = stage.web.ask

    async def ask(asked):
        # Answer with a delay, so that the expired time limit is reported first.
        await asyncio.sleep(0.05)
        return await answered(asked)

    stage.web.ask = ask

    class Late(QuickJsEngine):
        def start(self, call):
            clock.skipped += 10_000  # twice as long as a promise may take
            return super().start(call)

    ran = await stage.run(
        SEND + "send('https://a.example/').then(data.gtmOnSuccess, data.gtmOnFailure);", make=Late
    )

    assert ran.succeeded


async def test_timeout_of_a_request_ends_the_run_without_probation():
    stage = Stage()
    stage.web.ask = lambda _: asyncio.sleep(60)

    ran = await stage.run(SEND + "send('https://a.example/', data.gtmOnSuccess);", timeout=300)

    assert ran.error == (
        "it took longer than 0.3 s. Raise timeout in [[tag]] (for an imported tag in [container]), "
        "at most to 1 min"
    )
    assert (ran.passed_a_limit, ran.is_spent, ran.left) == (True, False, True)


class Escaped:
    """An engine whose template escaped the sandbox and asks for forbidden effects."""

    def __init__(self, _template, *, limits):
        self.limits = limits

    def start(self, _call):
        asked = HttpEffect(id=2, url="https://a.example/", method="GET")
        return Turn(run=1, effects=(RunContainer(id=1, event={}), asked))

    def resume(self, _run, _answers, *, now):
        return Turn(run=1, outcome=RunResult.SUCCESS if now else RunResult.FAILURE)

    def end(self, run):
        pass


async def test_effect_without_permission_is_denied_whatever_the_engine_says():
    stage = Stage()

    ran = await stage.run("", make=Escaped)

    assert ran.error == "the permission run_container does not allow one of its calls"
    assert stage.web.asked == []


async def test_stored_item_beyond_the_capacity_is_dropped_and_reported():
    stage = Stage()
    code = "const kept = require('templateDataStorage');\n" + "".join(
        f"kept.setItemCopy('{name}', 'x'.repeat({size}));\n"
        for name, size in (("most", 900_000), ("more", 200_000))
    )

    ran = await stage.run(code + "data.gtmOnSuccess();")

    assert ran.succeeded
    assert [notice.text for notice in stage.seen.notices] == [STORAGE_FULL]


async def test_log_lines_are_limited_and_contain_no_secret_or_personal_data():
    stage = Stage()
    code = (
        "const log = require('logToConsole');\n"
        f"log('{SECRET} of Ann Smith, a@mail.example');\n"
        "for (let i = 0; i < 100; i++) log('line');\ndata.gtmOnSuccess();"
    )

    await stage.run(code, event={"user_data": {"address": {"first_name": "Ann Smith"}}})

    lines = [notice.text for notice in stage.seen.notices]
    assert lines[0] == "*** of ***, ***"
    assert len(lines) == 20
    assert lines[-1] == "further lines of this run are omitted"


async def test_messages_of_twite_are_reported_unmasked():
    stage = Stage()
    code = (
        "require('setCookie')('a', 'b');\nrequire('setResponseBody')('x');\n"
        "const auth = require('getGoogleAuth')({scopes: ['s']});\n"
        + SEND
        + "send('https://a.example/', {authorization: auth}).catch(data.gtmOnFailure);"
    )

    await stage.run(code)

    assert [(notice.text, notice.own) for notice in stage.seen.notices] == [
        ("setCookie was ignored: the response was sent before the tag ran", True),
        ("setResponseBody was ignored: the response was sent before the tag ran", True),
        ("getGoogleAuth: [google] is not set in the settings", True),
    ]


@pytest.mark.parametrize("api", ["setCookie('a', 'b')", "setResponseHeader('a', 'b')"])
async def test_effects_on_the_response_after_the_first_turn_are_ignored(api):
    stage = Stage(Response(status=200, headers={}, body=b""))
    name, _, arguments = api.partition("(")
    code = (
        f"const set = require('{name}');\n{SEND}"
        f"send('https://a.example/').then(() => {{ set({arguments}; data.gtmOnSuccess(); }});"
    )

    await stage.run(code, first_turn=9)

    [line] = [notice.text for notice in stage.seen.notices]
    assert line == (
        f"{name} was ignored: the call followed a wait for a response. "
        "Twite responded to the browser after the template's first step"
    )


def test_messages_of_twite_contain_no_secret_or_personal_data():
    mask = LineMask([SECRET], {"user_data": {"address": {"first_name": "Annabel"}}})

    line = mask.own(f"SetCookie: {SECRET} of Annabel\n", most=300)

    assert line == "SetCookie: *** of *** "


def test_long_secret_is_masked_and_long_text_truncated():
    secret = "k3y " * 700  # calls itself repeatedly
    mask = LineMask([secret], {})

    line = mask.over(f"{secret}{'x ' * 100_000}{secret}", most=1_000_000)

    assert "k3y" not in line
    assert line.startswith("***")
    assert len(line) < 70_000


def test_log_line_is_hidden_if_too_many_values_must_be_masked():
    mask = LineMask([], {"user_data": [f"person {n}" for n in range(6_000)]})

    assert mask.over("a line", most=300) == "…"


STAPE_HEADERS = (("x-gtm-identifier", Secret("own")), ("x-gtm-api-key", Secret("k")))
READ = """
const read = require('getRequestHeader');
require('logToConsole')(read('x-gtm-identifier') + ' ' + read('x-gtm-api-key'));
data.gtmOnSuccess();
"""


@pytest.mark.parametrize(
    ("sent", "read"),
    [((), "own k"), ((("x-gtm-identifier", "theirs"),), "theirs None")],
)
async def test_configured_headers_apply_if_the_request_has_none_of_them(sent, read):
    request = completed(IncomingRequest(headers=sent), STAPE_HEADERS)

    assert " ".join(str(dict(request.headers).get(name)) for name, _ in STAPE_HEADERS) == read


async def test_template_can_read_the_configured_headers():
    stage = Stage()

    await stage.run(READ, headers=STAPE_HEADERS)

    assert "own k" in str(stage.seen.notices)


LOCAL = {"graph.facebook.com": "http://127.0.0.1:9000", "*": "http://[::1]:9001"}


@pytest.mark.parametrize(
    ("url", "asked", "host"),
    [
        ("https://graph.facebook.com/v1/x?a=b", "http://127.0.0.1:9000/v1/x?a=b", "127.0.0.1"),
        ("https://GRAPH.facebook.com", "http://127.0.0.1:9000/", "127.0.0.1"),
        ("https://other.example/x", "http://[::1]:9001/x", "::1"),
    ],
)
async def test_redirected_request_goes_to_the_local_server_of_its_host(url, asked, host):
    stage = Stage()

    await stage.run(f"{SEND}send('{url}').then(data.gtmOnSuccess);", redirect=LOCAL)

    (request,) = stage.web.asked
    assert (request.url, request.allow_hosts) == (asked, {host})
    assert request.headers["X-Forwarded-Host"] == urlsplit(url).hostname


async def test_request_to_another_host_is_not_redirected():
    stage = Stage()
    only = {"graph.facebook.com": "http://127.0.0.1:9000"}

    await stage.run(f"{SEND}send('https://a.example/').then(data.gtmOnSuccess);", redirect=only)

    assert stage.web.asked[0].url == "https://a.example/"
    assert "X-Forwarded-Host" not in stage.web.asked[0].headers
