"""Flipped bits and truncated files: nothing altered is sent, no loss goes unreported.

A failure names its seeds. Again, and alone:

    TWITE_SEEDS=17 .venv/bin/python -m pytest -n0 -s tests/trials/test_damage.py
"""

import os
import shutil
from collections import Counter

import pytest
from damaged_store import CHECKPOINTS, judge, make

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
def test_damage_is_found_contained_and_never_sent(tmp_path, seeds, figure):
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
        (verdict.how, "refused" if verdict.refused else "told" if verdict.told else "no harm")
        for verdict in verdicts
    )
    print(f"\n{len(verdicts)} damages: {dict(tally)}; {saved:,} of {untouched:,} rows saved")
    assert (altered, silent, again, unbalanced, unhelpful) == ([], [], [], [], [])
    assert saved == untouched
    refused, told = (
        sum(getattr(verdict, name) for verdict in verdicts) for name in ("refused", "told")
    )
    figure(
        "flipped bits and cut files",
        f"{len(verdicts):,} damages, {refused:,} refused at the start, {told:,} told of later; 0 "
        f"altered bodies sent, 0 sent again, 0 gone in silence; {saved:,} of {untouched:,} rows on "
        "pages that were not touched saved",
    )
