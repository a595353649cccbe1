"""Probation of a template: one turn at a time, a pause after each, and how it ends."""

from twite.tags.runtime.probation import PROVEN, Probation


def hung(trial: Probation, *, now: int = 0, took: float = 0.25) -> bool | None:
    assert trial.begin(now) == 0
    return trial.end(now, took=took, spent=True, done=True)


def ran_well(trial: Probation, *, now: int) -> bool | None:
    assert trial.begin(now) == 0
    return trial.end(now, took=0.001, spent=False, done=True)


def test_template_without_exceeded_limits_may_run_concurrently():
    trial = Probation()

    assert [trial.begin(0), trial.begin(0)] == [0, 0]


def test_pause_on_probation_is_nineteen_times_the_duration_of_the_turn():
    trial = Probation()

    assert hung(trial, took=0.25)

    assert [trial.wait(at) for at in (0, 4_749, 4_750)] == [4_750, 1, 0]


def test_concurrent_turns_extend_the_pause():
    trial = Probation()
    both = [trial.begin(0), trial.begin(0)]

    ends = [trial.end(0, took=0.1, spent=True, done=True) for _ in both]

    assert ends == [True, None]
    assert trial.wait(0) == 3_800


def test_template_on_probation_runs_one_turn_at_a_time():
    trial = Probation()
    hung(trial)

    first, second = trial.begin(5_000), trial.begin(5_000)

    assert first == 0
    assert second > 0


def test_enough_good_runs_in_a_row_end_the_probation():
    trial = Probation()
    hung(trial)
    moments = range(5_000, 5_000 + 100 * PROVEN, 100)

    reported = [ran_well(trial, now=at) for at in moments]

    assert reported == [None] * (PROVEN - 1) + [False]
    assert trial.wait(moments[-1]) == 0


def test_exceeded_limit_during_probation_restarts_it():
    trial = Probation()
    hung(trial)
    for number in range(PROVEN - 1):
        ran_well(trial, now=5_000 + 100 * number)
    hung(trial, now=10_000)

    reported = [ran_well(trial, now=20_000 + 100 * number) for number in range(PROVEN)]

    assert reported.index(False) == PROVEN - 1


def test_good_runs_before_an_exceeded_limit_do_not_count():
    trial = Probation()
    for _ in range(2 * PROVEN):
        ran_well(trial, now=0)

    assert hung(trial)
    assert trial.wait(0) > 0
