"""The permissions of a template: how they are written, and what they allow."""

import msgspec
import pytest

from twite.tags.json_tree import WrongShape
from twite.tags.template.allowed import lacking, matches
from twite.tags.template.effects import (
    AfterEvent,
    Body,
    BrowserPixel,
    ClaimEffect,
    Forget,
    Header,
    HttpEffect,
    Keep,
    LogEffect,
    MessageEffect,
    PixelBody,
    Respond,
    RunContainer,
    Service,
    SetCookie,
    Status,
)
from twite.tags.template.permissions import (
    Grant,
    PermissionPolicy,
    policy,
    read_grants,
    url_expression,
)

URLS = [
    ("https://graph.example/", "https://graph.example/v1?a=1", True),
    ("https://graph.example/", "https://graph.example.evil.example/", False),
    ("https://graph.example", "https://graph.example/", True),
    ("https://graph.example", "https://graph.example.evil.example/", False),
    ("https://graph.example", "https://graph.example@evil.example/", False),
    ("https://api.example/rest/events", "https://api.example/rest/events?x", True),
    ("https://api.example/rest/events", "https://api.example/rest/other", False),
    ("https://*.stape.example/*", "https://eu.api.stape.example/x", True),
    ("https://*.stape.example/", "https://eu.stape.example/x", True),
    ("https://*.stape.example/*", "https://stape.example/x", False),
    ("https://*.stape.example/*", "https://evil.example/.stape.example/", False),
    ("https://*.stape.example/*", "https://evil.example?.stape.example/", False),
    ("https://*.stape.example/*", "https://evil.example\\.stape.example/", False),
    ("https://*.stape.example/*", "http://a.stape.example/", False),
    ("https://a.example/*/b", "https://a.example/x/y/b", True),
    ("https://a.example/*/b", "https://a.example/b", False),
    ("https://A.Example/", "https://a.example/", True),
    ("https://a.example:8443/", "https://a.example:8443/x", True),
    ("https://a.example/", "https://a.example:8443/x", False),
    ("https://a.example/a+b.c", "https://a.example/aab?c", False),
]


@pytest.mark.parametrize(("pattern", "url", "allowed"), URLS)
def test_url_pattern_is_a_prefix_with_an_exact_host(pattern, url, allowed):
    assert matches((url_expression(pattern),), url) is allowed


@pytest.mark.parametrize("pattern", ["", "*", "shop.example", "ftp://a.example/", "https://"])
def test_invalid_url_pattern_is_refused(pattern):
    with pytest.raises(WrongShape):
        url_expression(pattern)


def test_all_kinds_of_permission_values_are_read():
    entry = {
        "instance": {
            "key": {"publicId": "one", "versionId": "1"},
            "param": [
                {"key": "text", "value": {"type": 1, "string": "any"}},
                {"key": "yes", "value": {"type": 8, "boolean": True}},
                {
                    "key": "rows",
                    "value": {
                        "type": 2,
                        "listItem": [
                            {
                                "type": 3,
                                "mapKey": [{"type": 1, "string": "name"}],
                                "mapValue": [{"type": 1, "string": "a"}],
                            }
                        ],
                    },
                },
            ],
        },
        "isRequired": True,
    }

    grants = read_grants([entry, {"instance": {"key": {"publicId": "two"}, "param": []}}])

    assert grants == (
        Grant(permission="one", parameters={"text": "any", "yes": True, "rows": [{"name": "a"}]}),
        Grant(permission="two"),
    )


@pytest.mark.parametrize(
    "value",
    [
        {"type": 4},
        {"type": 3, "mapKey": [{"type": 1, "string": "a"}], "mapValue": []},
        {"type": 2, "listItem": "x"},
        7,
    ],
)
def test_permission_value_of_an_unknown_kind_is_refused(value):
    with pytest.raises(WrongShape):
        read_grants(
            [{"instance": {"key": {"publicId": "a"}, "param": [{"key": "k", "value": value}]}}]
        )


def granted(permission: str, **parameters: object) -> PermissionPolicy:
    return policy((Grant(permission=permission, parameters=parameters),))


def test_missing_or_unknown_permission_permits_nothing():
    assert policy(()) == PermissionPolicy()
    assert granted("fly", to="moon") == PermissionPolicy(plain=("fly",))


