"""gtm-web/template.tpl: Twite's tag for Google's web container, in the runner for server tags.

The runner has no APIs of web containers: the template's own tests replace all of them.
"""

import json
import re
from pathlib import Path

import pytest

from twite.tags.engines.quickjs.scenarios import run_scenarios
from twite.tags.template.template import TemplateUnusable, read_scenarios, read_template

TEXT = (Path(__file__).parents[2] / "gtm-web/template.tpl").read_text()
AS_SERVER = (
    TEXT.replace("SANDBOXED_JS_FOR_WEB_TEMPLATE", "SANDBOXED_JS_FOR_SERVER")
    .replace("WEB_PERMISSIONS", "SERVER_PERMISSIONS")
    .replace('"WEB"', '"SERVER"')
)


def test_web_template_passes_its_own_tests():
    template = read_template(AS_SERVER.encode())

    verdicts = run_scenarios(template, read_scenarios(template.tests), now=1_764_000_000_000)

    assert {verdict.name: verdict.failures for verdict in verdicts if verdict.failures} == {}
    assert len(verdicts) == 8


def test_web_template_may_only_call_the_script_and_read_two_consent_types():
    permissions = json.loads(TEXT.split("___WEB_PERMISSIONS___")[1].split("___TESTS___")[0])

    assert [permission["instance"]["key"]["publicId"] for permission in permissions] == [
        "access_globals",
        "access_consent",
    ]
    named = set(re.findall(r'"string": "([\w.]+)"', json.dumps(permissions)))
    assert named == {
        *("key", "read", "write", "execute", "twite", "twite.q"),
        *("consentType", "ad_storage", "ad_user_data"),
    }


def test_every_api_of_the_web_template_is_replaced_in_its_tests_or_needs_no_permission():
    code, tests = TEXT.split("___WEB_PERMISSIONS___")[0], TEXT.split("___TESTS___")[1]
    used = set(re.findall(r"require\('(\w+)'\)", code))

    assert used - set(re.findall(r"mock\('(\w+)'", tests)) == {"getType", "makeString"}


def test_server_refuses_the_web_template_by_its_name():
    with pytest.raises(TemplateUnusable, match=r"Twite: conversion of a page.*is a web template"):
        read_template(TEXT.encode())
