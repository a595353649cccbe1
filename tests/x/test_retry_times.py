"""When X is to be asked again: the times in the headers of a 429 or 503."""

import json
import time
from email.utils import formatdate

import pytest

from twite.domain.destination import LONGEST_X_WAIT
from twite.domain.outcome import Errored
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.x.decode import DEFAULT_WAIT, decode

NOW = 1_795_600_000_000
LIMITED = json.dumps(
    {"errors": [{"code": "TOO_MANY_REQUESTS", "message": "", "parameter": ""}]}
).encode()


def decoded(status, body=b"", *, headers):
    return decode(status=status, headers=headers, body=body, whole=True, sent=1, now=NOW)


def test_status_503_is_retried_at_its_retry_after():
    outcome = decoded(503, headers={"retry-after": "30"})

    assert outcome == Errored(reason="503", ambiguous=True, status=503, retry_at=NOW + 30 * SECOND)


def limited(**headers):
    outcome = decoded(
        429,
        LIMITED,
        headers={k.replace("_", "-"): v for k, v in headers.items()},
    )
    assert outcome == Errored(
        reason=outcome.reason,
        ambiguous=False,
        status=429,
        limited=True,
        retry_at=outcome.retry_at,
    )
    assert outcome.reason.startswith("429 TOO_MANY_REQUESTS:")
    return outcome.retry_at - NOW


def seconds(ahead):
    return str((NOW + ahead) // SECOND)


def test_status_429_uses_the_reset_of_the_account_first():
    wait = limited(
        x_rate_limit_reset=seconds(5 * MINUTE), x_account_rate_limit_reset=seconds(9 * MINUTE)
    )

    assert wait == 9 * MINUTE


def test_status_429_uses_the_reset_of_the_user_without_an_account():
    assert limited(x_rate_limit_reset=seconds(5 * MINUTE)) == 5 * MINUTE


def test_status_429_uses_retry_after_without_a_reset():
    assert limited(retry_after="120") == 2 * MINUTE


@pytest.mark.parametrize(
    "reset",
    [
        "0", "-5", "4102444800", "soon", "", "1e9", "1.5", "\u0661", "9" * 400,
        seconds(-SECOND), seconds(0), seconds(LONGEST_X_WAIT + SECOND),
    ],
)  # fmt: skip
def test_status_429_with_an_implausible_reset_waits_a_minute(reset):
    assert limited(x_rate_limit_reset=reset) == DEFAULT_WAIT == MINUTE


@pytest.mark.parametrize(
    "after",
    [
        "-1", "", "99999999", "9" * 400, "\u0661", "Wed, 21 Oct 2026 07:28:00 GMT",
        "Thu, 31 Feb 2026 25:00:00 GMT", "Thu, 01 Jan 99999999999 00:00:00 GMT", "Wed, 21 Oct",
        "Wed, 21 Oct 2026 07:28:00 +9999999999",
    ],
)  # fmt: skip
def test_implausible_retry_after_is_ignored(after):
    assert limited(retry_after=after) == MINUTE
    assert decoded(503, headers={"retry-after": after}).retry_at is None


@pytest.mark.parametrize(
    "date",
    [
        "Wed, 25 Nov 2026 11:46:40 GMT",
        "Wednesday, 25-Nov-26 11:46:40 GMT",
        "Wed Nov 25 11:46:40 2026",
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_retry_after_may_be_a_date_in_each_form_of_http(date, zone, monkeypatch):
    with monkeypatch.context() as changed:
        changed.setenv("TZ", zone)
        time.tzset()
        waits = {
            limited(retry_after=date),
            decoded(503, headers={"retry-after": date}).retry_at - NOW,
        }
    time.tzset()

    assert waits == {2 * HOUR}


@pytest.mark.parametrize(("more", "wait"), [(0, LONGEST_X_WAIT), (1, None)])
def test_date_of_retry_after_is_limited_to_the_longest_wait(more, wait):
    date = formatdate((NOW + LONGEST_X_WAIT) // SECOND + more, usegmt=True)
    outcome = decoded(503, headers={"retry-after": date})

    ignored = f"; retry-after is more than 24 hours ahead, so it is ignored: {date}"
    assert outcome.retry_at == (None if wait is None else NOW + wait)
    assert outcome.reason == f"503{ignored if wait is None else ''}"


@pytest.mark.parametrize(("more", "wait"), [(0, LONGEST_X_WAIT), (1, DEFAULT_WAIT)])
def test_retry_after_is_limited_to_the_longest_wait(more, wait):
    assert limited(retry_after=str(LONGEST_X_WAIT // SECOND + more)) == wait


def test_waits_of_hours_are_those_that_x_names():
    assert limited(x_rate_limit_reset=seconds(2 * HOUR)) == 2 * HOUR
    assert limited(retry_after="7200") == 2 * HOUR
    assert limited(x_account_rate_limit_reset=seconds(LONGEST_X_WAIT)) == 24 * HOUR
    assert decoded(503, headers={"retry-after": "7200"}).retry_at == NOW + 2 * HOUR


def test_reason_names_a_header_that_is_too_far_ahead_to_be_believed():
    ignored = "is more than 24 hours ahead, so it is ignored"
    year_2100 = {"x-rate-limit-reset": "4102444800", "retry-after": "99999999"}

    assert decoded(429, headers=year_2100).reason == (
        f"429; x-rate-limit-reset {ignored}: 4102444800; retry-after {ignored}: 99999999"
    )
    assert decoded(503, headers=year_2100).reason == f"503; retry-after {ignored}: 99999999"
    assert decoded(429, headers={"x-rate-limit-reset": "1"}).reason == "429"
