import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.domain.outcome import Delivered, Errored, Rejected, RejectionScope, XComplaint
from twite.x import spec
from twite.x.decode import (
    decode,
    is_ambiguous,
    limit_of,
    names_window,
)

NOW = 1_795_600_000_000
UNCOUNTED = Errored(
    reason="200 without a count of conversions processed", ambiguous=True, status=200
)
HASH = ("INVALID_PARAMETER", "hashed_email (abc) is not a valid SHA-256 hash", "hashed_email")
FOREIGN = ("NOT_FOUND", "event_id (abc) does not belong to provided account", "event_id")
NOT_SET = ("INVALID_PARAMETER", "event_id (abc) is not a single event tag (SET)", "event_id")


def decoded(status, body=b"", *, headers=None, whole=True, sent=1):
    return decode(status=status, headers=headers or {}, body=body, whole=whole, sent=sent, now=NOW)


def success(**data):
    return json.dumps({"request": {"params": {"account_id": "18ce552mlaq"}}, "data": data}).encode()


def errors(*said):
    listed = [
        {"code": code, "message": message, "parameter": parameter}
        for code, message, parameter in said
    ]
    return json.dumps({"errors": listed, "request": {"params": {}}}).encode()


def complaints(*said):
    return tuple(XComplaint(code=c, message=m, parameter=p) for c, m, p in said)


def test_response_with_the_number_of_sent_conversions_is_a_delivery():
    body = success(conversions_processed=3, debug_id="ff02e052-36e4-47d6-bdf0-6d8986446562")

    assert decoded(200, body, sent=3) == Delivered(debug_id="ff02e052-36e4-47d6-bdf0-6d8986446562")


@pytest.mark.parametrize("debug_id", [None, 5, ["a"], {"a": 1}, "x" * 10_000])
def test_invalid_debug_id_does_not_change_a_delivery(debug_id):
    outcome = decoded(200, success(conversions_processed=1, debug_id=debug_id))

    assert isinstance(outcome, Delivered)
    assert len(outcome.debug_id) <= 512


def test_null_errors_do_not_change_a_delivery():
    body = b'{"data":{"conversions_processed":1,"debug_id":"d"},"errors":null}'

    assert decoded(200, body) == Delivered(debug_id="d")


@pytest.mark.parametrize("count", [0, 1, 3, -2, 10**30])
def test_response_with_a_different_number_is_ambiguous(count):
    outcome = decoded(200, success(conversions_processed=count), sent=2)

    assert outcome == Errored(reason=f"X processed {count} of 2", ambiguous=True, status=200)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"ok",
        b"<html>200</html>",
        b"\xff\xfe",
        success(),
        success(conversions_processed=None),
        success(conversions_processed="1"),
        success(conversions_processed=True),
        success(conversions_processed=1.5),
        success(conversions_processed=[1]),
        b'{"data":null}',
        b'{"data":[]}',
        b'{"data":{"conversions_processed":1}',
        b'{"data":{"conversions_processed":1},"errors":"none"}',
        b'{"data":' + b'{"a":' * 50_000,
        b'{"data":{"conversions_processed":' + b"1" * 5_000 + b"}}",
    ],
)
def test_success_without_a_number_is_ambiguous(body):
    assert decoded(200, body) == UNCOUNTED


def test_status_204_without_a_number_is_ambiguous():
    outcome = decoded(204)

    assert outcome == Errored(
        reason="204 without a count of conversions processed", ambiguous=True, status=204
    )


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500, 503])
def test_truncated_response_is_ambiguous_whatever_its_status(status):
    outcome = decoded(status, success(conversions_processed=1), whole=False)

    assert outcome == Errored(
        reason=f"the response ({status}) was truncated", ambiguous=True, status=status
    )


