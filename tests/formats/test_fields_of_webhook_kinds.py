"""The fields of value rules that each webhook kind says its messages lack, by its own source."""

import ast
import inspect

import pytest

from builders import a_conversion
from twite.formats.value_rules import document_of
from twite.formats.webhook_kinds import KINDS
from twite.formats.webhook_map import MappedOptions


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_kind_lacks_what_its_reader_never_fills(kind):
    if kind.lacks is None:
        assert issubclass(kind.options, MappedOptions)
        return
    tree = ast.parse(inspect.getsource(inspect.getmodule(kind.read)))
    [native] = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Native"
    ]
    filled = {keyword.arg for keyword in native.keywords}

    # The number of items is that of `contents`.
    read = set(document_of(a_conversion())) - {"quantity"}
    assert kind.lacks == read - filled
