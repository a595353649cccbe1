"""Memory of templates is measured and freed without blocking Python."""

import subprocess
import sys
from pathlib import Path

import pytest
from template_stage import call, template

from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.template import TemplateUnusable

# In a separate process, because a test cannot interrupt a blocked Python.
SCRIPT = """
from template_stage import call, template
from twite.tags.engines.quickjs.engine import QuickJsEngine

QuickJsEngine(template({code!r})).start(call())
"""
HANGS = "{ toString() { for (;;) {} } }"
THROWN = {
    "a reason that nobody hears of": (
        "require('Promise').create((done, fail) => "
        f"fail({{ toJSON() {{}}, toString() {{ throw {HANGS}; }} }}));"
    ),
    "what is thrown": f"throw {HANGS};",
    "a stack": f"throw {{ get stack() {{ throw {HANGS}; }} }};",
    "a name": f"try {{ null.x; }} catch (error) {{ error.name = {HANGS}; throw error; }}",
}


@pytest.mark.parametrize("code", THROWN.values(), ids=THROWN)
def test_thrown_value_whose_conversion_hangs_ends_only_its_run(code):
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(code=code)],
        cwd=Path(__file__).parent,
        check=False,
        timeout=60,
    )

    assert ran.returncode == 0


@pytest.mark.parametrize(
    "thrown", ["{ toString() { throw 1; } }", "{ get stack() { throw 1; } }", "null", "'\\ud800'"]
)
def test_code_that_closes_its_function_body_is_refused(thrown):
    code = f"}}), (function () {{ throw {thrown}; }})(), (function () {{"

    with pytest.raises(TemplateUnusable):
        QuickJsEngine(template(code))


def test_rejection_that_cannot_be_printed_is_not_an_exceeded_limit():
    code = (
        "require('Promise').create((done, fail) => fail({ toJSON() {}, toString() { throw 1; } }));"
        "data.gtmOnSuccess();"
    )

    turn = QuickJsEngine(template(code)).start(call())

    assert (turn.error, turn.spent) == (None, False)
    assert "a value that cannot be shown" in turn.effects[0].text
