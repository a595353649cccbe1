"""The fork server: whether the filter of system calls suits this system is tried once."""

import os
import subprocess
import sys

import pytest

from twite.engines.process import fork_server

ASKED = """
from twite.engines.process import fork_server
fork_server.warm_up()
raise SystemExit(not fork_server.works_with_filter())
"""


def test_turns_run_with_filtered_system_calls_here():
    # In a process of its own, as the fork server: what a worker of the tests frees after a fork may
    # need other system calls.
    assert subprocess.run([sys.executable, "-c", ASKED], check=False).returncode == 0


@pytest.mark.parametrize("ends", [lambda: os._exit(3), os.abort])
def test_where_they_do_not_the_processes_go_without_it(monkeypatch, ends):
    monkeypatch.setattr(fork_server, "warm_up", ends)

    assert not fork_server.works_with_filter()
