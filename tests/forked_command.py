"""Run a command through the tests' fork server, as if this process were the command.

The arguments are the name of the server's socket, the module, and the command's arguments. Run with
`python -IS`, this file starts in a fraction of the time that `python -m twite` takes.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType


def main(name: str, module: str, *arguments: str) -> int:
    report, theirs = os.pipe()
    request = {
        "module": module,
        "argv": arguments,
        "cwd": str(Path.cwd()),
        "env": dict(os.environ),
        "session": False,
        "short_waits": True,
    }
    # The server kills the command if this connection ends first.
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        server.connect(f"\0{name}")
        socket.send_fds(server, [json.dumps(request).encode()], [theirs, 0, 1, 2])
        os.close(theirs)
        with os.fdopen(report) as lines:
            pid = int(lines.readline())

            def pass_on(number: int, _: FrameType | None) -> None:
                os.kill(pid, number)

            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, pass_on)
            code = os.waitstatus_to_exitcode(int(lines.readline()))
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
