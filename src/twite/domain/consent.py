"""Consent: a source's policy, and the decision on one conversion."""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.conversion import Identifiers

# The European Economic Area (ISO 3166). Here, in the UK and in Switzerland, no signal means no
# consent.
EEA: Final = frozenset(
    {
        "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE",
        "IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
    }
)  # fmt: skip
STRICT_REGIONS: Final = EEA | {"GB", "CH"}
REVOKED: Final = DeliveryCause.CONSENT_REVOKED.value
# X's term for restricting the use of a conversion to purposes such as measurement. [doc RDU]
RESTRICTED: Final = "restrict_optimization"


class ConsentAction(StrEnum):
    """The treatment of a conversion, from the least to the most strict."""

    SEND = "send"  # unchanged
    RESTRICT = "restrict"  # with X's `restricted_data_use`
    STRIP = "strip"  # without some identifiers
    HOLD = "hold"  # held for a user
    SUPPRESS = "suppress"  # not sent


class ConsentPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A source's action for each kind of consent signal.

    The `_denied` actions apply to denials, `us_opt_out` to an opt-out under a law of the United
    States, and `unclear` to unreadable signals (None ignores them). `missing` applies if consent is
    needed but there is no signal. Consent is needed if `required` is set, and for persons in
    `strict_regions` (ISO 3166).

    A TC string must grant all `tcf_purposes`. If it denies one of `tcf_optimization_purposes`,
    personalization is denied. `tcf_vendor_id`, `ac_provider_id` and `cmp_vendor` identify X in
    three vendor lists; a list is not checked if its id is None. If `can_restrict` is False, because
    X may not read `restricted_data_use`, conversions to restrict are not sent.
    `segment_categories` are the consent categories of Segment's API that mean advertising; without
    them, every category counts.
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
    segment_categories: tuple[str, ...] = ()


@lru_cache(maxsize=256)
def policy_version(policy: ConsentPolicy) -> str:
    """Return digests of the policy, and of the rules that read IAB strings."""
    read = [
        policy.tcf_purposes,
        policy.tcf_optimization_purposes,
        policy.tcf_vendor_id,
        policy.ac_provider_id,
        policy.cmp_vendor,
    ]
    return f"{_digest(policy)}.{_digest(read)}"


class ConsentDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The decision on one conversion, the rule that made it, and the reason.

    `strip` names identifiers to remove; `restricted` sets X's `restricted_data_use`: both also
    apply when a user releases a held conversion. `evidence` (JSON) is stored as a record of the
    decision; it is None if there were neither signals nor requirements. `signals` are the signals
    of the request.
    """

    action: ConsentAction = ConsentAction.SEND
    rule: str = "nothing_said"
    cause: DeliveryCause | None = None
    reason: str | None = None
    strip: tuple[str, ...] = ()
    restricted: bool = False
    evidence: bytes | None = None
    signals: Mapping[str, str | bool] | None = None


# (signals, identifiers, pixel) → decision
Judge = Callable[[Mapping[str, str | bool] | None, Identifiers, str], ConsentDecision]

# No signal, and none is required.
PLAIN: Final = ConsentDecision()


def person_keys(identifiers: Identifiers, *, pixel: str, salt: bytes) -> tuple[bytes, ...]:
    """Return a hash of 16 bytes for each click id, email and phone, for one pixel.

    The hash is keyed with the deployment's salt. Without a key, anyone with the list could find its
    phone numbers by trying all of them.
    """
    kinds = (("c", identifiers.click_id), ("e", identifiers.email), ("p", identifiers.phone))
    return tuple(
        hmac.digest(salt, f"opt-out\0{pixel}\0{kind}\0{value}".encode(), "sha256")[:16]
        for kind, value in kinds
        if value is not None
    )


def stripped(identifiers: Identifiers, names: Sequence[str]) -> Identifiers:
    return msgspec.structs.replace(identifiers, **dict.fromkeys(names))


def _digest(value: object) -> str:
    text = msgspec.json.encode(value, order="deterministic")
    return hashlib.sha256(b"1\0" + text).hexdigest()[:12]
