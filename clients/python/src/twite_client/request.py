"""A request and its attempts, without input or output: both clients carry it out."""

import json
import random
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from twite_client.errors import GatewayUnavailableError, RequestRefusedError, WrongKeyError
from twite_client.types import Conversion, Fault, Receipt

# The gateway's limits: 1,000 conversions and 1 MiB a request. Some room is left for the envelope.
MAX_CONVERSIONS: Final = 1_000
MAX_BYTES: Final = 1_000_000
# The gateway stored nothing, or it is unknown: the same request may be sent again.
_RETRIED: Final = {408, 429, 500, 502, 503, 504}
_FIRST_WAIT_SECONDS: Final = 0.5
_LONGEST_WAIT_SECONDS: Final = 60.0
_VERSION: Final = "0.1.0"


class Settings(NamedTuple):
    """How requests are sent: the gateway's URL, a source key, seconds an attempt, and attempts.

    Raises ValueError for a URL that is not http or https, and for an unusable key.
    """

    url: str
    key: str
    timeout: float = 10.0
    attempts: int = 5

    def checked(self) -> "Settings":
        """Return these settings without a slash at the URL's end. Raises ValueError."""
        if not re.match(r"https?://[^/\s?#@]+", self.url):
            raise ValueError("url: use the gateway's address, such as https://t.shop.example")
        if not re.fullmatch(r"[!-~]+", self.key):
            raise ValueError("key: use the source's key, without blanks or line ends")
        if self.attempts < 1:
            raise ValueError("attempts: use at least 1")
        return self._replace(url=self.url.rstrip("/"))

    def __repr__(self) -> str:
        return f"Settings(url={self.url!r}, key=…)"


class Request:
    """One request: `body` and `headers` are equal in all attempts.

    After each attempt call `answered` or `failed`. Both raise when there is nothing more to try.
    """

    def __init__(self, settings: Settings, body: bytes, idempotency_key: str) -> None:
        self.url = f"{settings.url}/v1/conversions"
        self.body = body
        self.headers: Mapping[str, str] = {
            "Authorization": f"Bearer {settings.key}",
            "Content-Type": "application/json",
            "Idempotency-Key": idempotency_key,
            "User-Agent": f"twite-client-python/{_VERSION}",
        }
        self._limit = settings.attempts
        self._key = idempotency_key
        self._attempts = 0

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> Receipt | float:
        """Return the receipt, or the seconds to wait before the next attempt.

        Raises RequestRefusedError and GatewayUnavailableError.
        """
        if status in {202, 422}:
            try:
                return Receipt.of(json.loads(body))
            except (ValueError, KeyError, TypeError, AttributeError):
                return self.failed(f"the answer {status} has no receipt: is this a gateway?")
        if status in _RETRIED:
            return self.failed(f"status {status}", _seconds(headers.get("Retry-After")))
        refusal = WrongKeyError if status == 401 else RequestRefusedError
        raise refusal(status, _faults(body))

    def failed(self, reason: str, retry_after: float | None = None) -> float:
        """Return the seconds to wait after an attempt. Raises GatewayUnavailableError."""
        self._attempts += 1
        if self._attempts >= self._limit:
            raise GatewayUnavailableError(
                reason, attempts=self._attempts, idempotency_key=self._key
            )
        longest = min(_FIRST_WAIT_SECONDS * 2 ** (self._attempts - 1), _LONGEST_WAIT_SECONDS)
        # Clients that failed together come back apart.
        wait = random.uniform(longest / 2, longest)  # noqa: S311 - not a secret
        return wait if retry_after is None else max(wait, min(retry_after, _LONGEST_WAIT_SECONDS))


def request_of(settings: Settings, conversion: Conversion, idempotency_key: str | None) -> Request:
    """Return the request with one conversion. Raises TypeError and ValueError."""
    return Request(settings, encoded(conversion), idempotency_key or uuid.uuid4().hex)


def requests_of(
    settings: Settings, conversions: Sequence[Conversion], idempotency_key: str | None
) -> Iterator[tuple[int, Request]]:
    """Yield requests with all conversions, each with the index of its first one.

    With the same idempotency key and conversions, the requests are the same. Raises TypeError and
    ValueError before the first request if a conversion cannot be written as JSON.
    """
    key = idempotency_key or uuid.uuid4().hex
    bodies = [encoded(conversion) for conversion in conversions]
    start = 0
    while start < len(bodies):
        end, size = start, 0
        while end < len(bodies) and end - start < MAX_CONVERSIONS:
            size += len(bodies[end]) + 1
            if end > start and size > MAX_BYTES:
                break
            end += 1
        body = b'{"conversions":[' + b",".join(bodies[start:end]) + b"]}"
        yield start, Request(settings, body, f"{key}-{start}")
        start = end


def encoded(conversion: Conversion) -> bytes:
    """Write a conversion as JSON. Raises TypeError and ValueError, which name no value."""
    text = json.dumps(
        conversion, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
    )
    return text.encode()


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time needs a zone: use datetime.now(UTC), not datetime.now()")
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a conversion cannot contain a {type(value).__name__}")


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and re.fullmatch(r"\d{1,6}", header) else None


def _faults(body: bytes) -> list[Fault]:
    try:
        return [
            Fault(item.get("path", ""), item["code"], item["message"])
            for item in json.loads(body)["errors"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
