import json
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tag_cases import DESTINATIONS, NOW, a_shop, read_natively

from any_event import EVENTS, HITS, NAMES, TEXTS, VALUES
from twite.domain.errors import MalformedRequest
from twite.formats.data_tag import read as data_tag
from twite.formats.event_data.conversions import Tagged, click_of, parse_events
from twite.formats.ga4 import read as ga4
from twite.formats.measurement_protocol import read as measurement_protocol
from twite.formats.page_visit import Visitor
from twite.x.encode import conversion_body

VISITORS = st.sampled_from(
    [
        Visitor(trusted=True, now=NOW),
        Visitor(ip="203.0.113.7", user_agent="Mozilla/5.0", now=NOW),
        Visitor(cookies={"_twite": "1.x.y", "_twclid": "%7B", "twclid": "\x00"}, now=NOW),
    ]
)


def becomes_something(tagged: Tagged, visitor: Visitor) -> None:
    """Each event becomes a conversion or a refusal, or is ignored; all are valid JSON."""
    found = parse_events(
        tagged.events,
        source=a_shop(),
        destinations=DESTINATIONS,
        visitor=visitor,
        repeated=tagged.repeated,
    )
    click_of(tagged.events, visitor)
    reading = read_natively(found, a_shop())

    json.loads(reading.body)
    assert len(found.conversions) + len(found.ignored) == len(tagged.events)
    for result in reading.results:
        assert result.conversion or result.faults
        if result.conversion:
            json.loads(conversion_body(result.conversion))


def is_read_or_malformed(read, visitor):
    try:
        tagged = read()
    except MalformedRequest:
        return
    becomes_something(tagged, visitor)


def _query(parameters):
    return urlencode(parameters, errors="replace")


@given(st.text(max_size=200), st.binary(max_size=200), VISITORS)
def test_any_bytes_to_the_ga4_route_are_read_or_malformed(query, body, visitor):
    is_read_or_malformed(lambda: ga4.read(f"v=2&tid=G-1&{query}", body), visitor)


@given(HITS, st.lists(HITS, max_size=3), VISITORS)
def test_any_parameters_of_a_ga4_hit_are_read_or_malformed(shared, lines, visitor):
    body = "\n".join(map(_query, lines)).encode()

    is_read_or_malformed(
        lambda: ga4.read(_query({"v": "2", "tid": "G-1", "en": "purchase"} | shared), body), visitor
    )


@given(st.binary(max_size=200), VISITORS)
def test_any_bytes_to_the_measurement_protocol_are_read_or_malformed(body, visitor):
    is_read_or_malformed(lambda: measurement_protocol.read(body, measurement="G-1"), visitor)


@given(
    st.fixed_dictionaries(
        {"events": st.lists(st.fixed_dictionaries({"name": TEXTS | VALUES, "params": EVENTS}))},
        optional=dict.fromkeys([name for name in NAMES if name != "events"], VALUES),
    )
    | VALUES,
    VISITORS,
)
def test_any_structure_to_the_measurement_protocol_is_read_or_malformed(value, visitor):
    body = json.dumps(value).encode()

    is_read_or_malformed(lambda: measurement_protocol.read(body, measurement="G-1"), visitor)


@pytest.mark.parametrize("form", [True, False])
@given(query=st.text(max_size=100), body=st.binary(max_size=200), visitor=VISITORS)
def test_any_bytes_to_the_data_tag_are_read_or_malformed(form, query, body, visitor):
    is_read_or_malformed(lambda: data_tag.read(query, body, form=form), visitor)


@given(EVENTS | st.lists(EVENTS | VALUES, max_size=3), VISITORS)
def test_any_structure_to_the_data_tag_is_read_or_malformed(value, visitor):
    body = json.dumps(value).encode()
    query = f"event=purchase&dtcd={quote(body)}"

    is_read_or_malformed(lambda: data_tag.read("event=purchase", body, form=False), visitor)
    is_read_or_malformed(lambda: data_tag.read(query, b"", form=False), visitor)


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from([*NAMES, "", "00", "999999"]), min_size=1, max_size=12),
            TEXTS,
        ),
        max_size=8,
    ),
    VISITORS,
)
def test_any_form_with_dotted_names_is_read(pairs, visitor):
    body = _query([(".".join(key), value) for key, value in pairs]).encode()

    becomes_something(data_tag.read("event=purchase", body, form=True), visitor)


@given(st.lists(EVENTS, max_size=3), VISITORS)
def test_any_event_data_is_parsed(events, visitor):
    becomes_something(Tagged(events=tuple(events), repeated=(None,) * len(events)), visitor)
