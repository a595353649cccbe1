"""Code that controls an engine process can do nothing outside it."""

import asyncio
import sys

import pytest

TRIES = """
import os, resource, socket
from twite.tags.engines.process.isolation import isolate

TRIES = {
    "reads a file": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "writes a file": lambda: os.open("/tmp/x", os.O_WRONLY | os.O_CREAT),
    "opens a socket": lambda: socket.socket(socket.AF_INET),
    "connects two": socket.socketpair,
    "signals the gateway": lambda: os.kill(gateway, 0),
    "starts a process": os.fork,
    "runs a program": lambda: os.execv("/bin/true", ["true"]),
    "raises its limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9)),
    "leaves its root": lambda: os.chroot("/"),
}
gateway = os.getpid()
pid = os.fork()
if pid == 0:
    isolate(parent=gateway, memory=1 << 28)
    os.close(0)  # for one descriptor there is room now
    done = 0
    for at, attempt in enumerate(TRIES.values()):
        try:
            attempt()
        except (OSError, ValueError):
            continue
        done |= 1 << at
    os._exit(100 + done)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a filter of Linux")
async def test_compromised_process_can_do_nothing_outside():
    ran = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        TRIES,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    reported, _ = await ran.communicate()

    assert reported == b"100\n"  # 100, plus a bit for each action that succeeded
