"""BigQuery.insert: rows, their insert ids, and the result for the template."""

import time

import pytest
from google_stage import AT, INSERT, Seen, run

from google_double import PROJECT, GoogleDouble
from twite.domain.incoming_request import IncomingRequest
from twite.tags.template.sandbox import RunResult


async def test_inserted_rows_use_a_token_with_only_the_insert_scope():
    with GoogleDouble() as google:
        ran = await run(google, INSERT)

    assert ran.succeeded
    assert google.rows == [{"a": 1}, {"a": 2}]
    assert list(google.granted.values()) == ["https://www.googleapis.com/auth/bigquery.insertdata"]
    [(method, path, _)] = google.asked
    assert method == "POST"
    assert path == f"/bigquery/v2/projects/{PROJECT}/datasets/d/tables/t/insertAll"
    assert [attempt.status for attempt in ran.tried] == [200]


async def test_project_of_the_template_overrides_that_of_the_gateway():
    with GoogleDouble() as google:
        await run(google, "table.projectId = 'other-1';" + INSERT)

    assert "/projects/other-1/" in google.asked[0][1]


async def test_repeated_delivery_inserts_no_row_twice():
    with GoogleDouble() as google:
        for _ in range(2):
            await run(google, INSERT)

    assert google.rows == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("other", [{"seed": 8}, {"at": AT + 1}, {"event": {"event_name": "x"}}])
async def test_another_delivery_with_the_same_rows_inserts_them_again(other):
    with GoogleDouble() as google:
        await run(google, INSERT)
        await run(google, INSERT, **other)

    assert google.rows == [{"a": 1}, {"a": 2}] * 2


async def test_equal_rows_of_one_run_are_all_inserted():
    with GoogleDouble() as google:
        for _ in range(2):
            await run(google, "BigQuery.insert(table, [{a: 1}, {a: 1}]).then(ok, no);")

    assert google.rows == [{"a": 1}] * 2


async def test_changed_row_of_a_repeated_delivery_is_another_row():
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
async def test_time_of_the_run_in_a_row_does_not_make_another_row(time_of):
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


async def test_rows_of_one_run_that_differ_only_by_time_are_separate():
    times = [AT, AT + 5, AT - 10**9]
    rows = ", ".join(f"{{at: {at}}}" for at in times)
    code = f"BigQuery.insert(table, [{rows}]).then(ok, no);"
    with GoogleDouble() as google:
        for _ in range(2):
            await run(google, code)

    assert [row["at"] for row in google.rows] == times


async def test_tag_can_extract_its_event_from_the_hit():
    seen = Seen()
    code = "log(JSON.stringify(require('extractEventsFromMpv2')())); ok();"
    with GoogleDouble() as google:
        hit = IncomingRequest(path="/g/collect", query="v=2&tid=G-1&en=x")
        ran = await run(google, code, seen=seen, request=hit)
        other = await run(google, code, seen=seen)

    assert (ran.succeeded, other.succeeded) == (True, False)
    assert seen.lines == ['[{"event_name":"purchase"}]']


async def test_insert_of_invalid_rows_fails_with_a_list_of_errors():
    seen = Seen()
    with GoogleDouble() as google:
        google.columns = {"a"}
        ran = await run(
            google, "BigQuery.insert(table, [{a: 1}, {b: 2}]).then(ok, fail);", seen=seen
        )

    assert ran.outcome is RunResult.FAILURE
    assert seen.lines == ['[{"reason":"invalid","row":{"b":2}}]']
    assert google.rows == []


async def test_options_of_the_insert_are_sent_to_bigquery():
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


async def test_insert_with_callbacks_calls_them():
    with GoogleDouble() as google:
        google.columns = {"a"}
        good = await run(google, "BigQuery.insert(table, [{a: 1}], {}, ok, no);")
        bad = await run(google, "BigQuery.insert(table, [{b: 1}], {}, ok, fail);")

    assert (good.outcome, bad.outcome) == (RunResult.SUCCESS, RunResult.FAILURE)
