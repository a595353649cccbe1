"""Send rows to a gateway request by request, with retries.

429, 503, no answer   wait, longer each time, and send the same request again: every row has an id,
                      so a row that arrived before counts as a duplicate
400, 413              halve the request until it contains only the faulty row
401, 404, …           stop: a retry would fail again
"""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
import typer

from twite.cli.options import load
from twite.config.settings import Settings
from twite.config.values import HostPort
from twite.domain.delivery import backoff
from twite.domain.destination import Destination, Source
from twite.domain.errors import OperatorError
from twite.domain.fault import ReportedFault
from twite.domain.secret import Secret
from twite.domain.times import SECOND
from twite.formats.files.findings import ERRORS, FileRow
from twite.formats.files.requests import request_body
from twite.formats.files.results import RowResult, judge, within
from twite.formats.native.answers import ErrorBody, NativeReceipt, RejectedItem, SourceInfo

T = TypeVar("T")

LONGEST_WAIT: Final = 30.0  # seconds
TIMEOUT: Final = 60.0  # seconds
PATH: Final = "/v1/conversions"
_ABOUT: Final = "/v1/source"

_RECEIPTED: Final = frozenset({202, 422})
_TOO_LARGE: Final = 413
_DIVISIBLE: Final = frozenset({400, _TOO_LARGE})
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 — to connect to, not to listen on


class SendStopped(OperatorError):
    """Sending must stop: the remaining rows would fail, too."""


class SendResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway's response. `retry_after` is in seconds."""

    status: int
    body: bytes
    retry_after: float = 0.0


class SendNoResponse(msgspec.Struct, frozen=True, kw_only=True):
    """No response. `lost` is whether the request may have arrived anyway."""

    reason: str
    lost: bool


# Sends the body of one request to the gateway, without retries.
SendClient = Callable[[bytes], Awaitable[SendResponse | SendNoResponse]]


class RetryPatience(msgspec.Struct, frozen=True, kw_only=True):
    """Retry settings: `patience` is the maximum number of seconds without an accepted request."""

    patience: float
    elapsed: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    randomness: Callable[[], float]
    say: Callable[[str], None]


def retry_patience(patience: float, say: Callable[[str], None]) -> RetryPatience:
    """Return the settings of a command that waits on the real clock."""
    return RetryPatience(
        patience=patience,
        elapsed=time.monotonic,
        sleep=asyncio.sleep,
        randomness=random.random,
        say=say,
    )


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Submitter:
    """Sends rows and returns the result of each."""

    post: SendClient
    patience: RetryPatience

    async def submit(self, rows: Sequence[FileRow], *, lost: bool = False) -> list[RowResult]:
        """Send rows that have a body, at most as many as fit into one request.

        `lost` is whether an earlier response about these rows was lost. Raises SendStopped.
        """
        answer, lost = await self.answered(request_body(rows), lost=lost)
        if answer.status in _RECEIPTED:
            receipted = decoded(answer.body, NativeReceipt)
            if receipted is not None and within(receipted, len(rows)):
                return judge(rows, receipted, lost=lost)
        if answer.status not in _DIVISIBLE:
            raise SendStopped(_why_stopped(answer))
        if len(rows) == 1:
            rejected = (RejectedItem(index=0, errors=_errors_of(answer)),)
            refusal = NativeReceipt(
                receipt="", accepted=0, duplicates=0, suppressed=0, rejected=rejected
            )
            return judge(rows, refusal)
        middle = len(rows) // 2
        first = await self.submit(rows[:middle], lost=lost)
        return first + await self.submit(rows[middle:], lost=lost)

    async def answered(self, body: bytes, *, lost: bool) -> tuple[SendResponse, bool]:
        """Send the request until the response is final: neither a temporary error nor lost.

        Raises SendStopped.
        """
        attempts, since = 0, self.patience.elapsed()
        while True:
            answer = await self.post(body)
            if isinstance(answer, SendResponse) and answer.status not in _PASSING:
                if attempts:
                    self.patience.say("the gateway accepts conversions again: continuing")
                return answer, lost
            attempts += 1
            lost = lost or _may_have_arrived(answer)
            reason = _reason(answer)
            if self.patience.elapsed() - since >= self.patience.patience:
                raise SendStopped(f"{reason}. Twite gave up after {self.patience.patience:.0f} s")
            asked = answer.retry_after if isinstance(answer, SendResponse) else 0.0
            ours = backoff(attempts=attempts, randomness=self.patience.randomness()) / 1_000
            if attempts == 1:
                self.patience.say(f"{reason}: waiting for the gateway (Ctrl-C stops)")
            await self.patience.sleep(max(asked, min(ours, LONGEST_WAIT)))


