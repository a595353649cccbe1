"""Results of accepted requests, and the refusal in X's words."""

import msgspec

from twite.domain.delivery import XComplaint
from twite.domain.submission import RejectedConversion
from twite.formats.native.answers import IdentifierWarning, Suppressed
from twite.gateway.ports.tags import TagOutcome
from twite.gtm.template.tag_response import TagResponse


class AcceptReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a committed request.

    Indexes are positions in the request; `tags` are the tags that fired, `responses` what they add
    to the response.
    """

    receipt: str
    accepted: int
    duplicates: int
    suppressed: int
    held: int = 0
    rejected: tuple[RejectedConversion, ...] = ()
    warnings: tuple[IdentifierWarning, ...] = ()
    duplicate_indexes: tuple[int, ...] = ()
    suppressed_indexes: tuple[int, ...] = ()
    held_indexes: tuple[int, ...] = ()
    suppressed_reasons: tuple[Suppressed, ...] = ()
    tags: tuple[TagOutcome, ...] = ()
    responses: tuple[TagResponse, ...] = ()


class XAcceptReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The result for X's format."""

    receipt: str
    processed: int


class XAcceptRefusal(Exception):
    """A request that X would refuse, with X's errors. X refuses requests whole."""

    def __init__(self, *, status: int, complaints: tuple[XComplaint, ...]) -> None:
        super().__init__(f"{status}: {', '.join(complaint.code for complaint in complaints)}")
        self.status = status
        self.complaints = complaints
