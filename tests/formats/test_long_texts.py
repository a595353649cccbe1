"""Reading takes time linear in the length of a text.

A search that restarts at each letter of these texts would take minutes, and anyone may send 64 kB.
"""

from itertools import product
from string import ascii_lowercase
from urllib.parse import quote

import msgspec
import pytest
from tag_cases import DESTINATIONS, NOW, a_shop

from twite.domain.errors import MalformedRequest
from twite.formats.beacon import read as beacon
from twite.formats.data_tag import read as data_tag
from twite.formats.event_data.conversions import parse_events
from twite.formats.event_data.values import MAX_ITEMS_IN_ALL, trace_of
from twite.formats.ga4 import read as ga4
from twite.formats.page_visit import Visitor, is_robot, scrubbed_url
from twite.redaction import scrub_text
from twite.redaction.scrub_text import (
    free_text,
    scrubbed_address,
    scrubbed_json,
    without_persons,
)
from twite.redaction.shapes import MOST_READ, holds_a_person

WORD = "a" * (MOST_READ - 100)


@pytest.mark.parametrize("text", [f"@{WORD}", f"a@{WORD}", f"{WORD} a@b", "@" * len(WORD)])
def test_long_word_beside_an_at_sign_is_not_an_email(text):
    assert free_text(text) == text
    assert not holds_a_person(text)
    said = msgspec.json.encode([text])
    assert scrubbed_json(said) == scrubbed_json(said, thoroughly=True) == said


def test_email_at_the_end_of_a_long_word_is_removed():
    assert free_text(f"x {WORD}@example.com y") == "x *** y"


@pytest.mark.parametrize("part", [f"@{WORD}", f"{WORD}@", f"{WORD}%40", "@" * len(WORD)])
def test_long_path_segment_of_a_url_is_unchanged(part):
    assert scrubbed_url(f"https://shop.example/{part}") == f"https://shop.example/{part}"


@pytest.mark.parametrize("text", ["a@b " * MOST_READ, "k=v&" * MOST_READ, "%25" * MOST_READ])
def test_text_too_long_to_be_searched_is_dropped(text):
    page = "https://shop.example/x"

    assert free_text(text) == "***"
    assert scrubbed_url(f"{page}?utm_source=a&utm_term={quote(text)}") == f"{page}?utm_source=a"
    assert scrubbed_url(f"https://shop.example/{quote(text)}") == "https://shop.example/-"
    assert scrubbed_address(f"{page}?a={text}") == page


def test_each_parameter_of_a_text_is_searched_once(monkeypatch):
    asked = []
    monkeypatch.setattr(scrub_text, "person_in", lambda name, _: asked.append(name))
    names = [
        f"{first}{second}{third}" for first, second, third in product(ascii_lowercase, repeat=3)
    ]
    pairs = "&".join(f"{name}=x" for name in names[:2_000])

    # As it is, and decoded.
    for text in (f"{pairs}&z=%25252541", f"https://shop.example/?{pairs}&z=%25252541"):
        asked.clear()
        without_persons(text)
        assert len(asked) <= 2 * 2_001


def test_robot_is_recognized_only_at_the_beginning_of_a_long_user_agent():
    assert is_robot(f"ExampleBot/1.0 {WORD}")
    assert not is_robot(f"Mozilla/5.0 {WORD} ExampleBot/1.0")


def test_names_and_items_in_a_trace_are_limited():
    event = {f"field_{'abcdefghij'[n % 10] * (n // 10 + 1)}": n for n in range(300)}

    trace = trace_of(event | {"items": [{"item_id": "a"}] * 30})

    assert (len(trace["items"]), len(trace["also"])) == (20, 64)


def test_tag_request_with_too_many_items_is_refused():
    tagged = data_tag.read(
        "", msgspec.json.encode([{"event": "purchase", "items": [{}] * 200}] * 11), form=False
    )

    with pytest.raises(MalformedRequest) as refused:
        parse_events(
            tagged.events, source=a_shop(), destinations=DESTINATIONS, visitor=Visitor(now=NOW)
        )

    assert refused.value.code == "too_many"


def test_conversion_with_too_many_contents_is_rejected_alone():
    large = {"event": "purchase", "contents": [{}] * (MAX_ITEMS_IN_ALL + 1)}
    usual = {"event": "purchase", "contents": [{}] * MAX_ITEMS_IN_ALL}
    body = msgspec.json.encode({"conversions": [large, usual]})

    found = beacon.read(body, Visitor(now=NOW)).parsed

    assert [len(conversion.contents or ()) for conversion in found.conversions] == [
        0,
        MAX_ITEMS_IN_ALL,
    ]
    assert [[fault.code for fault in each] for each in found.faults] == [["too_many"], []]


def test_size_of_a_query_shared_by_a_list_of_events_is_limited():
    query = "&".join(f"k{n}=1" for n in range(501))

    with pytest.raises(MalformedRequest) as refused:
        data_tag.read(query, b"[{}]", form=False)

    assert refused.value.code == "too_many"


def test_only_a_line_feed_ends_a_hit_of_a_batch():
    hits, _ = ga4.hits_of(
        "v=2&tid=G-1", "en=purchase&ep.description=a\u2028b\x85c\r\nen=lead\ren=x".encode()
    )

    assert [(hit["en"], hit.get("ep.description")) for hit in hits] == [
        ("purchase", "a\u2028b\x85c"),
        ("lead", None),
        ("x", None),
    ]
