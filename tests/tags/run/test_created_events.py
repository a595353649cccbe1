"""Events that tags create, without an engine: which are accepted, and which tags are awaited."""

import asyncio
from decimal import Decimal
from types import SimpleNamespace

import msgspec
import pytest

from builders import NOW, a_destination, a_source
from fakes import settled
from twite.domain.consent import ConsentPolicy
from twite.domain.conversion import Identifiers
from twite.domain.incoming_request import IncomingRequest
from twite.domain.submission import Endpoint
from twite.domain.times import spelled
from twite.tags.ports.tags import TagCall
from twite.tags.preview.trace import current
from twite.tags.run import container_calls
from twite.tags.run.container_calls import (
    MOST_CREATED,
    MOST_NESTED,
    ContainerCalls,
    EndedTags,
)
from twite.tags.run.payload import TagPayload, payload_persons

CLICK = "23opevjt88psuo13lu8d020qkn"
PURCHASE = {"event_name": "purchase", "transaction_id": "T-1", "value": 5, "currency": "EUR"}


def a_call(id_="c-1", *, root="r-1", tags=("caller",)):
    return TagCall(id=id_, root=root, tags=tags)


def a_payload(**more):
    return TagPayload(**{"pixel": "o8z6j", "at": NOW, "source": "shop"} | more)


class Accept:
    """Notes what it accepts, and the trace of its task."""

    def __init__(self, name="first"):
        self.name = name
        self.destinations = {"o8z6j": a_destination()}
        self.parsed_requests, self.options, self.traces = [], [], []

    async def parsed(self, parsed_request, **options):
        self.parsed_requests.append(parsed_request)
        self.options.append(options)
        self.traces.append(current())
        return f"receipt of {self.name}"


def calls_of(accept, *sources):
    return ContainerCalls(
        accept=accept, sources=sources or [a_source()], destinations=accept.destinations
    )


async def accepted(event=None, *, of=None, source=None, trace=None, call=None, **payload):
    """Accept an event that a tag created for another event. Return what is accepted, and how."""
    accept = Accept()
    calls = calls_of(accept, *([source] if source else []))
    receipt = await calls.accept(
        event or PURCHASE,
        call=call or a_call(),
        payload=a_payload(event=of or {}, **payload),
        trace=trace,
    )
    assert receipt == "receipt of first"
    return accept.parsed_requests[0], accept.options[0], accept.traces[0]


def test_deeply_nested_events_may_not_create_events():
    calls = calls_of(Accept())
    nested = a_call(tags=("caller",) * MOST_NESTED)

    assert calls.denied(nested, a_payload()) is None
    denied = calls.denied(a_call(tags=("caller",) * (MOST_NESTED + 1)), a_payload())
    assert denied == "the event was created by 5 nested calls, which is the limit"


def test_created_event_needs_a_source_in_the_settings():
    calls = calls_of(Accept())

    assert calls.denied(a_call(), a_payload(source="app")) == (
        "the event's source is not configured"
    )


def test_repetitions_do_not_count_towards_the_limit_of_created_events():
    calls = calls_of(Accept())
    created = [calls.denied(a_call(f"c-{n}"), a_payload()) for n in range(MOST_CREATED)]

    assert created == [None] * MOST_CREATED
    assert calls.denied(a_call("c-0"), a_payload()) is None
    assert calls.denied(a_call("more"), a_payload()) == (
        "the event's tags have created 100 events, which is the limit"
    )
    assert calls.denied(a_call("more", root="r-2"), a_payload()) is None


def test_created_events_of_the_latest_events_are_remembered(monkeypatch):
    monkeypatch.setattr(container_calls, "_MOST_ROOTS", 2)
    monkeypatch.setattr(container_calls, "MOST_CREATED", 1)
    calls = calls_of(Accept())

    def denied(root):
        return calls.denied(a_call(f"of {root}" if root else "x", root=root), a_payload())

    for root in ("one", "two", "one", "three"):
        assert denied(root) is None

    # `two` was used before `one`.
    assert calls.denied(a_call("more", root="one"), a_payload()) is not None
    assert calls.denied(a_call("more", root="two"), a_payload()) is None


async def test_created_event_is_accepted_for_the_source_of_its_tag():
    request = IncomingRequest(path="/data", headers=(("referer", "https://shop.example/a"),))
    person = Identifiers(email="a" * 64)
    call = a_call()
    _, options, _ = await accepted(
        call=call, request=request, client="ga4", identifiers=payload_persons([person])
    )

    origin = options["origin"]
    assert (options["source"], options["endpoint"]) == (a_source(), Endpoint.TAG)
    assert (origin.request, origin.client, origin.from_page) == (request, "ga4", False)
    assert (origin.call, origin.persons) == (call, (person,))


async def test_conversion_of_a_created_event_has_click_id_and_time_of_the_first_event():
    persons = payload_persons([Identifiers(email="a" * 64), Identifiers(click_id=CLICK)])
    found, _, _ = await accepted(identifiers=persons)

    [native] = found.conversions
    assert (native.conversion_id, native.twclid) == ("T-1", CLICK)
    assert native.time == spelled(NOW)


async def test_conversion_of_a_created_event_keeps_its_own_click_id():
    persons = payload_persons([Identifiers(click_id=CLICK)])
    event = PURCHASE | {"page_location": "https://shop.example/?twclid=2other"}
    found, _, _ = await accepted(event, identifiers=persons)

    assert [native.twclid for native in found.conversions] == ["2other"]


