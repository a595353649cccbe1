"""Payloads of tags: what is stored, in which form, and how it is read again."""

import msgspec
import pytest

from twite.domain.conversion import Identifiers
from twite.domain.errors import NotOpened
from twite.gateway.ports.outbox import RewrittenPayloads
from twite.gateway.ports.state import SealedSecret
from twite.gateway.ports.tags import TagCall
from twite.tags.container.plan import PendingTriggers
from twite.tags.run import payload as module
from twite.tags.run.payload import (
    PayloadPerson,
    Resealing,
    TagPayload,
    UnsealedCounts,
    cookie_mark,
    counted,
    decided,
    left,
    payload_persons,
    persons_in,
    read,
    resealed,
    written,
)
from twite.tags.template.effects import SetCookie
from twite.tags.template.sandbox import Incoming

NAME = "tag:crm"
EMAIL = "a" * 64
EVENT = {"event_name": "purchase", "email": "a@mail.example"}


class Seal:
    """A sealed text names its key, its place and the plain text."""

    def __init__(self, key="2", *former):
        self.key, self.former = key.encode(), [each.encode() for each in former]

    def close(self, name, plain):
        return self.key + b"/" + name.encode() + b"/" + plain

    def open(self, name, sealed):
        key, place, plain = sealed.split(b"/", 2)
        if key not in (self.key, *self.former) or place != name.encode():
            raise NotOpened(name, key_id=key.decode())
        return plain

    def is_current(self, sealed):
        return sealed[:1] == self.key

    def is_former(self, sealed):
        return sealed[:1] in self.former

    def key_of(self, sealed):
        return f"key {sealed[:1].decode()}"


def a_payload(**more):
    return TagPayload(
        **{
            "pixel": "o8z6j",
            "at": 5,
            "identifiers": (PayloadPerson(hashed_email=EMAIL),),
            "event": EVENT,
            "request": Incoming(path="/a", headers=(("x", "y"),)),
            "call": TagCall(id="c", root="r", tags=("a",)),
            "pending": PendingTriggers(triggers=("gold",)),
        }
        | more
    )


def test_payload_is_read_as_it_was_written():
    assert read(written(a_payload(), name=NAME), name=NAME) == a_payload()
    assert repr(a_payload()) == "TagPayload(***)"


def test_sealed_payload_shows_only_its_person_and_is_read_with_its_key():
    body = written(a_payload(), name=NAME, seal=Seal())
    outside = msgspec.json.decode(body, type=TagPayload)

    assert (outside.event, outside.request) == ({}, Incoming())
    assert outside.identifiers == a_payload().identifiers
    assert read(body, name=NAME, seal=Seal()) == a_payload()
    with pytest.raises(NotOpened):
        read(body, name="tag:other", seal=Seal())
    with pytest.raises(msgspec.ValidationError, match="encrypted, and no key is configured"):
        read(body, name=NAME)


@pytest.mark.parametrize("seal", [None, Seal()])
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
def test_values_that_json_cannot_hold_are_converted(value, stored, seal):
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
def test_number_that_javascript_cannot_hold_exactly_is_stored_as_a_float(value, text):
    assert text in written(a_payload(event={"a": value, "b": ...}), name=NAME)


def test_event_that_is_no_object_is_stored_as_an_empty_one():
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
def test_persons_with_an_identifier_are_kept(person, kept):
    assert persons_in(a_payload(identifiers=payload_persons([person, person]))) == (person,) * kept


def test_mark_of_a_cookie_depends_on_its_name_and_value():
    marks = {
        cookie_mark(SetCookie(name=name, value=value)) for name in "ab" for value in ("", "\ud800")
    }

    assert len(marks) == 4
    assert {len(mark) for mark in marks} == {16}
    assert cookie_mark(SetCookie(name="a", value="", path="/")) in marks


def test_payload_is_resealed_with_the_current_key_only_if_it_needs_it():
    old = written(a_payload(), name=NAME, seal=Seal("1"))
    new = resealed(old, name=NAME, seal=Seal("2", "1"))

    assert read(new, name=NAME, seal=Seal("2")) == a_payload()
    assert resealed(new, name=NAME, seal=Seal("2", "1")) is None
    assert resealed(written(a_payload(), name=NAME), name=NAME, seal=Seal()) is None
    with pytest.raises(NotOpened):
        resealed(old, name=NAME, seal=Seal("2"))


def test_decision_removes_the_pending_triggers_only():
    body = decided(written(a_payload(), name=NAME))

    assert read(body, name=NAME) == a_payload(pending=None)
    assert decided(body) is None


class Outbox:
    """Rewrites `many` payloads, at most `limit` at a time."""

    def __init__(self, many):
        self.many, self.calls = many, []

    async def rewrite(self, write, *, after, limit):
        self.calls.append((after, limit))
        self.write = write
        last = min(self.many, after + limit)
        return RewrittenPayloads(payloads=last - after, last=last if last < self.many else None)


async def test_some_payloads_are_resealed_at_a_time(monkeypatch):
    monkeypatch.setattr(module, "_SOME", 10)
    monkeypatch.setattr(module, "_TURNS", 2)
    outbox = Outbox(25)
    resealing = Resealing(outbox=outbox, seal=Seal())

    assert await resealing.some() == RewrittenPayloads(payloads=20, last=20)
    assert await resealing.some(after=20) == RewrittenPayloads(payloads=5)
    assert outbox.calls == [(0, 10), (10, 10), (20, 10)]
    assert outbox.write == resealing.anew
    assert await resealing.all() == 25
    assert await Resealing(outbox=Outbox(0), seal=Seal()).all() == 0


@pytest.mark.parametrize(
    "body", [b"not json", b"\xff", written(a_payload(), name=NAME, seal=Seal("1"))]
)
def test_payload_that_cannot_be_opened_stays_as_it_is(body):
    assert Resealing(outbox=None, seal=Seal()).anew(NAME, body) is None


def test_payload_is_resealed_under_its_own_name():
    resealing = Resealing(outbox=None, seal=Seal("2", "1"))
    old = written(a_payload(), name=NAME, seal=Seal("1"))

    assert read(resealing.anew(NAME, old), name=NAME, seal=Seal("2")) == a_payload()
    assert resealing.anew("tag:other", old) is None


@pytest.mark.parametrize(
    ("many", "words"),
    [
        ({}, "nothing"),
        ({"secrets": 1}, "1 secret"),
        ({"payloads": 2}, "2 tag events"),
        ({"secrets": 2, "payloads": 1}, "2 secrets and 1 tag event"),
    ],
)
def test_counts_are_named(many, words):
    assert counted(**many) == words


def test_texts_of_former_and_missing_keys_are_counted():
    secrets = [SealedSecret(name=key, sealed=key.encode()) for key in ("1", "2", "1", "9")]
    found = left(
        Seal("2", "1"), secrets=secrets, heads=[(b"1", 4), (b"2", 8), (b"8", 2), (b"8", 1)]
    )

    assert (found.secrets, found.payloads, found.missing_keys) == (2, 4, {"key 8": 3})


@pytest.mark.parametrize(
    ("many", "any_"),
    [
        ({}, False),
        ({"secrets": 1}, True),
        ({"payloads": 1}, True),
        ({"missing_keys": {"k": 1}}, False),
    ],
)
def test_former_key_is_needed_for_what_it_sealed(many, any_):
    assert UnsealedCounts(**many).any is any_
