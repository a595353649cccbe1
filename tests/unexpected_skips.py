"""With CI=true, a test fails that is skipped for a reason not in expected_skips.txt.

A missing browser, proxy or package would otherwise skip hundreds of tests in a green run.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
LIST = Path(__file__).with_name("expected_skips.txt")


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("CI") == "true":
        lines = LIST.read_text("utf-8").splitlines()
        expected = frozenset(line for line in lines if not line.startswith("#"))
        config.pluginmanager.register(_UnexpectedSkips(expected))


class _UnexpectedSkips:
    def __init__(self, expected: frozenset[str]) -> None:
        self.expected = expected

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Iterator[pytest.TestReport]:
        return self._judged((yield))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self) -> Iterator[pytest.CollectReport]:
        return self._judged((yield))

    def _judged(self, report: Report) -> Report:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = str(report.longrepr[2]).removeprefix("Skipped: ")
            if reason not in self.expected:
                report.outcome = "failed"
                report.longrepr = (
                    f"skipped, but {LIST.name} does not contain the reason: {reason}\n"
                    "Let .ci/run install what is missing, or add the reason."
                )
        return report
