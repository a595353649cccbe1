"""Each call checks its permission. A denied call throws, and the log names the permission."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from template_stage import ALL, call, incoming, ran, returned, template

from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.allowed import matches
from twite.tags.template.apis import APIS
from twite.tags.template.effects import LogEffect, Service
from twite.tags.template.permissions import Grant, url_expression
from twite.tags.template.template import TemplateKind

CALLS = {
    "BigQuery": "require('BigQuery').insert({datasetId: 'd', tableId: 't'}, [])",
    "Firestore": "require('Firestore').read('a/b')",
    "addEventCallback": "require('addEventCallback')(() => {})",
    "addMessageListener": "require('addMessageListener')('a', () => {})",
    "getAllEventData": "require('getAllEventData')()",
    "getClientName": "require('getClientName')()",
    "getContainerVersion": "require('getContainerVersion')()",
    "getCookieValues": "require('getCookieValues')('a')",
    "getEventData": "require('getEventData')('a')",
    "getGoogleAuth": "require('getGoogleAuth')({scopes: ['a']})",
    "getGoogleScript": "require('getGoogleScript')('GTAG')",
    "getRemoteAddress": "require('getRemoteAddress')()",
    "getRequestBody": "require('getRequestBody')()",
    "getRequestHeader": "require('getRequestHeader')('a')",
    "getRequestPath": "require('getRequestPath')()",
    "getRequestQueryParameter": "require('getRequestQueryParameter')('a')",
    "getRequestQueryParameters": "require('getRequestQueryParameters')()",
    "getRequestQueryString": "require('getRequestQueryString')()",
    "hasMessageListener": "require('hasMessageListener')('a')",
    "hmacSha256": "require('hmacSha256')('a', 'key')",
    "extractEventsFromMpv2": "require('extractEventsFromMpv2')()",
    "logToConsole": "require('logToConsole')('a')",
    "returnResponse": "require('returnResponse')()",
    "runContainer": "require('runContainer')({})",
    "sendEventToGoogleAnalytics": "require('sendEventToGoogleAnalytics')({})",
    "sendHttpGet": "require('sendHttpGet')('https://a.example/')",
    "sendHttpRequest": "require('sendHttpRequest')('https://a.example/')",
    "sendMessage": "require('sendMessage')('a', {})",
    "sendPixelFromBrowser": "require('sendPixelFromBrowser')('https://a.example/')",
    "setCookie": "require('setCookie')('a', 'b')",
    "setPixelResponse": "require('setPixelResponse')()",
    "setResponseBody": "require('setResponseBody')('a')",
    "setResponseHeader": "require('setResponseHeader')('a', 'b')",
    "setResponseStatus": "require('setResponseStatus')(200)",
    "templateDataStorage": "require('templateDataStorage').getItemCopy('a')",
}
ASKING = {name: api.permission for name, api in APIS.items() if api.permission is not None}


def test_every_api_with_a_permission_is_tested():
    assert set(CALLS) | {"extractEventsFromMpv1"} == set(ASKING)


@pytest.mark.parametrize("name", CALLS)
def test_call_without_permission_throws_and_the_log_names_it(name):
    without = tuple(grant for grant in ALL if grant.permission != ASKING[name])

    turn = ran(f"{CALLS[name]};", grants=without)

    assert turn.error is not None
    assert turn.error.startswith(f"Error: permission denied: {ASKING[name]}")
    assert [effect.denied for effect in turn.effects if isinstance(effect, LogEffect)] == [
        ASKING[name]
    ]


@pytest.mark.parametrize(("name", "version"), [("isRequestMpv1", 1), ("isRequestMpv2", 2)])
def test_recognizing_a_hit_needs_no_permission(name, version):
    request = incoming(path="/g/collect", query=f"v={version}&tid=G-1")

    turn = ran(f"return require('{name}')();", grants=(), request=request)

    assert (turn.error, turn.returned) == (None, True)


@pytest.mark.parametrize("name", CALLS)
def test_call_with_only_its_own_permission_is_allowed(name):
    only = tuple(grant for grant in ALL if grant.permission == ASKING[name])
    claimed = "require('claimRequest')();" if name == "runContainer" else ""

    turn = ran(f"{claimed}{CALLS[name]};", grants=only, kind=TemplateKind.CLIENT)

    assert "permission denied" not in (turn.error or "")


@pytest.mark.parametrize("name", sorted(set(APIS) - set(ASKING)))
def test_api_without_a_permission_is_always_available(name):
    assert ran(f"require('{name}');", grants=()).error is None


def test_template_can_ask_whether_a_call_is_permitted():
    code = """
    const ask = require('queryPermission');
    return [
      ask('send_http', 'https://a.example/x'), ask('send_http', 'https://b.example/'),
      ask('get_cookies', 'one'), ask('get_cookies', 'two'),
      ask('set_cookies', 'one', {secure: true}), ask('set_cookies', 'one', {}),
      ask('read_request', 'header', 'Referer'), ask('read_request', 'header', 'cookie'),
      ask('read_request', 'path'), ask('read_event_data', 'user_data.email'),
      ask('read_event_data', 'items'), ask('read_event_data'), ask('logging'), ask('nonsense'),
      ask('access_response', 'write', 'header', 'a'), ask('use_message', 'send', 'a'),
      ask('use_message', 'listen', 'a')
    ];
    """
    grants = (
        Grant(
            permission="send_http",
            parameters={"allowedUrls": "specific", "urls": ["https://a.example/"]},
        ),
        Grant(
            permission="get_cookies",
            parameters={"cookieAccess": "specific", "cookieNames": ["one"]},
        ),
        Grant(
            permission="set_cookies",
            parameters={"allowedCookies": [{"name": "one", "secure": "require_secure"}]},
        ),
        Grant(
            permission="read_request",
            parameters={
                "requestAccess": "specific",
                "headersAllowed": True,
                "headerAccess": "specific",
                "headerWhitelist": [{"headerName": "referer"}],
            },
        ),
        Grant(
            permission="read_event_data",
            parameters={"eventDataAccess": "specific", "keyPatterns": ["user_data.*"]},
        ),
        Grant(permission="logging", parameters={"environments": "debug"}),
        Grant(
            permission="use_message",
            parameters={
                "allowedActions": "specific",
                "messageTypes": [{"type": "a", "action": "send"}],
            },
        ),
    )

    assert returned(code, grants=grants) == [
        *(True, False, True, False, True, False, True, False, False),
        *(True, False, False, False, False, False, True, False),
    ]


def test_pattern_for_the_keys_of_an_object_covers_the_object():
    grants = (
        Grant(
            permission="read_event_data",
            parameters={"eventDataAccess": "specific", "keyPatterns": ["user_data.*"]},
        ),
    )
    code = (
        "const read = require('getEventData'); return [read('user_data'), read('user_data.email')];"
    )

    both = returned(code, grants=grants, event={"user_data": {"email": "a"}})
    longer = ran("require('getEventData')('user_data_more');", grants=grants)

    assert both == [{"email": "a"}, "a"]
    assert longer.error == "Error: permission denied: read_event_data (user_data_more)"


def test_reading_the_whole_event_requires_the_full_permission():
    grants = (
        Grant(
            permission="read_event_data",
            parameters={"eventDataAccess": "specific", "keyPatterns": ["items"]},
        ),
    )

    some = returned("return require('getEventData')('items');", grants=grants, event={"items": [1]})
    whole = ran("require('getAllEventData')();", grants=grants)

    assert some == [1]
    assert whole.error == "Error: permission denied: read_event_data (all of it)"


def test_denial_names_the_url_without_its_query():
    turn = ran("require('sendHttpRequest')('https://b.example/x?email=a');", grants=())

    assert turn.error == "Error: permission denied: send_http (https://b.example/x)"


def test_header_without_permission_cannot_be_read_in_another_spelling():
    grants = (
        Grant(
            permission="read_request",
            parameters={
                "requestAccess": "specific",
                "headersAllowed": True,
                "headerAccess": "specific",
                "headerWhitelist": [{"headerName": "Referer"}],
            },
        ),
    )
    request = incoming({"referer": "r", "cookie": "c"})

    allowed = returned(
        "return require('getRequestHeader')('REFERER');", grants=grants, request=request
    )
    denied = ran("require('getRequestHeader')('Cookie');", grants=grants, request=request)

    assert allowed == "r"
    assert denied.error is not None


LABELS = st.text("ab*", min_size=1, max_size=3)
PATTERNS = st.builds(
    "https://{}.{}{}".format,
    LABELS,
    LABELS,
    st.sampled_from(["", "/", "/*", "/a", "/*/b", "/a?b=*"]),
)
ADDRESSES = st.builds(
    "https://{}{}{}".format,
    st.sampled_from(["a.b", "b.a", "a.b.a", "ab.b", "a.b@b.a", "a.b:8443"]),
    st.sampled_from(["", "/", "/a", "/x/b", "/a/../b", "/a?b=1", "?a.b", "#a.b/"]),
    st.sampled_from(["", "b", "/b"]),
)


@settings(max_examples=60, deadline=None)
@given(PATTERNS, st.lists(ADDRESSES, min_size=1, max_size=8))
def test_url_pattern_means_the_same_in_sandbox_and_gateway(pattern, addresses):
    grant = Grant(permission="send_http", parameters={"allowedUrls": "specific", "urls": [pattern]})
    code = """
    const ask = require('queryPermission');
    const parseUrl = require('parseUrl');
    return data.all.map((one) => [(parseUrl(one) || {}).href, ask('send_http', one)]);
    """
    engine = QuickJsEngine(template(code, grants=(grant,)))

    asked = engine.start(call(fields={"all": addresses})).returned

    # An invalid URL has no canonical form, and is never allowed.
    expected = [href is not None and matches((url_expression(pattern),), href) for href, _ in asked]
    assert [granted for _, granted in asked] == expected


GOOGLE = (
    Grant(
        permission="access_bigquery",
        parameters={
            "allowedTables": [
                {"projectId": "GOOGLE_CLOUD_PROJECT", "datasetId": "d", "tableId": "*"},
                {"projectId": "p", "datasetId": "d", "tableId": "t", "operation": "write"},
            ]
        },
    ),
    Grant(
        permission="access_firestore",
        parameters={
            "allowedOptions": [
                {"projectId": "*", "path": "users/*", "operation": "read"},
                {"projectId": "p", "path": "log", "operation": "read_write"},
            ]
        },
    ),
)


def test_template_can_ask_for_google_permissions_as_documented():
    code = """
    const ask = require('queryPermission');
    const table = (projectId, tableId) => ({projectId, datasetId: 'd', tableId});
    return [
      ask('access_bigquery', 'write', table(undefined, 'x')),
      ask('access_bigquery', 'write', table('p', 't')),
      ask('access_bigquery', 'write', table('p', 'x')),
      ask('access_bigquery', 'write'),
      ask('access_firestore', 'read', {path: 'users/1'}),
      ask('access_firestore', 'read', {projectId: 'q', path: 'users/1'}),
      ask('access_firestore', 'write', {path: 'users/1'}),
      ask('access_firestore', 'write', {projectId: 'p', path: 'log'}),
      ask('access_firestore', 'write', {path: 'log'})
    ];
    """

    asked = [True, True, False, False, True, True, False, True, False]
    assert ran(code, grants=GOOGLE).returned == asked


@pytest.mark.parametrize(
    ("code", "held"),
    [
        ("require('BigQuery').insert({datasetId: 'd', tableId: 'x'}, []);", True),
        ("require('BigQuery').insert({projectId: 'p', datasetId: 'd', tableId: 't'}, []);", True),
        ("require('BigQuery').insert({projectId: 'p', datasetId: 'd', tableId: 'x'}, []);", False),
        ("require('Firestore').read('users/1');", True),
        ("require('Firestore').read('users/1', {projectId: 5});", True),
        ("require('Firestore').write('users/1', {});", False),
        ("require('Firestore').write('log', {}, {projectId: 'p'});", True),
        ("require('Firestore').query('log', []);", False),
        ("require('Firestore').query('log', [], {projectId: 'p'});", True),
        ("require('Firestore').runTransaction((t) => t);", True),
    ],
)
def test_sandbox_and_gateway_deny_the_same_calls(code, held):
    turn = ran(code, grants=GOOGLE)

    asked = [effect for effect in turn.effects if isinstance(effect, Service)]
    assert bool(asked) is held
    assert (turn.error is None) is held
    assert turn.spent is False
