"""A server under measurement: a session of processes, its CPU time and memory, read from /proc."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).parents[1]
_TICKS = os.sysconf("SC_CLK_TCK")


class UsesCpu(Protocol):
    def cpu(self) -> float: ...


class ServerProcess:
    """A command in a session of its own, so that the processes it starts count as well."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        silent: bool = False,
    ) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if silent else None,
            text=True,
            # As installed: with compiled modules.
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(env or {})},
            start_new_session=True,
        )

    def first_line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self.process.args))} did not start")  # type: ignore[arg-type]
        return line

    def cpu(self) -> float:
        """Return the seconds of CPU time that the session has used."""
        ticks = 0
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            # Workers have process groups of their own, in the same session.
            if int(fields[3]) == self.process.pid:
                # Of the process, and of its children that have ended.
                ticks += sum(map(int, fields[11:15]))
        return ticks / _TICKS

    def peak_memory(self) -> float:
        """Return the peak resident memory of the process in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def python(*args: str, env: Mapping[str, str] | None = None) -> ServerProcess:
    """Start a Python module as a server."""
    return ServerProcess([sys.executable, *args], env=env)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def connects(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(ready: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise SystemExit("a process did not get ready in time")
        time.sleep(0.02)
