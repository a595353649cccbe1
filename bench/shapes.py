"""What other shapes of input cost: CPU time from the request until X has it, of the usual shape.

Each shape is measured in requests of 100, beside the usual one: with rejected conversions, TC
strings of 900 vendors, repeated conversions, hundreds of pixels, calls of Segment's API, and tags.
A request to X is for one pixel, so hundreds of pixels need more requests. The column `client` is
what a bare loop of the HTTP client takes for as many requests of the same size.
"""

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from bench.orders import SHAPES, pixel_of
from bench.rig import Rig
from bench.sample import Sample
from bench.servers import ROOT

if TYPE_CHECKING:
    from bench.figures import Bench

_EACH, _CONNECTIONS = 100, 16
# A run of a template takes much longer than a conversion.
_SECONDS_WITH_TAGS: Final = 0.1
_PIXELS: Final = {"pixels-100": 100, "pixels-500": 500}
_TAGS: Final = {"tags-1": 1, "tags-10": 10}
_PIXEL = """
[[pixel]]
id = "{pixel}"
auth = {{ pixel_token = "env:TWITE_BENCH_TOKEN" }}
events = {{ purchase = "o8z6k" }}
"""
_TAG = """
[[tag]]
name = "tag-{number}"
template = "tag.tpl"
rate = 10000000
"""
# It reads the event and hashes the person, as tags do, and sends nothing.
_TEMPLATE = """___INFO___

{"type": "TAG", "id": "cvt_bench", "version": 1, "displayName": "Bench",
 "containerContexts": ["SERVER"]}

___SANDBOXED_JS_FOR_SERVER___

const sha256Sync = require('sha256Sync');
const getEventData = require('getEventData');
sha256Sync('' + getEventData('transaction_id'), {outputEncoding: 'hex'});
data.gtmOnSuccess();

___SERVER_PERMISSIONS___

[{"instance": {"key": {"publicId": "read_event_data", "versionId": "1"},
  "param": [{"key": "eventDataAccess", "value": {"type": 1, "string": "any"}}]}}]
"""


def shapes(bench: "Bench") -> None:
    """Measure the chosen shapes, or all, in turns."""
    for _ in bench.runs("shapes of input"):
        for shape in _chosen(bench.chosen.shape):
            whole, size = _measured(bench, shape)
            bench.samples[f"shape-{shape}"].append(whole)
            if shape in _TAGS:
                continue
            bench.samples[f"shape-{shape}-accepted"].append(_measured(bench, shape, sends=False)[0])
            bench.samples[f"shape-{shape}-client"].append(_client(bench, size))


def _chosen(names: Sequence[str] | None) -> Sequence[str]:
    return tuple(SHAPES) if names is None else tuple(dict.fromkeys(("usual", *names)))


def _measured(bench: "Bench", shape: str, *, sends: bool = True) -> tuple[Sample, float]:
    """Return a sample, and the conversions in a request to X."""
    from bench.figures import rest  # noqa: PLC0415

    seconds = _SECONDS_WITH_TAGS if shape in _TAGS else bench.chosen.seconds
    with rig_of(bench, shape, sending=sends) as rig:
        # The first requests open connections and import modules.
        bench.under_load(
            rig.gateway, rig.url, _EACH, _CONNECTIONS, seconds=seconds / 4, shape=shape
        )
        rest(rig.gateway, looks=1_000)
        attempts = _attempts(rig)
        before = rig.gateway.cpu()
        sample = bench.under_load(
            rig.gateway, rig.url, _EACH, _CONNECTIONS, seconds=seconds, shape=shape
        )
        rest(rig.gateway, looks=1_000)
        many = sample.rate * seconds
        cpu = (rig.gateway.cpu() - before) / many
        requests = _attempts(rig) - attempts
        # Of received conversions, even if not all of them are sent.
        return sample._replace(cpu=cpu), many / requests if requests else 0.0


def rig_of(bench: "Bench", shape: str, *, sending: bool = True, x: str | None = None) -> Rig:
    """Return a rig with the pixels and tags of a shape."""
    (bench.folder / "tag.tpl").write_text(_TEMPLATE)
    pixels = [pixel_of(number) for number in range(_PIXELS.get(shape, 0))]
    template = str(bench.folder / "tag.tpl")
    tags = [_TAG.format(number=number) for number in range(_TAGS.get(shape, 0))]
    extra = "".join([*(_PIXEL.format(pixel=pixel) for pixel in pixels), *tags])
    return Rig(
        bench.folder,
        store=bench.store(),
        sending=sending,
        pixels=pixels,
        extra=extra.replace("tag.tpl", template),
        of_shop=f"pixels = {pixels}".replace("'", '"') if pixels else "",
        x=x,
    )


def _attempts(rig: Rig) -> int:
    db = sqlite3.connect(rig.database)
    ((requests,),) = db.execute("SELECT count(*) FROM attempt")
    db.close()
    return int(requests)


def _client(bench: "Bench", size: float) -> Sample:
    """Return what the HTTP client alone takes for requests of this size."""
    with Rig(bench.folder, store=None) as rig:
        done = subprocess.run(
            [sys.executable, "-m", "bench.client", rig.x, str(size), str(bench.chosen.seconds)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    conversions, cpu = map(float, done.stdout.split())
    return Sample(rate=size, cpu=cpu / conversions)


def verdict(found: dict[str, Sample]) -> list[str]:
    """Return a line for each shape: its CPU time, of that of the usual one."""
    usual = found.get("shape-usual")
    if usual is None:
        return []
    lines = [
        "",
        "  µs of CPU for each conversion, and of the usual shape; own: until X has it, less client",
        "  shape       a second   until X has it   until the 202   a request  client           own",
    ]
    own_of_usual = usual.micros - found["shape-usual-client"].micros
    for shape in SHAPES:
        if f"shape-{shape}" not in found:
            continue
        whole = found[f"shape-{shape}"]
        line = f"  {shape:<12}{whole.rate:8,.0f}{whole.micros:11.1f}{whole.cpu / usual.cpu:7.2f}"
        if shape not in _TAGS:
            accepted, client = found[f"shape-{shape}-accepted"], found[f"shape-{shape}-client"]
            own = whole.micros - client.micros
            line += (
                f"{accepted.micros:9.1f}{accepted.cpu / found['shape-usual-accepted'].cpu:7.2f}"
                f"{client.rate:12.1f}{client.micros:8.1f}{own:8.1f}{own / own_of_usual:6.2f}"
            )
        lines.append(line)
    return lines
