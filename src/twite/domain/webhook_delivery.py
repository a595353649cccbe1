"""Deliveries of webhooks: what became of each message, without personal data."""

from enum import StrEnum
from typing import Final

import msgspec

# The name of messages that `twite sync` submits in place of the sender.
CATCH_UP: Final = "sync"
# How many deliveries of each webhook are kept.
MOST_DELIVERIES: Final = 50


class DeliveryVerdict(StrEnum):
    """The values are stored: never change one."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    SUPPRESSED = "suppressed"
    HELD = "held"
    REJECTED = "rejected"
    IGNORED = "ignored"  # genuine, but no conversion
    ERASED = "erased"
    REFUSED = "refused"  # no genuine signature, or too large: nothing was read
    FAILED = "failed"  # not stored: the sender tries again


class WebhookDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery, or the latest of `times` equal ones. `at` is in milliseconds.

    `id` is that of the first, in order of time. `message` is its name, such as `orders/paid`; "" if
    it was not read. `reason` is a code, "" if there is nothing to explain. `receipt` leads to the
    conversion, if there is one.
    """

    id: str
    webhook: str
    at: int
    message: str
    verdict: DeliveryVerdict
    reason: str = ""
    receipt: str = ""
    times: int = 1
