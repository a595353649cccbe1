"""The format of Twite's own tag for Google's server container."""

import json

import pytest

from twite.domain.errors import MalformedRequest
from twite.formats.event_data.conversions import Tagged
from twite.formats.sgtm_tag.read import SgtmTagRequest, read


def body(**event: object) -> bytes:
    return json.dumps({"version": "1.0.0", "event": event, "pixel": "o8z6j"}).encode()


def test_event_and_pixel_of_the_container_tag_are_read():
    sent = read(body(event_name="purchase", value=10))

    assert sent == SgtmTagRequest(
        tagged=Tagged(events=({"event_name": "purchase", "value": 10},), repeated=(None,)),
        pixel="o8z6j",
    )


def test_repeated_browser_hit_gets_the_same_key():
    hit = {
        "event_name": "purchase",
        "client_id": "1.2",
        "ga_session_id": "3",
        "x-ga-page_id": 4,
        "x-ga-request_count": 5,
    }

    first, again = (read(body(**hit)).tagged.repeated for _ in range(2))
    other = read(body(**(hit | {"x-ga-request_count": 6}))).tagged.repeated

    assert first == again
    assert first != other
    assert first[0] is not None


def test_hit_without_a_request_count_gets_no_key():
    sent = read(body(event_name="purchase", client_id="1.2", **{"x-ga-page_id": 4}))

    assert sent.tagged.repeated == (None,)


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        (b"{", ""),
        (b"[]", ""),
        (b"{}", "event"),
        (b'{"event": []}', "event"),
        (b'{"event": {}, "pixel": 7}', "pixel"),
        (b'{"event": {}, "event": {}}', "event"),
    ],
)
def test_malformed_request_of_the_container_tag_is_refused_with_its_path(sent, path):
    with pytest.raises(MalformedRequest) as caught:
        read(sent)

    assert caught.value.path == path


def test_repr_hides_the_event_data():
    assert "purchase" not in repr(read(body(event_name="purchase")))
