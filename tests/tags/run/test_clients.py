"""Client templates: which one claims a request, what is stored before the response, and time
limits.
"""

import asyncio
import json

import pytest
from client_stage import ClientStage

from twite.domain.errors import ClientFailed, LedgerUnavailable, TemplatePaused, TemplatesBusy
from twite.gateway.ports.events import ProblemSeen
from twite.gateway.ports.tags import TagOutcome
from twite.tags.engines.context_limits import too_long
from twite.tags.engines.process.engine_server import EngineServer
from twite.tags.runtime.probation import PROVEN
from twite.tags.template.response import ClientResponse

ANSWERS = "claim(); run({event_name: 'purchase'}, () => { body('taken'); respond(); });"


HANGS = "claim(); for (;;) {}"


async def test_client_that_claims_a_request_runs_the_container_and_responds(staged):
    stage = staged(ANSWERS)

    response = await stage.ask("/in")

    assert response == ClientResponse(body=b"taken")
    assert stage.container.came == [("client 0", {"event_name": "purchase"}, "/in")]


async def test_client_that_claims_and_does_not_respond_has_failed(staged):
    stage = staged("claim(); run({event_name: 'a'}, undefined, () => 1);")

    with pytest.raises(ClientFailed):
        await stage.ask()


async def test_request_that_no_client_claims_has_no_response(staged):
    stage = staged("body('not claimed');", "run({event_name: 'x'});")

    assert await stage.ask() is None
    assert stage.container.came == []


async def test_clients_are_asked_by_priority_until_one_claims(staged):
    stage = staged("if (path === '/a') { claim(); respond(); }", ANSWERS)

    first, second = await stage.ask("/a"), await stage.ask("/b")

    assert (first, second) == (ClientResponse(), ClientResponse(body=b"taken"))
    assert [name for name, _, _ in stage.container.came] == ["client 1"]


@pytest.mark.parametrize(
    "code",
    [
        "claim(); run({event_name: 'a'}, () => respond());",
        "claim(); run({event_name: 'a'}); respond();",
        "claim(); respond(); run({event_name: 'a'});",
        "claim(); run({event_name: 'a'}, undefined, () => respond());",
    ],
)
async def test_response_waits_until_the_event_is_stored(staged, code):
    stage = staged(code)
    stage.container.until = asyncio.Event()

    asking = asyncio.create_task(stage.ask())
    early, _ = await asyncio.wait({asking}, timeout=0.2)
    stage.container.until.set()

    assert early == set()
    assert await asking == ClientResponse()
    assert len(stage.container.came) == 1


async def test_failed_commit_is_not_answered_with_success(staged):
    stage = staged("claim(); run({event_name: 'a'}); respond();")
    stage.container.problem = LedgerUnavailable(reason="the disk is full", retry_after=5)

    with pytest.raises(LedgerUnavailable):
        await stage.ask()


async def test_container_runs_once_for_each_event_of_a_request(staged):
    stage = staged(
        "claim(); let left = 3;"
        "[1, 2, 3].forEach((n) => run({event_name: 'e', n: n}, () => { if (!--left) respond(); }));"
    )

    await stage.ask()

    assert [event["n"] for _, event, _ in stage.container.came] == [1, 2, 3]


AFTER = "require('addEventCallback')((_, event) => {"


TELL = "body(require('JSON').stringify(event.tags)); respond(); })"


def outcomes(stage: ClientStage) -> None:
    queued, held = TagOutcome(tag="crm", status="queued"), TagOutcome(tag="mail", status="held")
    stage.container.outcomes = {"a": (queued, held), "b": (queued,)}


async def test_event_callback_gets_the_fired_tags(staged):
    stage = staged(f"claim(); run({{event_name: 'a'}}); {AFTER}{TELL};")
    outcomes(stage)

    response = await stage.ask()

    assert response is not None
    assert json.loads(response.body) == [
        {"id": "crm", "status": "queued", "executionTime": 0},
        {"id": "mail", "status": "held", "executionTime": 0},
    ]


