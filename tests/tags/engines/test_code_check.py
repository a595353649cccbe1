"""The code of templates is checked for syntax errors in a separate process."""

import sys
from pathlib import Path

import pytest
from template_stage import template
from test_engine import NO_JAVASCRIPT

from twite.tags.engines.process import code_check
from twite.tags.engines.process.code_check import CodeCheck
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.template import TemplateUnusable


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(code_check, "_KNOWN", {})


def test_check_of_code_reports_the_same_errors_as_the_engine():
    with CodeCheck() as check:
        for code in [*(code for code, _ in NO_JAVASCRIPT), "});\n(function () {"]:
            check.check(template("return 1;"))
            with pytest.raises(TemplateUnusable) as caught:
                check.check(template(code))
            with pytest.raises(TemplateUnusable) as alone:
                QuickJsEngine(template(code))
            assert (caught.value.line, caught.value.message) == (
                alone.value.line,
                alone.value.message,
            )


def test_checked_code_is_not_checked_again(monkeypatch):
    with CodeCheck() as check:
        check.check(template("return 2;"))
    monkeypatch.setattr(code_check, "_PROGRAM", "raise SystemExit")

    with CodeCheck() as check:
        check.check(template("return 2;"))


def test_process_that_dies_during_the_check_is_an_error_of_the_template(monkeypatch):
    monkeypatch.setattr(code_check, "_PROGRAM", "raise SystemExit")

    with CodeCheck() as check, pytest.raises(TemplateUnusable, match="its process ended"):
        check.check(template("return 3;"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_process_that_checks_code_is_isolated():
    with CodeCheck() as check:
        check.check(template("return 4;"))
        process = check._process  # noqa: SLF001  # its pid
        assert process is not None
        status = Path(f"/proc/{process.pid}/status").read_text()

    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
