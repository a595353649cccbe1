"""Tags that call Google's services, against a Google on a socket: what is done and told."""

import asyncio
import time

import pytest

from google_double import PROJECT, GoogleDouble, key_file, named
from twite.engines.quickjs.engine import QuickJsEngine
from twite.gateway.ports.tags import ContainerConfig, TagRule
from twite.gateway.tags.google.requests import GoogleClient, GoogleEndpoints
from twite.gateway.tags.run.outbound import MOST_REQUESTS, RunContext
from twite.gateway.tags.run.payload import TagPayload
from twite.gateway.tags.run.tag_run import TagRun
from twite.gateway.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.gtm.container.parts import Container, ContainerTag
from twite.gtm.template.permissions import Grant
from twite.gtm.template.sandbox import Incoming, RunResult
from twite.gtm.template.template import Template, TemplateKind, TemplatePart
from twite.machine.system import SystemClock
from twite.senders.google_account import GoogleAccount
from twite.senders.google_key import read_key
from twite.senders.web import PublicWeb
from twite.testing.fakes import ScriptedAccount

AT = 1_795_600_000_000
ROW = {"projectId": "*", "datasetId": "*", "tableId": "*", "operation": "write"}
ANY = {"projectId": "*", "path": "*", "operation": "read_write"}
GRANTS = (
    Grant(permission="access_bigquery", parameters={"allowedTables": [ROW]}),
    Grant(permission="access_firestore", parameters={"allowedOptions": [ANY]}),
    Grant(permission="send_http", parameters={"allowedUrls": "any"}),
    Grant(permission="use_google_credentials", parameters={"allowedScopes": ["*"]}),
    Grant(permission="logging", parameters={"environments": "all"}),
    Grant(permission="read_request", parameters={"requestAccess": "any"}),
)
NAMES = """
const BigQuery = require('BigQuery');
const Firestore = require('Firestore');
const JSON = require('JSON');
const log = require('logToConsole');
const table = {datasetId: 'd', tableId: 't'};
const ok = data.gtmOnSuccess, no = data.gtmOnFailure;
const fail = (why) => { log(JSON.stringify(why)); no(); };
"""
USER = named("users/1")


class NotForX:
    async def take(self, _request, **_source):
        return None


class Seen:
    def __init__(self):
        self.lines = []

    def see(self, notice):
        self.lines.append(notice.text)


def template(code):
    return Template(
        kind=TemplateKind.TAG,
        id="",
        name="A tag",
        description="",
        fields=(),
        code=TemplatePart(text=NAMES + code, line=1),
        grants=GRANTS,
        tests=None,
        notes="",
    )


def own_account(double):
    return GoogleAccount(read_key(key_file()), api_url=double.url)


async def run(
    double, code, *, seed=7, at=AT, event=None, account=own_account, seen=None, request=None, **said
):
    """Run a tag with this code once; return what it came to."""
    clock, web = SystemClock(), PublicWeb()
    account = account(double) if account is own_account else account
    google = GoogleClient(account, clock=clock, places=GoogleEndpoints(double.url))
    engine_pool = EnginePool(QuickJsEngine, elapsed=clock.elapsed)
    engine_pool.start()
    run_context = RunContext(
        engine_pool=engine_pool,
        web=web,
        google=google,
        to_x=NotForX(),
        storage=TemplateStorage(),
        clock=clock,
        observer=seen or Seen(),
    )
    rule = TagRule(name="crm", **({"timeout": 10_000} | said))
    container = Container(
        tags=(ContainerTag(name="crm", template="main"),), templates={"main": template(code)}
    )
    container_config = ContainerConfig(container=container, rules={"crm": rule})
    letter = TagPayload(
        pixel="o8z6j",
        at=at,
        event=event or {"event_name": "purchase"},
        request=request or Incoming(),
    )
    tag_run = TagRun(
        run_context, container_config=container_config, rule=rule, payload=letter, seed=seed
    )
    try:
        return await tag_run.run()
    finally:
        await engine_pool.stop()
        await google.stop()
        await web.stop()


INSERT = "BigQuery.insert(table, [{a: 1}, {a: 2}], {}).then(ok, fail);"


