"""One event as all tags see it. It is parsed once, and only if a tag fires."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Final

import msgspec

from twite.consent.verdict import judging
from twite.domain.consent import ConsentAction, ConsentDecision
from twite.domain.conversion import Identifiers, derived_id
from twite.domain.destination import Source
from twite.formats.native.conversion import MAX_ID
from twite.formats.native.values import identifiers_of
from twite.gateway.ports.tags import TagRemark, policy_for
from twite.redaction.scrub_text import names_a_person, without_persons
from twite.tags.container.values import EventContext
from twite.tags.redaction.scrub_event import scrubbed_event

# All unknown event names share this name, because the store has a row for each name.
OTHER: Final = "other"


class TagEventIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The id of an event: a tag runs once for each. `called` is the id that users search for."""

    id: str
    called: str


@dataclass(eq=False, repr=False)
class ParsedTagEvent:
    """One event. `revoked` returns whether a person opted out at a pixel; None if nobody did.

    For `request_id`, see EventOrigin; `position` is the event's position among those dispatched.
    """

    remark: TagRemark
    _: KW_ONLY
    source: Source
    occasion: EventContext
    revoked: Callable[[Identifiers, str], bool] | None
    salt: bytes
    request_id: str
    position: int

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
    def identity(self) -> TagEventIdentity:
        """The event's own id, or one derived from the fields that a retry repeats, or the request.

        If the client repeats nothing, the event is new, as in Google's container, even if its
        content is not: the conversion id that X gets is then only the id that users search for.
        """
        remark, given = self.remark, self.remark.native.conversion_id
        own = "" if given is None else str(given).strip()
        if own and len(own) <= MAX_ID and own.isprintable() and not names_a_person(own):
            return TagEventIdentity(id=own, called=own)
        if own:
            return self._identified("id", own)
        if remark.repeated is not None:
            return self._identified("hit", remark.repeated, called=remark.conversion_id)
        if remark.conversion_id is None:
            place = f"{self.request_id}\0{remark.index}\0{self.position}"
            return self._identified("request", place)
        # Equal conversions of a request that differ in consent have one conversion id, so that a
        # denial among them counts for all.
        called = remark.conversion_id
        return TagEventIdentity(id=f"{called}/{self.request_id}", called=called)

    def _identified(
        self, kind: str, repeated: str, *, called: str | None = None
    ) -> TagEventIdentity:
        id_ = called or derived_id(
            salt=self.salt,
            scope=f"{kind}\0{self.name}",
            repeated=f"{self.source.name}\0{repeated}".encode("utf-8", "replace"),
        )
        return TagEventIdentity(id=id_, called=id_)

    @cached_property
    def hashed(self) -> dict[str, object]:
        """The event for tags that receive hashed identifiers."""
        return scrubbed_event(self.remark.event, region=self.source.region, phones=False)
