"""The figures, said: ratios first, numbers beside them."""

import argparse
import os
import sys

Figures = dict[str, float]

# What the design asks for, on a machine where SQLite does 79,000 raw events a second.
ASKED_HUNDRED = 20_000 / 79_000


def verdict(found: Figures, chosen: argparse.Namespace) -> str:
    made = f"{chosen.runs} runs of {chosen.seconds:g} s, medians; all in this run."
    lines = [
        "",
        f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, {made}",
        "",
        f"  raw SQLite, outbox row + key, 100 a commit: {found['raw']:,.0f} events/s",
        "",
        *_empty(found),
    ]
    if f"single-{chosen.settled}" in found:
        lines += ["", *_grown(found, chosen.settled)]
    return "\n".join([*lines, "", _row("peak memory of the gateway", found["memory"], "MB"), ""])


def _empty(found: Figures) -> list[str]:
    get = found.__getitem__
    single, bare = get("single-0"), get("bare-0")
    hundred, sending = get("hundred-0"), get("sending-0")
    delivery, sdk, loop = get("deliver-0"), get("sdk"), get("loop")
    raw = get("raw")
    latency = f"p99 {get('single-0-p99'):.1f} ms"
    return [
        _row("durable ingest, single, 64 connections", single / bare, "of a bare endpoint"),
        _note(f"{single:,.0f}/s, {latency}; bare {bare:,.0f}/s; asked for: 0.30"),
        _row("durable ingest, requests of 100", hundred / raw, "of raw inserts"),
        _note(f"{hundred:,.0f} conversions/s; asked for: {ASKED_HUNDRED:.2f}"),
        _row("the same, while delivering", sending / raw, "of raw inserts"),
        _note(f"{sending:,.0f} conversions/s"),
        _row("delivery from a full outbox", delivery / sdk, "times the official SDK"),
        _note(f"{delivery:,.0f} conversions/s; SDK {sdk:,.0f}/s; asked for: 20"),
        _row("the same", delivery / loop, "of a loop that posts ready-made batches"),
        _note(f"the loop: {loop:,.0f} conversions/s"),
    ]


def _grown(found: Figures, size: int) -> list[str]:
    lines = [f"  with {size:,} settled conversions in the store, asked for: 0.80"]
    for side, name in (
        ("single", "ingest, single"),
        ("hundred", "ingest, requests of 100"),
        ("deliver", "delivery"),
    ):
        grown, empty = found[f"{side}-{size}"], found[f"{side}-0"]
        lines += [_row(name, grown / empty, "of an empty store"), _note(f"{grown:,.0f}/s")]
    return lines


def _row(name: str, figure: float, unit: str) -> str:
    return f"  {name:<42}{figure:>8.2f} {unit}"


def _note(text: str) -> str:
    return f"  {'':<42}{'':>8} ({text})"