async def test_callback_of_one_event_gets_only_the_tags_of_that_event(staged):
    stage = staged(
        "claim(); run({event_name: 'a'});"
        "run({event_name: 'b'}, undefined, (bind) => bind(() => "
        f"{AFTER}{TELL})());"
    )
    outcomes(stage)

    response = await stage.ask()

    assert response is not None
    assert [load["id"] for load in json.loads(response.body)] == ["crm"]


async def test_client_can_send_a_request_before_it_responds(staged):
    stage = staged(
        "claim(); require('sendHttpGet')('https://a.example/').then((answer) => {"
        "  body(answer.body); respond(); });"
    )

    response = await stage.ask()

    assert response == ClientResponse(body=b"fetched")
    assert [request.url for request in stage.fetched] == ["https://a.example/"]


async def test_promise_of_a_client_times_out_after_five_seconds(staged):
    stage = staged(
        "claim(); require('Promise').create(() => {}).catch((why) => {"
        "  body(why.reason); respond(); });"
    )
    asking = asyncio.create_task(stage.ask())

    while not asking.done():
        await stage.clock.advance(1_000)
        await asyncio.sleep(0.01)

    assert await asking == ClientResponse(body=b"timed_out")


async def test_google_service_call_of_a_client_is_performed(staged):
    stage = staged(
        "claim(); const script = require('getGoogleScript');"
        "script('GTAG').then((told) => { body(told.called); respond(); });"
    )

    assert await stage.ask() == ClientResponse(body=b"getGoogleScript")


async def test_client_can_extract_events_of_a_ga4_hit(staged):
    stage = staged(
        "if (!require('isRequestMpv2')()) return; claim();"
        "require('extractEventsFromMpv2')().forEach((event) => run(event)); respond();"
    )
    query = "v=2&tid=G-1&cid=1.2&dl=https%3A%2F%2Fshop.example%2F"

    hit = await stage.ask("/g/collect", query=query, body="en=purchase&epn.value=5\nen=scroll")
    other = await stage.ask("/g/collect", query="v=2", body="en=purchase")

    assert (hit, other) == (ClientResponse(), None)
    events = [event for _, event, _ in stage.container.came]
    assert [event["event_name"] for event in events] == ["purchase", "scroll"]
    assert events[0]["value"] == 5
    assert events[0]["page_location"] == "https://shop.example/"
    assert events[0]["user_agent"] == "Mozilla/5.0"
    assert events[0]["ip_override"] == "203.0.113.7"


async def test_stored_items_of_a_client_are_kept_between_requests(staged):
    stage = staged(
        "claim(); const kept = require('templateDataStorage');"
        "const n = (kept.getItemCopy('n') || 0) + 1; kept.setItemCopy('n', n); body(n); respond();"
    )

    answers = [await stage.ask() for _ in range(3)]

    assert [answer and answer.body for answer in answers] == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("claim();", None),
        ("claim(); null.x;", "TypeError in line 7 of its code"),
        (HANGS, too_long(0.2)),
        ("claim(); require('noSuchApi');", "Error in line 7 of its code"),
    ],
)
async def test_client_that_claims_without_a_response_has_failed(staged, code, reason):
    stage = staged(code)

    with pytest.raises(ClientFailed) as caught:
        await stage.ask()

    assert caught.value.late is False
    said = [notice.reason for notice in stage.notices.seen if isinstance(notice, ProblemSeen)]
    said = [line for line in said if "pauses it" not in line]
    assert said == ([] if reason is None else [reason])


async def test_client_that_does_not_respond_in_time_has_failed(staged):
    stage = staged("claim(); require('sendHttpGet')('https://a.example/', () => respond());")
    stage.fetching = asyncio.Event()
    asking = asyncio.create_task(stage.ask())
    await stage.asked.wait()

    await stage.clock.advance(20_000)

    with pytest.raises(ClientFailed) as caught:
        await asking
    assert caught.value.late is True


