"""`[source.consent_policy]`: build a consent policy."""

from collections.abc import Iterator
from typing import Final

from twite.config import shape, values
from twite.domain.consent import EEA, ConsentAction, ConsentPolicy
from twite.domain.errors import SettingsError

# Unreadable signals have this name in the list of signals to ignore.
_IGNORE: Final = "ignore"
_EEA: Final = "EEA"


def policy(written: shape.SourceTable, place: str, *, can_restrict: bool) -> ConsentPolicy:
    """Read the policy of a source; `can_restrict` says whether X supports restricted use."""
    said = written.consent_policy
    regions = frozenset(
        region
        for index, listed in enumerate(said.strict_regions)
        for region in _regions(listed, f"{place}.strict_regions[{index}]")
    )
    for name, purposes in (
        ("tcf_purposes", said.tcf_purposes),
        ("tcf_optimization_purposes", said.tcf_optimization_purposes),
    ):
        values.differ([str(purpose) for purpose in purposes], f"{place}.{name}[{{}}]", "purpose")
    if not said.tcf_purposes:
        raise SettingsError(
            place=f"{place}.tcf_purposes",
            message="without a purpose, every TC string would be consent. Write [1, 7]",
        )
    return ConsentPolicy(
        required=written.consent == "required",
        storage_denied=ConsentAction(said.storage_denied),
        user_data_denied=ConsentAction(said.user_data_denied),
        personalization_denied=ConsentAction(said.personalization_denied),
        us_opt_out=ConsentAction(said.us_opt_out),
        unclear=None if said.unclear == _IGNORE else ConsentAction(said.unclear),
        missing=ConsentAction(said.missing),
        strict_regions=regions,
        tcf_purposes=said.tcf_purposes,
        tcf_optimization_purposes=said.tcf_optimization_purposes,
        tcf_vendor_id=said.tcf_vendor_id,
        ac_provider_id=said.ac_provider_id,
        cmp_vendor=said.cmp_vendor,
        can_restrict=can_restrict,
    )


def _regions(text: str, place: str) -> Iterator[str]:
    if text == _EEA:
        yield from EEA
    else:
        yield values.region(text, place)
