"""The parent of several worker processes announces them when all of them accept requests."""

import os
import shutil

import pytest

from twite.app.workers import WorkerSupervisor
from written import read

URL = "http://127.0.0.1:8080"


class Workers:
    """Two workers, as their parent sees them: each has a pipe for its URL."""

    def __init__(self, settings):
        self.announced = []
        self.file = settings.store.gateway_file
        self.supervisor = WorkerSupervisor(
            settings, 2, announced=lambda *said: self.announced.append(said), warn=lambda _: None
        )
        self.pipes = []

    def start(self):
        ready, reported = os.pipe()
        self.supervisor._starting[ready] = 0  # noqa: SLF001
        self.supervisor._started += 1  # noqa: SLF001
        self.pipes.append(reported)

    def end(self, number, *, ready):
        if ready:
            os.write(self.pipes[number], f"{URL} admin".encode())
        os.close(self.pipes[number])
        self.supervisor._wait()  # noqa: SLF001


@pytest.fixture
def workers(tmp_path):
    workers = Workers(read(tmp_path))
    yield workers
    shutil.rmtree(workers.supervisor._folder)  # noqa: SLF001


def test_workers_are_announced_once_when_both_accept_requests(workers):
    workers.start()
    workers.start()

    workers.end(0, ready=True)
    before = list(workers.announced), workers.file.exists()
    workers.end(1, ready=True)
    after = list(workers.announced), workers.file.exists()
    workers.start()
    workers.end(2, ready=True)  # it replaces another one

    assert before == ([], False)
    assert after == ([(URL, True)], True)
    assert workers.announced == [(URL, True)]


def test_first_worker_is_not_announced_before_the_second_has_started(workers):
    workers.start()
    workers.end(0, ready=True)
    before = list(workers.announced)

    workers.start()
    workers.end(1, ready=True)

    assert (before, workers.announced) == ([], [(URL, True)])


def test_worker_that_ends_before_it_accepts_requests_is_not_announced(workers):
    workers.start()
    workers.start()

    workers.end(0, ready=True)
    workers.end(1, ready=False)

    assert (workers.announced, workers.file.exists()) == ([], False)
