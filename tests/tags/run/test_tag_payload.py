"""Payloads of tags: which data is stored, in which form, and how it is read again."""

import msgspec
import pytest

from named_seal import NamedSeal
from twite.domain.conversion import Identifiers
from twite.domain.errors import NotOpened
from twite.domain.incoming_request import IncomingRequest
from twite.tags.container.plan import PendingTriggers
from twite.tags.ports.tags import TagCall
from twite.tags.run.payload import (
    PayloadPerson,
    TagPayload,
    cookie_mark,
    decided,
    payload_persons,
    persons_in,
    read,
    written,
)
from twite.tags.template.effects import SetCookie

NAME = "tag:crm"
EMAIL = "a" * 64
EVENT = {"event_name": "purchase", "email": "a@mail.example"}


def a_payload(**more):
    return TagPayload(
        **{
            "pixel": "o8z6j",
            "at": 5,
            "identifiers": (PayloadPerson(hashed_email=EMAIL),),
            "event": EVENT,
            "request": IncomingRequest(path="/a", headers=(("x", "y"),)),
            "call": TagCall(id="c", root="r", tags=("a",)),
            "pending": PendingTriggers(triggers=("gold",)),
        }
        | more
    )


def test_stored_payload_is_read_unchanged():
    assert read(written(a_payload(), name=NAME), name=NAME) == a_payload()
    assert repr(a_payload()) == "TagPayload(***)"


def test_sealed_payload_shows_only_hashes_of_the_person():
    body = written(a_payload(), name=NAME, seal=NamedSeal())
    outside = msgspec.json.decode(body, type=TagPayload)

    assert (outside.event, outside.request) == ({}, IncomingRequest())
    assert outside.identifiers == a_payload().identifiers
    assert read(body, name=NAME, seal=NamedSeal()) == a_payload()
    with pytest.raises(NotOpened):
        read(body, name="tag:other", seal=NamedSeal())
    with pytest.raises(msgspec.ValidationError, match="encrypted, and no key is configured"):
        read(body, name=NAME)


@pytest.mark.parametrize("seal", [None, NamedSeal()])
@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("a\ud800b", "a\ufffdb"),
        (1 << 53, float(1 << 53)),
        (-(1 << 53), -float(1 << 53)),
        ((1 << 53) - 1, (1 << 53) - 1),
        (1 << 70, float(1 << 70)),
        ([1, {"b": (True, None, 2.5)}], [1, {"b": [True, None, 2.5]}]),
        ({7: "a"}, {"7": "a"}),
        (Ellipsis, "Ellipsis"),
        ({"a\udfff": 1}, {"a\ufffd": 1}),
    ],
)
def test_values_that_json_cannot_represent_are_converted(value, stored, seal):
    # Ellipsis makes the usual encoder fail.
    body = written(a_payload(event={"a": value, "b": ...}), name=NAME, seal=seal)

    assert read(body, name=NAME, seal=seal).event == {"a": stored, "b": "Ellipsis"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1 << 53) - 1, b":9007199254740991,"),
        (1 << 53, b":9007199254740992.0,"),
        (-(1 << 53), b":-9007199254740992.0,"),
    ],
)
def test_integer_beyond_javascripts_precision_is_stored_as_a_float(value, text):
    assert text in written(a_payload(event={"a": value, "b": ...}), name=NAME)


def test_event_that_is_not_an_object_is_stored_as_an_empty_one():
    body = written(a_payload(event=...), name=NAME)

    assert read(body, name=NAME).event == {}


@pytest.mark.parametrize(
    ("person", "kept"),
    [
        (Identifiers(), 0),
        (Identifiers(click_id="c"), 1),
        (Identifiers(email=EMAIL), 1),
        (Identifiers(phone="p"), 1),
    ],
)
def test_hashes_of_identifiers_are_stored_with_the_payload(person, kept):
    assert persons_in(a_payload(identifiers=payload_persons([person, person]))) == (person,) * kept


def test_hash_of_a_cookie_depends_on_its_name_and_value():
    marks = {
        cookie_mark(SetCookie(name=name, value=value)) for name in "ab" for value in ("", "\ud800")
    }

    assert len(marks) == 4
    assert {len(mark) for mark in marks} == {16}
    assert cookie_mark(SetCookie(name="a", value="", path="/")) in marks


def test_decision_removes_only_the_pending_triggers():
    body = decided(written(a_payload(), name=NAME))

    assert read(body, name=NAME) == a_payload(pending=None)
    assert decided(body) is None
