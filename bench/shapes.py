"""What other shapes of input cost: CPU time from the request until X has it, of the usual shape.

Each shape is measured in requests of 100, beside the usual one: with rejected conversions, TC
strings of 900 vendors, repeated conversions, hundreds of pixels, and tags.
"""

from typing import TYPE_CHECKING, Final

from bench.orders import SHAPES, pixel_of
from bench.rig import Rig
from bench.sample import Sample

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
    """Measure all shapes in turns."""
    for _ in bench.runs("shapes of input"):
        for shape in SHAPES:
            bench.samples[f"shape-{shape}"].append(_measured(bench, shape))


def _measured(bench: "Bench", shape: str) -> Sample:
    from bench.figures import rest  # noqa: PLC0415

    (bench.folder / "tag.tpl").write_text(_TEMPLATE)
    pixels = [pixel_of(number) for number in range(_PIXELS.get(shape, 0))]
    template = str(bench.folder / "tag.tpl")
    tags = [_TAG.format(number=number) for number in range(_TAGS.get(shape, 0))]
    extra = "".join([*(_PIXEL.format(pixel=pixel) for pixel in pixels), *tags])
    of_shop = f"pixels = {pixels}".replace("'", '"') if pixels else ""
    seconds = _SECONDS_WITH_TAGS if tags else bench.chosen.seconds
    with Rig(
        bench.folder,
        store=bench.store(),
        extra=extra.replace("tag.tpl", template),
        of_shop=of_shop,
    ) as rig:
        rest(rig.gateway)
        before = rig.gateway.cpu()
        sample = bench.under_load(
            rig.gateway, rig.url, _EACH, _CONNECTIONS, seconds=seconds, shape=shape
        )
        rest(rig.gateway, looks=1_000)
        many = sample.rate * seconds
        return sample._replace(cpu=(rig.gateway.cpu() - before) / many)


def verdict(found: dict[str, Sample]) -> list[str]:
    """Return a line for each shape: its CPU time of that of the usual one."""
    usual = found.get("shape-usual")
    if usual is None:
        return []
    return [f"  {'shape, until X has it':<46}{'µs':>8}{'of usual':>10}"] + [
        f"  {shape:<46}{found[f'shape-{shape}'].micros:8.1f}"
        f"{found[f'shape-{shape}'].cpu / usual.cpu:10.2f}"
        for shape in SHAPES
    ]
