"""Starts `python -m twite …` by forking a process that has imported everything.

An import costs 0.6 s of CPU, and the tests start some 400 processes. A started process is a real
one: its own pid, signals, sockets and exit. Memory trials need a real new process, because a fork
shares its parent's pages.

`Popen` and `run` are those of `subprocess`. Without pidfd (not Linux) they are the same objects.
"""

import atexit
import gc
import importlib
import inspect
import json
import os
import pkgutil
import runpy
import select
import selectors
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

_MESSAGE_BYTES = 1 << 20
# Read once, before or while modules are imported. A process with a different value from the fork
# server's must be started separately. A process without a value need not be: no test is about a
# missing value.
_READ_AT_START = ("LD_PRELOAD", "SSL_CERT_FILE")
_SERVERS = {name: os.environ.get(name) for name in _READ_AT_START}
# Waiting times of a gateway's senders, in milliseconds. Tests on a virtual clock cover the
# defaults, and long trials use them.
_SHORT_WAITS = {
    ("twite.domain.delivery", "FIRST_CEILING"): 200,
    ("twite.gateway.delivery.sweeper", "LONGEST_REST"): 200,
    ("twite.gateway.delivery.worker", "IDLE"): 100,
    # Longer than the processes that a trial kills live: only what crashes a sender may become a
    # suspect.
    ("twite.gateway.delivery.worker", "SETTLED_IN"): 1_000,
}
_SIGNATURE = inspect.signature(subprocess.Popen._execute_child)  # noqa: SLF001 - no public hook


class ForkedPopen(subprocess.Popen[Any]):
    """A `Popen` of `[sys.executable, "-m", module, …]`, which the fork server starts."""

    def _execute_child(self, *arguments: Any) -> None:
        given = _SIGNATURE.bind(self, *arguments).arguments
        environment = os.environ if given["env"] is None else given["env"]
        self._exit = -1
        if any(environment.get(name, value) != value for name, value in _SERVERS.items()):
            super()._execute_child(*arguments)
            return
        command = list(given["args"])
        if command[:2] != [sys.executable, "-m"] or given["preexec_fn"] or given["pass_fds"]:
            raise ValueError(f"the fork server cannot start {command}")
        request = {
            "module": command[2],
            "argv": command[3:],
            "cwd": os.fspath(given["cwd"] or Path.cwd()),
            "env": dict(environment),
            "session": bool(given["start_new_session"]),
            "short_waits": "TWITE_TRIAL" not in os.environ,
        }
        ends = given["p2cread"], given["c2pwrite"], given["errwrite"]
        standard = [own if end == -1 else end for own, end in enumerate(ends)]
        self._exit, report = os.pipe()
        server, _ = started()
        socket.send_fds(server, [json.dumps(request).encode()], [report, *standard])
        os.close(report)
        self.pid = int(_line(self._exit))
        self._child_created = True
        self._close_pipe_fds(*(given[name] for name in _PIPES))

    def _internal_poll(self, *arguments: Any, **options: Any) -> int | None:
        if self._exit < 0:
            return super()._internal_poll(*arguments, **options)
        if self.returncode is None and self._waitpid_lock.acquire(blocking=False):
            try:
                if self.returncode is None and self._has_ended():
                    self._handle_exitstatus(self._status())
            finally:
                self._waitpid_lock.release()
        return self.returncode

    def _try_wait(self, flags: int) -> tuple[int, int]:
        if self._exit < 0:
            return super()._try_wait(flags)
        if flags & os.WNOHANG and not self._has_ended():
            return 0, 0
        return self.pid, self._status()

    def _has_ended(self) -> bool:
        return bool(select.select([self._exit], [], [], 0)[0])

    def _status(self) -> int:
        status = int(_line(self._exit) or signal.SIGKILL)
        os.close(self._exit)
        return status


_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")


