"""`python -m bench.tags`: what it costs to run a tag template, against a bare context.

The third side is the gateway's: an engine process, with one run at a time, and with sixteen.

Both sides run the same template (two hashes, one request, a cookie read) on the same event. The
bare side is a QuickJS context without limits, hardening, permissions, effect values or checks: the
few APIs that the template uses, written down as shortly as they can be, and the same SHA-256.
"""

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.resources import files

import msgspec
import quickjs
import uvloop

from twite.domain.incoming_request import IncomingRequest
from twite.tags.engines.process.engine_process import QuickJsProcess
from twite.tags.engines.process.engine_server import EngineServer
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.permissions import Grant
from twite.tags.template.sandbox import Call, EffectAnswer, RunLimits
from twite.tags.template.template import Template, TemplateKind, TemplatePart

CODE = """
const JSON = require('JSON');
const getAllEventData = require('getAllEventData');
const getCookieValues = require('getCookieValues');
const getTimestampMillis = require('getTimestampMillis');
const makeString = require('makeString');
const sendHttpRequest = require('sendHttpRequest');
const sha256Sync = require('sha256Sync');

const event = getAllEventData();
const hash = (text) => sha256Sync(makeString(text).trim().toLowerCase(), {outputEncoding: 'hex'});
const person = event.user_data || {};
const body = {
  pixel: data.pixel,
  name: event.event_name,
  time: getTimestampMillis(),
  value: event.value,
  currency: event.currency,
  contents: (event.items || []).map((item) => ({id: item.item_id, price: item.price})),
  identifiers: [hash(person.email_address), hash(person.phone_number)],
  click: getCookieValues('click')[0]
};
const options = {method: 'POST', headers: {'Content-Type': 'application/json'}, timeout: 5000};
sendHttpRequest('https://ads.example/v1/conversions', options, JSON.stringify(body))
  .then((answer) => {
    if (answer.statusCode === 200) data.gtmOnSuccess();
    else data.gtmOnFailure();
  });
"""
BARE = """
let cookies, event, now, sent, waiting, outcome;
const APIS = {
  JSON, makeString: String, getTimestampMillis: () => now, getAllEventData: () => JSON.parse(event),
  getCookieValues: (name) => cookies.split('; ').filter((one) => one.startsWith(name + '='))
    .map((one) => decodeURIComponent(one.slice(name.length + 1))),
  sha256Sync: (text, options) => encoded(digest(utf8(text)), options.outputEncoding),
  sendHttpRequest: (url, options, body) => {
    sent = {url, options, body};
    return {then: (act) => { waiting = act; }};
  },
};
const program = (function (require, data) {%s});
return (act, first, second) => {
  if (act === 'start') {
    const call = JSON.parse(first);
    event = second;
    now = call.now;
    cookies = call.cookies;
    outcome = 'silent';
    call.fields.gtmOnSuccess = () => { outcome = 'success'; };
    call.fields.gtmOnFailure = () => { outcome = 'failure'; };
    program((name) => APIS[name], call.fields);
    return JSON.stringify(sent);
  }
  waiting(JSON.parse(first));
  return outcome;
};
"""
NODE = """
const {createHash} = require('crypto');
const utf8 = (text) => text;
const digest = (text) => createHash('sha256').update(text);
const encoded = (hash, encoding) => hash.digest(encoding);
const given = JSON.parse(process.argv[1]);
const enter = (function () { %s })();
function run() {
  // As on the other sides: the event is encoded anew each time.
  JSON.parse(enter('start', JSON.stringify(given.call), JSON.stringify(given.event)));
  if (enter('resume', '{"statusCode":200,"body":"{}"}') !== 'success') throw new Error('it failed');
}
for (let i = 0; i < 20000; i++) run();
const took = [];
for (let round = 0; round < given.rounds; round++) {
  const before = process.cpuUsage();
  for (let i = 0; i < given.each; i++) run();
  const {user, system} = process.cpuUsage(before);
  took.push((user + system) / given.each);
}
console.log(JSON.stringify(took));
"""
EVENT = {
    "event_name": "purchase",
    "client_id": "1234567890.1234567890",
    "page_location": "https://shop.example/thanks?utm_source=x&twclid=23opevjt88psuo13lu8d020qkn",
    "page_referrer": "https://shop.example/cart",
    "page_title": "Thank you",
    "language": "en-gb",
    "ip_override": "203.0.113.7",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
    "value": 49.9,
    "currency": "EUR",
    "transaction_id": "order-1001",
    "user_data": {"email_address": "Shopper@example.com ", "phone_number": "+442079460958"},
    "items": [{"item_id": "SKU-1", "item_name": "Mug", "price": 24.95, "quantity": 2}],
}
NOW = 1_764_000_000_000
COOKIES = "_ga=GA1.1.1234567890.1234567890; click=23opevjt88psuo13lu8d020qkn; session=abc"


