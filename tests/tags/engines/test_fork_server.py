"""The fork server checks once whether this system supports the system call filter."""

import os
import socket
import subprocess
import sys

import pytest

from twite.tags.engines.process import fork_server

ASKED = """
from twite.tags.engines.process import fork_server
fork_server.warm_up()
raise SystemExit(not fork_server.works_with_filter())
"""


def test_turns_run_with_a_system_call_filter_on_this_system():
    # In a separate process, like the fork server: a test process may need other system calls to
    # free memory after a fork.
    assert subprocess.run([sys.executable, "-c", ASKED], check=False).returncode == 0


@pytest.mark.parametrize("ends", [lambda: os._exit(3), os.abort])
def test_processes_run_without_a_system_call_filter_if_unsupported(monkeypatch, ends):
    monkeypatch.setattr(fork_server, "warm_up", ends)

    assert not fork_server.works_with_filter()


def test_server_ends_silently_with_a_gateway_that_left_a_message_unread():
    ours, its = socket.socketpair()
    program = "from twite.tags.engines.process.fork_server import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=its.fileno(), stderr=subprocess.PIPE
    ) as server:
        its.close()
        its_input, writer = os.pipe()
        reader, its_output = os.pipe()
        asked = b'{"spawn": 1, "memory": 268435456}\n'
        socket.send_fds(ours, [asked], [its_input, its_output])
        os.close(its_input)
        os.close(its_output)
        assert ours.recv(1) == b"{"  # the rest stays unread: closing resets the connection

        ours.close()
        os.close(writer)
        os.close(reader)
        _, error = server.communicate(timeout=30)

    assert (server.returncode, error) == (0, b"")
