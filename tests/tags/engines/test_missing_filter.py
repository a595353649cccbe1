"""Without the system call filter, the gateway and `twite check` report it."""

import asyncio
import errno
from pathlib import Path

import pytest
from template_stage import call, template

from twite.config.settings import load
from twite.gateway.ports.events import GatewayEvent, ProblemPlace, ProblemSeen
from twite.redaction.mask_text import without_echoes
from twite.tags.checks.engines import engines
from twite.tags.engines.process import code_check, engine_server, fork_server, isolation
from twite.tags.engines.process.engine_server import NO_FILTER, EngineServer
from twite.tags.template.sandbox import RunLimits

UNFILTERED = """
import sys; sys.path.insert(0, sys.argv[1])
from twite.tags.engines.process import fork_server
fork_server.works_with_filter = lambda: False
fork_server.main()
"""


SETTINGS = """
[[tag]]
name = "ads"
template = "ads.tpl"
consent = []
"""
TEMPLATES = Path(__file__).parents[1] / "templates"


class RefusingKernel:
    """A C library whose kernel refuses seccomp."""

    def prctl(self, option: int, *_: object) -> int:
        return -1 if option == 22 else 0  # PR_SET_SECCOMP


class Events(list[GatewayEvent]):
    def see(self, notice: GatewayEvent) -> None:
        self.append(notice)


def test_refused_filter_is_an_error(monkeypatch):
    monkeypatch.setattr(isolation, "_LIBC", RefusingKernel())

    with pytest.raises(OSError):  # noqa: PT011  # the kernel's reason varies
        isolation.filter_calls()


def test_fork_server_notices_a_refused_filter(monkeypatch):
    monkeypatch.setattr(isolation, "_LIBC", RefusingKernel())

    assert not fork_server.works_with_filter()


@pytest.mark.parametrize(("system", "machine"), [("linux", "riscv64"), ("darwin", "arm64")])
def test_unknown_system_has_no_filter(monkeypatch, system, machine):
    monkeypatch.setattr(isolation.sys, "platform", system)
    monkeypatch.setattr(isolation.os, "uname", lambda: type("Uname", (), {"machine": machine}))

    with pytest.raises(OSError) as refused:  # noqa: PT011  # its errno is checked
        isolation.filter_calls()

    assert refused.value.errno == errno.ENOSYS


def test_log_contains_the_whole_report_of_a_missing_filter():
    assert without_echoes(NO_FILTER) == NO_FILTER


@pytest.mark.parametrize("program", [UNFILTERED, None])
async def test_gateway_reports_a_missing_filter_once(monkeypatch, program):
    if program is not None:
        monkeypatch.setattr(engine_server, "_PROGRAM", program)
    events = Events()
    server = EngineServer(observer=events)
    server.start()
    try:
        process = server.process(RunLimits())
        turn = await process.start(template("return 1;"), call())
        async with asyncio.timeout(20):
            while process.pid is None:  # noqa: ASYNC110  reported after the filter
                await asyncio.sleep(0.001)
    finally:
        await server.stop()

    missing = [ProblemSeen(where=ProblemPlace.ENGINES, reason=NO_FILTER)]
    assert (turn.returned, events) == (1, missing if program else [])


@pytest.mark.parametrize(("program", "status"), [("print('none')", "warning"), (None, "passed")])
def test_twite_check_reports_a_missing_filter(monkeypatch, tmp_path, program, status):
    (tmp_path / "twite.toml").write_text(SETTINGS)
    (tmp_path / "ads.tpl").write_text((TEMPLATES / "ad_cookies.tpl").read_text())
    settings = load(tmp_path / "twite.toml", {})
    if program is not None:
        monkeypatch.setattr(code_check, "_PROGRAM", program)

    (finding,) = engines(settings)

    assert (finding.topic, finding.status) == ("engines", status)
