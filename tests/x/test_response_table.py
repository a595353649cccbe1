"""The meaning of each documented response of X: one row for each response."""

import msgspec
import pytest

from twite.domain.blame.transitions import transitions
from twite.domain.delivery import Delivery, Trigger
from twite.domain.outcome import Delivered, Errored, Rejected, RejectionScope
from twite.domain.times import MINUTE, SECOND
from twite.x.decode import decode

NOW = 1_795_600_000_000
RESET = (NOW + 5 * MINUTE) // SECOND

CLEAN = (Delivered, False, Trigger.DELIVERED)
AMBIGUOUS = (Errored, True, Trigger.POSTPONED)
LATER = (Errored, False, Trigger.POSTPONED)


def rejected(scope, trigger):
    return (Rejected, scope, trigger)


ISOLATE = rejected(RejectionScope.CONVERSION, None)
SPLIT = rejected(RejectionScope.SIZE, None)
FEWER = rejected(RejectionScope.COUNT, None)
HOLD_THE_EVENT = rejected(RejectionScope.EVENT, Trigger.HELD)
PAUSE_THE_PIXEL = rejected(RejectionScope.PIXEL, Trigger.POSTPONED)
TRY_ANOTHER = rejected(RejectionScope.UNCLEAR, Trigger.POSTPONED)


def success(count, **more):
    return msgspec.json.encode({"data": {"conversions_processed": count, "debug_id": "d"}} | more)


def refusal(*errors):
    keys = ("code", "message", "parameter")
    return msgspec.json.encode(
        {"errors": [dict(zip(keys, error, strict=True)) for error in errors], "request": {}}
    )


FOREIGN = ("NOT_FOUND", "event_id (o8z6k) does not belong to provided account", "event_id")
NO_SET = ("INVALID_PARAMETER", "event_id (o8z6k) is not a single event tag (SET)", "event_id")
BAD_HASH = ("INVALID_PARAMETER", "hashed_email (a) is not a valid SHA-256 hash", "hashed_email")
HTML = b"<html><body><h1>Bad gateway</h1></body></html>"

