"""Firestore: documents, queries and transactions of a tag."""

from google_stage import USER, Seen, run

from google_double import GoogleDouble, named
from twite.tags.template.sandbox import RunResult


async def test_firestore_document_is_read_with_its_id():
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


async def test_record_of_a_run_contains_firestore_errors_but_no_documents():
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


async def test_reading_a_missing_firestore_document_fails():
    seen = Seen()
    with GoogleDouble() as google:
        ran = await run(google, "Firestore.read('users/9').then(ok, fail);", seen=seen)

    assert ran.outcome is RunResult.FAILURE
    assert seen.lines == ['{"reason":"not_found"}']


async def test_firestore_document_is_overwritten_or_merged():
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


async def test_new_firestore_document_has_the_same_id_if_the_delivery_is_repeated():
    add = "Firestore.write('users', {a: 1}).then((id) => { log(id.length); ok(); }, fail);"
    seen = Seen()
    counts = []
    with GoogleDouble() as google:
        for seed in (7, 7, 8):
            await run(google, add, seed=seed, seen=seen)
            counts.append(len(google.documents))

    assert counts == [1, 1, 2]
    assert seen.lines == ["20"] * 3


async def test_firestore_query_returns_at_most_five_documents_by_default():
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


async def test_firestore_transaction_writes_at_its_commit():
    seen = Seen()
    with GoogleDouble() as google:
        ran = await run(google, COUNT, seen=seen)

    assert ran.succeeded
    assert seen.lines == ["read 0", "undefined", "1 2"]
    assert google.documents[USER] == {"n": {"integerValue": "1"}}
    assert google.count(":commit") == 1
    assert len(google.documents) == 2


def write_before_commits(google, *, times):
    """Make another client write the document before this number of commits."""
    left = [times]

    def write():
        if left[0]:
            left[0] -= 1
            google.put(USER, {"n": {"integerValue": str(100 - left[0])}})

    google.before_commit = write


async def test_conflicting_firestore_transaction_is_repeated():
    seen = Seen()
    with GoogleDouble() as google:
        write_before_commits(google, times=2)
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


async def test_third_conflict_of_a_transaction_fails_and_is_temporary():
    seen = Seen()
    with GoogleDouble() as google:
        write_before_commits(google, times=3)
        ran = await run(google, COUNT, seen=seen)

    assert ran.outcome is RunResult.FAILURE
    assert seen.lines[-1] == '{"reason":"aborted"}'
    assert ran.may_pass
    assert google.count(":commit") == 3


async def test_rolled_back_transaction_writes_nothing():
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


async def test_unknown_transaction_is_refused():
    seen = Seen()
    with GoogleDouble() as google:
        code = "Firestore.write('users/1', {n: 1}, {transaction: 'forged'}).then(ok, fail);"
        await run(google, code, seen=seen)

    assert seen.lines == [
        "Firestore.write: the transaction is not open",
        '{"reason":"invalid_argument"}',
    ]
    assert google.asked == []


async def test_firestore_path_with_dots_is_refused():
    seen = Seen()
    with GoogleDouble() as google:
        await run(google, "Firestore.read('allowed/../users/1').then(ok, fail);", seen=seen)

    assert seen.lines[-1] == '{"reason":"invalid_argument"}'
    assert google.asked == []
