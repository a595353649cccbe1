"""The first-party script as served: its size, and what minification must preserve."""

import gzip
import hashlib
import json
import re
from importlib.resources import files

import msgspec
import pytest
import quickjs

from builders import a_destination, a_source
from script_minifier import inlined, joined, minified, shortened, tightened
from twite.http.script import DEFAULTS, script, settings_line

KILOBYTE = 1000


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
    written = files("twite.http.script").joinpath("twite.js").read_text("utf-8")
    [block] = re.findall(r"const settings = (\{.*?\n\});", written, re.DOTALL)
    own = json.loads(quickjs.Context().eval(f"JSON.stringify({block})"))
    # Defaults for absent keys: false, no phone prefix, no opt-out signal, which is not sent, and a
    # pixel that is neither loaded nor off.
    absent = {"phone": None, "http_only": False, "opt_out": "suppress", "pixel": "use"}

    assert {name: own.get(name, absent.get(name)) for name in DEFAULTS} == dict(DEFAULTS)


def test_served_script_is_generated_from_its_source():
    assert script().decode() == minified(), "run make generate"


def test_script_compiles():
    # It is compiled as the body of a function that is never called.
    compiled = quickjs.Context().eval(f"typeof function () {{{minified()}}}")

    assert compiled == "function"


@pytest.mark.parametrize("word", ["eval(", "Function(", "innerHTML", "document.write", "onclick"])
def test_script_uses_nothing_that_a_strict_content_security_policy_forbids(word):
    assert word not in minified()


NAMED = [
    # Variables and parameters consistently get short names made of letters that already occur.
    ("let total=1;const more=(given)=>total+given;", "let c=1;const e=(t)=>c+t;"),
    # Properties keep theirs.
    ("const value=other.value;", "const e=other.value;"),
    ("const made={made:1};", "const a={made:1};"),
    ("const all=(key)=>({[key]:key,key:key});", "const e=(c)=>({[c]:c,key:c});"),
    ("const one=two?three:four;", "const o=two?three:four;"),
    # Strings and regular expressions stay as they are.
    ("const word='word';const test=/word/g;", "const c='word';const o=/word/g;"),
    # No new name equals an existing one.
    ("const long=a+b;", "const c=a+b;"),
    ("const all=(...rest)=>[...rest];", "const n=(...c)=>[...c];"),
    ("const all=(of)=>[...Object.keys(of)];", "const e=(c)=>[...Object.keys(c)];"),
    # Each statement reuses the same local names; undeclared names, or those local to another, stay.
    ("const all=(word)=>word;let sum=(text)=>all(text);", "const c=(t)=>t;let e=(t)=>c(t);"),
    ("const all=(text)=>text;all(text);", "const n=(c)=>c;n(text);"),
    # A name that shadows a global one gets the same short name.
    ("let kept=1;const all=(kept)=>kept;", "let t=1;const c=(t)=>t;"),
]


@pytest.mark.parametrize(("text", "short"), NAMED)
def test_minifier_shortens_names_without_changing_the_meaning(text, short):
    assert shortened(text) == short


INLINED = [
    ("const MOST=20;const all=MOST+MOST;", "const all=20+20;"),
    ("const DIGEST=/^[0-9a-f]$/i;DIGEST.test(a);", "/^[0-9a-f]$/i.test(a);"),
    (
        "const CLICK=/a/;CLICK.test(a);CLICK.test(b);",
        "const CLICK=/a/;CLICK.test(a);CLICK.test(b);",
    ),
    ("const most=20;most;", "const most=20;most;"),
]


@pytest.mark.parametrize(("text", "inline"), INLINED)
def test_minifier_inlines_constants(text, inline):
    assert inlined(text) == inline


TIGHT = [
    ("const a=1;", "let a=1;"),
    ("()=>{b();}", "()=>{b()}"),
    ("(a)=>a", "a=>a"),
    ("(a,b)=>a", "(a,b)=>a"),
    ("async(a)=>a", "async(a)=>a"),
    ("return(a)=>a", "return(a)=>a"),
    ("if(a){b();}\nc();", "if(a){b()}c();"),
    ("a=true;b=false;c=undefined;", "a=!0;b=!1;c=void 0;"),
    ("a=';}const (b)=>true'", 'a=";}const (b)=>true"'),
    ("a='\"b\"';c=/const'/;", "a='\"b\"';c=/const'/;"),
]


@pytest.mark.parametrize(("text", "tight"), TIGHT)
def test_minifier_removes_insignificant_characters(text, tight):
    assert tightened(text) == tight


JOINED = [
    ("let a=1;let b=2;c();let d", "let a=1,b=2;c();let d"),
    ("let a=()=>{let b=1;let c=2};let d", "let a=()=>{let b=1,c=2},d"),
    ("for(let a=0;a<1;a++)b;let c", "for(let a=0;a<1;a++)b;let c"),
    ("let a=[';let b'];let c", "let a=[';let b'],c"),
    ("let a=1;outlet b;let c", "let a=1;outlet b;let c"),
]


@pytest.mark.parametrize(("text", "joint"), JOINED)
def test_minifier_joins_consecutive_declarations(text, joint):
    assert joined(text) == joint


def test_minified_names_stay_unique_beyond_the_alphabet():
    names = [f"name{number}" for number in range(80)]
    text = ";".join(f"const {name}={number}" for number, name in enumerate(names))
    said = f"JSON.stringify([{','.join(names)}])"

    found = quickjs.Context().eval(f"(function () {{{shortened(f'{text};return {said}')}}})()")

    assert json.loads(found) == list(range(80))