async def test_rows_are_inserted_with_a_token_for_nothing_else():
    with GoogleDouble() as google:
        ran = await run(google, INSERT)

    assert ran.succeeded
    assert google.rows == [{"a": 1}, {"a": 2}]
    assert list(google.granted.values()) == ["https://www.googleapis.com/auth/bigquery.insertdata"]
    [(method, path, _)] = google.asked
    assert method == "POST"
    assert path == f"/bigquery/v2/projects/{PROJECT}/datasets/d/tables/t/insertAll"
    assert [attempt.status for attempt in ran.tried] == [200]


async def test_the_project_that_a_template_names_goes_before_the_gateways():
    with GoogleDouble() as google:
        await run(google, "table.projectId = 'other-1';" + INSERT)

    assert "/projects/other-1/" in google.asked[0][1]


async def test_a_delivery_that_runs_again_adds_no_row_twice():
    with GoogleDouble() as google:
        for _ in range(2):
            await run(google, INSERT)

    assert google.rows == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("other", [{"seed": 8}, {"at": AT + 1}, {"event": {"event_name": "x"}}])
async def test_another_delivery_adds_the_same_rows_again(other):
    with GoogleDouble() as google:
        await run(google, INSERT)
        await run(google, INSERT, **other)

    assert google.rows == [{"a": 1}, {"a": 2}] * 2


async def test_rows_that_say_the_same_are_as_many_as_the_template_inserted():
    with GoogleDouble() as google:
        for _ in range(2):
            await run(google, "BigQuery.insert(table, [{a: 1}, {a: 1}]).then(ok, no);")

    assert google.rows == [{"a": 1}] * 2


async def test_a_row_that_says_something_else_the_second_time_is_another_row():
    with GoogleDouble(
        lambda path, before: 503 if before == 0 and "other" in path else None
    ) as google:
        code = """
        const place = {datasetId: 'd', tableId: 'other'};
        const told = (how) => () => BigQuery.insert(table, [{how: how}]).then(ok, no);
        BigQuery.insert(place, [{a: 1}]).then(told('well'), told('badly'));
        """
        for _ in range(2):
            await run(google, code)

    assert google.rows == [{"how": "badly"}, {"a": 1}, {"how": "well"}]


@pytest.mark.parametrize("time_of", ["now()", "now() / 1000", "now() * 1000", "'' + now()"])
async def test_the_time_of_the_run_makes_no_other_row(time_of):
    code = f"""
    const now = require('getTimestampMillis');
    Firestore.read('users/1').catch(() => BigQuery.insert(table, [{{at: {time_of}, n: 1}}]))
      .then(ok, fail);
    """
    with GoogleDouble() as google:
        await run(google, code)
        # The second try waits longer.
        google.before_answer = lambda path: time.sleep(0.1) if "batchGet" in path else None
        await run(google, code)
        inserted = [
            body["rows"][0]["json"]["at"] for _, path, body in google.asked if "All" in path
        ]

    assert inserted[0] != inserted[1]
    assert len(google.rows) == 1


async def test_two_rows_of_one_run_that_differ_by_time_alone_are_two():
    times = [AT, AT + 5, AT - 10**9]
    rows = ", ".join(f"{{at: {at}}}" for at in times)
    code = f"BigQuery.insert(table, [{rows}]).then(ok, no);"
    with GoogleDouble() as google:
        for _ in range(2):
            await run(google, code)

    assert [row["at"] for row in google.rows] == times


async def test_a_tag_finds_its_event_in_the_hit():
    seen = Seen()
    code = "log(JSON.stringify(require('extractEventsFromMpv2')())); ok();"
    with GoogleDouble() as google:
        hit = Incoming(path="/g/collect", query="v=2&tid=G-1&en=x")
        ran = await run(google, code, seen=seen, request=hit)
        other = await run(google, code, seen=seen)

    assert (ran.succeeded, other.succeeded) == (True, False)
    assert seen.lines == ['[{"event_name":"purchase"}]']


async def test_invalid_rows_reject_with_a_list_that_says_which():
    seen = Seen()
    with GoogleDouble() as google:
        google.columns = {"a"}
        ran = await run(
            google, "BigQuery.insert(table, [{a: 1}, {b: 2}]).then(ok, fail);", seen=seen
        )

    assert ran.outcome is RunResult.FAILURE
    assert seen.lines == ['[{"reason":"invalid","row":{"b":2}}]']
    assert google.rows == []


