"""The fork server: whether the filter of system calls suits this system is tried once."""

import os

import pytest

from twite.engines.process import fork_server


def test_turns_run_with_filtered_system_calls_here():
    fork_server.warm_up()

    assert fork_server.works_with_filter()


@pytest.mark.parametrize("ends", [lambda: os._exit(3), os.abort])
def test_where_they_do_not_the_processes_go_without_it(monkeypatch, ends):
    monkeypatch.setattr(fork_server, "warm_up", ends)

    assert not fork_server.works_with_filter()
