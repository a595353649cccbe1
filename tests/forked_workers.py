"""Run the tests in forked workers: `--forks=N`.

The tests are collected once. Each worker is a fork of that process, and gets a file at a time: the
next one of its folder, then one of a folder that no worker has, then one of another worker's
folder. Most folders thus start their servers only once, and no worker has much left when the others
are done.
"""

import atexit
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from itertools import groupby
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

import pytest
from _pytest._io import TerminalWriter

# The costliest folders, and those with long waits, come first, so that only short files are left at
# the end.
COSTLY_FIRST = (
    "trials", "journeys", "stores", "packaging", "browser", "console", "gateway", "engines", "http",
    "cli", "app", "upgrades", "contributing", "clients", "senders", "docs", "config",
)  # fmt: skip
_ASKS, _STARTS, _ENDS = range(3)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--forks", type=int, default=0, help="run in this many forked workers")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    forks, options = session.config.option.forks, session.config.option
    if forks < 1 or session.testsfailed or options.collectonly or options.usepdb:
        return None
    run = _Run(session)
    try:
        run.play(min(forks, len(run.files.left)))
    finally:
        run.end()
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
    return True


class Files:
    """The files not yet given to a worker: (folder, positions of its tests in the list of all)."""

    def __init__(self, names: Sequence[str]) -> None:
        files = groupby(enumerate(names), key=lambda test: test[1].partition("::")[0])
        self.left = [(name.rpartition("/")[0], [at for at, _ in tests]) for name, tests in files]
        order = {folder: rank for rank, folder in enumerate(COSTLY_FIRST)}
        self.left.sort(key=lambda file: min(map(order.get, file[0].split("/"), 3 * [99])))

    def next(self, folder: str | None, others: set[str | None]) -> tuple[str | None, list[int]]:
        """Return the folder and the tests of a worker's next file; no tests if none is left."""
        if not self.left:
            return None, []
        new = next((at for at, file in enumerate(self.left) if file[0] not in others), 0)
        return self.left.pop(
            next((at for at, file in enumerate(self.left) if file[0] == folder), new)
        )


class _Worker:
    """The parent's side of a worker."""

    def __init__(self, pid: int, pipe: Connection) -> None:
        self.pid, self.pipe = pid, pipe
        self.folder: str | None = None
        self.given: list[int] = []  # tests that have not ended
        self.running: int | None = None


class _Run:
    def __init__(self, session: pytest.Session) -> None:
        self.session, self.config = session, session.config
        self.files = Files([item.nodeid for item in session.items])
        self.workers: list[_Worker] = []
        self._made = 0

    def play(self, forks: int) -> None:
        for _ in range(forks):
            self._fork()
        while self.workers and not (self.session.shouldfail or self.session.shouldstop):
            ready = wait([worker.pipe for worker in self.workers])
            for worker in [worker for worker in self.workers if worker.pipe in ready]:
                try:
                    self._handle(worker, *worker.pipe.recv())
                except (EOFError, ConnectionError):
                    self._replace(worker)

    def end(self) -> None:
        """Close the pipes, which ends the workers after the test that they run."""
        for worker in self.workers:
            worker.pipe.close()
        for worker in self.workers:
            os.waitpid(worker.pid, 0)

    def _fork(self) -> None:
        ours, theirs = Pipe()
        temporary = self.config._tmp_path_factory  # type: ignore[attr-defined] # noqa: SLF001
        folder = temporary.getbasetemp() / f"worker{self._made}"
        self._made += 1
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                for pipe in [ours, *(worker.pipe for worker in self.workers)]:
                    pipe.close()
                folder.mkdir(mode=0o700)
                temporary._basetemp = folder  # noqa: SLF001
                _work(self.session, theirs)
                status = 0
            except (ConnectionError, KeyboardInterrupt):
                pass  # the run was stopped
            except BaseException:  # noqa: BLE001 - the parent reports the end only
                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(status)
        theirs.close()
        self.workers.append(_Worker(pid, ours))

    def _handle(self, worker: _Worker, kind: int, what: Any) -> None:
        if kind == _ASKS:
            others = {each.folder for each in self.workers if each is not worker}
            worker.folder, tests = self.files.next(worker.folder, others)
            worker.given += tests
            worker.pipe.send(tests)
        elif kind == _STARTS:
            worker.running = what
            worker.given.remove(what)
        else:
            worker.running, hook = None, self.config.hook
            for data in what:
                report = hook.pytest_report_from_serializable(config=self.config, data=data)
                hook.pytest_runtest_logreport(report=report)

    def _replace(self, worker: _Worker) -> None:
        """Report the test in which a worker died, and give its other tests to a new worker."""
        self.workers.remove(worker)
        worker.pipe.close()
        status = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        if status == 0 and worker.running is None and not worker.given:
            return
        where, location = "between tests", ("", None, "")
        if worker.running is not None:
            item = self.session.items[worker.running]
            where, location = item.nodeid, item.location
        reported = f"the worker ended with status {status} in this test"
        report = pytest.TestReport(where, location, {}, "failed", reported, "call")
        self.config.hook.pytest_runtest_logreport(report=report)
        if worker.given:
            self.files.left.insert(0, (worker.folder or "", worker.given))
            self._fork()


class _Reports:
    """Collects the reports of a worker's tests, in place of the terminal's reporter."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.all: list[Any] = []

    @property
    def _tw(self) -> TerminalWriter:
        """Where `config.get_terminal_writer()` looks: a timeout writes its stacks there."""
        return TerminalWriter(sys.stderr)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        hook = self.config.hook
        self.all.append(hook.pytest_report_to_serializable(config=self.config, report=report))


def _work(session: pytest.Session, pipe: Connection) -> None:
    """Be a worker."""
    config, manager = session.config, session.config.pluginmanager
    manager.unregister(name="terminalreporter")
    # The parent captures output in a file; all forks would share its file position.
    capture = manager.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
    capture.suspend_global_capture()
    reports = _Reports(config)
    manager.register(reports, "terminalreporter")
    try:
        _run_all(session, pipe, reports)
        config.hook.pytest_sessionfinish(session=session, exitstatus=0)
    finally:
        session._setupstate.teardown_exact(None)  # noqa: SLF001 - of a run that was stopped
        atexit._run_exitfuncs()  # noqa: SLF001 - `os._exit` would leave servers behind


def _run_all(session: pytest.Session, pipe: Connection, reports: _Reports) -> None:
    tests = _given(pipe)
    at = next(tests, None)
    while at is not None:
        following = next(tests, None)
        pipe.send((_STARTS, at))
        # Anything to read means that the parent has closed its end: it sends nothing unasked.
        stops = pipe.poll()
        after = None if following is None or stops else session.items[following]
        session.config.hook.pytest_runtest_protocol(item=session.items[at], nextitem=after)
        pipe.send((_ENDS, reports.all))
        reports.all.clear()
        at = None if stops or session.shouldfail or session.shouldstop else following


def _given(pipe: Connection) -> Iterator[int]:
    tests = None
    while tests != []:
        pipe.send((_ASKS, None))
        tests = pipe.recv()
        yield from tests
