"""Responses of the native format: the server encodes them, and `twite send` decodes them."""

import msgspec

from twite.domain.fault import ReportedFault


class IdentifierWarning(msgspec.Struct, frozen=True, kw_only=True):
    """Identifiers left out of an accepted conversion, or the errors of a suppressed one."""

    index: int
    warnings: tuple[ReportedFault, ...]


class Suppressed(msgspec.Struct, frozen=True, kw_only=True):
    """A suppressed conversion: its index in the request, and the reason."""

    index: int
    reason: str


class RejectedItem(msgspec.Struct, frozen=True, kw_only=True):
    """A rejected conversion: its index in the request, and its errors."""

    index: int
    errors: tuple[ReportedFault, ...]


class NativeReceipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of a request.

    `warnings` names omitted identifiers, and the errors of conversions that are suppressed because
    consent is denied. `duplicates`, `suppressed` and `held` count conversions; their indexes are in
    fields of their own; a user must release held ones; `suppressed_reasons` has the reason for each
    suppressed one. `ignored` counts tag events that the source does not send as conversions. With
    `test`, the source is in test mode, so that X gets none of them.
    """

    receipt: str
    accepted: int
    duplicates: int
    suppressed: int
    rejected: tuple[RejectedItem, ...]
    warnings: tuple[IdentifierWarning, ...] = ()
    duplicate_indexes: tuple[int, ...] = ()
    suppressed_indexes: tuple[int, ...] = ()
    held: int = 0
    held_indexes: tuple[int, ...] = ()
    suppressed_reasons: tuple[Suppressed, ...] = ()
    ignored: int = 0
    test: bool = False


class SourceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The source of a key. `dedup_window` is how long duplicates are detected, in seconds."""

    source: str
    dedup_window: int


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One error in a request. `path` is the place in the body, "" for the whole body."""

    path: str
    code: str
    message: str


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of responses with a status of 400 or above, except in the format of X or Segment."""

    errors: tuple[ErrorDetail, ...]