def _run(command: list[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    """Do what `subprocess.run` does, with `capture_output`, `input`, `timeout` and `check`."""
    given = options.pop("input", None)
    timeout = options.pop("timeout", None)
    check = options.pop("check", False)
    if options.pop("capture_output", False):
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if given is not None:
        options["stdin"] = subprocess.PIPE
    with ForkedPopen(command, **options) as process:
        try:
            output, errors = process.communicate(given, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(command, process.wait(), output, errors)
    if check:
        done.check_returncode()
    return done


@cache
def started() -> tuple[socket.socket, str]:
    """Start this process's fork server, which ends with it; return a socket to it, and its name.

    Forks of this process use the same server, because they inherit the result.
    """
    name = f"twite-fork-server-{os.getpid()}"
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MESSAGE_BYTES)
    environment = {name: text for name, text in os.environ.items() if not name.startswith("TWITE_")}
    with theirs, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        fds = theirs.fileno(), listener.fileno()
        process = subprocess.Popen(
            [sys.executable, __file__, *map(str, fds)],
            pass_fds=fds,
            env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )

    @atexit.register
    def end() -> None:
        ours.close()
        process.wait()

    return ours, name


def command_of(module: str = "") -> list[str]:
    """Return a command of which the fork server runs the module; without one, the next word."""
    if not HAS_PIDFD:
        return [sys.executable, *(("-m", module) if module else ())]
    _, name = started()
    client = str(Path(__file__).with_name("forked_command.py"))
    return [sys.executable, "-IS", client, name, *([module] if module else ())]


def write_command(path: Path, module: str = "twite") -> None:
    """Write a program `twite` for a shell, which the fork server runs.

    Without a module, it is an interpreter, and its arguments are `-m` and the module. Commands that
    start others use it if PYTHONEXECUTABLE names it.
    """
    skip = "" if module or not HAS_PIDFD else "shift\n"
    path.write_text(f'#!/bin/sh\n{skip}exec {shlex.join(command_of(module))} "$@"\n')
    path.chmod(0o755)


def _line(pipe: int) -> bytes:
    read = b""
    while not read.endswith(b"\n") and (byte := os.read(pipe, 1)):
        read += byte
    return read


def _import_everything() -> None:
    for name in ("twite", "twite_emulator"):
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not module.name.endswith(("__main__", ".plugin")):
                importlib.import_module(module.name)
    # Typer imports it, and pydantic with it, when it reads the first option.
    importlib.import_module("typer._adapters")
    with suppress(ImportError):  # an optional package, which `twite mcp` imports
        importlib.import_module("mcp.server.lowlevel")
    # Cached, like the modules; otherwise the first store of each process would run all migrations.
    sys.modules["twite.stores.sqlite.engine.schema"].newest_schema()
    gc.freeze()


def _serve(control: socket.socket, listener: socket.socket) -> dict[str, Any] | None:
    """Fork for each request. Return None at the end, or the request in a child process.

    Requests come from the tests, and to the listener from commands (forked_command.py).
    """
    commands: dict[socket.socket, int] = {}
    running: set[int] = set()
    with selectors.DefaultSelector() as waiting:
        waiting.register(control, selectors.EVENT_READ)
        waiting.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.data is not None:
                    running.discard(key.data[0])
                    _report_exit(*key.data)
                    waiting.unregister(key.fd)
                    os.close(key.fd)
                    continue
                if key.fileobj is listener:
                    waiting.register(listener.accept()[0], selectors.EVENT_READ)
                    continue
                client: socket.socket = key.fileobj  # type: ignore[assignment]
                message, (*fds,), _, _ = socket.recv_fds(client, _MESSAGE_BYTES, 4)
                if not message:
                    if client is control:
                        return None
                    if (left := commands.pop(client, 0)) in running:
                        os.kill(left, signal.SIGKILL)
                    waiting.unregister(client)
                    client.close()
                    continue
                report, *standard = fds
                pid = os.fork()
                if pid == 0:
                    return json.loads(message) | {"standard": standard}
                for fd in standard:
                    os.close(fd)
                running.add(pid)
                commands[client] = pid
                os.write(report, f"{pid}\n".encode())
                waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, report))


def _report_exit(pid: int, report: int) -> None:
    _, status = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):  # the client may be gone
        os.write(report, f"{status}\n".encode())
    os.close(report)


def _become(request: dict[str, Any]) -> None:
    """Run the requested module in this process, as the interpreter would at its start."""
    for own, fd in enumerate(request["standard"]):
        os.dup2(fd, own)
    os.closerange(3, 1024)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    if request["session"]:
        os.setsid()
    if request["short_waits"]:
        for (module, name), milliseconds in _SHORT_WAITS.items():
            setattr(sys.modules[module], name, milliseconds)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as above
    sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115 - as above
    sys.argv = [request["module"], *request["argv"]]
    sys.executable = os.environ.pop("PYTHONEXECUTABLE", sys.executable)
    sys.modules.pop(f"{request['module']}.__main__", None)
    _customize(os.environ.get("PYTHONPATH", ""))
    status = 0

    @atexit.register
    def end() -> None:
        """Exit without deleting the modules, which takes longer than a command. It runs last."""
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            return
        os._exit(status)

    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(left.code is not None)
        raise
    except BaseException:
        atexit.unregister(end)
        raise


def _customize(python_path: str) -> None:
    """Import from PYTHONPATH first, and run its `sitecustomize`, as the interpreter would."""
    given = [os.path.realpath(folder) for folder in python_path.split(os.pathsep) if folder]
    known = [*map(os.path.realpath, sys.path)]
    added = [folder for folder in given if folder not in known]
    sys.path[:0] = added
    # This process has run a `sitecustomize` of the other folders.
    if importlib.machinery.PathFinder.find_spec("sitecustomize", added):
        sys.modules.pop("sitecustomize", None)
        importlib.import_module("sitecustomize")


HAS_PIDFD = hasattr(os, "pidfd_open")
Popen = ForkedPopen if HAS_PIDFD else subprocess.Popen
run = _run if HAS_PIDFD else subprocess.run

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored under nohup
    _import_everything()
    if asked := _serve(*(socket.socket(fileno=int(fd)) for fd in sys.argv[1:])):
        _become(asked)
