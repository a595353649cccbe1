"""`make test` runs the tests in forked workers: each runs once, and no failure is hidden."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from forked_workers import Files

TESTS = Path(__file__).parents[1]
CONFTEST = """
import os
from pathlib import Path
import pytest

@pytest.fixture(scope="session")
def server():
    place = Path(os.environ["PLACE"])
    (place / f"{os.getpid()}.started").touch()
    yield
    (place / f"{os.getpid()}.ended").touch()
"""
MODULE = """
import os
from pathlib import Path
import pytest

@pytest.mark.parametrize("n", range(20))
def test_number(n, server, tmp_path):
    with (Path(os.environ["PLACE"]) / "ran").open("a") as file:
        file.write(f"{__name__}-{n}\\n")
    (tmp_path / "own").touch(exist_ok=False)
"""
FAILING = """
import os
import pytest

def test_that_fails():
    print("said before")
    assert 1 == 2

@pytest.fixture
def broken():
    yield
    raise ValueError("in teardown")

def test_whose_teardown_fails(broken):
    pass

def test_that_ends_its_process():
    os._exit(7)

def test_after_it():
    pass

@pytest.mark.skip(reason="for a reason")
def test_skipped():
    pass
"""
HANGING = """
import time

def test_that_hangs():
    time.sleep(60)
"""


@pytest.fixture
def run(tmp_path):
    """Run tests in workers; return (exit status, output)."""

    def start(files, *options):
        place = tmp_path / "place"
        place.mkdir()
        for name, text in (files | {"conftest.py": CONFTEST, "pytest.ini": "[pytest]"}).items():
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "forked_workers", *options],
            cwd=place,
            env=os.environ
            | {
                "PYTHONPATH": str(TESTS),
                "PLACE": str(place),
                "PYTEST_ADDOPTS": "",
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr, place

    return start


def test_workers_run_every_test_once_and_end_every_fixture(run):
    files = {f"room{n % 2}/test_{n}.py": MODULE for n in range(6)}

    status, output, place = run(files, "--forks=3", "-p", "no:cacheprovider", "-k", "not 19")

    ran = (place / "ran").read_text().split()
    assert status == 0, output
    assert sorted(ran) == sorted(f"test_{n}-{k}" for n in range(6) for k in range(19))
    assert "114 passed, 6 deselected" in output
    started = {path.stem for path in place.glob("*.started")}
    assert started == {path.stem for path in place.glob("*.ended")}
    assert 1 <= len(started) <= 3


def test_failures_are_reported_and_a_worker_that_died_is_replaced(run):
    status, output, _ = run({"test_a.py": FAILING}, "--forks=2", "-rs", "--durations=1")

    assert status == 1
    assert "1 failed" not in output
    assert "2 failed, 2 passed, 1 skipped, 1 error" in output
    assert "said before" in output
    assert "ValueError: in teardown" in output
    assert "the worker ended with status 7 in this test" in output
    assert "for a reason" in output
    assert "slowest 1 durations" in output


def test_timeout_of_a_test_is_reported_with_the_line_that_hangs(run):
    status, output, _ = run(
        {"test_a.py": HANGING}, "--forks=1", "-p", "pytest_timeout", "-o", "timeout=1"
    )

    assert status == 1
    assert "time.sleep(60)\nE       Failed: Timeout (>1.0s) from pytest-timeout." in output
    assert "AssertionError" not in output


def test_first_failure_ends_the_run_and_all_fixtures(run):
    files = {"a/test_a.py": FAILING} | {f"b/test_{n}.py": MODULE for n in range(40)}

    status, output, place = run(files, "--forks=2", "-x")

    assert status == 1
    assert "stopping after 1 failures" in output
    ran = place / "ran"
    assert not ran.exists() or len(ran.read_text().split()) < 800
    started = {path.stem for path in place.glob("*.started")}
    assert started == {path.stem for path in place.glob("*.ended")}


def test_worker_finishes_its_folder_before_it_takes_or_shares_another():
    names = ["a/1::x", "a/2::x", "a/2::y", "b/1::x", "b/2::x", "trials/1::x", "a/3::x"]
    files = Files([f"tests/{name}" for name in names])

    given = [
        files.next(folder and f"tests/{folder}", {f"tests/{name}" for name in others})
        for folder, others in [
            (None, set()),
            (None, {"trials"}),
            ("a", {"trials"}),
            ("trials", {"a"}),
            ("a", {"b"}),
            ("a", {"b"}),
            ("b", {"a"}),
        ]
    ]

    assert given == [
        ("tests/trials", [5]),
        ("tests/a", [0]),
        ("tests/a", [1, 2]),
        ("tests/b", [3]),
        ("tests/a", [6]),
        ("tests/b", [4]),
        (None, []),
    ]
