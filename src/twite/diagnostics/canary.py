"""Send the test conversion of `twite check` through the running gateway to X.

X counts it as a real conversion of the event. Its email address is reserved and belongs to nobody,
so X attributes it to no ad.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

import aiohttp
import msgspec

from twite.app.control_client import Reachable, running
from twite.config.settings import Settings
from twite.domain.destination import Source
from twite.domain.errors import SettingsError
from twite.gateway.ports.findings import CheckFinding, failed, passed, warning

_PATIENCE: Final = aiohttp.ClientTimeout(total=15)
_ACCEPTED: Final = 202
_OK: Final = 200
_WAIT: Final = 30.0  # seconds to wait for X's answer
_LOOK: Final = 0.1
_WORDS: Final = 200


class TestConversion(msgspec.Struct, frozen=True, kw_only=True):
    """The event of the test conversion (its name in the settings), and the pixel.

    `pixel` may be None if there is only one.
    """

    event: str
    pixel: str | None = None


async def canary(settings: Settings, test: TestConversion) -> AsyncIterator[CheckFinding]:
    """Send the test conversion and wait for the result.

    Raises SettingsError for an unknown event or pixel.
    """
    source, pixel = sender(settings, test)
    gateway = running(settings.store.gateway_file)
    if gateway is None:
        yield failed(
            "canary",
            "no gateway is running",
            "Twite did not send the test conversion.",
            "Start twite serve, and run the check again.",
        )
        return
    number = f"twite-canary-{time.time_ns() // 1_000_000}"
    try:
        async with aiohttp.ClientSession(timeout=_PATIENCE) as http:
            conversion = {
                "event": test.event,
                "pixel": pixel,
                "conversion_id": number,
                "email": "canary@twite.example",
                "description": "twite check --canary",
                "consent": {"ad_storage": "granted", "ad_user_data": "granted"},
            }
            refusal = await _post(http, gateway, source, conversion)
            if refusal is not None:
                yield failed(
                    "canary",
                    f"the gateway did not accept the test conversion: {refusal}",
                    "Twite did not send the test conversion.",
                    "Fix this error, and run the check again.",
                )
                return
            history = await _ended(http, gateway, source, f"{pixel}/{number}")
    except (aiohttp.ClientError, OSError) as failure:
        yield failed(
            "canary",
            f"the gateway at {gateway.url} cannot be reached ({type(failure).__name__})",
            "Twite did not send the test conversion.",
            "Check the gateway's log, and run the check again.",
        )
        return
    yield _finding(history, number)


async def follow(
    settings: Settings, test: TestConversion, number: str
) -> AsyncIterator[CheckFinding]:
    """Wait for the result of a conversion with this id that another client has submitted."""
    source, pixel = sender(settings, test)
    gateway = running(settings.store.gateway_file)
    if gateway is None:
        yield _unknown(number, "no gateway is running on this machine")
        return
    try:
        async with aiohttp.ClientSession(timeout=_PATIENCE) as http:
            history = await _ended(http, gateway, source, f"{pixel}/{number}")
    except (aiohttp.ClientError, OSError) as failure:
        yield _unknown(number, f"{gateway.url} cannot be reached ({type(failure).__name__})")
        return
    yield _finding(history, number)


def _unknown(number: str, why: str) -> CheckFinding:
    return warning(
        "canary",
        f"Twite could not look up {number}: {why}",
        "It is not known whether the gateway has sent the conversion to X.",
        f"Run twite show {number} on the gateway's machine.",
    )


def sender(settings: Settings, test: TestConversion) -> tuple[Source, str]:
    """Return a source that may send the test conversion, and the pixel.

    Raises SettingsError for an unknown event or pixel.
    """
    known = [
        destination
        for destination in settings.destinations()
        if test.pixel in {None, destination.pixel}
    ]
    if len(known) != 1:
        there = ", ".join(destination.pixel for destination in settings.destinations())
        raise SettingsError("--pixel", f"choose a pixel. The settings have: {there}")
    pixel = known[0]
    if test.event not in pixel.events:
        raise SettingsError(
            "--canary",
            f"pixel {pixel.pixel} has no event {test.event!r}. Its events: "
            f"{', '.join(pixel.events)}",
        )
    for source in settings.sources():
        if source.key is not None and pixel.pixel in source.pixels:
            return source, pixel.pixel
    raise SettingsError(
        "--canary",
        f"no source with a key may submit to pixel {pixel.pixel}. Add a key to a [[source]]",
    )


async def _post(
    http: aiohttp.ClientSession,
    reachable: Reachable,
    source: Source,
    conversion: Mapping[str, object],
) -> str | None:
    """Submit the test conversion; return the gateway's error, if any."""
    async with http.post(
        f"{reachable.url}/v1/conversions", json=conversion, headers=_signed(source)
    ) as answer:
        body = await answer.read()
        if answer.status != _ACCEPTED:
            return f"{answer.status} {body[:_WORDS].decode('utf-8', 'replace')}"
        receipt = msgspec.json.decode(body, type=_Receipt)
    if receipt.accepted:
        return None
    return (
        "the test conversion was suppressed because consent is missing"
        if receipt.suppressed
        else "the test conversion is a duplicate"
    )


async def _ended(
    http: aiohttp.ClientSession, reachable: Reachable, source: Source, which: str
) -> "_History":
    """Poll the history of the test conversion until it is final or the time is up."""
    history = _History(state="queued")
    end = time.monotonic() + _WAIT
    while time.monotonic() < end:
        url = f"{reachable.url}/v1/conversions/{which}"
        async with http.get(url, headers=_signed(source)) as answer:
            if answer.status == _OK:
                history = msgspec.json.decode(await answer.read(), type=_History)
        refused = history.state == "queued" and any(
            attempt.outcome == "rejected" for attempt in history.attempts
        )
        if refused or history.state not in {"queued", "sending"}:
            break
        await asyncio.sleep(_LOOK)
    return history


def _finding(history: "_History", number: str) -> CheckFinding:
    last = history.attempts[-1] if history.attempts else _Attempt(outcome="")
    answer = f"{last.status or ''} {(last.answer or '')[:_WORDS]}".strip() or history.reason
    if history.state == "delivered":
        return passed("canary", f"X accepted {number}: {answer}")
    if last.outcome == "rejected" or history.state in {"dead", "held"}:
        return failed(
            "canary",
            f"X did not accept {number}, which is {history.state}: {answer or 'no response'}",
            "Other conversions of this event would fail the same way.",
            f"Run twite show {number}, and fix the failed checks above.",
        )
    return warning(
        "canary",
        f"{number} is {history.state}: {answer or 'X has not answered yet'}",
        "The test conversion stays queued, and Twite retries it.",
        f"Run twite show {number} in a few minutes.",
    )


def _signed(source: Source) -> dict[str, str]:
    return {"Authorization": f"Bearer {source.key.reveal() if source.key else ''}"}


class _Receipt(msgspec.Struct):
    accepted: int = 0
    suppressed: int = 0


class _Attempt(msgspec.Struct):
    outcome: str
    status: int | None = None
    answer: str | None = None


class _History(msgspec.Struct):
    state: str
    attempts: list[_Attempt] = []
    reason: str | None = None
