"""Promises, callLater and the two forms of a request."""

from template_stage import NOW, call, ran, template

from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.effects import HttpEffect, LogEffect
from twite.tags.template.sandbox import EffectAnswer, RunLimits, RunResult

ORDER = """
const log = require('logToConsole');
const Promise = require('Promise');
require('callLater')(() => log('later'));
Promise.create((resolve) => { log('now'); resolve(1); })
  .then((value) => { log('then ' + value); throw 'x'; })
  .catch((reason) => { log('catch ' + reason); return 2; })
  .finally(() => { log('finally'); return 9; })
  .then((value) => log('end ' + value));
log('code');
"""
SENDS = """
require('sendHttpRequest')('https://api.example/x?a=1', {
  method: 'post', headers: {'X-One': 1, 'X-Two': undefined}, timeout: 500
}, 'body').then(
  (answer) => { require('logToConsole')(answer); data.gtmOnSuccess(); },
  (trouble) => { require('logToConsole')(trouble); data.gtmOnFailure(); });
"""
LEGACY = """
require('sendHttpRequest')('https://api.example/x', (status, headers, body) => {
  require('logToConsole')(status, headers, body);
  if (status === 200) data.gtmOnSuccess(); else data.gtmOnFailure();
}, {method: 'POST'}, 'body');
"""


def texts(turn):
    return [effect.text for effect in turn.effects if isinstance(effect, LogEffect)]


def test_promises_run_after_the_code_and_before_call_later():
    assert texts(ran(ORDER)) == [
        "now",
        "code",
        "then 1",
        "catch x",
        "finally",
        "end 2",
        "later",
    ]


def test_promise_all_waits_for_all_or_the_first_failure():
    code = """
    const log = require('logToConsole');
    const Promise = require('Promise');
    const failing = Promise.create((resolve, reject) => reject('no'));
    Promise.all([1, Promise.create((resolve) => resolve(2))]).then((all) => log(all));
    Promise.all([]).then((all) => log(all));
    Promise.all([1, failing]).catch((reason) => log(reason));
    """

    assert sorted(texts(ran(code))) == ["[1,2]", "[]", "no"]


def test_promise_follows_another_promise():
    code = """
    const Promise = require('Promise');
    Promise.create((resolve) => resolve(Promise.create((other) => other('deep'))))
      .then((value) => ({then: (done) => done(value + 'er')}))
      .then((value) => require('logToConsole')(value));
    """

    assert texts(ran(code)) == ["deeper"]


def test_unsettled_promise_is_rejected_after_five_seconds():
    code = """
    require('Promise').create(() => {}).catch((reason) => {
      require('logToConsole')(reason);
      data.gtmOnFailure();
    });
    """
    engine = QuickJsEngine(template(code))

    first = engine.start(call())
    early = engine.resume(first.run, (), now=NOW + 4_999)
    late = engine.resume(first.run, (), now=NOW + 5_000)

    assert (first.wake_at, first.done) == (NOW + 5_000, False)
    assert (early.outcome, early.done) == (RunResult.SILENT, False)
    assert (late.outcome, late.done) == (RunResult.FAILURE, True)
    assert texts(late) == ['{"reason":"timed_out"}']


def test_uncaught_rejection_is_logged_and_does_not_end_the_run():
    turn = ran(
        "require('Promise').create((resolve, reject) => reject('why')); data.gtmOnSuccess();"
    )

    assert (turn.outcome, turn.error) == (RunResult.SUCCESS, None)
    assert turn.effects == (LogEffect(text='unhandled promise rejection: "why"', own=True),)


def test_response_to_a_request_settles_its_promise():
    engine = QuickJsEngine(template(SENDS))

    first = engine.start(call())
    last = engine.resume(
        first.run,
        (EffectAnswer(id=1, status=201, headers={"a": "b"}, body="text"),),
        now=NOW + 10,
    )

    assert first.effects == (
        HttpEffect(
            id=1,
            url="https://api.example/x?a=1",
            method="POST",
            headers={"X-One": "1"},
            body="body",
            timeout=500,
        ),
    )
    assert (first.waiting, first.outcome) == ((1,), RunResult.SILENT)
    assert texts(last) == ['{"statusCode":201,"headers":{"a":"b"},"body":"text"}']
    assert (last.outcome, last.done) == (RunResult.SUCCESS, True)