def template() -> Template:
    grants = (
        Grant(
            permission="send_http",
            parameters={"allowedUrls": "specific", "urls": ["https://ads.example/*"]},
        ),
        Grant(permission="read_event_data", parameters={"eventDataAccess": "any"}),
        Grant(
            permission="get_cookies",
            parameters={"cookieAccess": "specific", "cookieNames": ["click"]},
        ),
    )
    return Template(
        kind=TemplateKind.TAG,
        id="",
        name="Typical",
        description="",
        fields=(),
        code=TemplatePart(text=CODE, line=1),
        grants=grants,
        tests=None,
        notes="",
    )


CALL = Call(
    fields={"pixel": "o8z6j"},
    event=EVENT,
    now=NOW,
    request=IncomingRequest(headers=(("cookie", COOKIES),)),
)
AT_ONCE = 16
PAUSE, PAUSED_RUNS = 0.004, 200


def ours(engine: QuickJsEngine) -> Callable[[], None]:
    def run() -> None:
        turn = engine.start(CALL)
        answers = (EffectAnswer(id=turn.waiting[0], status=200, body="{}"),)
        ended = engine.resume(turn.run, answers, now=NOW)
        assert ended.outcome == "success"

    return run


def bare() -> Callable[[], None]:
    source = files("twite.tags.engines.quickjs") / "sandbox"
    parts = "".join((source / f"{name}.js").read_text() for name in ("natives", "text"))
    enter = quickjs.Context().eval(f"(function () {{ {parts} {BARE % CODE} }})()")
    given = {"fields": {"pixel": "o8z6j"}, "now": NOW, "cookies": COOKIES}

    def run() -> None:
        # As ours: what is given is encoded anew each time, what comes back is decoded.
        text, event = msgspec.json.encode(given).decode(), msgspec.json.encode(EVENT).decode()
        assert json.loads(enter("start", text, event))["url"]
        assert enter("resume", '{"statusCode":200,"body":"{}"}') == "success"

    return run


def in_node(*, rounds: int, each: int) -> float:
    """Return the microseconds of CPU time of a run in bare Node.js, compiled and warm."""
    given = {"event": EVENT, "rounds": rounds, "each": each}
    given["call"] = {"fields": {"pixel": "o8z6j"}, "now": NOW, "cookies": COOKIES}
    said = subprocess.run(
        ["node", "-e", NODE % (BARE % CODE), json.dumps(given)],  # noqa: S607  as installed
        check=True,
        capture_output=True,
    )
    return statistics.median(json.loads(said.stdout))


def timed(run: Callable[[], None], times: int) -> list[float]:
    """Return what each run took, in seconds of the wall's clock."""
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        run()
        took.append(time.perf_counter() - begun)
    return took


async def in_process(process: QuickJsProcess, typical: Template, *, pause: float = 0.0) -> float:
    """Return the seconds of a run, without the pauses before its two turns."""
    if pause:
        await asyncio.sleep(pause)
    began = time.perf_counter()
    turn = await process.start(typical, CALL)
    took = time.perf_counter() - began
    if pause:
        await asyncio.sleep(pause)
    began = time.perf_counter()
    answers = (EffectAnswer(id=turn.waiting[0], status=200, body="{}"),)
    ended = await process.resume(turn.run, answers, now=NOW)
    assert ended.outcome == "success"
    return took + time.perf_counter() - began


def processors(process: QuickJsProcess) -> float:
    """Return the CPU seconds of this process and of the engine process."""
    return time.process_time() + time.clock_gettime((~(process.pid or 0) << 3) | 2)


