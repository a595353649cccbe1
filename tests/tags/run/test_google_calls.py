"""Tags that call Google's services, with a local fake: requests and history."""

import asyncio
import time

import pytest
from google_stage import INSERT, Seen, run
from scripted_tags import ScriptedAccount

from google_double import GoogleDouble
from twite.tags.run.outbound import MOST_REQUESTS
from twite.tags.template.sandbox import RunResult


@pytest.mark.parametrize("status", [503, 429, 500])
async def test_temporary_error_of_google_repeats_the_delivery(status):
    with GoogleDouble(lambda path, _: status if "insertAll" in path else None) as google:
        ran = await run(google, INSERT)

    assert (ran.succeeded, ran.may_pass, ran.left) == (False, True, True)
    assert [attempt.status for attempt in ran.tried] == [status]
    assert not google.rows


async def test_refusal_of_google_makes_the_delivery_dead():
    with GoogleDouble(lambda path, _: 404 if "insertAll" in path else None) as google:
        ran = await run(google, INSERT)

    assert (ran.may_pass, ran.tried[0].is_refused) == (False, True)


async def test_missing_google_token_sends_nothing_and_repeats_the_delivery():
    seen = Seen()
    with GoogleDouble(lambda path, _: 403 if path == "/token" else None) as google:
        ran = await run(google, INSERT, seen=seen)

    assert (ran.left, ran.may_pass) == (False, True)
    assert ran.tried[0].words == "no token from Google: denied: as played"
    assert seen.lines == ['[{"reason":"failed"}]']
    assert google.asked == []


async def test_expired_google_token_is_renewed():
    with GoogleDouble() as google:
        google.behaviour = lambda path, before: (
            google.revoke() if "insertAll" in path and before == 0 else None
        )
        ran = await run(google, INSERT)

    assert ran.succeeded
    assert google.rows == [{"a": 1}, {"a": 2}]
    assert [attempt.status for attempt in ran.tried] == [200]
    assert google.count("insertAll") == 2


async def test_google_token_that_is_refused_twice_fails_the_call():
    with GoogleDouble(lambda path, _: 401 if "insertAll" in path else None) as google:
        ran = await run(google, INSERT)

    assert (ran.outcome, [attempt.status for attempt in ran.tried]) == (RunResult.FAILURE, [401])
    assert (google.count("insertAll"), len(google.granted)) == (2, 2)


async def test_google_call_without_settings_is_refused_and_not_an_attempt():
    seen = Seen()
    with GoogleDouble() as google:
        ran = await run(google, INSERT, account=None, seen=seen)

    assert (ran.outcome, ran.tried) == (RunResult.FAILURE, ())
    assert seen.lines == [
        "BigQuery.insert: [google] is not set in the settings",
        '[{"reason":"not_configured"}]',
    ]
    assert google.asked == []


async def test_google_calls_count_as_requests_of_a_run():
    with GoogleDouble() as google:
        ran = await run(
            google, f"for (let i = 0; i <= {MOST_REQUESTS}; i++) Firestore.read('a/b');"
        )

    assert (ran.error or "").startswith(f"it made more than {MOST_REQUESTS} requests. ")
    assert google.asked == []


class NeverComes(ScriptedAccount):
    async def token(self, scopes):
        await asyncio.Event().wait()
        return await super().token(scopes)


async def test_timeout_while_waiting_for_a_token_is_not_ambiguous():
    with GoogleDouble() as google:
        code = "BigQuery.insert(table, [{a: 1}]);"
        ran = await run(google, code, account=NeverComes(), timeout=300)

    assert (ran.passed_a_limit, ran.left) == (True, False)
    assert [attempt.words for attempt in ran.tried] == ["no answer in time"]
    assert google.asked == []


async def test_timeout_during_a_google_request_is_ambiguous():
    def slow(path, _before):
        if "insertAll" in path:
            time.sleep(1.0)

    with GoogleDouble(slow) as google:
        ran = await run(google, "BigQuery.insert(table, [{a: 1}]);", timeout=600)

    assert (ran.passed_a_limit, ran.left) == (True, True)


AUTHORISED = """
const authorization = require('getGoogleAuth')({scopes: ['https://www.googleapis.com/auth/pubsub']});
require('sendHttpRequest')('%s', {method: 'POST', authorization: authorization}, 'x')
  .then((told) => { log(told.body + ' ' + told.headers['x-echo']); ok(); }, fail);
"""


async def test_history_of_an_authorized_request_hides_its_token():
    seen = Seen()
    with GoogleDouble() as google:
        ran = await run(
            google, AUTHORISED % "https://pubsub.googleapis.com/v1/t:publish", seen=seen
        )

    assert ran.succeeded
    [token] = google.granted
    shown = repr(ran) + repr(seen.lines)
    assert token not in shown
    assert '"scopes": "https://www.googleapis.com/auth/pubsub"' in seen.lines[0]


async def test_authorized_request_to_another_host_is_not_sent():
    seen = Seen()
    with GoogleDouble() as google:
        ran = await run(google, AUTHORISED % "https://evil.example/", seen=seen)

    assert (ran.outcome, ran.left, ran.tried) == (RunResult.FAILURE, False, ())
    assert seen.lines == [
        "getGoogleAuth: a Google token is sent only to https://*.googleapis.com",
        '{"reason":"failed"}',
    ]
    assert google.granted == {}


async def test_google_scripts_and_analytics_events_use_no_credentials():
    seen = Seen()
    with GoogleDouble() as google:
        code = """
        const script = require('getGoogleScript'), send = require('sendEventToGoogleAnalytics');
        script('GTAG', {id: 'G-1'}).then((one) => {
          log(one.script + ' ' + JSON.stringify(one.metadata));
          const event = {event_name: 'a', client_id: '1.2', user_agent: 'B/1'};
          event['x-ga-measurement_id'] = 'G-1';
          return send(event);
        }).then((told) => {
          log(told.location);
          script('GTM', (text) => { log(text); ok(); }, {id: 'GTM-1'});
        }, fail);
        """
        ran = await run(google, code, account=None, seen=seen)

    assert ran.succeeded
    assert seen.lines == [
        '// /gtag/js id=G-1 {"cache-control":"private, max-age=900"}',
        "https://www.google-analytics.com/elsewhere",
        "// /gtm.js id=GTM-1",
    ]
    method, path, body = google.asked[1]
    assert (method, path) == ("POST", "/g/collect?v=2&tid=G-1")
    assert body == "en=a&cid=1.2&ua=B%2F1"
    assert google.headers[1]["user-agent"] == "B/1"


async def test_analytics_event_without_a_measurement_id_fails():
    seen = Seen()
    with GoogleDouble() as google:
        code = "require('sendEventToGoogleAnalytics')({event_name: 'a'}).then(ok, fail);"
        await run(google, code, seen=seen)

    assert seen.lines == [
        "sendEventToGoogleAnalytics: x-ga-measurement_id is not a GA4 measurement id (G-…)",
        '{"reason":"failed"}',
    ]
    assert google.asked == []
