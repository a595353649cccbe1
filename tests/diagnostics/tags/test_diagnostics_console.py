"""Diagnostics of the host name of the console."""

import pytest

from twite.diagnostics import CheckStatus
from twite.tags.checks.console import console
from written import GOOD, read

CLIENT = """
[[client]]
template = "client.tpl"
"""
TEMPLATE = """___INFO___
{"type": "CLIENT", "displayName": "Answers"}
___SANDBOXED_JS_FOR_SERVER___
___SERVER_PERMISSIONS___
[]
"""
OWN = '[console]\nurl = "https://console.shop.example"\n'
SHARED = '[console]\nurl = "https://T.shop.example:443"\n'


def found(folder, text):
    (folder / "client.tpl").write_text(TEMPLATE)
    return [(finding.topic, finding.status) for finding in console(read(folder, text))]


@pytest.mark.parametrize("more", ["", SHARED])
def test_client_templates_on_the_host_of_the_console_fail(tmp_path, more):
    assert found(tmp_path, GOOD + more + CLIENT) == [("console", CheckStatus.FAILED)]


def test_console_with_its_own_host_passes(tmp_path):
    assert found(tmp_path, GOOD + OWN + CLIENT) == [("console", CheckStatus.PASSED)]


def test_gateway_without_public_url_or_client_templates_has_no_finding(tmp_path):
    local = GOOD.replace('public_url = "https://t.shop.example"\n', "")

    assert found(tmp_path, local + CLIENT) == found(tmp_path, GOOD) == []
