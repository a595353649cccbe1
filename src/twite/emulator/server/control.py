"""The control plane under /_emulator: inspect requests, set faults and switches. Loopback only."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from twite.emulator.counting import EventCount
from twite.emulator.exchange import XAnswer, XRequestReceived, json_answer
from twite.emulator.faults import FaultError
from twite.emulator.judge import Judge, Received
from twite.emulator.switches import QUESTIONS, SwitchError, changed
from twite.emulator.world import WorldError

PREFIX: Final = "/_emulator"


class ControlError(ValueError):
    """An invalid control request; the text says why."""


def answer_control(request: XRequestReceived, judge: Judge) -> XAnswer:
    name = request.path.removeprefix(PREFIX).strip("/")
    act = ROUTES.get((request.method, name))
    if act is None:
        known = [f"{method} {PREFIX}/{route}" for method, route in ROUTES]
        return json_answer(404, {"error": "No such control route", "routes": known})
    try:
        return json_answer(200, act(judge, request))
    except (ControlError, FaultError, SwitchError, WorldError) as error:
        return json_answer(400, {"error": str(error)})


def _reset(judge: Judge, request: XRequestReceived) -> object:
    what = _object(request).get("what", "all")
    if what == "all":
        judge.reset()
    elif what == "received":
        judge.forget()
    else:
        raise ControlError('"what" must be "all" or "received"')
    return {"reset": what}


def _received(judge: Judge, request: XRequestReceived) -> object:
    query = dict(request.query_pairs())
    entries = list(judge.journal.entries)
    last = query.get("last", "")
    if last and not last.isdecimal():
        raise ControlError('"last" must be a number of requests')
    if last:
        entries = entries[max(0, len(entries) - int(last)) :]
    bodies = query.get("bodies") in _TRUE
    return {
        "requests": judge.journal.requests,
        "conversions": judge.journal.conversions,
        "answers": judge.journal.answers,
        "entries": [_shown(entry, bodies=bodies) for entry in entries],
    }


def _shown(entry: Received, *, bodies: bool) -> dict[str, object]:
    shown: dict[str, object] = msgspec.structs.asdict(entry)
    del shown["body"]
    if bodies:
        shown["body"] = None if entry.body is None else entry.body.decode("utf-8", "replace")
    return shown


def _counted(judge: Judge, request: XRequestReceived) -> object:
    query = dict(request.query_pairs())
    ids = query.get("ids") in _TRUE
    pixels: dict[str, dict[str, object]] = {}
    totals: dict[str, EventCount] = {}
    for (pixel, event), count in judge.ledger.events.items():
        if query.get("pixel", pixel) != pixel or query.get("event", event) != event:
            continue
        shown = _figures(count)
        if ids:
            shown["ids"] = {
                key: {
                    "api": tally.api,
                    "pixel": tally.pixel,
                    "counted": tally.counted,
                    "kept": tally.kept,
                }
                for key, tally in judge.ledger.ids_of((pixel, event))
            }
        pixels.setdefault(pixel, {})[event] = shown
        totals[pixel] = totals.get(pixel, EventCount()).plus(count)
    total = EventCount()
    for count in totals.values():
        total = total.plus(count)
    return {
        **_figures(total),
        "unchecked": sum(judge.ledger.unchecked.values()),
        "pixels": {
            pixel: {
                **_figures(totals.get(pixel, EventCount())),
                "unchecked": judge.ledger.unchecked.get(pixel, 0),
                "events": pixels.get(pixel, {}),
            }
            for pixel in dict.fromkeys((*totals, *judge.ledger.unchecked))
        },
    }


def _figures(count: EventCount) -> dict[str, object]:
    figures: dict[str, object] = msgspec.structs.asdict(count)
    del figures["first_at"], figures["last_at"]
    return figures


def _hits(judge: Judge, _: XRequestReceived) -> object:
    return {"hits": judge.hits.entries}


def _faults(judge: Judge, _: XRequestReceived) -> object:
    return {"faults": judge.faults.armed}


def _arm(judge: Judge, request: XRequestReceived) -> object:
    return {"faults": judge.faults.arm(_decoded(request))}


def _disarm(judge: Judge, _: XRequestReceived) -> object:
    judge.faults.clear()
    return {"faults": []}


def _switches(judge: Judge, _: XRequestReceived) -> object:
    return {"switches": judge.switches, "questions": dict(QUESTIONS)}


def _turn(judge: Judge, request: XRequestReceived) -> object:
    judge.switches = changed(judge.switches, _object(request))
    return {"switches": judge.switches}


def _world(judge: Judge, _: XRequestReceived) -> object:
    return judge.world.document()


def _add(judge: Judge, request: XRequestReceived) -> object:
    judge.world.merge(_object(request))
    return judge.world.document()


def _clock(judge: Judge, _: XRequestReceived) -> object:
    return {"now": judge.now(), "shift": judge.shift}


def _shift(judge: Judge, request: XRequestReceived) -> object:
    seconds = _object(request).get("shift")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise ControlError('"shift" must be a number of seconds')
    judge.shift += seconds
    return {"now": judge.now(), "shift": judge.shift}


Act = Callable[[Judge, XRequestReceived], object]
ROUTES: Final[Mapping[tuple[str, str], Act]] = MappingProxyType(
    {
        ("POST", "reset"): _reset,
        ("GET", "received"): _received,
        ("GET", "counted"): _counted,
        ("GET", "hits"): _hits,
        ("GET", "faults"): _faults,
        ("POST", "faults"): _arm,
        ("DELETE", "faults"): _disarm,
        ("GET", "switches"): _switches,
        ("PATCH", "switches"): _turn,
        ("GET", "world"): _world,
        ("PUT", "world"): _add,
        ("GET", "clock"): _clock,
        ("POST", "clock"): _shift,
    }
)
_TRUE: Final = ("1", "true", "yes", "on")


def _decoded(request: XRequestReceived) -> object:
    if not request.body:
        return {}
    try:
        return msgspec.json.decode(request.body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ControlError(f"The body is not JSON: {error}") from None


def _object(request: XRequestReceived) -> dict[str, object]:
    document = _decoded(request)
    if not isinstance(document, dict):
        raise ControlError("The body must be a JSON object")
    return document