def poster(session: aiohttp.ClientSession, *, url: str, key: Secret) -> SendClient:
    """Return a client that posts to a gateway with a source's key."""
    headers = {
        "Authorization": f"Bearer {key.reveal()}",
        "Content-Type": "application/json",
    }
    return posting(session, url=url, path=PATH, headers_of=lambda _body: headers)


def posting(
    session: aiohttp.ClientSession,
    *,
    url: str,
    path: str,
    headers_of: Callable[[bytes], Mapping[str, str]],
    method: str = "POST",
) -> SendClient:
    """Return a client that posts to a path of a gateway, with headers for each body."""

    async def post(body: bytes) -> SendResponse | SendNoResponse:
        try:
            async with session.request(
                method, url + path, data=body, headers=headers_of(body), allow_redirects=False
            ) as response:
                return SendResponse(
                    status=response.status,
                    body=await response.read(),
                    retry_after=_seconds(response.headers.get("Retry-After", "")),
                )
        except aiohttp.ClientConnectorError as error:
            # The system's error text, because the library's repeats the address.
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            return SendNoResponse(reason=f"no gateway answers at {url} ({reason})", lost=False)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = f"the gateway at {url} did not answer ({type(error).__name__})"
            return SendNoResponse(reason=reason, lost=True)

    return post


def decoded(body: bytes, shape: type[T]) -> T | None:
    """Decode a response; None if its structure is wrong."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _errors_of(response: SendResponse) -> tuple[ReportedFault, ...]:
    """Return the errors of a refused request of one row."""
    found = decoded(response.body, ErrorBody)
    code = "too_large" if response.status == _TOO_LARGE else "not_sent"
    if response.status == _TOO_LARGE or found is None or not found.errors:
        return (ReportedFault(path="", code=code, message=ERRORS[code]),)
    return tuple(
        ReportedFault(
            path=error.path.removeprefix("conversions[0]").lstrip("."),
            code=error.code,
            message=error.message,
        )
        for error in found.errors
    )


def _why_stopped(response: SendResponse, request: str = f"POST {PATH}") -> str:
    causes = {
        401: "the gateway does not know this key. Use the key of a [[source]], and restart the "
        "gateway after you change a key",
        403: "this key may not submit conversions. Use the key of a [[source]]",
        404: f"{request} returned 404, so this is not a gateway. Check --to",
        405: f"{request} returned 405, so this is not a gateway. Check --to",
    }
    if response.status in causes:
        return causes[response.status]
    return (
        f"the gateway returned {response.status}, which {request} never returns"
        f"{_detail(response.body, ' ({})')}. "
        "Check --to and the proxy"
    )


def _may_have_arrived(answer: SendResponse | SendNoResponse) -> bool:
    """A 502 or 504 of a proxy does not show whether the request reached the gateway."""
    if isinstance(answer, SendNoResponse):
        return answer.lost
    return answer.status in {500, 502, 504}


def _reason(answer: SendResponse | SendNoResponse) -> str:
    if isinstance(answer, SendNoResponse):
        return answer.reason
    return f"the gateway returned {answer.status}{_detail(answer.body, ', {}')}"


def _detail(body: bytes, form: str) -> str:
    found = decoded(body, ErrorBody)
    return form.format(found.errors[0].message) if found is not None and found.errors else ""


def _seconds(text: str) -> float:
    return float(min(int(text), 3_600)) if text.isascii() and text.isdecimal() else 0.0


class NoKey(OperatorError):
    """No API key for the gateway was found."""


class SendTarget(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway to send to.

    `source`, `destinations` and `dedup_window` (ms) are None if only address and key are known.
    """

    url: str
    key: Secret
    source: Source | None = None
    destinations: Mapping[str, Destination] | None = None
    dedup_window: int | None = None

    @property
    def name(self) -> str:
        return self.source.name if self.source is not None else ""