async def test_options_of_an_insert_reach_bigquery():
    with GoogleDouble() as google:
        google.columns = {"a"}
        rows = "[{a: 1}, {b: 2}]"
        await run(
            google, f"BigQuery.insert(table, {rows}, {{skipInvalidRows: true}}).then(ok, no);"
        )
        await run(
            google,
            f"BigQuery.insert(table, {rows}, {{ignoreUnknownValues: true}}).then(ok, no);",
            seed=8,
        )

    assert google.rows == [{"a": 1}, {"a": 1}, {"b": 2}]


async def test_the_older_form_with_callbacks_is_told_too():
    with GoogleDouble() as google:
        google.columns = {"a"}
        good = await run(google, "BigQuery.insert(table, [{a: 1}], {}, ok, no);")
        bad = await run(google, "BigQuery.insert(table, [{b: 1}], {}, ok, fail);")

    assert (good.outcome, bad.outcome) == (RunResult.SUCCESS, RunResult.FAILURE)


@pytest.mark.parametrize("status", [503, 429, 500])
async def test_what_may_pass_lets_the_delivery_be_tried_again(status):
    with GoogleDouble(lambda path, _: status if "insertAll" in path else None) as google:
        ran = await run(google, INSERT)

    assert (ran.succeeded, ran.may_pass, ran.left) == (False, True, True)
    assert [attempt.status for attempt in ran.tried] == [status]
    assert not google.rows


async def test_what_google_refuses_will_not_pass():
    with GoogleDouble(lambda path, _: 404 if "insertAll" in path else None) as google:
        ran = await run(google, INSERT)

    assert (ran.may_pass, ran.tried[0].is_refused) == (False, True)


async def test_without_a_token_nothing_has_left_and_the_delivery_is_tried_again():
    seen = Seen()
    with GoogleDouble(lambda path, _: 403 if path == "/token" else None) as google:
        ran = await run(google, INSERT, seen=seen)

    assert (ran.left, ran.may_pass) == (False, True)
    assert ran.tried[0].words == "no token from Google: denied: as played"
    assert seen.lines == ['[{"reason":"failed"}]']
    assert google.asked == []


async def test_a_token_that_is_not_taken_any_more_is_asked_for_anew():
    with GoogleDouble() as google:
        google.behaviour = lambda path, before: (
            google.revoke() if "insertAll" in path and before == 0 else None
        )
        ran = await run(google, INSERT)

    assert ran.succeeded
    assert google.rows == [{"a": 1}, {"a": 2}]
    assert [attempt.status for attempt in ran.tried] == [200]
    assert google.count("insertAll") == 2


async def test_a_token_that_is_refused_twice_is_told_and_the_call_ends():
    with GoogleDouble(lambda path, _: 401 if "insertAll" in path else None) as google:
        ran = await run(google, INSERT)

    assert (ran.outcome, [attempt.status for attempt in ran.tried]) == (RunResult.FAILURE, [401])
    assert (google.count("insertAll"), len(google.granted)) == (2, 2)


async def test_a_call_without_settings_is_refused_and_no_try_is_counted():
    seen = Seen()
    with GoogleDouble() as google:
        ran = await run(google, INSERT, account=None, seen=seen)

    assert (ran.outcome, ran.tried) == (RunResult.FAILURE, ())
    assert seen.lines == [
        "BigQuery.insert: [google] is not set in the settings",
        '[{"reason":"not_configured"}]',
    ]
    assert google.asked == []


async def test_calls_are_counted_among_the_requests_of_a_run():
    with GoogleDouble() as google:
        ran = await run(
            google, f"for (let i = 0; i <= {MOST_REQUESTS}; i++) Firestore.read('a/b');"
        )

    assert ran.error == f"it made more than {MOST_REQUESTS} requests"
    assert google.asked == []


class NeverComes(ScriptedAccount):
    async def token(self, scopes):
        await asyncio.Event().wait()
        return await super().token(scopes)


async def test_what_the_time_cuts_off_while_it_waits_for_a_token_has_not_left():
    with GoogleDouble() as google:
        code = "BigQuery.insert(table, [{a: 1}]);"
        ran = await run(google, code, account=NeverComes(), timeout=300)

    assert (ran.passed_a_limit, ran.left) == (True, False)
    assert [attempt.words for attempt in ran.tried] == ["no answer in time"]
    assert google.asked == []


async def test_what_the_time_cuts_off_on_its_way_has_left():
    def slow(path, _before):
        if "insertAll" in path:
            time.sleep(1.0)

    with GoogleDouble(slow) as google:
        ran = await run(google, "BigQuery.insert(table, [{a: 1}]);", timeout=600)

    assert (ran.passed_a_limit, ran.left) == (True, True)


