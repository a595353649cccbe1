"""One event as all tags see it. It is parsed once, and only if a tag fires."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Final

from twite.consent.verdict import judging
from twite.domain.consent import ConsentAction, ConsentDecision
from twite.domain.conversion import Identifiers
from twite.domain.destination import Source
from twite.formats.native.values import identifiers_of
from twite.gateway.ports.tags import TagRemark, policy_for
from twite.gtm.container.values import EventContext
from twite.redaction.scrub_event import scrubbed_event
from twite.redaction.scrub_text import without_persons

# All unknown event names share this name, because the store has a row for each name.
OTHER: Final = "other"


@dataclass(eq=False, repr=False)
class ParsedTagEvent:
    """One event. `revoked` returns whether a person opted out at a pixel; None if nobody did."""

    remark: TagRemark
    _: KW_ONLY
    source: Source
    occasion: EventContext
    revoked: Callable[[Identifiers, str], bool] | None

    @cached_property
    def name(self) -> str:
        name = without_persons((self.remark.native.event or "").strip())[:64]
        return "".join(char for char in name if char.isprintable()) or OTHER

    @cached_property
    def identifiers(self) -> Identifiers:
        return identifiers_of(self.remark.native, region=self.source.region, faults=[], notes=[])

    @cached_property
    def verdict(self) -> ConsentDecision:
        policy = policy_for(self.source.consent)
        judge = judging(policy=policy, now=self.occasion.now, revoked=self.revoked)
        return judge(self.remark.native.consent, self.identifiers, self.source.pixel)

    @property
    def is_suppressed(self) -> bool:
        # Templates cannot express partial consent: an event without full consent is not sent.
        return self.verdict.action not in {ConsentAction.SEND, ConsentAction.HOLD}

    @property
    def is_sent(self) -> bool:
        return self.verdict.action is ConsentAction.SEND

    @cached_property
    def scrubbed(self) -> dict[str, object]:
        """The input of a derived id. It has phone numbers, because they distinguish people."""
        return scrubbed_event(self.remark.event, region=self.source.region)

    @cached_property
    def hashed(self) -> dict[str, object]:
        """The event for tags that receive hashed identifiers."""
        return scrubbed_event(self.remark.event, region=self.source.region, phones=False)