# Columns: observation, status, body, meaning.
ROWS = [
    ("200, conversions_processed = n", 200, success(2), CLEAN),
    ("201, conversions_processed = n", 201, success(2), CLEAN),
    ("200, conversions_processed < n", 200, success(1), AMBIGUOUS),
    ("200, conversions_processed > n", 200, success(3), AMBIGUOUS),
    ("200, conversions_processed = 0", 200, success(0), AMBIGUOUS),
    ("200, conversions_processed missing", 200, b'{"data":{}}', AMBIGUOUS),
    ("200, conversions_processed a string", 200, success("2"), AMBIGUOUS),
    ("200 without data", 200, b'{"request":{}}', AMBIGUOUS),
    ("200 with errors", 200, success(2, errors=[{"code": "C"}]), AMBIGUOUS),
    ("200 with no errors in a list", 200, success(2, errors=[]), CLEAN),
    ("200 truncated", 200, success(2)[:20], AMBIGUOUS),
    ("200 empty", 200, b"", AMBIGUOUS),
    ("200 with a page of HTML", 200, HTML, AMBIGUOUS),
    ("204", 204, b"", AMBIGUOUS),
    ("301, not followed", 301, b"", TRY_ANOTHER),
    ("302, not followed", 302, HTML, TRY_ANOTHER),
    ("307, not followed", 307, b"", TRY_ANOTHER),
    ("400 with one error", 400, refusal(BAD_HASH), ISOLATE),
    ("400 with many errors", 400, refusal(BAD_HASH, BAD_HASH), ISOLATE),
    ("400 with a page of HTML", 400, HTML, TRY_ANOTHER),
    ("400, an unknown parameter", 400, refusal(("EXCLUSIVE_PARAMETERS", "m", "x")), ISOLATE),
    ("400 echoing an attacker", 400, refusal(("C", "<script>'\"\u0000", "value")), ISOLATE),
    ("400, the event id is not a SET", 400, refusal(NO_SET), HOLD_THE_EVENT),
    ("400, the event id among others", 400, refusal(BAD_HASH, NO_SET), HOLD_THE_EVENT),
    (
        "400, no event id",
        400,
        refusal(("INVALID_PARAMETER", "Event ID was not found", "")),
        HOLD_THE_EVENT,
    ),
    (
        "400, Conversion count limit is 500",
        400,
        refusal(("INVALID_PARAMETER", "Conversion count limit is 500", "")),
        FEWER,
    ),
    ("401, bad signature", 401, refusal(("UNAUTHORIZED_ACCESS", "m", "")), PAUSE_THE_PIXEL),
    ("401, revoked (code 89)", 401, b'{"errors":[{"code":89,"message":"m"}]}', PAUSE_THE_PIXEL),
    (
        "403, no Ads access",
        403,
        refusal(("UNAUTHORIZED_CLIENT_APPLICATION", "m", "")),
        PAUSE_THE_PIXEL,
    ),
    ("403, locked out", 403, refusal(("ACCOUNT_LOCKED_OUT", "m", "")), PAUSE_THE_PIXEL),
    ("403, suspended", 403, refusal(("CURRENT_USER_SUSPENDED", "m", "")), PAUSE_THE_PIXEL),
    ("404, every NOT_FOUND on event_id", 404, refusal(FOREIGN, NO_SET), HOLD_THE_EVENT),
    (
        "404, the account too",
        404,
        refusal(FOREIGN, ("NOT_FOUND", "m", "account_id")),
        PAUSE_THE_PIXEL,
    ),
    ("404, the pixel", 404, refusal(("NOT_FOUND", "m", "pixel_id")), PAUSE_THE_PIXEL),
    ("404, the route", 404, refusal(("ROUTE_NOT_FOUND", "m", "")), PAUSE_THE_PIXEL),
    ("404 with a page of HTML", 404, HTML, TRY_ANOTHER),
    ("405", 405, refusal(("METHOD_NOT_ALLOWED", "m", "")), PAUSE_THE_PIXEL),
    ("408 CANCELLED_REQUEST", 408, refusal(("CANCELLED_REQUEST", "m", "")), AMBIGUOUS),
    ("413", 413, HTML, SPLIT),
    (
        "423 LOCK_ACQUISITION_TIMEOUT",
        423,
        refusal(("LOCK_ACQUISITION_TIMEOUT", "m", "")),
        AMBIGUOUS,
    ),
    ("429", 429, refusal(("TOO_MANY_REQUESTS", "m", "")), LATER),
    ("429 with a page of HTML", 429, HTML, LATER),
    ("500", 500, refusal(("INTERNAL_ERROR", "m", "")), AMBIGUOUS),
    ("502 of a proxy", 502, HTML, AMBIGUOUS),
    ("503 OVER_CAPACITY", 503, refusal(("OVER_CAPACITY", "m", "")), AMBIGUOUS),
    ("504 of a proxy", 504, HTML, AMBIGUOUS),
]

TWO = tuple(Delivery(id=n, conversion_id=f"c{n}", body=b"{}", received_at=NOW) for n in range(2))


def decoded(status, body, *, whole=True, headers=None):
    return decode(status=status, headers=headers or {}, body=body, whole=whole, sent=2, now=NOW)


@pytest.mark.parametrize(
    ("status", "body", "meaning"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_each_documented_response_has_its_meaning(status, body, meaning):
    kind, detail, trigger = meaning

    outcome = decoded(status, body)

    assert type(outcome) is kind
    assert {Errored: "ambiguous", Rejected: "scope"}.get(kind) is None or detail == getattr(
        outcome, "ambiguous" if kind is Errored else "scope"
    )
    if trigger is not None:
        assert [
            transition.trigger for transition in transitions(TWO, outcome, now=NOW, jitter=0.5)
        ] == [trigger]


@pytest.mark.parametrize(
    ("status", "body"), [row[1:3] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_truncated_response_is_ambiguous_whatever_its_beginning(status, body):
    outcome = decoded(status, body, whole=False)

    assert (type(outcome), outcome.ambiguous) == (Errored, True)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"x-rate-limit-reset": str(RESET)}, 5 * MINUTE),
        ({"x-account-rate-limit-reset": str(RESET), "x-rate-limit-reset": "1"}, 5 * MINUTE),
        ({"retry-after": "90"}, 90 * SECOND),
        ({}, MINUTE),
        ({"x-rate-limit-reset": "1"}, MINUTE),
        ({"x-rate-limit-reset": "4102444800"}, MINUTE),
        ({"x-rate-limit-reset": "soon"}, MINUTE),
    ],
    ids=["reset", "account", "retry-after", "none", "in the past", "year 2100", "no number"],
)
def test_status_429_is_retried_after_a_plausible_time(headers, wait):
    assert decoded(429, b"", headers=headers).retry_at == NOW + wait
