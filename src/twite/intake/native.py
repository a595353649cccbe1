"""`POST /v1/conversions`: our own format → conversions, refusals, and what is kept of it."""

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

import msgspec

from twite.domain.consent import Judge
from twite.domain.destination import Destination, Source
from twite.domain.errors import Malformed
from twite.domain.submission import Idempotency
from twite.intake.found import Found
from twite.intake.native_conversion import Context, Read, read_one
from twite.intake.native_shape import Many, Native
from twite.intake.native_texts import MAX_TEXT, without_emails
from twite.intake.strict_json import decode, may_hold_control_characters

MAX_CONVERSIONS: Final = 1_000

_ONE: Final = msgspec.json.Decoder(Native)
_MANY: Final = msgspec.json.Decoder(Many)
_KEYS_ONLY: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER: Final = msgspec.json.Encoder()
_BATCH: Final = re.compile(rb'\s*\{\s*"conversions"\s*:')


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A submission, read: one result for each conversion, in order.

    `body` is the submission as JSON with email, phone and page address scrubbed; `given` are the
    conversions as they came.
    """

    results: tuple[Read, ...]
    body: bytes
    given: tuple[Native, ...] = ()

    def __repr__(self) -> str:
        return f"Reading(results={self.results!r}, body=<{len(self.body)} bytes>)"


def read(
    body: bytes,
    *,
    source: Source,
    destinations: Mapping[str, Destination],
    now: int,
    salt: bytes,
    idempotency_key: str | None,
    consent: Judge,
) -> Reading:
    """Read a submission. Raises Malformed when it is not JSON or not this shape.

    `now` is in milliseconds; `salt` goes into ids derived for conversions that come without one;
    `consent` says what becomes of a conversion with such signals and identifiers.
    """
    single = not _is_batch(body)
    given = (decode(_ONE, body),) if single else decode(_MANY, body).conversions
    if not given:
        raise Malformed(code="empty", path="conversions", message="there is no conversion in it")
    if len(given) > MAX_CONVERSIONS:
        raise Malformed(
            code="too_many",
            path="conversions",
            message=f"{len(given)} conversions in one request; at most {MAX_CONVERSIONS}",
        )
    context = Context(
        source=source,
        destinations=destinations,
        now=now,
        salt=salt,
        idempotency_key=idempotency_key,
        consent=consent,
        careful=may_hold_control_characters(body),
        lengthy=len(body) > MAX_TEXT,
    )
    results = tuple([read_one(one, index, context) for index, one in enumerate(given)])
    scrubbed = [result.scrubbed for result in results]
    kept = _ENCODER.encode(scrubbed[0] if single else {"conversions": scrubbed})
    return Reading(results=results, body=without_emails(kept), given=tuple(given))


def judge(
    found: Found,
    *,
    source: Source,
    destinations: Mapping[str, Destination],
    now: int,
    salt: bytes,
    consent: Judge,
) -> Reading:
    """Judge what another door found in a request, by the rules of our own format.

    See `read` for the arguments.
    """
    context = Context(
        source=source,
        destinations=destinations,
        now=now,
        salt=salt,
        idempotency_key=None,
        consent=consent,
        careful=True,
        lengthy=True,
    )
    again = found.repeated or (None,) * len(found.conversions)
    wrong = found.faults or ((),) * len(found.conversions)
    each = zip(found.conversions, again, wrong, strict=True)
    results = tuple(
        [
            read_one(one, index, msgspec.structs.replace(context, repeated=repeated, faults=faults))
            for index, (one, repeated, faults) in enumerate(each)
        ]
    )
    kept: dict[str, object] = {"conversions": [result.scrubbed for result in results]}
    if found.hit is not None:
        kept["hit"] = found.hit
    return Reading(
        results=results,
        body=without_emails(_ENCODER.encode(kept)),
        given=found.conversions,
    )


def named(body: bytes, *, source: str, key: str, salt: bytes) -> Idempotency:
    """Return the name of a request that could be read, and what it says under it.

    The order of keys in an object, and white space, say nothing.
    """
    said = msgspec.json.encode(msgspec.json.decode(body), order="sorted")
    return Idempotency(
        key=blake2b(f"{source}\0{key}".encode(), key=salt, digest_size=16).digest(),
        said=blake2b(said, key=salt, digest_size=16).digest(),
    )


def _is_batch(body: bytes) -> bool:
    if b'"conversions"' not in body:
        return False
    if _BATCH.match(body):
        return True
    try:
        return "conversions" in _KEYS_ONLY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
