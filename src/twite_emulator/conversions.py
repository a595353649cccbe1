"""The conversions endpoint: check one request.

[doc WEB] The order of checks: credentials (401), app (403), pixel and account (404), body, number
of conversions, then every problem of every conversion; because of one problem, the whole request is
refused.
"""

from typing import Final

import msgspec
from msgspec import Struct

from twite_emulator import spec
from twite_emulator.access import Caller, Denied, admit, refuse_account
from twite_emulator.ads import CountedConversion, amount_of, items_of, keys_of
from twite_emulator.examine import ExaminedConversion, examine
from twite_emulator.exchange import (
    EMPTY_BATCH,
    MIXED_EVENTS,
    NOT_AN_ARRAY,
    NOT_JSON,
    RATE_LIMITED,
    UNKNOWN_PIXEL,
    Problem,
    XAnswer,
    XRequestReceived,
    XVerdict,
    debug_id,
    json_answer,
    refusal,
)
from twite_emulator.fields import invalid, missing
from twite_emulator.state import Allowance, EmulatedState
from twite_emulator.world import EmulatedPixel


def judge_conversions(request: XRequestReceived, pixel_id: str, state: EmulatedState) -> XVerdict:
    caller = admit(request, pixel_id, state)
    if isinstance(caller, Denied):
        return XVerdict(answer=caller.answer, pixel=pixel_id, auth=caller.auth, why=caller.why)
    pixel = state.world.pixels.get(pixel_id)
    if pixel is None:
        message = UNKNOWN_PIXEL.format(value=pixel_id)
        answer = refusal(404, Problem(spec.NOT_FOUND, message, "pixel_id"))
        return XVerdict(answer=answer, pixel=pixel_id, auth=caller.auth, why="unknown pixel")
    denied = refuse_account(caller.user, pixel.account)
    if denied is not None:
        return XVerdict(answer=denied, pixel=pixel_id, auth=caller.auth, why="no managing role")
    return _Case(caller, pixel, state).verdict(request)


def judge_unchecked(request: XRequestReceived, pixel_id: str, state: EmulatedState) -> XVerdict:
    """Only count the elements of `conversions`; used while the `checks` switch is off."""
    try:
        number = len(_COUNTER.decode(request.body).conversions)
    except msgspec.MsgspecError:
        problem = Problem(spec.INVALID_PARAMETER, NOT_JSON)
        return XVerdict(answer=refusal(400, problem), pixel=pixel_id, why="not a batch")
    state.counter.count_unchecked(pixel_id, number)
    document = {
        "request": {"params": {}},
        "data": {"conversions_processed": number, "debug_id": debug_id(state.randomness)},
    }
    return XVerdict(answer=json_answer(200, document), pixel=pixel_id, conversions=number)


