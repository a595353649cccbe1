import pytest

from twite.domain.conversion import Identifiers
from twite.domain.destination import Destination, PixelToken
from twite.domain.errors import (
    ClientError,
    IllegalTransition,
    InternalError,
    MalformedRequest,
    OperatorError,
    QueueFull,
    SettingsError,
    StoreInUse,
    StoreUnusable,
    TransientError,
    TwiteError,
)
from twite.domain.fault import CODES, Fault, fault
from twite.domain.history import ConversionCounts, total
from twite.domain.secret import Secret

FIX = "Stop that process, or set another store.url"


@pytest.mark.parametrize(
    ("identifiers", "suffice"),
    [
        (Identifiers(), False),
        (Identifiers(click_id="a"), True),
        (Identifiers(email="a"), True),
        (Identifiers(phone="a"), True),
        (Identifiers(ip="a"), False),
        (Identifiers(user_agent="a"), False),
        (Identifiers(ip="a", user_agent="b"), True),
        (Identifiers(browser_id="a"), False),
        (Identifiers(browser_id="a", ip="b"), False),
        (Identifiers(browser_id="a", user_agent="b"), False),
        (Identifiers(click_id="", email="", phone="", ip="", user_agent=""), False),
    ],
)
def test_click_id_email_phone_or_ip_with_user_agent_can_match_a_person(identifiers, suffice):
    assert identifiers.suffice is suffice


def test_message_is_that_of_the_error_code():
    assert fault("value", "not_an_amount") == Fault(
        path="value", code="not_an_amount", message=CODES["not_an_amount"]
    )


def test_undocumented_error_code_is_refused():
    with pytest.raises(ValueError, match="unknown fault code 'odd'"):
        Fault(path="value", code="odd", message="")


def test_balance_is_received_minus_all_outcomes():
    account = ConversionCounts(
        source="s", pixel="p", received=100, delivered=50, duplicate=20, suppressed=5,
        rejected=15, dead=2, held=1, pending=6,
    )  # fmt: skip

    assert account.balance == 1


def test_accounts_are_added_field_by_field():
    counts = ConversionCounts(source="a", pixel="p", received=3, delivered=1, pending=2)
    other = ConversionCounts(source="b", pixel="q", received=4, duplicate=1, dead=3)

    assert total([counts, other]) == ConversionCounts(
        source="", pixel="", received=7, delivered=1, duplicate=1, dead=3, pending=2
    )


def test_sum_of_no_accounts_is_empty():
    assert total([]) == ConversionCounts(source="", pixel="")


@pytest.mark.parametrize(("account", "meter"), [("18ce54d4x5t", "18ce54d4x5t"), (None, "o8z6j")])
def test_rate_limit_is_counted_by_account_if_it_is_known(account, meter):
    destination = Destination(
        pixel="o8z6j", credentials=PixelToken(token=Secret("t")), events={}, account=account
    )

    assert destination.meter == meter


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (MalformedRequest(code="c", path="p", message="m"), ClientError, "m"),
        (SettingsError(place="a.b", message="m"), OperatorError, "a.b: m"),
        (SettingsError(place="", message="m"), OperatorError, "m"),
        (StoreInUse(path="x.db", owner=7), OperatorError, f"x.db is in use by process 7. {FIX}"),
        (
            StoreInUse(path="x.db", owner=None),
            OperatorError,
            f"x.db is in use by another process. {FIX}",
        ),
        (StoreUnusable(path="x.db", reason="r", fix="C."), OperatorError, "x.db: r. C."),
        (QueueFull(reason="full", retry_after=1), TransientError, "full"),
        (IllegalTransition("no"), InternalError, "no"),
    ],
)
def test_each_error_has_its_class_and_message(error, kind, sentence):
    assert isinstance(error, kind)
    assert isinstance(error, TwiteError)
    assert str(error) == sentence
