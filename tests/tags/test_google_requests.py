"""The request to Google for a template's call, and the result that the template gets."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.tags.google_requests import bigquery, firestore
from twite.tags.google_requests.firestore import fields_of, tree_of_fields, tree_of_value, value_of
from twite.tags.google_requests.request import (
    GoogleResult,
    RequestNotSent,
    analytics_result,
    script_request,
    script_result,
)

DOCUMENT = "projects/p/databases/(default)/documents"
ROOT = f"https://firestore.googleapis.com/v1/{DOCUMENT}"
TABLE = ("p", "d", "t")
TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 53) + 1, (1 << 53) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def encoded(tree):
    return msgspec.json.encode(tree)


def body_of(asking):
    return msgspec.json.decode(asking.body)


@given(TREES)
def test_firestore_value_is_read_as_it_was_written(tree):
    assert tree_of_value(value_of(tree)) == tree


@pytest.mark.parametrize(
    ("tree", "value"),
    [
        (None, {"nullValue": None}),
        (True, {"booleanValue": True}),
        (5, {"integerValue": "5"}),
        (-(2**53) + 1, {"integerValue": str(-(2**53) + 1)}),
        (2**53, {"doubleValue": float(2**53)}),
        (0.5, {"doubleValue": 0.5}),
        ("a", {"stringValue": "a"}),
        ([1, "b"], {"arrayValue": {"values": [{"integerValue": "1"}, {"stringValue": "b"}]}}),
        ({"a": {}}, {"mapValue": {"fields": {"a": {"mapValue": {"fields": {}}}}}}),
    ],
)
def test_values_are_written_in_firestores_format(tree, value):
    assert value_of(tree) == value


@pytest.mark.parametrize(
    ("value", "tree"),
    [
        ({"timestampValue": "2026-11-26T10:00:00.5Z"}, "2026-11-26T10:00:00.5Z"),
        ({"bytesValue": "AAE="}, "AAE="),
        ({"referenceValue": f"{DOCUMENT}/users/1"}, "users/1"),
        ({"geoPointValue": {"latitude": 1.5}}, {"latitude": 1.5, "longitude": 0}),
        ({"doubleValue": "NaN"}, None),
        ({"arrayValue": {}}, []),
        ({"mapValue": {}}, {}),
        ({"unheardOf": 1}, None),
    ],
)
def test_unusual_firestore_values_are_read_as_json(value, tree):
    assert tree_of_value(value) == tree


def test_deeply_nested_firestore_value_is_refused():
    deep = {}
    for _ in range(5_000):
        deep = {"a": deep}

    with pytest.raises(RequestNotSent):
        fields_of(deep)


def test_empty_firestore_document_is_an_empty_object():
    assert tree_of_fields(None) == {}


def test_firestore_document_is_requested_by_its_full_name():
    asking = firestore.read("p", "users/a b/visits/ü", transaction="t1")

    assert (asking.url, asking.method) == (f"{ROOT}:batchGet", "POST")
    assert body_of(asking) == {
        "documents": [f"{DOCUMENT}/users/a b/visits/ü"],
        "transaction": "t1",
    }
    assert asking.scopes == ("https://www.googleapis.com/auth/datastore",)
    assert "users" not in repr(asking)


@pytest.mark.parametrize(
    ("status", "answer", "reported"),
    [
        (
            200,
            [{"found": {"name": f"{DOCUMENT}/users/1", "fields": {"a": {"integerValue": "1"}}}}],
            GoogleResult(value={"id": "1", "data": {"a": 1}}),
        ),
        (200, [{"missing": f"{DOCUMENT}/users/1"}], GoogleResult(reason="not_found")),
        (200, [{"error": {"code": 409, "status": "ABORTED"}}], GoogleResult(reason="aborted")),
        (403, {"error": {"status": "PERMISSION_DENIED"}}, GoogleResult(reason="permission_denied")),
        (403, {"error": {"status": "<script>"}}, GoogleResult(reason="failed")),
        (502, "no json of Google's", GoogleResult(reason="failed")),
        (200, {}, GoogleResult(reason="failed")),
    ],
)
def test_response_with_a_firestore_document_is_read(status, answer, reported):
    assert firestore.read_result(status, encoded(answer)) == reported


@pytest.mark.parametrize(
    "path", ["", "users", "/users/1", "users/1/", "users//1", "users/..", "../users", "users/."]
)
def test_invalid_path_of_a_firestore_document_is_refused(path):
    with pytest.raises(RequestNotSent):
        firestore.read("p", path, transaction=None)


@pytest.mark.parametrize("project", ["", "..", "a/b", "p?x", "p#", "a b", "-p", "p\n"])
def test_invalid_google_project_is_refused(project):
    with pytest.raises(RequestNotSent):
        firestore.read(project, "users/1", transaction=None)


def test_firestore_query_combines_all_conditions():
    conditions = [["a.b", ">=", 1], ["c-d", "==", None], ["e", "in", ["x", "y"]]]

    asking = firestore.query("p", "users/1/visits", conditions, limit=7, transaction=None)

    assert asking.url == f"{ROOT}/users/1:runQuery"
    assert body_of(asking) == {
        "structuredQuery": {
            "from": [{"collectionId": "visits"}],
            "limit": 7,
            "where": {
                "compositeFilter": {
                    "op": "AND",
                    "filters": [
                        {
                            "fieldFilter": {
                                "field": {"fieldPath": "a.b"},
                                "op": "GREATER_THAN_OR_EQUAL",
                                "value": {"integerValue": "1"},
                            }
                        },
                        {"unaryFilter": {"op": "IS_NULL", "field": {"fieldPath": "`c-d`"}}},
                        {
                            "fieldFilter": {
                                "field": {"fieldPath": "e"},
                                "op": "IN",
                                "value": {
                                    "arrayValue": {
                                        "values": [{"stringValue": "x"}, {"stringValue": "y"}]
                                    }
                                },
                            }
                        },
                    ],
                }
            },
        }
    }


@pytest.mark.parametrize(
    ("limit", "meant"), [(None, 5), (0, 5), (-1, 5), (True, 5), ("9", 5), (9.9, 9), (1e12, 10_000)]
)
def test_firestore_query_has_a_limit(limit, meant):
    asking = firestore.query("p", "users", [], limit=limit, transaction=None)

    assert body_of(asking)["structuredQuery"] == {
        "from": [{"collectionId": "users"}],
        "limit": meant,
    }


def test_path_in_a_google_url_is_percent_encoded():
    asking = firestore.query("p", "a?b/c#d%2e/e", [], limit=5, transaction=None)

    assert asking.url == f"{ROOT}/a%3Fb/c%23d%252e:runQuery"


@pytest.mark.parametrize(
    "conditions", [[["a", "~", 1]], [["a", "=="]], ["a"], [[1, "==", 1]], [["a", "==", 1, 2]]]
)
def test_invalid_condition_of_a_firestore_query_is_refused(conditions):
    with pytest.raises(RequestNotSent):
        firestore.query("p", "users", conditions, limit=5, transaction=None)


def test_response_to_a_firestore_query_is_read():
    found = [
        {"document": {"name": f"{DOCUMENT}/users/1", "fields": {"a": {"booleanValue": True}}}},
        {"readTime": "2026-11-26T10:00:00Z"},
    ]

    assert firestore.query_result(200, encoded(found)) == GoogleResult(
        value=[{"id": "1", "data": {"a": True}}]
    )
    assert firestore.query_result(200, encoded([{"readTime": "x"}])) == GoogleResult(value=[])
    assert firestore.query_result(200, b"{}") == GoogleResult(reason="failed")


def test_firestore_document_written_to_a_collection_gets_the_new_id():
    write = firestore.write("p", "users", {"a": 1}, merge=False, new_id="made")

    assert write.id == "made"
    assert write.body == {
        "update": {"name": f"{DOCUMENT}/users/made", "fields": {"a": {"integerValue": "1"}}}
    }


def test_merge_writes_only_the_given_fields_of_a_document():
    given = {"a": {"b": 1, "c d": {}}, "e`f\\": [1], "g": {"h": {"i": None}}}

    write = firestore.write("p", "users/1", given, merge=True, new_id="")

    assert write.body["updateMask"] == {
        "fieldPaths": ["a.b", "a.`c d`", "`e\\`f\\\\`", "g.h.i"],
    }


@pytest.mark.parametrize("given_", [None, [], "text", 1])
def test_invalid_firestore_document_is_not_written(given_):
    with pytest.raises(RequestNotSent):
        firestore.write("p", "users/1", given_, merge=False, new_id="")


def test_repeated_transaction_names_the_conflicting_one():
    assert body_of(firestore.begin("p", former=None)) == {"options": {"readWrite": {}}}
    assert body_of(firestore.begin("p", former="t1")) == {
        "options": {"readWrite": {"retryTransaction": "t1"}}
    }
    assert firestore.begun(200, b'{"transaction": "t2"}') == GoogleResult(value="t2")
    assert firestore.begun(200, b"{}") == GoogleResult(reason="failed")


def test_bigquery_rows_have_insert_ids():
    asking = bigquery.insert(
        ("p:x", "d", "t$20261126"),
        [{"a": 1}],
        {"ignoreUnknownValues": True},
        id_of=lambda row: f"id-{row['a']}",
    )

    assert asking.url == (
        "https://bigquery.googleapis.com/bigquery/v2/projects/p%3Ax/datasets/d"
        "/tables/t%2420261126/insertAll"
    )
    assert body_of(asking) == {
        "kind": "bigquery#tableDataInsertAllRequest",
        "skipInvalidRows": False,
        "ignoreUnknownValues": True,
        "rows": [{"insertId": "id-1", "json": {"a": 1}}],
    }
    assert asking.scopes == ("https://www.googleapis.com/auth/bigquery.insertdata",)


@pytest.mark.parametrize("rows", [None, {}, "x", [1], [{"a": 1}, None]])
def test_invalid_bigquery_rows_are_refused(rows):
    with pytest.raises(RequestNotSent):
        bigquery.insert(TABLE, rows, {}, id_of=str)


@pytest.mark.parametrize("table", [("p", "d", ""), ("p", "..", "t"), (".", "d", "t")])
def test_invalid_bigquery_table_is_refused(table):
    with pytest.raises(RequestNotSent):
        bigquery.insert(table, [], {}, id_of=str)


@pytest.mark.parametrize(
    ("status", "answer", "reported"),
    [
        (200, {"kind": "x"}, GoogleResult()),
        (200, {"insertErrors": []}, GoogleResult()),
        (
            200,
            {
                "insertErrors": [
                    {"index": 1, "errors": [{"reason": "invalid"}, {"reason": "stopped"}]},
                    {"index": 7, "errors": []},
                ]
            },
            GoogleResult(
                reason="invalid",
                value=[
                    {"reason": "invalid", "row": {"a": 2}},
                    {"reason": "stopped", "row": {"a": 2}},
                    {"reason": "failed"},
                ],
            ),
        ),
        (
            404,
            {"error": {"errors": [{"reason": "notFound"}]}},
            GoogleResult(reason="notFound", value=[{"reason": "notFound"}]),
        ),
        (502, "", GoogleResult(reason="failed", value=[{"reason": "failed"}])),
        (200, "", GoogleResult(reason="failed", value=[{"reason": "failed"}])),
    ],
)
def test_response_to_a_bigquery_insert_is_read(status, answer, reported):
    assert bigquery.insert_result(status, encoded(answer), [{"a": 1}, {"a": 2}]) == reported


@pytest.mark.parametrize(
    ("name", "options", "url"),
    [
        ("ANALYTICS", None, "https://www.google-analytics.com/analytics.js"),
        ("ANALYTICS", {"debug": 1}, "https://www.google-analytics.com/analytics_debug.js"),
        ("GTAG", {"id": "G-1&x=/"}, "https://www.googletagmanager.com/gtag/js?id=G-1%26x%3D%2F"),
        ("GTM", {"id": "GTM-1"}, "https://www.googletagmanager.com/gtm.js?id=GTM-1"),
        ("GTM", {"id": 5}, "https://www.googletagmanager.com/gtm.js"),
    ],
)
def test_url_of_a_google_script_is_built(name, options, url):
    asking = script_request(name, options)

    assert (asking.url, asking.method, asking.scopes) == (url, "GET", ())


def test_unknown_google_script_is_refused():
    with pytest.raises(RequestNotSent):
        script_request("OPTIMIZE", {})


@pytest.mark.parametrize(
    ("given_", "meant"), [(100, 100), (-1, None), ("5", None), (True, None), (1e9, 15_000)]
)
def test_timeout_of_a_google_script_is_limited(given_, meant):
    assert script_request("GTAG", {"timeout": given_}).timeout == meant


def test_response_with_a_google_script_is_read():
    headers = {"cache-control": "max-age=900", "expires": "x", "server": "y"}

    reported = script_result(200, headers, b"// a")

    assert reported == GoogleResult(
        value={"script": "// a", "metadata": {"cache-control": "max-age=900", "expires": "x"}}
    )
    assert script_result(404, {}, b"") == GoogleResult(reason="failed")
    assert analytics_result(204, {}) == GoogleResult(value={})
    assert analytics_result(302, {"location": "https://a.example/"}) == GoogleResult(
        value={"location": "https://a.example/"}
    )
    assert analytics_result(500, {}) == GoogleResult(reason="failed")