class _Case:
    """A request from a caller that may use the pixel."""

    def __init__(self, caller: Caller, pixel: EmulatedPixel, state: EmulatedState) -> None:
        self._caller = caller
        self._pixel = pixel
        self._state = state
        shown = caller.auth == "oauth" or state.switches.echo_account
        self._params: dict[str, object] = {"account_id": pixel.account} if shown else {}

    def verdict(self, request: XRequestReceived) -> XVerdict:
        by_request = self._state.switches.rate_unit == "requests"
        allowance = self._take(1 if by_request else 0)
        if not allowance.granted:
            return self._limited(allowance, None)
        conversions = _conversions_of(request.body)
        if isinstance(conversions, Problem):
            return self._refused([conversions], allowance, None)
        number = len(conversions)
        problem = _number_problem(number)
        if problem is not None:
            return self._refused([problem], allowance, number)
        findings = self._examine(conversions)
        problems = [problem for finding in findings for problem in finding.problems]
        if problems and not self._state.switches.partial_success:
            return self._refused(problems, allowance, number)
        good = [finding for finding in findings if not finding.problems]
        if not by_request:
            allowance = self._take(len(good))
            if not allowance.granted:
                return self._limited(allowance, number)
        return self._taken(good, problems, allowance, number)

    def _examine(self, conversions: list[object]) -> list[ExaminedConversion]:
        findings = [
            examine(conversion, self._pixel, self._caller.auth, self._state)
            for conversion in conversions
        ]
        events = {finding.event for finding in findings if finding.event}
        if self._state.switches.single_event_batch and len(events) > 1:
            mixed = (invalid(MIXED_EVENTS, "event_id"),)
            findings.append(ExaminedConversion(problems=mixed))
        return findings

    def _take(self, amount: int) -> Allowance:
        switches = self._state.switches
        return self._state.windows.take(
            self._pixel.account,
            amount,
            at=self._state.at,
            limit=switches.rate_limit,
            seconds=switches.rate_window,
        )

    def _taken(
        self,
        good: list[ExaminedConversion],
        problems: list[Problem],
        allowance: Allowance,
        number: int,
    ) -> XVerdict:
        counted = 0
        for finding in good:
            counts = self._state.counter.receive(
                "api",
                event=(finding.home, finding.event),
                conversion_id=finding.conversion_id,
                at=self._state.at,
                switches=self._state.switches,
            )
            counted += counts
            self._attribute(finding, counts=counts)
        every = self._state.switches.dedup_count == "counted"
        document: dict[str, object] = {
            "request": {"params": self._params},
            "data": {
                "conversions_processed": len(good) if every else counted,
                "debug_id": debug_id(self._state.randomness),
            },
        }
        if problems:
            document["errors"] = problems
        return self._said(json_answer(200, document), allowance, number, None)

    def _attribute(self, examined: ExaminedConversion, *, counts: bool) -> None:
        tag = self._state.world.events.get(examined.event)
        if tag is None or self._state.ads.is_empty:
            return
        sent = examined.conversion
        conversion = CountedConversion(
            tag=tag,
            at=examined.at,
            received_at=self._state.at,
            keys=keys_of(sent.get("identifiers")),
            value=amount_of(sent.get("value")),
            currency=str(sent.get("price_currency") or spec.DEFAULT_CURRENCY),
            items=items_of(sent.get("number_items")),
        )
        self._state.attribute(conversion, examined.conversion_id, counts=counts)

    def _refused(
        self, problems: list[Problem], allowance: Allowance, number: int | None
    ) -> XVerdict:
        # If there are both NOT_FOUND and INVALID_PARAMETER, X responds with 404. [doc WEB]
        missed = any(problem.code == spec.NOT_FOUND for problem in problems)
        answer = refusal(404 if missed else 400, *problems, **self._params)
        return self._said(answer, allowance, number, problems[0].message[:200])

    def _limited(self, allowance: Allowance, number: int | None) -> XVerdict:
        problem = Problem(spec.TOO_MANY_REQUESTS, RATE_LIMITED)
        answer = refusal(429, problem, **self._params)
        return self._said(answer, allowance, number, "rate limit")

    def _said(
        self, answer: XAnswer, allowance: Allowance, number: int | None, why: str | None
    ) -> XVerdict:
        headers = allowance.headers(self._caller.auth, self._state.switches)
        return XVerdict(
            answer=answer.with_headers(*headers),
            pixel=self._pixel.id,
            auth=self._caller.auth,
            conversions=number,
            why=why,
        )


class _Counted(Struct):
    conversions: list[msgspec.Raw]


_COUNTER: Final = msgspec.json.Decoder(_Counted)


def _conversions_of(body: bytes) -> list[object] | Problem:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Problem(spec.INVALID_PARAMETER, NOT_JSON)
    if not isinstance(document, dict):
        return invalid(spec.WRONG_TYPE, "body", document, type="Object")
    conversions = document.get("conversions")
    if conversions is None:
        return missing("conversions")
    if not isinstance(conversions, list):
        return invalid(NOT_AN_ARRAY, "conversions", conversions)
    return conversions


def _number_problem(number: int) -> Problem | None:
    if number > spec.MAX_CONVERSIONS:
        return Problem(spec.INVALID_PARAMETER, spec.TOO_MANY_CONVERSIONS, "conversions")
    if number == 0:
        return Problem(spec.INVALID_PARAMETER, EMPTY_BATCH, "conversions")
    return None
