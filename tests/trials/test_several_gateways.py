"""Three gateways on one database, killed, stopped and cut off under load.

A gateway suspended for longer than its lease has claimed batches: others send them, and it must not
send them when it resumes. Meanwhile the database crashes, fails over to its
standby, and loses connections around COMMIT.
"""

import os
import random
import signal
import time
from contextlib import ExitStack

import pytest
from gateways_on_postgres import (
    GATEWAYS,
    LEASE,
    LONG,
    SEED,
    TIMEOUT,
    Trial,
    Unfenced,
)

from gateway_process import BalanceWatch

# A round: suspend a gateway for longer than its lease; meanwhile kill others and cut connections;
# then restart the database. Two thirds of the restarts are crashes.
ROUNDS = int(os.environ.get("TWITE_TRIAL_ROUNDS", "20"))
KILLS, CUTS, COMMITS = 10, 3, 3
REST = 2  # seconds between disturbances


@pytest.mark.alone
@pytest.mark.timeout(7_200)
@pytest.mark.skipif(not LONG, reason="a trial: test_two_gateways.py and test_postgres_nodes.py")
def test_conversions_are_sent_once_despite_failures_of_gateways_and_database(tmp_path, figure):
    chance = random.Random(SEED)
    with ExitStack() as stack:
        trial = Trial(stack, tmp_path)
        watches = [stack.enter_context(BalanceWatch(gateway)) for gateway in trial.gateways]
        with trial.shops as shops:
            for number in range(ROUNDS):
                one_round(trial, number, chance)
        outcome = trial.outcome()
        commits = trial.servers.cuts()

    samples = sum(watch.samples for watch in watches)
    figure(
        "several gateways on one database",
        f"seed {SEED}: {GATEWAYS} gateways, "
        f"{', '.join(f'{many} {what}' for what, many in trial.done.items())}, "
        f"{commits.total()} connections cut around COMMIT ({commits['after']} after it); "
        f"{len(shops.acknowledged):,} conversions acknowledged, {shops.answers['duplicates']:,} "
        f"answered as duplicates; {outcome.resent:,} resent as ambiguous, {len(outcome.late)} "
        f"after a recorded success, {len(outcome.lost)} lost; balance 0 at {samples} looks; "
        f"no acknowledgement for {seconds(trial.stalls)} after the primary was killed; "
        f"taken over in {seconds(trial.taken_over)}",
    )
    assert shops.problems == []
    assert outcome.lost == set()
    assert outcome.late == [], "\n".join(sorted(outcome.late_details)[:40])
    # If an id were accepted as new twice, there would be two conversions with that id.
    many = len(outcome.arrived)
    assert outcome.succeeded == many
    assert outcome.balance == {"delivered": many, "dead": 0, "held": 0, "pending": 0}
    assert [residue for watch in watches for residue in watch.residues] == []
    assert samples
    assert commits.total() >= COMMITS
    # One second for the others' polling, and four for a busy machine.
    assert max(trial.taken_over) <= LEASE + TIMEOUT + 1 + 4


def one_round(trial, number, chance):
    """Disturb everything once. In every other round, the primary is killed."""

    def disturb(stopped):
        others = [gateway for gateway in trial.gateways if gateway is not stopped]
        trial.servers.cut_commits(COMMITS)
        for step in range(max(KILLS, CUTS)):
            time.sleep(chance.uniform(0.2, 0.8))
            if step < CUTS:
                trial.cut()
            if step < KILLS:
                gateway = chance.choice(others)
                trial.kill(gateway)
                gateway.start()
        if number % 4 == 0:
            trial.promote()

    trial.stop_beyond_the_lease(disturb)
    time.sleep(REST)
    trial.restart_database(signal.SIGQUIT if number % 3 else signal.SIGINT)
    if number % 4 == 2:
        trial.promote()
    if number % 5 == 0:
        time.sleep(2 * REST)
        trial.take_over(chance.choice(trial.gateways))


def seconds(times):
    return f"{', '.join(f'{time:.1f}' for time in times)} s"


@pytest.mark.alone
@pytest.mark.timeout(600)
@pytest.mark.skipif(not LONG, reason="the control of a trial")
def test_control_without_the_lease_check_sends_conversions_twice(tmp_path, figure):
    with ExitStack() as stack:
        trial = Trial(stack, tmp_path, Unfenced)
        with trial.shops:
            for _ in range(4):
                trial.stop_beyond_the_lease()
                time.sleep(2)
        late = trial.outcome().late

    figure("several gateways without the check", f"{len(late)} sent after a recorded success")
    assert late
