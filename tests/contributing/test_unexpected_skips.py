"""With CI=true, only skips with a reason on the list pass."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unexpected_skips import LIST

TESTS = Path(__file__).parents[1]
EXPECTED = "a trial: TWITE_TRIAL=1"
MODULE = f"""
import pytest

@pytest.mark.skip(reason={EXPECTED!r})
def test_with_an_expected_reason(): ...

def test_that_skips_itself():
    pytest.skip("no browser")

@pytest.fixture
def proxy():
    pytest.skip("no proxy")

def test_with_a_fixture_that_skips(proxy): ...

@pytest.mark.xfail(reason="known")
def test_with_a_known_failure():
    raise AssertionError
"""
SKIPPED_MODULE = """
import pytest
pytest.skip("no package", allow_module_level=True)
"""


@pytest.mark.parametrize("options", [[], ["--forks=2", "-p", "forked_workers"]])
@pytest.mark.parametrize(
    ("ci", "counts"),
    [("true", "1 failed, 1 skipped, 1 xfailed, 1 error"), ("", "3 skipped, 1 xfailed")],
)
def test_skip_with_an_unlisted_reason_fails_only_with_ci(tmp_path, options, ci, counts):
    (tmp_path / "test_a.py").write_text(MODULE)

    status, output = run(tmp_path, *options, ci=ci)

    assert (status, counts in output) == (1 if ci else 0, True), output
    assert ("does not contain the reason: no browser" in output) == bool(ci)


def test_module_skipped_with_an_unlisted_reason_fails_with_ci(tmp_path):
    (tmp_path / "test_b.py").write_text(SKIPPED_MODULE)

    status, output = run(tmp_path, ci="true")

    assert status != 0
    assert "does not contain the reason: no package" in output


def run(folder, *options, ci):
    (folder / "pytest.ini").write_text("[pytest]")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "unexpected_skips", "-rs", *options],
        cwd=folder,
        env=os.environ
        | {
            "PYTHONPATH": str(TESTS),
            "CI": ci,
            "PYTEST_ADDOPTS": "",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_list_contains_the_reason_of_trials():
    assert EXPECTED in LIST.read_text("utf-8").splitlines()
