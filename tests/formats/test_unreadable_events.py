"""Batches of pages and tags: an unreadable event does not affect the others."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tag_cases import DESTINATIONS, NOW, a_shop, read_natively

from twite.domain.errors import MalformedRequest
from twite.formats.beacon import read as beacon
from twite.formats.data_tag import read as data_tag
from twite.formats.event_data.conversions import parse_events
from twite.formats.ga4 import read as ga4
from twite.formats.measurement_protocol import read as measurement_protocol
from twite.formats.page_visit import Visitor
from twite.formats.sgtm_tag import read as sgtm
from twite.formats.strict_json import with_replacements

VISITOR = Visitor(trusted=True, now=NOW)
CLICK = "23opevjt88psuo13lu8d020qkn"
# A name cut off in the middle of an emoji, as a browser's `JSON.stringify` writes it.
CUT = '"Mug \\ud83d"'


TWICE = ',"consent":{"a":"denied","a":"granted"}'


def of_a_page(*conversions, around=""):
    body = f'{{"v":1{around},"conversions":[{",".join(conversions)}]}}'
    return beacon.read(body.encode(), Visitor(now=NOW, ip="203.0.113.7"))


def found_in(tagged):
    return parse_events(
        tagged.events,
        source=a_shop(),
        destinations=DESTINATIONS,
        visitor=VISITOR,
        repeated=tagged.repeated,
        unread=tagged.unread,
    )


def results_of(tagged):
    """Return for each conversion its id, or the code and path of its first error."""
    return [
        (result.faults[0].code, result.faults[0].path)
        if result.conversion is None
        else result.conversion.conversion_id
        for result in read_natively(found_in(tagged), a_shop()).results
    ]


def protocol(*events, around=""):
    body = f'{{"client_id":"1.2"{around},"events":[{",".join(events)}]}}'
    return measurement_protocol.read(body.encode(), measurement="G-1")


def listed(*events):
    return data_tag.read("v=2", f"[{','.join(events)}]".encode(), form=False)


def an_event(order, more=""):
    params = f'"transaction_id":"{order}","twclid":"{CLICK}"{more}'
    return f'{{"name":"purchase","params":{{{params}}}}}'


def a_row(order, more=""):
    fields = f'"transaction_id":"{order}","twclid":"{CLICK}"{more}'
    return f'{{"event_name":"purchase",{fields}}}'


def an_order(order, more=""):
    return f'{{"event":"purchase","conversion_id":"{order}"{more}}}'


def test_lone_surrogate_in_a_beacon_is_replaced():
    found = of_a_page(an_order("A", f',"contents":[{{"name":{CUT}}}]'), an_order("B")).parsed

    first, last = found.conversions
    assert [line.name for line in first.contents] == ["Mug \ufffd"]
    assert (first.conversion_id, last.conversion_id, found.faults) == ("A", "B", ())


def test_lone_surrogate_in_a_tag_request_is_replaced():
    more = f',"description":{CUT}'
    packed = f"v=2&dtcd={a_row('A', more)}"

    said = [
        found_in(read).conversions[0].description
        for read in (
            protocol(an_event("A", more)),
            listed(a_row("A", more)),
            data_tag.read("v=2", a_row("A", more).encode(), form=False),
            data_tag.read(packed, b"", form=False),
            sgtm.read(f'{{"event":{a_row("A", more)}}}'.encode()).tagged,
        )
    ]

    assert said == ["Mug \ufffd"] * 5


def test_duplicate_key_in_a_beacon_rejects_only_its_conversion():
    found = of_a_page(
        an_order("A", ',"value":1,"value":2'),
        an_order("B", ',"contents":[{"id":1,"id":2}]'),
        an_order("C", ',"event":5'),
        an_order("D"),
    ).parsed

    assert [conversion.conversion_id for conversion in found.conversions] == [None, "B", None, "D"]
    assert [[(fault.path, fault.code) for fault in each] for each in found.faults] == [
        [("value", "duplicate_key")],
        [("contents", "duplicate_key")],
        [("event", "duplicate_key")],
        [],
    ]


def test_duplicate_key_beside_an_unknown_field_rejects_only_its_conversion():
    orders = an_order("A", ',"value":1,"value":2'), an_order("B")

    read = of_a_page(*orders, around=',"new":"x"')

    assert [conversion.conversion_id for conversion in read.parsed.conversions] == [None, "B"]


def test_duplicate_consent_key_in_a_beacon_is_not_consent():
    twice = ',"consent":{"ad_storage":"denied","ad_storage":"granted"}'

    read = of_a_page(an_order("A"), around=twice)

    assert read.consent == {"consent": "unreadable"}
    with pytest.raises(MalformedRequest) as refused:
        of_a_page(an_order("A"), around=',"consent":{},"consent":{}')
    assert refused.value.code == "duplicate_key"


UNREAD = [
    (protocol, an_event, [
        (an_event("X", ',"value":1,"value":2'), "duplicate_key", "events[1].value"),
        ("5", "wrong_type", "events[1]"),
        ("{}", "wrong_type", "events[1].name"),
        ('{"name":"purchase","params":[]}', "wrong_type", "events[1].params"),
        (an_event("X", ',"value":1e999'), "wrong_type", "events[1][][]"),
    ]),
    (listed, a_row, [
        (a_row("X", ',"value":1,"value":2'), "duplicate_key", "[1].value"),
        ("null", "wrong_type", "[1]"),
        (a_row("X", ',"value":1e999'), "wrong_type", "[1][]"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("endpoint", "good", "bad", "code", "path"),
    [(endpoint, good, *fault) for endpoint, good, each in UNREAD for fault in each],
)
def test_unreadable_event_is_rejected_and_the_others_accepted(endpoint, good, bad, code, path):
    assert results_of(endpoint(good("A"), bad, good("B"))) == ["A", (code, path), "B"]


def test_malformed_line_rejects_no_other_hit():
    bought = f"v=2&tid=G-1&en=purchase&ep.twclid={CLICK}&ep.transaction_id="
    lines = "\n".join((f"{bought}A", "v=1&en=purchase", f"{bought}B&{'a=1&' * 500}", f"{bought}C"))

    assert results_of(ga4.read("", lines.encode())) == [
        "A",
        ("wrong_type", "v"),
        ("too_many", ""),
        "C",
    ]


@pytest.mark.parametrize(
    ("read", "code", "path"),
    [
        (lambda: protocol("{}", "5"), "wrong_shape", "events[0].name"),
        (lambda: listed("null", "5"), "wrong_shape", "[0]"),
        (lambda: ga4.read("", b"v=1\nv=3"), "wrong_shape", "v"),
        (lambda: protocol(around=',"events":{}'), "duplicate_key", "events"),
        (lambda: protocol(an_event("A"), around=TWICE), "duplicate_key", "a"),
    ],
)
def test_request_without_a_readable_event_is_refused(read, code, path):
    with pytest.raises(MalformedRequest) as refused:
        read()

    assert (refused.value.code, refused.value.path) == (code, path)


def test_unreadable_event_is_not_given_to_tags():
    read = protocol("5", an_event("A"))

    found = found_in(read)

    assert [tag_event.conversion for tag_event in found.tag_events] == [1]
    assert [event["event_name"] for event in read.readable] == ["purchase"]


def test_invalid_utf_8_is_replaced_and_makes_an_email_unusable():
    more = ',"description":"Gr\xf6\xdfe","email":"j\xf6rg@example.com"'
    body = f"[{a_row('A', more)}]".encode("latin-1")

    [result] = read_natively(found_in(data_tag.read("v=2", body, form=False)), a_shop()).results

    assert result.conversion.description == "Gr\ufffd\ufffde"
    assert [(fault.path, fault.code) for fault in result.faults] == [("email", "email_unusable")]


@given(st.text(st.characters() | st.characters(categories=["Cs"])))
def test_only_lone_surrogates_are_replaced(text):
    body = json.dumps([text, {text: "\\ud83d"}]).encode()
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    first, table = msgspec.json.decode(with_replacements(body))

    assert (first, table) == (expected, {expected: "\\ud83d"})
