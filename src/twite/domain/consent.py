"""What a deployment makes of signals of consent, and what it came to for one conversion."""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from twite.domain.conversion import Identifiers


class ConsentAction(StrEnum):
    """What becomes of a conversion, from the freest to the strictest."""

    SEND = "send"  # as it is
    RESTRICT = "restrict"  # with X's `restricted_data_use`
    STRIP = "strip"  # without some identifiers
    HOLD = "hold"  # a person decides
    SUPPRESS = "suppress"  # not at all


# The countries where silence is no consent: the European Economic Area, the United Kingdom and
# Switzerland (ISO 3166).
EEA: Final = frozenset(
    {
        "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE",
        "IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
    }
)  # fmt: skip
STRICT_REGIONS: Final = EEA | {"GB", "CH"}


class ConsentPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a source does about each kind of answer.

    `storage_denied`, `user_data_denied` and `personalization_denied` are for a denial of that kind,
    `us_opt_out` for an opt-out under a law of the United States, `unclear` for what cannot be read
    (None: as if it had not been said), `missing` for silence where consent is needed. It is needed
    where `required`, and of persons in `strict_regions` (ISO 3166).

    Of a TC string, the first of `tcf_purposes` and all others must be granted; without one of
    `tcf_optimization_purposes`, personalization is denied. `tcf_vendor_id`, `ac_provider_id` and
    `cmp_vendor` are what X is called in three lists of vendors, None where none is asked.
    `can_restrict` is whether X is trusted to read `restricted_data_use`: else nothing is sent where
    it would be needed.
    """

    required: bool = False
    storage_denied: ConsentAction = ConsentAction.SUPPRESS
    user_data_denied: ConsentAction = ConsentAction.SUPPRESS
    personalization_denied: ConsentAction = ConsentAction.RESTRICT
    us_opt_out: ConsentAction = ConsentAction.SUPPRESS
    unclear: ConsentAction | None = ConsentAction.SUPPRESS
    missing: ConsentAction = ConsentAction.SUPPRESS
    strict_regions: frozenset[str] = STRICT_REGIONS
    tcf_purposes: tuple[int, ...] = (1, 7)
    tcf_optimization_purposes: tuple[int, ...] = (3, 4)
    tcf_vendor_id: int | None = None
    ac_provider_id: int | None = None
    cmp_vendor: str | None = None
    can_restrict: bool = True


@lru_cache(maxsize=256)
def policy_version(policy: ConsentPolicy) -> str:
    """Return two digests: of all, and of what says how a string of the IAB is read."""
    read = [
        policy.tcf_purposes,
        policy.tcf_optimization_purposes,
        policy.tcf_vendor_id,
        policy.ac_provider_id,
        policy.cmp_vendor,
    ]
    return f"{_digest(policy)}.{_digest(read)}"


class ConsentDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one conversion, by which rule, and why.

    `reason` is there but for `send`; `strip` names the identifiers to take out and `restricted` is
    whether X is told to restrict itself: both go with `hold` too, for when a person brings it back.
    `evidence` is JSON, to show later why it was decided so; None where nothing was said or needed.
    `signals` are those that were given, as they are kept.
    """

    action: ConsentAction = ConsentAction.SEND
    rule: str = "nothing_said"
    reason: str | None = None
    strip: tuple[str, ...] = ()
    restricted: bool = False
    evidence: bytes | None = None
    signals: Mapping[str, str | bool] | None = None


# From signals, identifiers and pixel to what becomes of a conversion.
Judge = Callable[[Mapping[str, str | bool] | None, Identifiers, str], ConsentDecision]

# Nothing was said, and nothing needs to be.
PLAIN: Final = ConsentDecision()
REVOKED: Final = "consent_revoked"
# X's word for using a conversion for purposes such as measuring alone. [doc RDU]
RESTRICTED: Final = "restrict_optimization"


_DENIALS: Final = ("consent_denied", "consent_limited", "consent_unclear", REVOKED)


def is_denial(reason: str) -> bool:
    """Return whether a conversion is suppressed for a no, or for what may be one; not for silence.

    A denial counts for all copies of the conversion.
    """
    return reason.startswith(_DENIALS)


def person_keys(identifiers: Identifiers, *, pixel: str, salt: bytes) -> tuple[bytes, ...]:
    """Return 16 bytes for each identifier that means one person: click id, email, phone.

    Keyed with the deployment's salt: without it, a hash of every phone number tells who is listed.
    A person's choice at one pixel says nothing at another.
    """
    kinds = (("c", identifiers.click_id), ("e", identifiers.email), ("p", identifiers.phone))
    return tuple(
        hmac.digest(salt, f"opt-out\0{pixel}\0{kind}\0{value}".encode(), "sha256")[:16]
        for kind, value in kinds
        if value is not None
    )


def stripped(identifiers: Identifiers, names: Sequence[str]) -> Identifiers:
    """Return the identifiers without some."""
    return msgspec.structs.replace(identifiers, **dict.fromkeys(names))


def _digest(value: object) -> str:
    text = msgspec.json.encode(value, order="deterministic")
    return hashlib.sha256(b"1\0" + text).hexdigest()[:12]
