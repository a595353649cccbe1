"""The first-party script as served: its size, and what minification must preserve."""

import gzip
import hashlib
import json
import re
import subprocess
from pathlib import Path

import msgspec
import pytest
import quickjs

from builders import a_destination, a_source
from twite.http.script import DEFAULTS, script, settings_line

KILOBYTE = 1000
ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/twite/http/script/twite.js"
TERSER = ROOT / ".node/node_modules/.bin/terser"


# One event of each kind that X has.
EVENTS = {
    name: f"o{hashlib.sha256(name.encode()).hexdigest()[:4]}"
    for name in (
        "purchase", "sign_up", "lead", "add_to_cart", "checkout", "add_payment_info",
        "add_to_wishlist", "view_item", "search", "page_view", "download", "start_trial",
        "subscribe", "product_customization",
    )
}  # fmt: skip


def test_served_script_is_at_most_5_kb_gzipped():
    line = settings_line(a_source(), msgspec.structs.replace(a_destination(), events=EVENTS))

    served = line.encode() + b"\n" + script()

    assert len(gzip.compress(served, 9, mtime=0)) <= 5 * KILOBYTE


def test_defaults_of_the_settings_are_those_of_the_script():
    written = SOURCE.read_text("utf-8")
    [block] = re.findall(r"const settings = (\{.*?\n\});", written, re.DOTALL)
    own = json.loads(quickjs.Context().eval(f"JSON.stringify({block})"))
    # Defaults for absent keys: false, no phone prefix, no opt-out signal, which is not sent, and a
    # pixel that is neither loaded nor off.
    absent = {"phone": None, "http_only": False, "opt_out": "suppress", "pixel": "use"}

    assert {name: own.get(name, absent.get(name)) for name in DEFAULTS} == dict(DEFAULTS)


@pytest.mark.skipif(not TERSER.exists(), reason="no terser: make .node/.done installs it")
def test_served_script_is_generated_from_its_source():
    arguments = [str(TERSER), str(SOURCE), "--compress", "--mangle"]
    minified = subprocess.run(arguments, capture_output=True, check=True).stdout

    assert script() == minified.rstrip(b"\n"), "run make generate"


def test_script_has_no_syntax_error():
    # It is compiled as the body of a function that is never called.
    compiled = quickjs.Context().eval(f"typeof function () {{{script().decode()}}}")

    assert compiled == "function"


@pytest.mark.parametrize("word", ["eval(", "Function(", "innerHTML", "document.write", "onclick"])
def test_script_uses_nothing_that_a_strict_content_security_policy_forbids(word):
    assert word not in script().decode()