def test_status_400_concerns_the_conversions_and_keeps_the_message():
    outcome = decoded(400, errors(HASH))

    assert outcome == Rejected(
        scope=RejectionScope.CONVERSION,
        reason=f"400 INVALID_PARAMETER: {HASH[1]}",
        status=400,
        complaints=tuple(
            msgspec.structs.replace(complaint, echoed="abc") for complaint in complaints(HASH)
        ),
    )


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b'{"errors":[{"code":[]}]}'])
@pytest.mark.parametrize("sent", [1, 2])
def test_status_400_without_readable_errors_has_no_clear_scope(body, sent):
    assert decoded(400, body, sent=sent) == Rejected(
        scope=RejectionScope.UNCLEAR, reason="400", status=400
    )


def test_error_without_a_message_does_not_hide_others():
    body = b'{"errors":[{"code":null,"message":null,"parameter":null},{"code":89,"message":"m"}]}'

    assert decoded(400, body).complaints == complaints(("", "", ""), ("89", "m", ""))


@pytest.mark.parametrize(
    ("status", "said", "scope"),
    [
        (400, ("INVALID_PARAMETER", "Conversion count limit is 500", ""), RejectionScope.COUNT),
        (413, ("INVALID_PARAMETER", "Conversion count limit is 500", ""), RejectionScope.COUNT),
        (413, ("X", "m", ""), RejectionScope.SIZE),
    ],
)
def test_refusal_of_too_many_conversions_or_bytes_names_the_size(status, said, scope):
    assert decoded(status, errors(said)).scope is scope


@pytest.mark.parametrize(
    ("message", "echoed"),
    [
        ("hashed_email (abc) is not a valid SHA-256 hash", "abc"),
        ('Expected Double, got "20" for value', "20"),
        ("At least one user identifier must be provided", None),
        ("the hashed_email (abc) is not a valid SHA-256 hash", None),
    ],
)
def test_value_that_x_quotes_in_an_error_is_read(message, echoed):
    [complaint] = decoded(400, errors(("INVALID_PARAMETER", message, "p"))).complaints

    assert complaint.echoed == echoed


def test_status_413_without_json_concerns_the_size_of_the_request():
    assert decoded(413, b"<html>").scope is RejectionScope.SIZE


def test_status_404_that_names_the_event_concerns_the_event():
    outcome = decoded(404, errors(FOREIGN, NOT_SET))

    assert outcome == Rejected(
        scope=RejectionScope.EVENT,
        reason=f"404 NOT_FOUND: {FOREIGN[1]}; INVALID_PARAMETER: {NOT_SET[1]}",
        status=404,
        complaints=complaints(FOREIGN, NOT_SET),
    )


@pytest.mark.parametrize(
    "body",
    [
        errors(("ROUTE_NOT_FOUND", "The requested resource could not be found", "")),
        errors(("NOT_FOUND", "Account 5 was not found", "account_id")),
        errors(FOREIGN, ("NOT_FOUND", "Account 5 was not found", "account_id")),
        errors(NOT_SET),
    ],
)
def test_status_404_that_names_no_event_concerns_the_pixel(body):
    assert decoded(404, body).scope is RejectionScope.PIXEL


@pytest.mark.parametrize("body", [b"", b"<html>not found</html>", b'{"errors":[]}', b"{}"])
@pytest.mark.parametrize("status", [301, 302, 304, 307, 402, 403, 404, 405, 410, 418, 451])
def test_refusal_without_xs_error_format_has_no_clear_scope(status, body):
    assert decoded(status, body) == Rejected(
        scope=RejectionScope.UNCLEAR, reason=str(status), status=status
    )


@pytest.mark.parametrize("body", [b"", b"<html>not you</html>"])
def test_status_401_concerns_the_pixel_whatever_its_body(body):
    assert decoded(401, body).scope is RejectionScope.PIXEL


@pytest.mark.parametrize("status", [301, 302, 304, 307, 401, 402, 403, 405, 410, 418, 451])
def test_errors_about_settings_and_access_concern_the_pixel(status):
    assert decoded(status, errors(("C", "m", ""))) == Rejected(
        scope=RejectionScope.PIXEL,
        reason=f"{status} C: m",
        status=status,
        complaints=complaints(("C", "m", "")),
    )


