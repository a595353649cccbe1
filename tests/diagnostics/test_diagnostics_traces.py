"""Diagnostics of the collector of traces, on real sockets."""

import pytest

from otlp_receiver import otlp_receiver
from twite.diagnostics import CheckStatus, traces
from written import GOOD, read


async def found(folder, url):
    settings = read(folder, f'{GOOD}\n[traces]\nendpoint = "{url}"\n')
    return [(finding.status, finding.found) async for finding in traces(settings)]


async def test_collector_that_accepts_traces_passes(tmp_path):
    with otlp_receiver() as receiver:
        result = await found(tmp_path, receiver.url)

    said = f"the collector at {receiver.url}/v1/traces accepts spans"
    assert result == [(CheckStatus.PASSED, said)]
    assert receiver.spans == []


@pytest.mark.parametrize(("path", "status", "answer"), [("/other", 200, 404), ("", 401, 401)])
async def test_collector_that_refuses_traces_fails_with_its_response(
    tmp_path, path, status, answer
):
    with otlp_receiver(status) as receiver:
        result = await found(tmp_path, f"{receiver.url}{path}")

    said = f"the collector at {receiver.url}{path}/v1/traces answers {answer}"
    assert result == [(CheckStatus.WARNING, said)]


async def test_collector_without_a_listener_fails(tmp_path):
    (result,) = await found(tmp_path, "http://127.0.0.1:1")

    assert result[0] == CheckStatus.WARNING
    assert "http://127.0.0.1:1/v1/traces cannot be reached: connection refused" in result[1]


async def test_traces_without_the_extra_fail(tmp_path, monkeypatch):
    monkeypatch.setitem(traces.__globals__, "can_trace", lambda: False)

    (result,) = await found(tmp_path, "http://127.0.0.1:4318")

    assert result == (
        CheckStatus.FAILED,
        "traces.endpoint is set, but the extra `otel` is not installed",
    )


async def test_traces_without_an_endpoint_are_not_checked(tmp_path):
    assert [finding async for finding in traces(read(tmp_path))] == []
