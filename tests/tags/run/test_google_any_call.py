"""Any arguments of a template and any answer of Google get a defined result."""

import asyncio
import json

from hypothesis import given
from hypothesis import strategies as st
from scripted_tags import ScriptedAccount
from yarl import URL

from fakes import MovingClock
from twite.gateway.ports.transport import NoResponse, Response
from twite.tags.google.calls import GoogleCalls, InsertIds
from twite.tags.google.requests import GoogleClient, GoogleRequestDenied
from twite.tags.template.effects import Service

HOSTS = {
    "bigquery.googleapis.com",
    "firestore.googleapis.com",
    "www.google-analytics.com",
    "www.googletagmanager.com",
}
NAMES = st.sampled_from(
    [
        "BigQuery.insert",
        "Firestore.read",
        "Firestore.query",
        "Firestore.write",
        "Firestore.begin",
        "Firestore.commit",
        "Firestore.rollback",
        "getGoogleScript",
        "sendEventToGoogleAnalytics",
        "unheardOf",
    ]
)
WORDS = st.sampled_from(
    [
        "projectId", "datasetId", "tableId", "transaction", "merge", "limit", "retry", "t1",
        "users/1", "users", "..", "a/../b", "GTAG", "GTM", "id", "==", "GOOGLE_CLOUD_PROJECT",
        "event_name", "x-ga-measurement_id", "G-1", "items", "", "https://evil.example/",
    ]
)  # fmt: skip
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(), inner, max_size=4)
    ),
    max_leaves=15,
)
BODIES = st.binary(max_size=40) | st.builds(
    lambda tree: json.dumps(tree).encode(),
    st.recursive(
        st.none() | st.integers() | st.sampled_from(["t1", "ABORTED", "x/documents/users/1"]),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "errors", "status", "reason", "found", "missing", "document", "name",
                 "fields", "insertErrors", "index", "transaction", "integerValue", "mapValue",
                 "arrayValue", "values", "doubleValue", "geoPointValue"]
            ),
            inner,
            max_size=3,
        ),
        max_leaves=12,
    ),
)  # fmt: skip
ANSWERS = (
    st.builds(
        lambda status, body, whole: Response(status=status, headers={}, body=body, whole=whole),
        st.sampled_from([200, 302, 400, 401, 404, 409, 429, 500]),
        BODIES,
        st.booleans(),
    )
    | st.builds(
        lambda left: NoResponse(reason="no answer", left=left, is_late=left),
        st.booleans(),
    )
    | st.just(GoogleRequestDenied(why="not set"))
)


@given(st.lists(st.tuples(NAMES, st.lists(TREES, max_size=4)), max_size=4), st.lists(ANSWERS))
def test_any_call_has_a_defined_result_and_requests_only_google(calls, answers):
    asked = []
    waiting = list(answers)

    async def sends(asking):
        asked.append(asking)
        if waiting:
            return waiting.pop(0)
        return Response(status=200, headers={}, body=b'{"transaction": "t1"}')

    async def perform():
        google = GoogleClient(ScriptedAccount(), clock=MovingClock())
        made = GoogleCalls(
            google, sends=sends, log_message=lambda _: None, ids=InsertIds(b"", at=1)
        )
        services = [Service(id=n, name=name, arguments=given_) for n, (name, given_) in calls]
        return [await made.perform(service) for service in services]

    calls = list(enumerate(calls, 1))
    reported = asyncio.run(perform())

    assert [row.id for row in reported] == [number for number, _ in calls]
    for request in asked:
        url = URL(request.url)
        assert (url.scheme, url.host in HOSTS, url.user) == ("https", True, None)
        assert ".." not in url.path.split("/")
