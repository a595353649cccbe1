import re
import subprocess
import sys
import time

import pytest

from twite.machine.system import ShortBursts, SystemClock, SystemRandomness, YieldingPause


def test_clock_returns_milliseconds_since_the_epoch():
    before = time.time() * 1000

    now = SystemClock().now()

    assert before - 1 <= now <= time.time() * 1000 + 1


async def test_sleep_lets_the_elapsed_time_advance():
    clock = SystemClock()
    began = clock.elapsed()

    await clock.sleep(20)

    assert clock.elapsed() - began >= 19


def test_receipts_are_version_7_uuids_that_sort_by_time():
    randomness = SystemRandomness()

    first = randomness.receipt()
    time.sleep(0.002)
    second = randomness.receipt()

    shape = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(shape, first)
    assert first < second


def test_nonces_and_receipts_are_unique():
    randomness = SystemRandomness()

    assert len({randomness.nonce() for _ in range(10_000)}) == 10_000
    assert len({randomness.receipt() for _ in range(10_000)}) == 10_000


def test_random_fractions_are_spread_from_zero_to_below_one():
    randomness = SystemRandomness()

    fractions = [randomness.fraction() for _ in range(1_000)]

    assert all(0 <= fraction < 1 for fraction in fractions)
    assert {int(10 * fraction) for fraction in fractions} == set(range(10))


def test_process_that_yields_the_cpu_runs_only_if_no_other_needs_it():
    code = (
        "import os; from twite.machine.system import yield_cpu; yield_cpu(); "
        "print(os.getpriority(os.PRIO_PROCESS, 0), getattr(os, 'SCHED_IDLE', 0) "
        "== (os.sched_getscheduler(0) if hasattr(os, 'SCHED_IDLE') else 0))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["19", "True"]


@pytest.mark.parametrize(
    ("took", "used", "slept"), [(0.1, 0.04, 0.06), (0.1, 0.0995, 0), (9.0, 0.1, 0.25)]
)
async def test_pause_is_as_long_as_the_wait_for_the_machine(took, used, slept):
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    elapsed, cpu = iter((5.0, 5.0 + took, 6.0)), iter((1.0, 1.0 + used, 2.0))
    pause = YieldingPause(elapsed=lambda: next(elapsed), used=lambda: next(cpu), sleep=sleep)
    await pause()

    assert pauses == [pytest.approx(slept)]


def test_work_in_short_bursts_sleeps_after_half_a_millisecond():
    sleeps = []
    elapsed = iter((0.0, 0.0004, 0.0006, 0.0007, 0.0011, 0.0013, 0.0014))
    breathe = ShortBursts(elapsed=lambda: next(elapsed), sleep=sleeps.append)

    slept = []
    for _ in range(4):
        breathe()
        slept.append(len(sleeps))

    assert slept == [0, 1, 1, 2]
    assert sleeps == [0.0001, 0.0001]
