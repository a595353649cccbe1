"""Causes: why a delivery is held, dead or suppressed, as a value to decide by."""

from enum import StrEnum
from typing import Final


class DeliveryCause(StrEnum):
    """Why a delivery is held, dead or suppressed. The values are stored, and in the API.

    `reason` says the same to users, in a sentence with details. No code reads that sentence.
    """

    CONSENT_DENIED = "consent_denied"
    CONSENT_LIMITED = "consent_limited"  # the person allows less than the conversion needs
    CONSENT_UNCLEAR = "consent_unclear"  # a signal is unreadable
    CONSENT_MISSING = "consent_missing"  # consent is required, and there is no signal
    CONSENT_REVOKED = "consent_revoked"  # the person is on the opt-out list
    # Twite holds unusual amounts: one cause for each `UnusualAmount`.
    AMOUNT_ZERO = "amount_zero"
    AMOUNT_MINOR_UNITS = "amount_minor_units"
    AMOUNT_OUTLIER = "amount_outlier"
    AMOUNT_CURRENCY = "amount_currency"
    MAY_COUNT_TWICE = "may_count_twice"  # it may have arrived already
    STORE_RESTORED = "store_restored"  # the store may lack an attempt: it is an older copy
    STORE_RECOVERED = "store_recovered"  # the store may lack an attempt: it was damaged
    WAITED_TOO_LONG = "waited_too_long"
    EVENT_UNKNOWN = "event_unknown"  # the event is not one of the account's
    REFUSED_ALIKE = "refused_alike"  # others too: the conversion may not be at fault
    REFUSED = "refused"  # by X
    FAILED = "failed"  # the tag could not run, or failed too often
    SENDER_STOPPED = "sender_stopped"  # repeatedly, while it sent this delivery alone
    DAMAGED = "damaged"  # in the store
    NOT_FIRED = "not_fired"  # a value that was looked up did not match a trigger of the tag
    SUPERSEDED = "superseded"  # by a later copy of the same conversion
    DISCARDED = "discarded"  # by a user
    IDENTIFIER_MISSING = "identifier_missing"  # after its wait: X needs one
    ERASED = "erased"  # the person's data was removed


# A denial applies to all copies of a conversion. Missing consent is not a denial.
DENIALS: Final = frozenset(
    {
        DeliveryCause.CONSENT_DENIED,
        DeliveryCause.CONSENT_LIMITED,
        DeliveryCause.CONSENT_UNCLEAR,
        DeliveryCause.CONSENT_REVOKED,
    }
)
CONSENT_CAUSES: Final = DENIALS | {DeliveryCause.CONSENT_MISSING}
# X may have deliveries held for these causes, even if no attempt is recorded.
MAYBE_SENT: Final = frozenset({DeliveryCause.STORE_RESTORED, DeliveryCause.STORE_RECOVERED})
UNUSUAL_AMOUNTS: Final = frozenset(
    {
        DeliveryCause.AMOUNT_ZERO,
        DeliveryCause.AMOUNT_MINOR_UNITS,
        DeliveryCause.AMOUNT_OUTLIER,
        DeliveryCause.AMOUNT_CURRENCY,
    }
)
