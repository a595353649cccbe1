"""What the worker processes of a machine ask each other."""

import asyncio
import socket

from twite.app.worker_channel import WorkerChannel
from twite.gateway.operations.control import ReloadReport
from twite.gateway.ports.events import ReloadResult

OWN = ReloadReport(result=ReloadResult.RELOADED)


def a_channel(folder, name, reports):
    async def reload(_dry_run):
        return reports

    channel = WorkerChannel(folder, lambda: b"", reload)
    channel._own = folder / f"{name}.sock"  # noqa: SLF001 one process has all channels
    return channel


async def test_killed_worker_does_not_fail_the_reload_of_the_others(tmp_path):
    first = a_channel(tmp_path, "1", OWN)
    second = a_channel(tmp_path, "2", ReloadReport(result=ReloadResult.UNCHANGED))
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / "3.sock"))
    await second.start()

    report = await first.reload_others(OWN, dry_run=False)

    await second.stop()
    assert (report.result, report.processes, report.problems) == (ReloadResult.RELOADED, 2, ())


async def test_worker_that_does_not_answer_fails_the_reload(tmp_path):
    channel = a_channel(tmp_path, "1", OWN)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "3.sock"))
        silent.listen()
        silent.settimeout(0)
        reload = asyncio.create_task(channel.reload_others(OWN, dry_run=False))
        connection, _ = await asyncio.get_running_loop().sock_accept(silent)
        connection.close()
        report = await reload

    assert report.result is ReloadResult.FAILED
    assert report.problems == ("the worker process 3 did not answer",)