async def processes(rounds: int, each: int) -> float:
    """Measure runs in an engine process, in turn with runs here; return the ratio of rates."""
    server, typical = EngineServer(), template()
    process, here = server.process(RunLimits()), ours(QuickJsEngine(typical))
    took: list[float] = []
    rates: dict[str, list[float]] = {"here": [], "alone": [], "at once": []}
    clock: dict[str, list[float]] = {"here": [], "at once": []}

    async def many(count: int) -> None:
        for _ in range(count):
            await in_process(process, typical)

    await many(200)
    timed(here, 200)
    for _ in range(rounds):
        began = time.process_time()
        clock["here"].append(each / sum(timed(here, each)))
        rates["here"].append(each / (time.process_time() - began))
        before = processors(process)
        took += [await in_process(process, typical) for _ in range(each)]
        rates["alone"].append(each / (processors(process) - before))
        before, began = processors(process), time.perf_counter()
        await asyncio.gather(*(many(each // AT_ONCE) for _ in range(AT_ONCE)))
        runs = each // AT_ONCE * AT_ONCE
        clock["at once"].append(runs / (time.perf_counter() - began))
        rates["at once"].append(runs / (processors(process) - before))
    paused = [await in_process(process, typical, pause=PAUSE) for _ in range(PAUSED_RUNS)]
    await server.stop()
    cuts = statistics.quantiles(took, n=100)
    alone, at_once, rate = (statistics.median(rates[name]) for name in ("alone", "at once", "here"))
    print(f"process p50 {cuts[49] * 1e3:.3f} ms  p99 {cuts[98] * 1e3:.3f} ms  {alone:,.0f}/s")
    print(
        f"process, {AT_ONCE} at once: {at_once:,.0f}/s, {at_once / rate:.2f} of {rate:,.0f}/s here"
    )
    cold = statistics.median(paused)
    print(f"process, with pauses of {PAUSE * 1e3:.0f} ms: p50 {cold * 1e3:.3f} ms")
    fast, usual = (statistics.median(clock[name]) for name in ("at once", "here"))
    print(f"by the clock: {fast:,.0f}/s, {fast / usual:.2f} of {usual:,.0f}/s here")
    return at_once / rate


def memory_over(engine: QuickJsEngine, run: Callable[[], None], *, runs: int) -> str:
    """Run often; return how much memory the context holds at the beginning and at the end."""
    held = [engine.memory() / 1024]
    for at in range(runs):
        run()
        if at % max(1, min(500, runs // 8)) == 0:
            held.append(engine.memory() / 1024)
    # It goes up and down: what refers to itself waits for the engine's own collector.
    quarter = -(-len(held) // 4)
    return (
        f"a context holds at most {max(held[:quarter]):,.0f} KiB in the first quarter of "
        f"{runs:,} runs, {max(held[-quarter:]):,.0f} in the last"
    )


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--runs", type=int, default=100_000)
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--each", type=int, default=2_000)
    return asked


def main() -> int:
    chosen = parser().parse_args()
    engine = QuickJsEngine(template())
    sides = {"ours": ours(engine), "bare": bare()}
    for run in sides.values():
        timed(run, 200)
    took: dict[str, list[float]] = {"ours": [], "bare": []}
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(chosen.rounds):
        for side, run in sides.items():
            # The rate goes by the processor's clock, which knows nothing of other work.
            begun = time.process_time()
            took[side] += timed(run, chosen.each)
            rates[side].append(chosen.each / (time.process_time() - begun))
    for side, all_took in took.items():
        cuts = statistics.quantiles(all_took, n=100)
        rate = statistics.median(rates[side])
        print(f"{side:6} p50 {cuts[49] * 1e3:.3f} ms  p99 {cuts[98] * 1e3:.3f} ms  {rate:,.0f}/s")
    ratio = statistics.median(rates["ours"]) / statistics.median(rates["bare"])
    print(f"ours is {ratio:.2f} of a bare context")
    if shutil.which("node"):
        took_there = in_node(rounds=chosen.rounds, each=chosen.each)
        print(f"bare Node.js: {took_there:.0f} µs of CPU time a run")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the gateway
        runner.run(processes(chosen.rounds, chosen.each))
    print(memory_over(engine, sides["ours"], runs=chosen.runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