def test_permission_for_requests_covers_only_named_parts():
    found = granted(
        "read_request",
        requestAccess="specific",
        headersAllowed=True,
        headerAccess="specific",
        headerWhitelist=[{"headerName": "Referer"}],
        queryParametersAllowed=True,
        queryParameterAccess="any",
        bodyAllowed=True,
    )

    assert found == PermissionPolicy(
        plain=("read_request",), headers=("referer",), query=(".*",), request=("body",)
    )


def test_headers_that_are_not_enabled_cannot_be_read():
    found = granted(
        "read_request",
        requestAccess="specific",
        headerAccess="any",
        headerWhitelist=[{"headerName": "a"}],
    )

    assert (found.headers, found.query, found.request) == ((), (), ())


def test_google_domains_have_their_own_permission():
    found = granted("send_http", allowedUrls="specific", urls=[], allowGoogleDomains=True)

    assert matches(found.urls, "https://www.googleapis.com/x")
    assert not matches(found.urls, "https://googleapis.com.evil.example/")
    assert not matches(found.urls, "https://evilgoogleapis.com/")


def test_permission_listed_twice_permits_both_values():
    both = policy(
        tuple(
            Grant(permission="send_http", parameters={"allowedUrls": "specific", "urls": [url]})
            for url in ("https://a.example/", "https://b.example/")
        )
    )

    assert all(matches(both.urls, f"https://{host}.example/x") for host in "ab")


COOKIE = {"name": "tw*", "domain": "*", "path": "/", "secure": "secure", "session": "any"}


@pytest.mark.parametrize("word", ["secure", "require_secure"])
def test_permission_for_secure_cookies_has_two_spellings(word):
    rules = [COOKIE | {"secure": word}]

    found = granted("set_cookies", allowedCookies=rules).set_cookies

    assert [(permission.secure, permission.session) for permission in found] == [(True, None)]


@pytest.mark.parametrize(
    ("cookie", "missing"),
    [
        (SetCookie(name="twclid", value="", path="/", secure=True), None),
        (SetCookie(name="other", value="", path="/", secure=True), "set_cookies"),
        (SetCookie(name="twclid", value="", path="/x", secure=True), "set_cookies"),
        (SetCookie(name="twclid", value="", path="/"), "set_cookies"),
    ],
)
def test_cookie_must_match_its_permission(cookie, missing):
    assert lacking(cookie, granted("set_cookies", allowedCookies=[COOKIE])) == missing


PLACE = {"projectId": "p", "datasetId": "d", "tableId": "t"}


@pytest.mark.parametrize(
    ("effect", "permission"),
    [
        (HttpEffect(id=1, url="https://a.example/", method="GET"), "send_http"),
        (BrowserPixel(url="https://a.example/"), "send_pixel_from_browser"),
        (SetCookie(name="a", value="b"), "set_cookies"),
        (LogEffect(text="a"), "logging"),
        (Status(code=200), "access_response"),
        (Header(name="a", value="b"), "access_response"),
        (Body(text="a"), "access_response"),
        (PixelBody(), "access_response"),
        (Respond(), "return_response"),
        (MessageEffect(type="a", content={}), "use_message"),
        (Keep(key="a", value=1), "access_template_storage"),
        (Forget(), "access_template_storage"),
        (AfterEvent(id=1), "read_event_metadata"),
        (RunContainer(id=1, event={}), "run_container"),
        (Service(id=1, name="BigQuery.insert", arguments=[PLACE, [], {}]), "access_bigquery"),
        (Service(id=1, name="Firestore.read", arguments=["a/b", {}]), "access_firestore"),
        (Service(id=1, name="Firestore.begin", arguments=[{}]), "access_firestore"),
        (Service(id=1, name="getGoogleScript", arguments=["GTM", {}]), "send_http"),
        (Service(id=1, name="fly", arguments=[]), "fly"),
    ],
)
def test_effect_without_its_permission_is_denied(effect, permission):
    assert lacking(effect, PermissionPolicy()) == permission


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Firestore.read", ["a/b", {"projectId": "other"}, {"projectId": "own"}]),
        ("Firestore.read", ["a/b", {"projectId": "other"}, {}]),
        ("Firestore.query", ["a", {"projectId": "own"}, {"projectId": "other"}, {}]),
        ("Firestore.write", ["a/b", {"projectId": "own"}, {"projectId": "other"}, {}]),
        ("Firestore.write", ["a/b", {}, {"projectId": 5}]),
        ("Firestore.read", [5, {"projectId": "own"}]),
        ("BigQuery.insert", [{"projectId": "", "datasetId": "d", "tableId": "t"}, []]),
        ("BigQuery.insert", [{"projectId": "own", "datasetId": "d", "tableId": 5}, []]),
        ("Firestore.delete", ["a/b", {"projectId": "own"}]),
    ],
)
def test_google_call_is_checked_with_the_project_that_it_uses(name, arguments):
    row = {"projectId": "own", "path": "*", "operation": "read_write"}
    table = {"projectId": "own", "datasetId": "d", "tableId": "t", "operation": "write"}
    allowed = policy(
        (
            Grant(permission="access_firestore", parameters={"allowedOptions": [row]}),
            Grant(permission="access_bigquery", parameters={"allowedTables": [table]}),
        )
    )

    assert lacking(Service(id=1, name=name, arguments=arguments), allowed) is not None


