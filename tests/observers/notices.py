from twite.domain.alert import Alert, AlertKind
from twite.gateway.ports.events import (
    Accepted,
    Attempted,
)

ALERT = Alert(
    id="a", kind=AlertKind.PIXEL_PAUSED, subject="o8z6j", reason="404", opened_at=1, reported_at=1
)


def an_attempt(outcome="errored", **more):
    values = {
        "pixel": "o8z6j",
        "event": "o8z6k",
        "outcome": outcome,
        "status": 503,
        "conversions": 3,
        "took": 120,
        "reason": "503 SERVICE_UNAVAILABLE: ",
        "ambiguous": True,
    }
    return Attempted(**(values | more))


def an_accepted_notice(**more):
    counts = {"accepted": 0, "duplicates": 0, "suppressed": 0, "rejected": 0}
    return Accepted(source="shop", **(counts | more))
