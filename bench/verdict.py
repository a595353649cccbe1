"""The figures as a table: each ratio by the clock and by CPU time, and what it must reach."""

import os
import statistics
import sys

from bench import back_fill, exporting, latency, postgres, shapes, what_if
from bench.figures import FLOODED, Bench
from bench.load import WRONG
from bench.sample import Sample, median

_HEAD = f"  {'':<46}{'clock':>8}{'CPU':>8}   must reach (aim)"


def verdict(bench: Bench) -> str:
    chosen = bench.chosen
    found = {side: median(samples) for side, samples in bench.samples.items() if samples}
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    made = f"{chosen.runs} runs of {chosen.seconds:g} s, medians, all in this run"
    lines = [
        "",
        f"Python {sys.version.split()[0]}, {machine}; {made}",
        "",
        _HEAD,
        *_ingest(found),
        *_delivery(found),
        *_settled(found, chosen.settled),
        *_floods(found),
        *_peer(found),
        *postgres.verdict(found, _ratio),
        *shapes.verdict(found),
        *latency.verdict(bench.latencies),
        *back_fill.verdict(bench.back_fills),
        *exporting.verdict(bench.exports),
        *what_if.verdict(bench.past),
        "",
        *_plain(bench),
    ]
    return "\n".join([*lines, ""])


def _ingest(found: dict[str, Sample]) -> list[str]:
    lines: list[str] = []
    if {"single", "bare"} <= found.keys():
        lines += _ratio(
            "durable single posts, of a bare endpoint", found["single"], found["bare"],
            "clock 0.40 (0.50), CPU 0.28 (0.45)",
        )  # fmt: skip
    if {"hundred", "raw"} <= found.keys():
        lines += _ratio(
            "durable, 100 a request, of raw inserts", found["hundred"], found["raw"],
            "clock 0.70 (0.85)",
        )  # fmt: skip
    if {"hundred", "bare"} <= found.keys():
        cost = found["hundred"].cpu / found["bare"].cpu
        lines.append(_row("CPU at 100 a request, of one bare post", None, cost, "≤ 1.4 (1.0)"))
    if {"sending", "raw"} <= found.keys():
        lines += _ratio("the same, while delivering", found["sending"], found["raw"], "")
    return lines


def _delivery(found: dict[str, Sample]) -> list[str]:
    lines: list[str] = []
    if {"delivery", "loop"} <= found.keys():
        lines += _ratio(
            "delivery, of a loop of ready-made batches", found["delivery"], found["loop"],
            "clock 0.15 (0.25)",
        )  # fmt: skip
    if {"delivery", "sdk"} <= found.keys():
        lines += _ratio("delivery, of X's SDK", found["delivery"], found["sdk"], "clock 20")
    return lines


def _settled(found: dict[str, Sample], size: int) -> list[str]:
    lines: list[str] = []
    for side, what in (
        ("single", "single posts"),
        ("hundred", "100 a request"),
        ("delivery", "delivery"),
    ):
        if f"{side}-settled" in found:
            name = f"{what}, {size:,} settled, of empty"
            lines += _ratio(name, found[f"{side}-settled"], found[side], "0.90 (0.95)")
    return lines


def _floods(found: dict[str, Sample]) -> list[str]:
    lines: list[str] = []
    for path in FLOODED:
        if f"flood{path}" in found:
            name = f"next to two floods of {path.partition('?')[0]}, of alone"
            target = "clock 0.95" if path in WRONG else "clock 0.80"
            lines += _ratio(name, found[f"flood{path}"], found["flood"], target)
    return lines


def _peer(found: dict[str, Sample]) -> list[str]:
    lines: list[str] = []
    for side, name in (("single", "single posts"), ("hundred", "100 a request")):
        if f"peer-{side}" in found:
            lines += _ratio(f"Twite, {name}, of the peer", found[side], found[f"peer-{side}"], "")
    return lines


def _plain(bench: Bench) -> list[str]:
    lines = [
        f"  peak memory, delivering a backlog of {size:,}: {peak:.0f} MB, must reach 150 (130)"
        for size, peak in bench.memory.items()
    ]
    for size, spent in bench.starts.items():
        asked = "0.5" if size == 0 else "3 with a million"
        cpu = statistics.median(spent)
        lines.append(f"  start with {size:,} queued: {cpu:.2f} s of CPU, must reach {asked}")
    return lines


def _ratio(name: str, ours: Sample, other: Sample, target: str) -> list[str]:
    """Two lines: how much of the other's pace and efficiency is reached, and both figures."""
    clock, cpu = ours.rate / other.rate, other.cpu / ours.cpu if ours.cpu else 0.0
    said = f"{ours.rate:,.0f}/s, {ours.micros:.1f} µs"
    if ours.p99:
        said += f", p99 {ours.p99:.0f} ms"
    return [
        _row(name, clock, cpu, target),
        f"      {said}; the other {other.rate:,.0f}/s, {other.micros:.1f} µs",
    ]


def _row(name: str, clock: float | None, cpu: float, target: str) -> str:
    said = "" if clock is None else f"{clock:.3f}"
    return f"  {name:<46}{said:>8}{cpu:>8.3f}   {target}".rstrip()
