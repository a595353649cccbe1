"""Whether metrics and the console respond at the public address without credentials."""

import pytest
from test_diagnostics_rare import odd_x_server

from twite.diagnostics import CheckStatus
from twite.diagnostics.endpoint import closed
from written import GOOD, read

OPEN = 200, {"twite_received_total": 1, "name": "Twite"}
OFFICE = '[console]\nnetworks = ["203.0.113.0/24"]\n'


async def found_at(tmp_path, answers, *, more=""):
    settings = read(tmp_path, GOOD + more)
    async with odd_x_server(answers) as url:
        return [
            (finding.status, finding.found.removeprefix(url))
            async for finding in closed(url, settings)
        ]


async def test_public_metrics_and_console_fail(tmp_path):
    found = await found_at(tmp_path, {"/metrics": OPEN, "/console/sign-in": OPEN})

    assert found == [
        (CheckStatus.FAILED, "/metrics answers without a key"),
        (
            CheckStatus.FAILED,
            "/console/sign-in answers, although console.networks contains only this machine",
        ),
    ]


@pytest.mark.parametrize(
    "answers",
    [
        {"/metrics": (401, {}), "/console/sign-in": (403, {"name": "Twite"})},
        {"": (200, {"a shop": "of its own at these paths"})},
        {},
    ],
)
async def test_metrics_and_console_that_refuse_public_requests_pass(tmp_path, answers):
    found = await found_at(tmp_path, answers)

    assert found == [
        (CheckStatus.PASSED, "/metrics is not public"),
        (CheckStatus.PASSED, "/console/sign-in is not public"),
    ]


async def test_console_that_responds_to_requests_from_this_machine_is_a_warning(tmp_path):
    found = await found_at(tmp_path, {"/console/sign-in": OPEN}, more=OFFICE)

    assert found[1] == (
        CheckStatus.WARNING,
        ("/console/sign-in answers requests from this machine"),
    )
