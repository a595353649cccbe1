import msgspec
import pytest

from named_seal import NamedSeal
from twite.domain.errors import NotOpened
from twite.gateway.operations import sealed_payloads as module
from twite.gateway.operations.sealed_payloads import (
    Resealing,
    UnsealedCounts,
    counted,
    left,
    opened,
    resealed,
)
from twite.gateway.ports.outbox import RewrittenPayloads
from twite.gateway.ports.state import SealedSecret

NAME = "tag:crm"
INSIDE = b'{"event":{"n":1.50,"big":12345678901234567890123}}'


def sealed_with(seal):
    return msgspec.json.encode({"pixel": "o8z6j", "sealed": seal.close(NAME, INSIDE)})


def test_opened_payload_has_the_fields_of_its_sealed_part():
    body = sealed_with(NamedSeal())

    assert opened(body, name=NAME, seal=NamedSeal()) == b'{"pixel":"o8z6j",' + INSIDE[1:]
    with pytest.raises(NotOpened):
        opened(body, name="tag:other", seal=NamedSeal())
    with pytest.raises(msgspec.ValidationError, match="encrypted, and no key is configured"):
        opened(body, name=NAME, seal=None)


@pytest.mark.parametrize("body", [b'{"a": 1}', b'{"sealed": null}'])
def test_payload_without_a_sealed_part_is_opened_unchanged(body):
    assert opened(body, name=NAME, seal=NamedSeal()) == body


def test_payload_is_sealed_again_only_if_it_has_an_old_key():
    old = sealed_with(NamedSeal("1"))
    new = resealed(old, name=NAME, seal=NamedSeal("2", "1"))

    assert new == sealed_with(NamedSeal("2"))
    assert resealed(new, name=NAME, seal=NamedSeal("2", "1")) is None
    assert resealed(INSIDE, name=NAME, seal=NamedSeal()) is None
    with pytest.raises(NotOpened):
        resealed(old, name=NAME, seal=NamedSeal("2"))


class Outbox:
    """Rewrites `many` payloads, at most `limit` at a time."""

    def __init__(self, many):
        self.many, self.calls = many, []

    async def rewrite(self, write, *, after, limit):
        self.calls.append((after, limit))
        self.write = write
        last = min(self.many, after + limit)
        return RewrittenPayloads(payloads=last - after, last=last if last < self.many else None)


async def test_payloads_are_sealed_again_in_slices(monkeypatch):
    monkeypatch.setattr(module, "_SOME", 10)
    monkeypatch.setattr(module, "_TURNS", 2)
    outbox = Outbox(25)
    resealing = Resealing(outbox=outbox, seal=NamedSeal())

    assert await resealing.some() == RewrittenPayloads(payloads=20, last=20)
    assert await resealing.some(after=20) == RewrittenPayloads(payloads=5)
    assert outbox.calls == [(0, 10), (10, 10), (20, 10)]
    assert outbox.write == resealing.anew
    assert await resealing.all() == 25
    assert await Resealing(outbox=Outbox(0), seal=NamedSeal()).all() == 0


@pytest.mark.parametrize("body", [b"not json", b"\xff", sealed_with(NamedSeal("1"))])
def test_payload_that_cannot_be_opened_is_unchanged(body):
    assert Resealing(outbox=None, seal=NamedSeal()).anew(NAME, body) is None


def test_payload_is_sealed_again_under_its_own_name():
    resealing = Resealing(outbox=None, seal=NamedSeal("2", "1"))
    old = sealed_with(NamedSeal("1"))

    assert resealing.anew(NAME, old) == sealed_with(NamedSeal("2"))
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
def test_counts_of_sealed_values_are_named(many, words):
    assert counted(**many) == words


def test_values_sealed_with_former_and_missing_keys_are_counted():
    secrets = [SealedSecret(name=key, sealed=key.encode()) for key in ("1", "2", "1", "9")]
    found = left(
        NamedSeal("2", "1"), secrets=secrets, heads=[(b"1", 4), (b"2", 8), (b"8", 2), (b"8", 1)]
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
def test_former_key_is_needed_for_values_that_it_sealed(many, any_):
    assert UnsealedCounts(**many).any is any_