@pytest.mark.parametrize("status", [408, 423, 500, 502, 503, 504, 599])
def test_request_that_x_may_have_processed_is_ambiguous(status):
    assert decoded(status, b"<html>") == Errored(reason=f"{status}", ambiguous=True, status=status)
    assert is_ambiguous(status)


@pytest.mark.parametrize("status", [400, 404, 429])
def test_refused_or_limited_request_is_not_ambiguous(status):
    assert not is_ambiguous(status)


def test_reason_of_a_refusal_has_at_most_five_errors():
    outcome = decoded(400, errors(*[(f"CODE{n}", "no", "") for n in range(7)]))

    assert [f"CODE{n}" in outcome.reason for n in range(7)] == [True] * 5 + [False] * 2


def test_messages_of_x_are_truncated():
    long = ("C" * 1_000, "m" * 10_000, "p" * 1_000)

    outcome = decoded(400, errors(*[long] * 2_000))

    assert len(outcome.reason) <= 512
    assert len(outcome.complaints) == 1_000
    assert outcome.complaints[0] == XComplaint(code="C" * 64, message="m" * 512, parameter="p" * 64)


@pytest.mark.parametrize(
    ("names", "is_named"),
    [
        ([spec.ACCOUNT_RATE_RESET], True), ([spec.USER_RATE_RESET], True),
        ([spec.ACCOUNT_RATE_RESET, spec.USER_RATE_RESET], True),
        ([spec.ACCOUNT_RATE_REMAINING, "retry-after"], False), ([], False),
    ],
)  # fmt: skip
def test_rate_limit_window_is_that_of_the_account_or_the_user(names, is_named):
    assert names_window(dict.fromkeys(names, "1795600900")) is is_named


def test_rate_limit_of_the_account_is_used_before_that_of_the_user():
    headers = {
        "x-account-rate-limit-remaining": "7",
        "x-account-rate-limit-reset": "100",
        "x-rate-limit-remaining": "9",
        "x-rate-limit-reset": "200",
    }

    assert limit_of(headers) == (7, 100_000)


def test_rate_limit_of_the_user_is_used_without_one_of_the_account():
    assert limit_of({"x-rate-limit-remaining": "9", "x-rate-limit-reset": "200"}) == (9, 200_000)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-rate-limit-remaining": "9"},
        {"x-rate-limit-reset": "9"},
        {"x-rate-limit-remaining": "many", "x-rate-limit-reset": "200"},
        {"x-rate-limit-remaining": "-1", "x-rate-limit-reset": "200"},
        {"x-rate-limit-remaining": "1", "x-rate-limit-reset": "9" * 30},
    ],
)
def test_incomplete_rate_limit_headers_are_ignored(headers):
    assert limit_of(headers) is None


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "errors", "code", "message", "conversions_processed", "x"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=200) | JSONISH.map(lambda value: json.dumps(value).encode()),
    whole=st.booleans(),
    headers=st.dictionaries(
        st.sampled_from(["retry-after", "x-rate-limit-reset", "x-account-rate-limit-reset"]),
        st.text(max_size=20),
    ),
)
def test_every_response_has_an_outcome(status, body, whole, headers):
    outcome = decoded(status, body, whole=whole, headers=headers)

    assert isinstance(outcome, Delivered | Errored | Rejected)
    assert not isinstance(outcome, Delivered) or (whole and 200 <= status < 300)


@pytest.mark.parametrize("status", [199, 200, 299, 300])
def test_number_of_conversions_is_a_success_only_with_a_2xx_status(status):
    body = b'{"data":{"conversions_processed":2,"debug_id":"d"}}'

    assert isinstance(decoded(status, body, sent=2), Delivered) == (200 <= status < 300)
