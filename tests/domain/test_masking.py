import copy
import json

import msgspec
import pytest

from twite.domain.conversion import Conversion, Identifiers
from twite.domain.delivery import Attempt, Batch, Delivery, Settlement, State
from twite.domain.destination import Destination, OAuthKeys, PixelToken, Source
from twite.domain.history import History, PastAttempt
from twite.domain.secret import Secret
from twite.domain.submission import AcceptedConversion, Endpoint, Submission

CANARY = "canary-4f1d"
PERSON = Identifiers(
    click_id=CANARY, email=CANARY, phone=CANARY, ip=CANARY, user_agent=CANARY, browser_id=CANARY
)
BODY = CANARY.encode()
ENTRY = AcceptedConversion(index=0, key=BODY, pixel="p", event="e", conversion_id="c", body=BODY)
DELIVERY = Delivery(id=1, conversion_id="c", body=BODY, received_at=0)
ATTEMPT = Attempt(at=0, pixel="p", event="e", outcome="errored", deliveries=(1,), answer=CANARY)
PAST = PastAttempt(at=0, outcome="errored", status=400, answer=CANARY)
KEYS = OAuthKeys(
    consumer_key="ck", consumer_secret=Secret(CANARY), token="tk", token_secret=Secret(CANARY)
)


@pytest.mark.parametrize(
    "value",
    [
        Secret(CANARY),
        PixelToken(token=Secret(CANARY)),
        KEYS,
        Destination(pixel="p", credentials=KEYS, events={}),
        Source(name="s", key=Secret(CANARY), pixel="p", pixels=frozenset({"p"})),
        PERSON,
        Conversion(
            pixel="p", event="e", conversion_id="c", time=0, identifiers=PERSON,
            description=CANARY, search=CANARY, url=CANARY,
        ),
        ENTRY,
        Submission(
            receipt="r", source="s", endpoint=Endpoint.NATIVE, received_at=0, body=BODY,
            entries=(ENTRY,)
        ),
        DELIVERY,
        Batch(lease=1, pixel="p", event="e", deliveries=(DELIVERY,)),
        ATTEMPT,
        Settlement(lease=1, attempt=ATTEMPT, transitions=(), lease_until=0),
        PAST,
        History(
            delivery=1, pixel="p", event="e", conversion_id="c", state=State.DEAD, source="s",
            receipt="r", received_at=0, deadline_at=0, sent=BODY, attempts=(PAST,),
        ),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_repr_hides_secrets_and_persons(value):
    shown = f"{value!r} {value} {[value]}"

    assert CANARY not in shown


def test_repr_of_identifiers_shows_only_their_kinds():
    assert repr(Identifiers(email="a" * 64, ip="192.0.2.1")) == "Identifiers(email=***, ip=***)"


def test_secret_is_printed_as_stars():
    assert f"{Secret(CANARY)} {Secret(CANARY)!r} {Secret(CANARY)!s}" == "*** *** ***"


def test_secret_cannot_be_serialized_to_json():
    with pytest.raises(TypeError):
        json.dumps(Secret(CANARY))
    with pytest.raises(TypeError):
        msgspec.json.encode(Secret(CANARY))


def test_secrets_with_the_same_content_are_equal():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(copy.copy(Secret("a")))


def test_empty_secret_is_false():
    assert not Secret("")
    assert Secret("x")


@pytest.mark.parametrize(
    ("offered", "same"), [("ключ", True), ("", False), ("клю", False), ("\udc80", False)]
)
def test_secret_matches_only_its_own_text(offered, same):
    assert Secret("ключ").matches(offered) is same