def test_failed_request_rejects_its_promise():
    engine = QuickJsEngine(template(SENDS))
    first = engine.start(call())

    last = engine.resume(first.run, (EffectAnswer(id=1, reason="failed"),), now=NOW)

    assert (texts(last), last.outcome) == (['{"reason":"failed"}'], RunResult.FAILURE)


def test_response_after_a_promise_timeout_is_ignored():
    engine = QuickJsEngine(template(SENDS))
    first = engine.start(call())

    late = engine.resume(first.run, (), now=NOW + 5_000)
    later = engine.resume(first.run, (EffectAnswer(id=1, status=200, body=""),), now=NOW + 6_000)

    assert (late.outcome, late.waiting) == (RunResult.FAILURE, (1,))
    assert (later.outcome, later.effects, later.done) == (RunResult.FAILURE, (), True)


def test_request_callback_gets_status_headers_and_body():
    engine = QuickJsEngine(template(LEGACY))
    first = engine.start(call())

    last = engine.resume(first.run, (EffectAnswer(id=1, status=200, body="ok"),), now=NOW)

    assert first.returned is None
    assert first.wake_at is None  # the limit of five seconds does not apply to callbacks
    assert (texts(last), last.outcome) == (["200 {} ok"], RunResult.SUCCESS)


def test_request_callback_gets_0_for_a_failure_and_minus_1_for_a_timeout():
    logged = []
    for reason in ("failed", "timed_out"):
        engine = QuickJsEngine(template(LEGACY))
        first = engine.start(call())
        logged += texts(engine.resume(first.run, (EffectAnswer(id=1, reason=reason),), now=NOW))

    assert logged == ["0 {} undefined", "-1 {} undefined"]


def test_request_to_an_invalid_url_fails_without_an_effect():
    turn = ran(
        "require('sendHttpRequest')('nonsense').catch((trouble) => data.gtmOnFailure());"
        "const log = require('logToConsole');"
        "require('sendHttpGet')('ftp://files.example/', (status) => log(status));"
    )

    assert (turn.outcome, texts(turn), turn.done) == (RunResult.FAILURE, ["0"], True)


def test_get_request_has_no_body_and_accepts_both_forms():
    turn = ran(
        "require('sendHttpGet')('https://api.example/a', {headers: {A: 'b'}});"
        "require('sendHttpGet')('https://api.example/b', () => {}, {timeout: 7});"
    )

    assert turn.effects == (
        HttpEffect(id=1, url="https://api.example/a", method="GET", headers={"A": "b"}),
        HttpEffect(id=2, url="https://api.example/b", method="GET", timeout=7),
    )


def test_two_waiting_runs_do_not_get_each_others_responses():
    engine = QuickJsEngine(template(SENDS))
    first, second = engine.start(call()), engine.start(call())

    answers = [
        engine.resume(run, (EffectAnswer(id=1, status=status, body=""),), now=NOW)
        for run, status in ((second.run, 202), (first.run, 201))
    ]

    assert [texts(answer)[0][:17] for answer in answers] == [
        '{"statusCode":202',
        '{"statusCode":201',
    ]


def test_error_thrown_in_a_callback_ends_the_run():
    turn = ran("require('callLater')(() => { null.x; }); data.gtmOnSuccess();")

    assert turn.error == "TypeError: cannot read property 'x' of null"
    assert turn.done


def test_value_of_a_variable_that_returns_a_promise_is_its_result():
    code = """
    return require('sendHttpGet')('https://a.example/').then((answer) => answer.statusCode + 1);
    """
    engine = QuickJsEngine(template(code))

    first = engine.start(call())
    last = engine.resume(first.run, (EffectAnswer(id=1, status=200, body=""),), now=NOW)

    assert (first.returned, first.done) == (None, False)
    assert (last.returned, last.done) == (201, True)


def test_variable_whose_promise_is_rejected_has_no_value_and_logs():
    turn = ran("return require('Promise').create((resolve, reject) => reject('x'));")

    assert (turn.returned, turn.error) == (None, None)
    [said] = turn.effects
    assert (said.text, said.own) == ('unhandled promise rejection: "x"', True)


def test_uncaught_rejections_are_logged_up_to_the_limit():
    code = "for (let n = 0; n < 600; n++) Promise.create((resolve, reject) => reject(n));"
    engine = QuickJsEngine(template("const Promise = require('Promise');" + code))

    turn = engine.start(call())

    assert (turn.error, len(turn.effects)) == (None, RunLimits().effects)
