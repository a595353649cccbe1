"""Log lines of client templates: rate-limited, without personal data and keys."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from client_stage import ClientStage

from twite.domain.secret import Secret
from twite.gateway.ports.events import ClientSaid, ProblemSeen
from twite.tags.runtime.tag_log import MASKED_EVENT, MOST_A_MINUTE, MOST_LINES
from twite.tags.template.response import ClientResponse

LOG = "const log = require('logToConsole');\n"


@pytest.fixture
async def staged() -> AsyncIterator[Callable[..., ClientStage]]:
    stages: list[ClientStage] = []

    def make(*codes: str, **said: Any) -> ClientStage:
        stages.append(ClientStage(*codes, logging=True, **said))
        return stages[-1]

    yield make
    for stage in stages:
        await stage.stop()


def logged(stage: ClientStage) -> list[tuple[str, str, bool]]:
    seen = [notice for notice in stage.notices.seen if isinstance(notice, ClientSaid)]
    return [(line.client, line.text, line.own) for line in seen]


async def test_log_lines_of_a_client_are_reported_whether_it_claims_or_not(staged):
    stage = staged(LOG + "log('not mine', {a: 1});", LOG + "claim(); log('mine'); respond();")

    response = await stage.ask()

    assert response == ClientResponse()
    assert logged(stage) == [("client 0", 'not mine {"a":1}', False), ("client 1", "mine", False)]


async def test_log_lines_after_the_response_and_uncaught_errors_are_reported(staged):
    stage = staged(
        LOG + "claim(); require('sendHttpGet')('https://a.example/').then((answer) => {"
        "  log(answer.body); respond(); return require('Promise').create((_, no) => no('why'));"
        "});"
    )

    await stage.ask()
    await stage.clients.stop()

    assert logged(stage) == [
        ("client 0", "fetched", False),
        ("client 0", 'unhandled promise rejection: "why"', True),
    ]


BODIES = (
    '{"customer": {"name": "Ann Smith"}, "items": [{"first_name": "Ann Smith", "n": 1}]}',
    "first_name=Ann+Smith&n=1",
)


@pytest.mark.parametrize("body", BODIES, ids=["json", "form"])
async def test_log_line_contains_no_personal_data_of_the_request_and_no_secret(staged, body):
    stage = staged(
        LOG + "claim(); log('Ann Smith a@mail.example 203.0.113.9', 'key-of-the-vendor');"
        "log(require('getRequestHeader')('x-api-key')); respond();",
        secrets=(Secret("key-of-the-vendor"),),
    )

    await stage.ask(body=body, more=(("x-api-key", "short-key"),))

    assert [text for _, text, _ in logged(stage)] == ["*** *** 203.0.113.… ***", "***"]


async def test_log_line_contains_no_personal_data_of_the_created_event(staged):
    stage = staged(
        LOG + "claim(); log('for Ann Smith');"
        "run({event_name: 'x', user_data: {address: {first_name: 'Ann Smith'}}}); respond();"
    )

    await stage.ask()

    assert [text for _, text, _ in logged(stage)] == ["for ***"]


async def test_log_line_is_hidden_if_the_body_is_too_long_to_search(staged):
    stage = staged(LOG + "claim(); log('n is 1'); respond();")

    await stage.ask(body="n=1&" * 300_000)

    assert [text for _, text, _ in logged(stage)] == ["…"]


async def test_number_of_log_lines_of_a_run_is_limited(staged):
    stage = staged(LOG + "claim(); for (let n = 0; n < 50; n++) log(n); respond();")

    await stage.ask()

    lines = [text for _, text, _ in logged(stage)]
    assert len(lines) == MOST_LINES
    assert lines[-1] == "further lines of this run are omitted"


async def test_number_of_log_lines_per_minute_is_limited(staged):
    stage = staged(LOG + "claim(); log('asked'); log('twice'); respond();")

    for _ in range(MOST_A_MINUTE):
        await stage.ask()

    lines = [text for _, text, _ in logged(stage)]
    assert len(lines) == MOST_A_MINUTE + 1
    assert lines[-1] == "further lines of this minute are omitted"


async def test_omitted_log_lines_are_counted_in_the_next_minute(staged):
    stage = staged(LOG + "claim(); log('asked'); respond();")
    for _ in range(MOST_A_MINUTE + 5):
        await stage.ask()
    before = len(logged(stage))

    await stage.clock.advance(60_000)
    await stage.ask()

    assert [text for _, text, _ in logged(stage)[before:]] == ["5 lines were omitted", "asked"]


async def test_secret_in_an_event_of_a_client_is_masked_and_logged(staged):
    stage = staged(
        "claim(); run({event_name: 'x', by: 'key-of-the-vendor'}); respond();",
        secrets=(Secret("key-of-the-vendor"),),
    )

    await stage.ask()

    [(_, event, _)] = stage.container.came
    reasons = [notice.reason for notice in stage.notices.seen if isinstance(notice, ProblemSeen)]
    assert event == {"event_name": "x", "by": "***"}
    assert reasons == [MASKED_EVENT]