def test_logs_and_claims_in_a_test_run_need_no_permission():
    needing_none = [
        LogEffect(text="a", own=True),
        LogEffect(text="a", denied="send_http"),
        ClaimEffect(),
    ]

    assert [lacking(effect, PermissionPolicy()) for effect in needing_none] == [None, None, None]


def test_permission_to_listen_for_messages_does_not_permit_sending():
    listening = granted(
        "use_message", allowedActions="specific", messageTypes=[{"type": "a", "action": "listen"}]
    )
    sending = granted(
        "use_message", allowedActions="specific", messageTypes=[{"type": "a", "action": "send"}]
    )

    assert lacking(MessageEffect(type="a", content={}), listening) == "use_message"
    assert lacking(MessageEffect(type="a", content={}), sending) is None


def test_repr_of_an_effect_hides_its_content():
    shown = repr(
        [
            HttpEffect(id=1, url="https://a.example/?email=x", method="GET", body="secret"),
            SetCookie(name="a", value="secret"),
        ]
    )

    assert "secret" not in shown
    assert "email" not in shown


def test_effect_is_unchanged_by_serialization():
    effect = HttpEffect(id=1, url="https://a.example/", method="POST", headers={"A": "b"}, body="x")

    assert msgspec.json.decode(msgspec.json.encode(effect), type=HttpEffect) == effect


@pytest.mark.parametrize(
    ("place", "missing"),
    [
        (PLACE, None),
        (PLACE | {"tableId": "other"}, "access_bigquery"),
        (PLACE | {"tableId": 7}, "BigQuery.insert"),
    ],
)
def test_only_named_bigquery_tables_are_permitted(place, missing):
    rows = [{"projectId": "*", "datasetId": "d", "tableId": "t", "operation": "write"}]
    effect = Service(id=1, name="BigQuery.insert", arguments=[place, [], {}])

    assert lacking(effect, granted("access_bigquery", allowedTables=rows)) == missing


@pytest.mark.parametrize(
    ("name", "path", "missing"),
    [
        ("Firestore.read", "visitors/1", None),
        ("Firestore.write", "visitors/1", "access_firestore"),
        ("Firestore.query", "others", "access_firestore"),
    ],
)
def test_only_named_firestore_documents_and_operations_are_permitted(name, path, missing):
    rows = [{"projectId": "GOOGLE_CLOUD_PROJECT", "path": "visitors/*", "operation": "read"}]
    effect = Service(id=1, name=name, arguments=[path, {}])

    assert lacking(effect, granted("access_firestore", allowedOptions=rows)) == missing


def test_google_authorization_requires_permission_for_scope_and_url():
    allowed = policy(
        (
            Grant(permission="send_http", parameters={"allowedUrls": "any"}),
            Grant(permission="use_google_credentials", parameters={"allowedScopes": ["one"]}),
        )
    )
    asked = HttpEffect(id=1, url="https://a.example/", method="GET", authorization=("one",))
    forged = msgspec.structs.replace(asked, authorization=("one", "two"))

    assert lacking(asked, allowed) is None
    assert lacking(forged, allowed) == "use_google_credentials"
