"""The first-party script as it is served: its size, and what shortening leaves alone."""

import gzip
import json

import pytest
import quickjs

from twite.collector.page_script import settings_line
from twite.collector.script import script, shortened, tightened
from twite.testing.builders import a_destination, a_source

KILOBYTE = 1000


def test_with_the_settings_of_a_source_it_is_at_most_5_kb_gzipped():
    line = settings_line(a_source(), a_destination())

    served = f"{line}\n{script()}".encode()

    assert len(gzip.compress(served, 9, mtime=0)) <= 5 * KILOBYTE


def test_it_is_the_same_text_each_time():
    assert script() == script()


def test_it_is_a_script():
    # Compiled as the body of a function that is never called.
    compiled = quickjs.Context().eval(f"typeof function () {{{script()}}}")

    assert compiled == "function"


@pytest.mark.parametrize("word", ["eval(", "Function(", "innerHTML", "document.write", "onclick"])
def test_it_does_nothing_that_a_strict_policy_forbids(word):
    assert word not in script()


NAMED = [
    # Variables and parameters get short names, everywhere alike.
    ("let total=1;const more=(given)=>total+given;", "let b=1;const c=(a)=>b+a;"),
    # Properties, and what has the name of one, keep theirs.
    ("const value=other.value;", "const value=other.value;"),
    ("const made={made:1};", "const made={made:1};"),
    # Strings and regular expressions stay as they are.
    ("const word='word';const test=/word/g;", "const b='word';const a=/word/g;"),
    # No new name is one that is there already.
    ("const long=a+b;", "const c=a+b;"),
    ("const all=(...rest)=>[...rest];", "const b=(...a)=>[...a];"),
]


@pytest.mark.parametrize(("text", "short"), NAMED)
def test_names_become_short_and_mean_the_same(text, short):
    assert shortened(text) == short


TIGHT = [
    ("const a=1;", "let a=1;"),
    ("()=>{b();}", "()=>{b()}"),
    ("(a)=>a", "a=>a"),
    ("(a,b)=>a", "(a,b)=>a"),
    ("a=';}const (b)=>'", "a=';}const (b)=>'"),
]


@pytest.mark.parametrize(("text", "tight"), TIGHT)
def test_what_means_nothing_is_left_out(text, tight):
    assert tightened(text) == tight


def test_more_names_than_letters_are_still_different():
    names = [f"name{number}" for number in range(80)]
    text = ";".join(f"const {name}={number}" for number, name in enumerate(names))
    said = f"JSON.stringify([{','.join(names)}])"

    found = quickjs.Context().eval(f"(function () {{{shortened(f'{text};return {said}')}}})()")

    assert json.loads(found) == list(range(80))
