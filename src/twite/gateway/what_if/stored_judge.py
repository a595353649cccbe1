"""Consent of a stored conversion, decided again by the record of the first decision."""

from collections.abc import Mapping
from typing import Final

from twite.consent.decide_again import has_hashes, verdict_again
from twite.consent.verdict import Evidence, verdict
from twite.domain.consent import ConsentDecision, policy_version
from twite.domain.conversion import Identifiers
from twite.formats.native.conversion import ReadContext, ReadConversion
from twite.formats.parsed_request import Native

_NOTHING_LEFT: Final = "nothing_left"
# For a repeat whose signals are hashes: if it had been denied, it would be stored.
_UNDECIDED: Final = ConsentDecision()


class StoredJudge:
    """Decides about the consent of one conversion, whose `evidence` may be stored.

    If the strings of the IAB are hashes, and nothing tells what they say under the new policy, the
    decision `is_unknown`. `is_settled` is whether a repeat has the same policy as before, and
    `was_denied` whether no identifiers are stored, because consent was denied.
    """

    def __init__(
        self,
        evidence: Evidence | None,
        native: Native,
        context: ReadContext,
        *,
        is_settled: bool,
        was_denied: bool,
    ) -> None:
        self._evidence, self._context, self._is_settled = evidence, context, is_settled
        self._was_denied = was_denied
        self._has_hashes = native.consent is not None and has_hashes(native.consent)
        # The identifiers that consent removed when the conversion was stored, and would not now.
        self.removed = () if evidence is None else evidence.strip
        self.is_unknown = False
        # Whether it is only known that a repeat was not denied.
        self.is_assumed = False
        # Whether the decision depends on identifiers that were not stored.
        self.lacks_identifiers = False

    @property
    def is_plain(self) -> bool:
        """Whether the signals themselves are stored, so that they are simply read again."""
        return self._evidence is None and not self._has_hashes

    def __call__(
        self, signals: Mapping[str, str | bool] | None, identifiers: Identifiers, pixel: str
    ) -> ConsentDecision:
        del pixel
        policy, now = self._context.source.consent, self._context.now
        decision: ConsentDecision | None
        if self._evidence is not None:
            decision = verdict_again(self._evidence, identifiers, policy=policy, now=now)
        elif not self._has_hashes:
            decision = verdict(signals, identifiers, policy=policy, now=now)
        else:
            decision = _UNDECIDED if self._is_settled else None
            self.is_assumed = self._is_settled
        if decision is None:
            self.is_unknown = True
            return _UNDECIDED
        is_nothing_left = decision.rule == _NOTHING_LEFT
        self.removed = tuple(name for name in self.removed if name not in decision.strip)
        is_same = self._evidence is not None and self._evidence.policy == policy_version(policy)
        self.lacks_identifiers = not is_same and (
            (is_nothing_left and bool(self.removed))
            or (self._was_denied and (is_nothing_left or bool(decision.strip)))
        )
        return decision

    def missing(self, read: ReadConversion) -> tuple[str, ...]:
        """Return the identifiers that a conversion lacks because they were not stored."""
        return self.removed if read.suppressed is None else ()
