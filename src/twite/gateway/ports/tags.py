"""Ports of what receives events beside the pixels: the destinations named `tag:…`."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

from twite.domain.consent import ConsentPolicy
from twite.domain.conversion import Identifiers
from twite.domain.destination import Source
from twite.domain.incoming_request import IncomingRequest
from twite.domain.secret import Masked
from twite.domain.submission import AcceptedConversion, UnfiredTags
from twite.formats.parsed_request import Native

# X's ids contain no colon, so no pixel has such an id.
PREFIX: Final = "tag:"


def policy_for(policy: ConsentPolicy) -> ConsentPolicy:
    """Return a source's policy for tags, which do not support restricted data use."""
    return msgspec.structs.replace(policy, can_restrict=False)


class TagRemark(Masked, frozen=True, kw_only=True):
    """A received event: `event` as received, `native` in the native format. Its repr is masked.

    `conversion_id` is the id of its conversion, if it has one; `index` is the position of the
    conversion in the submission; `repeated` are the fields that a retry repeats.
    """

    event: Mapping[str, object]
    native: Native
    conversion_id: str | None = None
    repeated: str | None = None
    index: int | None = None


class ResponseAddition(Protocol):
    """What a tag adds to the response of a request: see `HttpFeature`."""

    @property
    def is_empty(self) -> bool: ...


class FiringResult(msgspec.Struct, frozen=True, kw_only=True):
    """The tags that fired for a submission, and why the others did not.

    `responses` has what fired tags add to the answer, by the index of their entry.
    """

    fired: tuple[AcceptedConversion, ...] = ()
    unfired: tuple[UnfiredTags, ...] = ()
    responses: Mapping[int, ResponseAddition] = {}


class BrowserWait(msgspec.Struct, frozen=True, kw_only=True):
    """A browser waits for the answer. `pixels` is whether it can load pixels."""

    pixels: bool = False


class EventOrigin(Masked, frozen=True, kw_only=True):
    """Where events came from: what tags may read about that, and how they may respond.

    `request_id` is the same for each repetition of the request, and unique if there is none.
    `request` is the part that tags may read, `client` the client template that parsed it. `waits`
    is set if a browser waits for the response. `from_page` is whether a page sent the events, or
    the event from which a tag created them. `persons` lists the people of the
    tag's own event: their opt-outs apply to the created events. Its repr is masked.
    """

    in_repr = ("client",)
    request_id: str = ""
    request: IncomingRequest = IncomingRequest()
    client: str = ""
    waits: BrowserWait | None = None
    from_page: bool = False
    persons: tuple[Identifiers, ...] = ()


TagStatus = Literal["queued", "duplicate", "suppressed", "held"]


class TagOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The status of a tag that fired, and has not run yet."""

    tag: str
    status: TagStatus


class DispatchesTags(Protocol):
    """Decides which tags fire."""

    def listens_to(self, source: str) -> bool: ...

    async def dispatch(
        self,
        remarks: Sequence[TagRemark],
        *,
        source: Source,
        origin: EventOrigin,
        now: int,
        first: int,
        held: Mapping[int, AcceptedConversion],
    ) -> FiringResult:
        """Return an entry for each tag that fires for each event; indexes start at `first`.

        `held` has the reasons of held conversions, by index: their tags are held, too.
        """
