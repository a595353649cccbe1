"""X's refusals of other requests than conversions: all are mapped, and no response raises an
exception.
"""

import json

import pytest

from twite.gateway.x_account.inquiries import refused
from twite.x.inquiry import Inquiry, InquiryRefusal, RefusalReason, complaints, refusal


def a_body(*codes):
    return json.dumps({"errors": [{"code": code, "message": "words"} for code in codes]}).encode()


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (401, a_body("UNAUTHORIZED_ACCESS"), RefusalReason.TOKEN_REFUSED),
        (401, b"<html>", RefusalReason.TOKEN_REFUSED),
        (403, a_body("UNAUTHORIZED_CLIENT_APPLICATION"), RefusalReason.APP_UNAPPROVED),
        (403, a_body("ACCOUNT_NOT_FOUND"), RefusalReason.NO_ROLE),
        (404, a_body("NOT_FOUND"), RefusalReason.NO_ROLE),
        (404, a_body("CAMPAIGN_NOT_FOUND"), RefusalReason.NOT_LIKE_THAT),
        (404, a_body("WEB_EVENT_TAG_NOT_FOUND"), RefusalReason.NO_EVENT),
        (400, a_body("INVALID_PARAMETER"), RefusalReason.NOT_LIKE_THAT),
        (418, b"", RefusalReason.NOT_LIKE_THAT),
        (302, b"", RefusalReason.UNREADABLE),
        (200, b"", RefusalReason.UNREADABLE),
    ],
)
def test_refusal_is_classified_by_who_must_act(status, body, why):
    assert refusal(status, body).reason is why


@pytest.mark.parametrize("why", RefusalReason)
def test_every_kind_of_refusal_has_a_message_and_a_fix(why):
    refusal = InquiryRefusal(reason=why, status=400, said="INVALID: x")

    error = refused(refusal, about="pixel o8z6j")

    assert "(400 INVALID: x)" in error.reason
    assert "{" not in error.reason + error.fix
    assert error.fix


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"errors": 7}',
        b'{"errors": [7]}',
        b"[" * 100_000,
        b'{"errors": [{"code": "\xff"}]}',
    ],
)
def test_malformed_response_has_no_errors(body):
    assert complaints(body) == ()


def test_long_messages_of_x_are_truncated():
    said = refusal(400, a_body("x" * 10_000, "y" * 10_000)).said

    assert len(said) <= 512


def test_repr_of_an_inquiry_hides_credentials_and_query():
    shown = repr(
        Inquiry(method="GET", url="https://x/12?secret=1", headers={"Authorization": "OAuth s"})
    )

    assert shown == "Inquiry(GET https://x/12)"