async def test_error_of_a_client_template_is_reported_once_a_minute(staged):
    stage = staged("null.x;")

    for _ in range(3):
        await stage.ask()
    await stage.clock.advance(60_000)
    await stage.ask()

    assert len(stage.notices.seen) == 2


async def test_missing_permission_is_reported_by_name(staged):
    stage = staged("claim(); require('logToConsole')('x');")

    with pytest.raises(ClientFailed):
        await stage.ask()

    assert "the template lacks the permission logging" in {
        notice.reason for notice in stage.notices.seen
    }


async def test_client_that_hangs_does_not_leave_the_request_to_the_next(staged):
    stage = staged("if (path === '/a') for (;;) {}", "if (path === '/b') { claim(); respond(); }")

    with pytest.raises(ClientFailed):
        await stage.ask("/a")

    assert await stage.ask("/b") == ClientResponse()
    with pytest.raises(TemplatePaused, match="client 0"):
        await stage.ask("/c")
    await stage.clock.advance(60_000)
    assert await stage.ask("/c") is None


async def test_client_that_hangs_affects_only_its_own_request(staged):
    code = "if (path === '/hang') for (;;) {} claim(); respond();"
    stage = staged(code, ANSWERS, engines=EngineServer(), time=1.0)
    await asyncio.gather(stage.ask("/warm"), stage.ask("/warm"))
    hanging = asyncio.create_task(stage.ask("/hang"))
    await asyncio.sleep(0)

    others = [await stage.ask("/in") for _ in range(5)]

    assert not hanging.done()
    assert others == [ClientResponse()] * 5
    await hanging


async def test_client_continues_after_its_response(staged):
    stage = staged(
        "claim(); respond();"
        "require('sendHttpGet')('https://a.example/', () => run({event_name: 'late'}));"
    )

    response = await stage.ask()
    await stage.container.ran.wait()

    assert response == ClientResponse()
    assert [event["event_name"] for _, event, _ in stage.container.came] == ["late"]


async def test_requests_above_the_limit_in_flight_are_refused(staged):
    stage = staged(
        "claim(); require('sendHttpGet')('https://a.example/', () => respond());", most=1
    )
    stage.fetching = asyncio.Event()
    first = asyncio.create_task(stage.ask())
    await asyncio.sleep(0)

    with pytest.raises(TemplatesBusy):
        await stage.ask()

    stage.fetching.set()
    assert await first == ClientResponse()


async def test_invalid_parts_of_a_response_are_dropped_and_reported(staged):
    stage = staged("claim(); require('setResponseHeader')('content-length', '5'); respond();")

    response = await stage.ask()

    assert response == ClientResponse()
    assert [notice.reason for notice in stage.notices.seen] == [
        "the template sets a header without a name, or a connection header"
    ]


async def test_cookie_is_set_for_the_domain_of_the_requested_host(staged):
    stage = staged(
        "claim(); require('setCookie')('click', 'a b', {domain: 'auto', 'max-age': 60}); respond();"
    )

    response = await stage.ask()

    assert response is not None
    assert response.cookies == ("click=a%20b; Domain=shop.example; Path=/; Max-Age=60",)


async def test_start_and_end_of_a_clients_probation_are_reported_once(staged):
    stage = staged("if (path === '/hang') for (;;) {} claim(); respond();")
    with pytest.raises(ClientFailed):
        await stage.ask("/hang")
    for _ in range(3):
        with pytest.raises(TemplatePaused):
            await stage.ask("/in")

    for _ in range(PROVEN + 5):
        await stage.clock.advance(60_000)
        await stage.ask("/in")

    reported = [notice.reason for notice in stage.notices.seen if "pauses it" in notice.reason]
    assert [reason.partition(":")[0] for reason in reported] == [
        "the template exceeded a limit",
        "the template had enough successful runs",
    ]


async def test_cpu_time_of_every_turn_is_counted_for_the_address(staged):
    stage = staged("1;", ANSWERS)

    await stage.ask("/in")

    # The client that does not claim the request, and two turns of the one that does.
    assert len(stage.charged) == 3
    assert min(stage.charged) > 0
