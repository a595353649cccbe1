"""The control plane under /_emulator: inspect requests, set faults and switches. Loopback only."""

from collections.abc import Callable, Collection, Mapping
from typing import Final

import msgspec

from twite_emulator.analytics.truth import truth
from twite_emulator.counting import EventCount
from twite_emulator.exchange import EmulatorInputError, XAnswer, XRequestReceived, json_answer
from twite_emulator.judge import Judge, Received
from twite_emulator.switches import QUESTIONS, changed

PREFIX: Final = "/_emulator"
_TRUE: Final = ("1", "true", "yes", "on")


def answer_control(request: XRequestReceived, judge: Judge) -> XAnswer:
    name = request.path.removeprefix(PREFIX).strip("/")
    act = ROUTES.get((request.method, name))
    if act is None:
        known = [f"{method} {PREFIX}/{route}" for method, route in ROUTES]
        return json_answer(404, {"error": "No such control route", "routes": known})
    try:
        return json_answer(200, act(judge, request))
    except EmulatorInputError as error:
        return json_answer(400, {"error": str(error)})


def _reset(judge: Judge, request: XRequestReceived) -> object:
    what = _object(request).get("what", "all")
    if what == "all":
        judge.reset()
    elif what == "received":
        judge.forget()
    else:
        raise EmulatorInputError('"what" must be "all" or "received"')
    return {"reset": what}


def _received(judge: Judge, request: XRequestReceived) -> object:
    query = dict(request.query_pairs())
    entries = list(judge.journal.entries)
    last = query.get("last", "")
    if last and not last.isdecimal():
        raise EmulatorInputError('"last" must be a number of requests')
    if last:
        entries = entries[max(0, len(entries) - int(last)) :]
    bodies = query.get("bodies") in _TRUE
    return {
        "requests": judge.journal.requests,
        "conversions": judge.journal.conversions,
        "answers": judge.journal.answers,
        "entries": [_shown(entry, bodies=bodies) for entry in entries],
    }


def _shown(received: Received, *, bodies: bool) -> dict[str, object]:
    shown: dict[str, object] = msgspec.structs.asdict(received)
    del shown["body"]
    if bodies:
        shown["body"] = None if received.body is None else received.body.decode("utf-8", "replace")
    return shown


def _counted(judge: Judge, request: XRequestReceived) -> object:
    query = dict(request.query_pairs())
    ids = query.get("ids") in _TRUE
    counts: dict[str, dict[str, EventCount]] = {}  # by pixel and event
    for (pixel, event), count in judge.ledger.events.items():
        if query.get("pixel", pixel) == pixel and query.get("event", event) == event:
            counts.setdefault(pixel, {})[event] = count
    return {
        **_figures([count for events in counts.values() for count in events.values()]),
        "unchecked": sum(judge.ledger.unchecked.values()),
        "pixels": {
            pixel: {
                **_figures(counts.get(pixel, {}).values()),
                "unchecked": judge.ledger.unchecked.get(pixel, 0),
                "events": {
                    event: _figures([count]) | (_tallies(judge, pixel, event) if ids else {})
                    for event, count in counts.get(pixel, {}).items()
                },
            }
            for pixel in dict.fromkeys((*counts, *judge.ledger.unchecked))
        },
    }


def _figures(counts: Collection[EventCount]) -> dict[str, object]:
    names = [name for name in EventCount.__struct_fields__ if name not in {"first_at", "last_at"}]
    return {name: sum(getattr(count, name) for count in counts) for name in names}


def _tallies(judge: Judge, pixel: str, event: str) -> dict[str, object]:
    names = ("api", "pixel", "counted", "kept")
    return {
        "ids": {
            id_: {name: getattr(tally, name) for name in names}
            for id_, tally in judge.ledger.ids_of((pixel, event))
        }
    }


def _disarm(judge: Judge, _: XRequestReceived) -> object:
    judge.faults.clear()
    return {"faults": []}


def _turn(judge: Judge, request: XRequestReceived) -> object:
    judge.switches = changed(judge.switches, _object(request))
    return {"switches": judge.switches}


def _add(judge: Judge, request: XRequestReceived) -> object:
    judge.world.merge(_object(request))
    return judge.world.document()


def _clock(judge: Judge, _: XRequestReceived) -> object:
    return {"now": judge.now(), "shift": judge.shift}


def _shift(judge: Judge, request: XRequestReceived) -> object:
    document = _object(request)
    name = "now" if "now" in document else "shift"
    seconds = document.get(name)
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise EmulatorInputError(f'"{name}" must be a number of seconds')
    judge.shift += seconds - judge.now() if name == "now" else seconds
    return _clock(judge, request)


def _plant(judge: Judge, request: XRequestReceived) -> object:
    return judge.ads.plant(_object(request), judge.world, at=judge.now())


def _truth(judge: Judge, request: XRequestReceived) -> object:
    return truth(dict(request.query_pairs()), judge.state())


Act = Callable[[Judge, XRequestReceived], object]
ROUTES: Final[Mapping[tuple[str, str], Act]] = {
    ("POST", "reset"): _reset,
    ("GET", "received"): _received,
    ("GET", "counted"): _counted,
    ("GET", "hits"): lambda judge, _: {"hits": judge.hits.entries},
    ("GET", "faults"): lambda judge, _: {"faults": judge.faults.armed},
    ("POST", "faults"): lambda judge, asked: {"faults": judge.faults.arm(_decoded(asked))},
    ("DELETE", "faults"): _disarm,
    ("GET", "switches"): lambda judge, _: {"switches": judge.switches, "questions": QUESTIONS},
    ("PATCH", "switches"): _turn,
    ("GET", "world"): lambda judge, _: judge.world.document(),
    ("PUT", "world"): _add,
    ("POST", "ads"): _plant,
    ("GET", "asked"): lambda judge, _: judge.asked.document(),
    ("GET", "truth"): _truth,
    ("GET", "clock"): _clock,
    ("POST", "clock"): _shift,
}


def _decoded(request: XRequestReceived) -> object:
    if not request.body:
        return {}
    try:
        return msgspec.json.decode(request.body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise EmulatorInputError(f"The body is not JSON: {error}") from None


def _object(request: XRequestReceived) -> dict[str, object]:
    document = _decoded(request)
    if not isinstance(document, dict):
        raise EmulatorInputError("The body must be a JSON object")
    return document