async def test_a_document_is_read_with_its_id():
    seen = Seen()
    with GoogleDouble() as google:
        google.put(
            USER, {"n": {"integerValue": "3"}, "at": {"timestampValue": "2026-11-26T00:00:00Z"}}
        )
        ran = await run(
            google,
            "Firestore.read('users/1').then((one) => { log(JSON.stringify(one)); ok(); }, fail);",
            seen=seen,
        )

    assert ran.succeeded
    assert seen.lines == ['{"id":"1","data":{"n":3,"at":"2026-11-26T00:00:00Z"}}']


async def test_what_a_document_says_is_not_kept_in_the_record_and_what_was_wrong_is():
    with GoogleDouble() as google:
        google.put(USER, {"name": {"stringValue": "Somebody Else"}})
        google.columns = {"a"}
        ran = await run(google, "Firestore.read('users/1').then(ok, fail);")
        wrong = await run(google, "BigQuery.insert(table, [{b: 1}]).then(ok, fail);")
        google.behaviour = lambda path, _before: None if path == "/token" else 404
        refused = await run(google, "Firestore.read('users/1').then(ok, fail);")

    assert [attempt.words for attempt in ran.tried] == [""]
    assert "insertErrors" in wrong.tried[0].words
    assert "DENIED" in refused.tried[0].words


async def test_a_document_that_is_not_there_rejects():
    seen = Seen()
    with GoogleDouble() as google:
        ran = await run(google, "Firestore.read('users/9').then(ok, fail);", seen=seen)

    assert ran.outcome is RunResult.FAILURE
    assert seen.lines == ['{"reason":"not_found"}']


async def test_a_document_is_overwritten_or_merged():
    write = (
        "Firestore.write('users/1', {a: {x: 1}}, {merge: %s})"
        ".then((id) => { log(id); ok(); }, fail);"
    )
    old = {"a": {"mapValue": {"fields": {"y": {"integerValue": "2"}}}}, "b": {"nullValue": None}}
    x = {"x": {"integerValue": "1"}}
    seen = Seen()
    with GoogleDouble() as google:
        google.put(USER, old)
        await run(google, write % "true", seen=seen)
        merged = google.documents[USER]
        await run(google, write % "false", seen=seen)

    assert seen.lines == ["1", "1"]
    assert merged == old | {"a": {"mapValue": {"fields": old["a"]["mapValue"]["fields"] | x}}}
    assert google.documents == {USER: {"a": {"mapValue": {"fields": x}}}}


async def test_a_document_of_a_collection_gets_an_id_that_is_the_same_when_the_delivery_repeats():
    add = "Firestore.write('users', {a: 1}).then((id) => { log(id.length); ok(); }, fail);"
    seen = Seen()
    counts = []
    with GoogleDouble() as google:
        for seed in (7, 7, 8):
            await run(google, add, seed=seed, seen=seen)
            counts.append(len(google.documents))

    assert counts == [1, 1, 2]
    assert seen.lines == ["20"] * 3


async def test_a_query_finds_what_fits_at_most_five():
    seen = Seen()
    with GoogleDouble() as google:
        for number in range(9):
            google.put(named(f"users/{number}"), {"n": {"integerValue": str(number)}})
        code = """
        const ids = (all) => log(all.map((one) => one.id).join());
        const q = (conditions, options) => Firestore.query('users', conditions, options);
        q([['n', '>', 1]]).then(ids).then(() => q([['n', '==', 4]], {limit: 50})).then(ids)
          .then(() => q([['n', '==', 40]])).then(ids).then(ok, fail);
        """
        ran = await run(google, code, seen=seen)

    assert ran.succeeded
    assert seen.lines == ["2,3,4,5,6", "4", ""]


COUNT = """
Firestore.runTransaction((t) => Firestore.read('users/1', {transaction: t})
  .then((one) => one.data.n, () => 0)
  .then((n) => {
    log('read ' + n);
    return Firestore.write('users/1', {n: n + 1}, {transaction: t});
  })
  .then((told) => { log(typeof told); return Firestore.write('log', {a: 1}, {transaction: t}); })
).then((ids) => { log(ids[0] + ' ' + ids.length); ok(); }, fail);
"""