async def test_conversion_of_a_created_event_has_no_click_id_without_a_click():
    found, _, _ = await accepted(identifiers=payload_persons([Identifiers(email="a" * 64)]))

    assert [native.twclid for native in found.conversions] == [None]


async def test_click_cookie_of_the_request_is_used_for_created_events():
    request = IncomingRequest(headers=(("cookie", f"_twclid={CLICK}"),))
    found, _, _ = await accepted(request=request)

    assert [native.twclid for native in found.conversions] == [CLICK]


@pytest.mark.parametrize(("from_page", "ignored"), [(True, ["value_limit"]), (False, [])])
async def test_value_limit_of_pages_applies_to_created_events(from_page, ignored):
    source = msgspec.structs.replace(a_source(), browser_value_limit=Decimal(4))
    found, options, _ = await accepted(source=source, from_page=from_page)

    assert [each.reason for each in found.ignored] == ignored
    assert options["origin"].from_page is from_page


async def test_ip_address_and_user_agent_that_the_template_sets_are_used():
    event = PURCHASE | {"ip_override": "192.0.2.1", "user_agent": "Agent/1.0"}
    found, _, _ = await accepted(event)

    assert [(native.ip, native.user_agent) for native in found.conversions] == [
        ("192.0.2.1", "Agent/1.0")
    ]


async def test_created_event_does_not_opt_a_person_out():
    found, _, _ = await accepted()

    assert [native.consent for native in found.conversions] == [None]


async def test_created_event_without_an_id_has_the_same_id_in_a_repeated_run_only():
    event = {"event_name": "purchase", "value": 5, "currency": "EUR"}
    first, again, other = [
        (await accepted(event, call=a_call(call)))[0].repeated for call in ("c-1", "c-1", "c-2")
    ]

    assert first == again != other
    assert first[0].startswith("runContainer c-1")


async def test_settings_for_created_events_are_replaced_by_a_reload():
    calls, second = calls_of(Accept()), Accept("second")
    second.destinations = {}
    calls.use(second, [a_source("app")])

    assert calls.denied(a_call(), a_payload()) is not None
    receipt = await calls.accept(
        PURCHASE, call=a_call(), payload=a_payload(source="app"), trace=None
    )
    assert receipt == "receipt of second"
    # Its pixel is no longer configured.
    assert second.parsed_requests[0].conversions == ()


async def test_created_event_is_recorded_only_in_the_preview_of_its_tag():
    prolonged = SimpleNamespace(is_active=True)
    _, _, trace = await accepted(trace=SimpleNamespace(prolonged=lambda: prolonged))
    _, _, no_trace = await accepted()

    assert (trace, no_trace, current()) == (prolonged, None, None)


@pytest.mark.parametrize(
    ("event", "granted", "policy", "denied"),
    [
        ({}, {"ad_storage": False}, ConsentPolicy(), True),
        ({}, {"ad_storage": True}, ConsentPolicy(), False),
        ({"ad_storage": "denied"}, {"ad_storage": True}, ConsentPolicy(), True),
        ({"ad_storage": "granted"}, {"ad_storage": False}, ConsentPolicy(), True),
        # An unreadable signal is neither a grant nor a denial.
        ({"ad_storage": "perhaps"}, {"ad_storage": False}, ConsentPolicy(unclear=None), False),
        ({"ad_storage": "perhaps"}, {"ad_storage": True}, ConsentPolicy(unclear=None), False),
    ],
)
async def test_consent_of_the_first_event_applies_to_the_created_one(
    event, granted, policy, denied
):
    source = msgspec.structs.replace(a_source(), consent=policy)
    found, _, _ = await accepted(source=source, of=event, granted=granted)

    [native] = found.conversions
    said = {str(signal) for signal in (native.consent or {}).values()}
    assert bool(said & {"denied", "False"}) is denied


def five_seconds_later():
    return asyncio.get_running_loop().time() + 5


async def test_wait_ends_when_each_tag_has_ended_as_often_as_expected():
    ended = EndedTags()
    waiting = asyncio.create_task(ended.wait(["mail", "bill", "mail"], until=five_seconds_later()))
    steps = []
    for tag in ("mail", "other", "bill", "mail"):
        await settled()
        steps.append(waiting.done())
        ended.add(tag, succeeded=tag == "mail")
    await asyncio.wait_for(waiting, 5)

    assert steps == [False] * 4
    assert ended.tags == [("mail", True), ("other", False), ("bill", False), ("mail", True)]


async def test_wait_for_no_tags_ends_at_once():
    await EndedTags().wait([], until=0)


@pytest.mark.parametrize("left", [-1.0, 0.0, 0.01])
async def test_wait_for_tags_ends_at_its_time_limit(left):
    until = asyncio.get_running_loop().time() + left
    await asyncio.wait_for(EndedTags().wait(["mail"], until=until), 5)

    assert asyncio.get_running_loop().time() >= until


def test_ended_tags_are_recorded_while_they_are_expected():
    calls, call = calls_of(Accept()), a_call()
    calls.end(call, "early", succeeded=True)
    ended = calls.expect(call)
    calls.end(call, "mail", succeeded=False)
    calls.end(a_call("other"), "bill", succeeded=True)
    calls.end(None, "bill", succeeded=True)
    again = calls.expect(call)
    calls.forget(call)
    calls.forget(call)
    calls.end(call, "late", succeeded=True)

    assert again is ended
    assert ended.tags == [("mail", False)]
