"""The control plane, without a socket."""

import json

import pytest
from x_requests import NOW, a_conversion, a_judge, a_request

from twite_emulator.exchange import XRequestReceived
from twite_emulator.server.control import ROUTES, answer_control


def ask(judge, method, route, document=None, *, query="", body=None):
    path = f"/_emulator/{route}"
    sent = body if document is None else json.dumps(document).encode()
    request = XRequestReceived(
        method=method, url=path, path=path, query=query, headers={}, body=sent or b""
    )
    answer = answer_control(request, judge)
    return answer.status, json.loads(answer.body)


def test_control_route_counted_lists_each_event_and_id():
    judge = a_judge()
    judge.answer(a_request(a_conversion(), a_conversion(event_id="o8z6m", conversion_id=None)))

    status, document = ask(judge, "GET", "counted", query="ids=1")

    events = document["pixels"]["o8z6j"]["events"]
    assert (status, document["counted"], document["pixels"]["o8z6j"]["counted"]) == (200, 2, 2)
    assert events["o8z6k"]["ids"] == {
        "order-1": {"api": 1, "pixel": 0, "counted": 1, "kept": "api"}
    }
    assert events["o8z6m"] == {
        "received_api": 1,
        "received_pixel": 0,
        "counted": 1,
        "deduplicated": 0,
        "api_duplicates": 0,
        "without_id": 1,
        "ids": {},
    }


def test_control_route_counted_omits_ids_by_default():
    judge = a_judge()
    judge.answer(a_request(a_conversion()))

    _, document = ask(judge, "GET", "counted")

    assert "ids" not in document["pixels"]["o8z6j"]["events"]["o8z6k"]


def test_control_route_counted_can_be_filtered():
    judge = a_judge()
    judge.answer(a_request(a_conversion(), a_conversion(event_id="o8z6m")))

    _, document = ask(judge, "GET", "counted", query="event=o8z6m")

    assert (document["counted"], list(document["pixels"]["o8z6j"]["events"])) == (1, ["o8z6m"])


def test_control_route_counted_includes_unchecked_conversions():
    judge = a_judge("checks=off")
    judge.answer(a_request({}, {}))

    _, document = ask(judge, "GET", "counted")

    reported = (document["unchecked"], document["pixels"]["o8z6j"]["unchecked"])
    assert reported == (2, 2)


def test_emulated_clock_can_be_shifted_and_read():
    judge = a_judge()

    ask(judge, "POST", "clock", {"shift": 60})
    ask(judge, "POST", "clock", {"shift": -10.5})

    assert ask(judge, "GET", "clock") == (200, {"now": NOW + 49.5, "shift": 49.5})


def test_switches_can_be_changed_and_are_listed_with_their_questions():
    judge = a_judge()

    ask(judge, "PATCH", "switches", {"strict_time": "on"})
    _, document = ask(judge, "GET", "switches")

    reported = (document["switches"]["strict_time"], "strict_time" in document["questions"])
    assert reported == (True, True)


def test_accounts_pixels_and_events_can_be_changed_and_read():
    judge = a_judge()

    status, document = ask(judge, "PUT", "world", {"accounts": [{"id": "abc"}]})

    assert (status, document["accounts"][-1]["id"]) == (200, "abc")
    assert ask(judge, "GET", "world") == (200, document)


def test_reset_of_received_requests_keeps_the_switches():
    judge = a_judge()
    judge.answer(a_request(a_conversion()))
    ask(judge, "PATCH", "switches", {"strict_time": True})

    ask(judge, "POST", "reset", {"what": "received"})

    assert (judge.ledger.events, judge.switches.strict_time) == ({}, True)


@pytest.mark.parametrize(
    ("method", "route", "sent"),
    [
        ("POST", "reset", {"what": "everything"}),
        ("POST", "clock", {}),
        ("POST", "clock", {"shift": "soon"}),
        ("PATCH", "switches", {"strict_tine": True}),
        ("PATCH", "switches", []),
        ("POST", "faults", {"kind": "explode"}),
        ("PUT", "world", {"pixels": [{"id": "p"}]}),
    ],
)
def test_invalid_control_request_is_explained(method, route, sent):
    status, document = ask(a_judge(), method, route, sent)

    assert (status, bool(document["error"])) == (400, True)


def test_control_request_with_invalid_json_is_refused():
    assert ask(a_judge(), "POST", "clock", body=b"{")[0] == 400


def test_number_of_requested_entries_must_be_a_number():
    assert ask(a_judge(), "GET", "received", query="last=x")[0] == 400


def test_unknown_control_route_lists_the_known_routes():
    status, document = ask(a_judge(), "GET", "everything")

    assert (status, len(document["routes"])) == (404, len(ROUTES))