async def test_a_transaction_writes_what_it_kept_when_it_is_committed():
    seen = Seen()
    with GoogleDouble() as google:
        ran = await run(google, COUNT, seen=seen)

    assert ran.succeeded
    assert seen.lines == ["read 0", "undefined", "1 2"]
    assert google.documents[USER] == {"n": {"integerValue": "1"}}
    assert google.count(":commit") == 1
    assert len(google.documents) == 2


def disturbed(google, *, times):
    """Let somebody else write the document before so many commits."""
    left = [times]

    def write():
        if left[0]:
            left[0] -= 1
            google.put(USER, {"n": {"integerValue": str(100 - left[0])}})

    google.before_commit = write


async def test_a_transaction_that_meets_a_conflict_is_tried_again():
    seen = Seen()
    with GoogleDouble() as google:
        disturbed(google, times=2)
        ran = await run(google, COUNT, seen=seen)

    assert ran.succeeded
    assert [line for line in seen.lines if line.startswith("read")] == [
        "read 0",
        "read 99",
        "read 100",
    ]
    assert google.documents[USER] == {"n": {"integerValue": "101"}}
    began = [body for _, path, body in google.asked if path.endswith(":beginTransaction")]
    assert ["retryTransaction" in request["options"]["readWrite"] for request in began] == [
        False,
        True,
        True,
    ]


async def test_a_transaction_that_meets_a_third_conflict_rejects_and_may_pass():
    seen = Seen()
    with GoogleDouble() as google:
        disturbed(google, times=3)
        ran = await run(google, COUNT, seen=seen)

    assert ran.outcome is RunResult.FAILURE
    assert seen.lines[-1] == '{"reason":"aborted"}'
    assert ran.may_pass
    assert google.count(":commit") == 3


async def test_a_transaction_that_its_template_gives_up_writes_nothing():
    seen = Seen()
    with GoogleDouble() as google:
        code = """
        Firestore.runTransaction((t) => {
          Firestore.write('users/1', {n: 1}, {transaction: t});
          return Firestore.read('users/9', {transaction: t});
        }).then(ok, fail);
        """
        ran = await run(google, code, seen=seen)

    assert ran.outcome is RunResult.FAILURE
    assert seen.lines == ['{"reason":"not_found"}']
    assert google.documents == {}
    assert len(google.rolled_back) == 1


async def test_a_transaction_that_is_none_of_the_runs_is_not_used():
    seen = Seen()
    with GoogleDouble() as google:
        code = "Firestore.write('users/1', {n: 1}, {transaction: 'forged'}).then(ok, fail);"
        await run(google, code, seen=seen)

    assert seen.lines == [
        "Firestore.write: uses a transaction that is not open",
        '{"reason":"invalid_argument"}',
    ]
    assert google.asked == []


async def test_a_path_with_dots_does_not_lead_to_another_document():
    seen = Seen()
    with GoogleDouble() as google:
        await run(google, "Firestore.read('allowed/../users/1').then(ok, fail);", seen=seen)

    assert seen.lines[-1] == '{"reason":"invalid_argument"}'
    assert google.asked == []


AUTHORISED = """
const authorization = require('getGoogleAuth')({scopes: ['https://www.googleapis.com/auth/pubsub']});
require('sendHttpRequest')('%s', {method: 'POST', authorization: authorization}, 'x')
  .then((told) => { log(told.body + ' ' + told.headers['x-echo']); ok(); }, fail);
"""


async def test_a_request_goes_out_with_a_token_that_nobody_gets_to_see():
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


async def test_a_request_with_a_token_to_somebody_else_is_not_sent_and_has_not_left():
    seen = Seen()
    with GoogleDouble() as google:
        ran = await run(google, AUTHORISED % "https://evil.example/", seen=seen)

    assert (ran.outcome, ran.left, ran.tried) == (RunResult.FAILURE, False, ())
    assert seen.lines == [
        "getGoogleAuth: a Google token is sent only to https://*.googleapis.com",
        '{"reason":"failed"}',
    ]
    assert google.granted == {}


async def test_googles_scripts_are_fetched_and_events_sent_without_credentials():
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


async def test_an_event_of_no_property_rejects():
    seen = Seen()
    with GoogleDouble() as google:
        code = "require('sendEventToGoogleAnalytics')({event_name: 'a'}).then(ok, fail);"
        await run(google, code, seen=seen)

    assert seen.lines == [
        "sendEventToGoogleAnalytics: x-ga-measurement_id is not a GA4 measurement id (G-…)",
        '{"reason":"failed"}',
    ]
    assert google.asked == []