async def read_dedup_window(send_target: SendTarget, patience: RetryPatience) -> int:
    """Ask a gateway how long it detects duplicates, in milliseconds. Raises SendStopped."""
    headers = {"Authorization": f"Bearer {send_target.key.reveal()}"}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as session:
        get = posting(
            session,
            url=send_target.url,
            path=_ABOUT,
            headers_of=lambda _body: headers,
            method="GET",
        )
        answer, _ = await Submitter(post=get, patience=patience).answered(b"", lost=False)
    info = decoded(answer.body, SourceInfo) if answer.status == HTTPStatus.OK else None
    if info is None:
        raise SendStopped(_why_stopped(answer, f"GET {_ABOUT}"))
    return info.dedup_window * SECOND


def target(config: Path, *, to: str | None, source: str | None, key_from: str | None) -> SendTarget:
    """Return the target, from the options or, if they are incomplete, the settings.

    Raises SettingsError, NoKey, and BadParameter for wrong usage.
    """
    if key_from is not None:
        if to is None or source is not None:
            raise typer.BadParameter(
                "needs --to, and cannot be combined with --source", param_hint="--key-from"
            )
        return SendTarget(url=_url(to), key=_key_from(key_from))
    settings = load(config)
    found = _source(settings, source)
    if not found.key:
        raise NoKey(
            f"the key of the source {found.name!r} cannot be read here: set the key as "
            f"{settings.path} describes, or use --to and --key-from env:NAME"
        )
    return SendTarget(
        url=gateway_url(settings, to),
        key=found.key,
        source=found,
        destinations={destination.pixel: destination for destination in settings.destinations()},
        dedup_window=settings.store.dedup_window,
    )


def _source(settings: Settings, name: str | None) -> Source:
    """Return the named source, or the only source that has a key."""
    with_key = [source for source in settings.sources() if source.key is not None]
    chosen = [candidate for candidate in with_key if name in {None, candidate.name}]
    if len(chosen) == 1:
        return chosen[0]
    there = ", ".join(candidate.name for candidate in with_key) or "none"
    if name is not None:
        message = f"no source of this name has a key in {settings.path}. Available: {there}"
    else:
        message = f"name a source. {settings.path} has: {there}"
    raise typer.BadParameter(message, param_hint="--source")


def _address(listen: HostPort) -> str:
    if listen.port == 0:
        raise typer.BadParameter(
            "server.listen has port 0, so the gateway chooses a free port at each start. Pass its "
            "URL, for example --to http://127.0.0.1:8080",
            param_hint="--to",
        )
    host = _EVERYWHERE.get(listen.host, listen.host)
    return f"http://{HostPort(host=host, port=listen.port)}"


def gateway_url(settings: Settings, to: str | None) -> str:
    """Return the gateway's URL: `--to`, or where the settings let it listen."""
    return _address(settings.server.listen) if to is None else _url(to)


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        raise typer.BadParameter(
            "must be an address, such as https://t.shop.example or http://127.0.0.1:8080",
            param_hint="--to",
        )
    return text.rstrip("/").removesuffix("/v1/conversions")


def _key_from(place: str) -> Secret:
    way, _, name = place.partition(":")
    try:
        if way == "env" and name:
            text = os.environ.get(name, "")
        elif way == "file" and name:
            text = Path(name).read_text("utf-8")
        else:
            raise typer.BadParameter(
                "write env:NAME or file:PATH. Other users could see a key on the command line",
                param_hint="--key-from",
            )
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text.strip() or not text.isascii():
        raise NoKey(f"there is no key in {place}. Put the source's key there")
    return Secret(text.strip())
