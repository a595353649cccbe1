"""One event as all tags see it: its name, its consent, and its id."""

import pytest
from msgspec import structs

from builders import NOW, a_source
from twite.domain.consent import ConsentAction, ConsentPolicy
from twite.formats.native.conversion import MAX_ID
from twite.formats.parsed_request import Native
from twite.gateway.ports.tags import TagRemark
from twite.tags.container.values import EventContext
from twite.tags.run.parsed_event import ParsedTagEvent


def an_event(
    event="purchase",
    own=None,
    *,
    consent=None,
    policy=None,
    source="shop",
    request="r-1",
    position=0,
    revoked=None,
    salt=b"x" * 16,
    data=(),
    **remark,
):
    data = {"event_name": event, **dict(data)}
    made = a_source(source)
    return ParsedTagEvent(
        TagRemark(
            event=data,
            native=Native(event=event, conversion_id=own, consent=consent, email="a@mail.example"),
            **remark,
        ),
        source=made if policy is None else structs.replace(made, consent=policy),
        occasion=EventContext(event=data, now=NOW),
        revoked=revoked,
        salt=salt,
        request_id=request,
        position=position,
    )


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (" purchase ", "purchase"),
        ("x" * 65, "x" * 64),
        ("a\nb", "ab"),
        ("", "other"),
        (None, "other"),
        ("\n", "other"),
        ("call a@mail.example", "call ***"),
    ],
)
def test_event_name_is_short_and_printable_and_contains_no_personal_data(event, name):
    assert an_event(event).name == name


@pytest.mark.parametrize(
    ("consent", "policy", "sent", "suppressed"),
    [
        (None, None, True, False),
        ({"ad_storage": "denied"}, None, False, True),
        ({"ad_storage": "refused"}, ConsentPolicy(unclear=ConsentAction.HOLD), False, False),
        # Tags cannot restrict the use of data.
        ({"ad_personalization": "denied"}, None, False, True),
    ],
)
def test_consent_decides_whether_the_event_is_sent(consent, policy, sent, suppressed):
    made = an_event(consent=consent, policy=policy)

    assert (made.is_sent, made.is_suppressed) == (sent, suppressed)


def test_opt_out_of_its_person_suppresses_the_event():
    asked = []

    def revoked(identifiers, pixel):
        asked.append((identifiers.email is not None, pixel))
        return True

    assert an_event(revoked=revoked).is_suppressed
    assert asked == [(True, "o8z6j")]


@pytest.mark.parametrize(
    ("own", "id_"), [("A2", "A2"), (" A2 ", "A2"), (7, "7"), ("x" * MAX_ID, "x" * MAX_ID)]
)
def test_own_id_of_an_event_is_used(own, id_):
    identity = an_event(own=own, repeated="hit", conversion_id="derived").identity

    assert (identity.id, identity.called) == (id_, id_)


@pytest.mark.parametrize("own", ["x" * (MAX_ID + 1), "a\x00b", "a@mail.example"])
def test_invalid_id_of_an_event_is_replaced_by_a_derived_one(own):
    made = an_event(own=own).identity

    assert (len(made.id), made.called) == (26, made.id)
    assert made == an_event(own=own, request="r-2", position=3, repeated="hit").identity
    for other in (
        an_event("view", own),
        an_event(own=f"{own}x"),
        an_event(own=own, source="app"),
        an_event(own=own, salt=b"y" * 16),
    ):
        assert other.identity.id != made.id


def test_event_without_an_id_has_that_of_its_repeated_request():
    first = an_event(repeated="hit 1").identity

    assert (len(first.id), first.called) == (26, first.id)
    assert first == an_event(repeated="hit 1", request="r-2", position=2).identity
    assert first != an_event(repeated="hit 2").identity
    assert first.id != an_event(own="a@mail.example").identity.id


def test_repeated_event_of_a_conversion_has_its_id():
    identity = an_event(repeated="hit 1", conversion_id="derived").identity

    assert (identity.id, identity.called) == ("derived", "derived")


@pytest.mark.parametrize("own", [None, "", "  "])
def test_event_without_an_id_is_new_in_each_request(own):
    made = an_event(own=own).identity

    assert (len(made.id), made.called) == (26, made.id)
    assert made == an_event(own=own).identity
    for other in (
        an_event(own=own, request="r-2"),
        an_event(own=own, position=1),
        an_event(own=own, index=1),
    ):
        assert other.identity.id != made.id


def test_conversion_without_an_id_is_new_and_found_by_its_derived_id():
    identity = an_event(conversion_id="derived", position=1).identity

    assert (identity.id, identity.called) == ("derived/r-1", "derived")
    assert identity == an_event(conversion_id="derived", position=2).identity


def test_hashed_event_has_no_phone_and_no_plain_email():
    data = {"user_data": {"email_address": "a@mail.example", "phone_number": "+442079460059"}}
    hashed = an_event(data=data).hashed

    assert "a@mail.example" not in str(hashed)
    assert "2079460059" not in str(hashed)
    assert "phone_number" not in str(hashed)
    assert hashed["event_name"] == "purchase"
    assert "sha256_email_address" in hashed["user_data"]
