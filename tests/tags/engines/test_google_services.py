"""Calls of templates to Google's services: effects, transactions, errors."""

import pytest
from template_stage import NOW, call, effects, ran, template

from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.effects import (
    HttpEffect,
    LogEffect,
    Service,
)
from twite.tags.template.sandbox import EffectAnswer, RunResult


def test_google_services_are_called_by_name():
    code = """
    require('BigQuery').insert({datasetId: 'd', tableId: 't'}, [{a: 1}]);
    const Firestore = require('Firestore');
    Firestore.read('c/1', {projectId: 'p'});
    Firestore.write('c/1', {a: 1});
    Firestore.query('c', [['a', '==', 1]]);
    require('getGoogleScript')('GTAG', {id: 'G-1'});
    require('sendEventToGoogleAnalytics')({event_name: 'a'});
    """

    assert effects(code) == (
        Service(
            id=1,
            name="BigQuery.insert",
            arguments=[
                {"projectId": "GOOGLE_CLOUD_PROJECT", "datasetId": "d", "tableId": "t"},
                [{"a": 1}],
                {},
            ],
        ),
        Service(id=2, name="Firestore.read", arguments=["c/1", {"projectId": "p"}]),
        Service(id=3, name="Firestore.write", arguments=["c/1", {"a": 1}, {}]),
        Service(id=4, name="Firestore.query", arguments=["c", [["a", "==", 1]], {"limit": 5}]),
        Service(id=5, name="getGoogleScript", arguments=["GTAG", {"id": "G-1"}]),
        Service(id=6, name="sendEventToGoogleAnalytics", arguments=[{"event_name": "a"}]),
    )


def test_call_of_a_google_service_outside_the_settings_fails():
    code = """
    require('BigQuery').insert({datasetId: 'd', tableId: 't'}, []).catch((trouble) => {
      require('logToConsole')(trouble.reason);
      data.gtmOnFailure();
    });
    """
    engine = QuickJsEngine(template(code))
    first = engine.start(call())

    last = engine.resume(first.run, (EffectAnswer(id=1, reason="not_configured"),), now=NOW)

    assert (last.effects, last.outcome) == ((LogEffect(text="not_configured"),), RunResult.FAILURE)


def test_transaction_begins_runs_and_is_committed():
    code = """
    const Promise = require('Promise');
    require('Firestore').runTransaction((id) => Promise.create((resolve) => resolve(id)));
    """
    engine = QuickJsEngine(template(code))
    first = engine.start(call())

    second = engine.resume(first.run, (EffectAnswer(id=1, value="t1"),), now=NOW)

    assert first.effects == (Service(id=1, name="Firestore.begin", arguments=[{}]),)
    assert second.effects == (Service(id=2, name="Firestore.commit", arguments=["t1", {}]),)


TRANSACTION = """
const log = require('logToConsole'), Firestore = require('Firestore');
Firestore.runTransaction((id) => Firestore.read('c/1', {transaction: id}))
  .then((ids) => log(ids.join()), (why) => log(why.reason));
"""


def asked_by(turn):
    return [
        (effect.name, effect.arguments) for effect in turn.effects if isinstance(effect, Service)
    ]


def test_conflicting_transaction_is_started_again():
    engine = QuickJsEngine(template(TRANSACTION))
    run = engine.start(call()).run

    asked = []
    for answer in (
        EffectAnswer(id=1, value="t1"),
        EffectAnswer(id=2, value={"id": "1", "data": {}}),
        EffectAnswer(id=3, reason="aborted"),
        EffectAnswer(id=4, value="t2"),
    ):
        asked += asked_by(engine.resume(run, (answer,), now=NOW))

    assert asked == [
        ("Firestore.read", ["c/1", {"transaction": "t1"}]),
        ("Firestore.commit", ["t1", {}]),
        ("Firestore.begin", [{"retry": "t1"}]),
        ("Firestore.read", ["c/1", {"transaction": "t2"}]),
    ]


@pytest.mark.parametrize(("conflicts", "reported"), [(2, "id-1"), (3, "aborted")])
def test_transaction_is_tried_three_times(conflicts, reported):
    engine = QuickJsEngine(template(TRANSACTION))
    turn = engine.start(call())
    began = 0
    while not turn.done:
        [service] = [effect for effect in turn.effects if isinstance(effect, Service)]
        began += service.name == "Firestore.begin"
        conflict = service.name == "Firestore.commit" and began <= conflicts
        answers = {"Firestore.begin": f"t{began}", "Firestore.commit": ["id-1"]}
        answer = EffectAnswer(
            id=service.id,
            reason="aborted" if conflict else None,
            value=None if conflict else answers.get(service.name, {"id": "1", "data": {}}),
        )
        turn = engine.resume(turn.run, (answer,), now=NOW)

    assert (began, turn.effects) == (3, (LogEffect(text=reported),))


def test_transaction_whose_callback_fails_is_rolled_back_and_not_repeated():
    code = TRANSACTION.replace("Firestore.read('c/1', {transaction: id})", "null.x")
    engine = QuickJsEngine(template(code))
    run = engine.start(call()).run

    turn = engine.resume(run, (EffectAnswer(id=1, value="t1"),), now=NOW)

    assert asked_by(turn) == [("Firestore.rollback", ["t1", {}])]


def test_firestore_transaction_requires_its_permission():
    assert asked_by(ran(TRANSACTION, grants=())) == []


def test_failure_of_a_google_service_can_have_details():
    code = """
    require('BigQuery').insert({datasetId: 'd', tableId: 't'}, []).catch((wrong) => {
      require('logToConsole')(wrong[0].reason);
    });
    """
    engine = QuickJsEngine(template(code))
    run = engine.start(call()).run

    answer = EffectAnswer(id=1, reason="invalid", value=[{"reason": "invalid", "row": {}}])

    assert engine.resume(run, (answer,), now=NOW).effects == (LogEffect(text="invalid"),)


def test_callbacks_of_a_google_service_are_called():
    code = """
    const log = require('logToConsole');
    const place = {datasetId: 'd', tableId: 't'};
    require('BigQuery').insert(place, [], {}, () => log('in'), (wrong) => log(wrong.reason));
    require('BigQuery').insert(place, [], {}, () => log('in'), (wrong) => log(wrong.reason));
    const script = require('getGoogleScript');
    script('GTM', (text, metadata) => log(text + metadata.a), {id: 'GTM-1'});
    script('GTM', (text, metadata) => log(typeof text + typeof metadata));
    """
    engine = QuickJsEngine(template(code))
    first = engine.start(call())

    last = engine.resume(
        first.run,
        (
            EffectAnswer(id=1),
            EffectAnswer(id=2, reason="failed"),
            EffectAnswer(id=3, value={"script": "x", "metadata": {"a": "y"}}),
            EffectAnswer(id=4, reason="failed"),
        ),
        now=NOW,
    )

    assert first.effects[2].arguments == ["GTM", {"id": "GTM-1"}]
    assert [effect.text for effect in last.effects] == ["in", "failed", "xy", "undefinedobject"]


def test_google_authorization_sets_the_scopes_of_the_request():
    code = """
    const authorization = require('getGoogleAuth')({scopes: ['https://scope.example']});
    require('sendHttpRequest')('https://api.example/', {authorization: authorization});
    require('sendHttpRequest')('https://api.example/', {authorization: {scopes: ['forged']}});
    """

    asked = [effect for effect in effects(code) if isinstance(effect, HttpEffect)]

    assert [request.authorization for request in asked] == [("https://scope.example",), ()]
