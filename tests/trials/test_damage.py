"""Flipped bits and truncated files: no altered conversion is sent, and each loss is reported.

A failure names its seeds. To run them alone: TWITE_SEEDS=17 .venv/bin/python -m pytest -n0 -s
tests/trials/test_damage.py
"""

import asyncio
import os
import shutil
from collections import Counter

import pytest
from damaged_store import CHECKPOINTS, flip_outbox, judge, make, recovered

TRIAL = bool(os.environ.get("TWITE_TRIAL"))
SEEDS = range(2_000 if TRIAL else 4)
SHARES = 10 if TRIAL else 1


def shares():
    wanted = os.environ.get("TWITE_SEEDS")
    if wanted:
        return [[int(seed) for seed in wanted.split(",")]]
    return [SEEDS[share::SHARES] for share in range(SHARES)]


@pytest.mark.timeout(1_500 if TRIAL else 300)
@pytest.mark.parametrize("seeds", shares(), ids=lambda seeds: f"from-{seeds[0]}")
def test_damaged_conversion_is_reported_and_never_sent(tmp_path, seeds, figure):
    sources = [tmp_path / f"source-{checkpoint}" for checkpoint in CHECKPOINTS]
    truths = []
    for checkpoint, source in zip(CHECKPOINTS, sources, strict=True):
        source.mkdir()
        truths.append(make(source, checkpoint))
    verdicts = []
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = seed % len(CHECKPOINTS)
        verdicts.append(judge(sources[made], folder, truths[made], seed))
        shutil.rmtree(folder)

    altered = [verdict.seed for verdict in verdicts if verdict.altered]
    unhelpful = [verdict.seed for verdict in verdicts if verdict.unhelpful]
    silent = [verdict.seed for verdict in verdicts if verdict.silent]
    again = [verdict.seed for verdict in verdicts if verdict.again]
    unbalanced = [verdict.seed for verdict in verdicts if verdict.refused and verdict.balance]
    untouched, saved = sum(v.untouched for v in verdicts), sum(v.saved for v in verdicts)
    tally = Counter(
        (
            verdict.how,
            "refused" if verdict.refused else "reported" if verdict.reported else "no harm",
        )
        for verdict in verdicts
    )
    print(f"\n{len(verdicts)} damages: {dict(tally)}; {saved:,} of {untouched:,} rows saved")
    assert (altered, silent, again, unbalanced, unhelpful) == ([], [], [], [], [])
    assert saved == untouched
    refused, reported = (
        sum(getattr(verdict, name) for verdict in verdicts) for name in ("refused", "reported")
    )
    figure(
        "flipped bits and cut files",
        f"{len(verdicts):,} damages, {refused:,} refused at the start, {reported:,} reported "
        f"later; 0 altered bodies sent, 0 sent again, 0 gone in silence; {saved:,} of "
        f"{untouched:,} rows on "
        "pages that were not touched saved",
    )


FLIPS = 600 if TRIAL else 6


@pytest.mark.timeout(1_500 if TRIAL else 300)
async def test_every_recovered_delivery_is_sent_or_held(tmp_path, figure):
    source = tmp_path / "source"
    source.mkdir()
    truth = await asyncio.to_thread(make, source, "all")
    faults, unknown = {}, 0
    for seed in range(FLIPS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        flip_outbox(source, folder, truth, seed)
        done, verdict = await recovered(str(folder / "twite.db"), truth)
        unknown += done.unknown
        if verdict.altered or verdict.again or verdict.missing or verdict.balance:
            faults[seed] = verdict
        shutil.rmtree(folder)

    assert faults == {}
    figure(
        "recovery of damaged outboxes",
        f"{FLIPS:,} flipped bits, {unknown:,} deliveries with unknown values held; 0 altered "
        "bodies sent, 0 sent again, 0 left pending for ever, balance 0",
    )
