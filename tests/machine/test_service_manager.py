import asyncio
import os
import socket

import pytest

from twite.machine.service_manager import keep_watchdog_quiet, notify, watchdog_seconds


@pytest.fixture
def manager(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_state_is_sent_to_the_socket_of_the_service_manager(manager):
    notify("READY=1")

    assert manager.recv(64) == b"READY=1"


def test_state_is_sent_to_an_abstract_socket():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        name = f"twite-test-{os.getpid()}"
        listening.bind(f"\0{name}")
        listening.settimeout(10)

        notify("STOPPING=1", {"NOTIFY_SOCKET": f"@{name}"})

        assert listening.recv(64) == b"STOPPING=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nowhere/notify"}])
def test_missing_service_manager_is_not_an_error(environ):
    notify("READY=1", environ)


async def test_watchdog_is_notified_until_cancelled(manager):
    task = asyncio.create_task(keep_watchdog_quiet(0.02))

    pings = [await asyncio.to_thread(manager.recv, 64) for _ in range(3)]
    task.cancel()

    assert pings == [b"WATCHDOG=1"] * 3


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "own"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_watchdog_of_another_process_is_ignored(environ, seconds):
    if environ.get("WATCHDOG_PID") == "own":
        environ = environ | {"WATCHDOG_PID": str(os.getpid())}

    assert watchdog_seconds(environ) == seconds
