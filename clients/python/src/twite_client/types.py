"""What is sent and what is returned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Required, Self, TypedDict, TypeVar

_Value = TypeVar("_Value")


class Content(TypedDict, total=False):
    """An item of an order. `price` is of one unit."""

    id: str | int
    name: str
    price: str | Decimal | int
    quantity: int
    group: str | int
    type: str


class Conversion(TypedDict, total=False):
    """A conversion, in the gateway's native format.

    `conversion_id` is the order's id, the same as in the page. `time` has a zone; the default is
    now. Persons are in plain text: the gateway hashes them in memory.
    """

    event: Required[str]
    conversion_id: str | int
    time: datetime | str
    value: str | Decimal | int
    currency: str
    email: str
    email_sha256: str
    phone: str
    phone_sha256: str
    twclid: str
    twpid: str
    ip: str
    user_agent: str
    url: str
    contents: Sequence[Content]
    description: str
    search: str
    consent: Mapping[str, str | bool]
    pixel: str
    user_id: str | int
    visitor_id: str | int
    tax: str | Decimal | int
    shipping: str | Decimal | int
    new_customer: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a conversion: the field, a code of docs/reference/error-codes.md, and a text."""

    path: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The gateway's verdicts. Everything that is not in `rejected` is on the gateway's disk.

    The keys of the mappings are indexes of the conversions that were passed. `receipts` are the
    gateway's ids of the requests.
    """

    receipts: tuple[str, ...] = ()
    accepted: int = 0
    duplicates: frozenset[int] = frozenset()
    held: frozenset[int] = frozenset()
    suppressed: Mapping[int, str] = field(default_factory=dict)
    rejected: Mapping[int, Sequence[Fault]] = field(default_factory=dict)
    warnings: Mapping[int, Sequence[Fault]] = field(default_factory=dict)

    @classmethod
    def of(cls, response: Mapping[str, Any]) -> Self:
        """Read the JSON of a response with the status 202 or 422. Raises KeyError, TypeError."""
        return cls(
            receipts=(response["receipt"],),
            accepted=response["accepted"],
            duplicates=frozenset(response.get("duplicate_indexes", ())),
            held=frozenset(response.get("held_indexes", ())),
            suppressed={
                item["index"]: item["reason"] for item in response.get("suppressed_reasons", ())
            },
            rejected={item["index"]: _faults(item["errors"]) for item in response["rejected"]},
            warnings={
                item["index"]: _faults(item["warnings"]) for item in response.get("warnings", ())
            },
        )

    def joined(self, other: "Receipt", offset: int) -> "Receipt":
        """Return both as one; `offset` is the index of the first conversion of the other."""
        return Receipt(
            receipts=self.receipts + other.receipts,
            accepted=self.accepted + other.accepted,
            duplicates=self.duplicates | {offset + index for index in other.duplicates},
            held=self.held | {offset + index for index in other.held},
            suppressed={**self.suppressed, **_moved(other.suppressed, offset)},
            rejected={**self.rejected, **_moved(other.rejected, offset)},
            warnings={**self.warnings, **_moved(other.warnings, offset)},
        )


def _moved(values: Mapping[int, _Value], offset: int) -> dict[int, _Value]:
    return {offset + index: value for index, value in values.items()}


def _faults(items: Sequence[Mapping[str, str]]) -> tuple[Fault, ...]:
    return tuple(Fault(item["path"], item["code"], item["message"]) for item in items)
