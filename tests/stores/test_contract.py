"""The store contract covers the ports: every method, query, move and kind of record."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, get_args

import pytest

import store_contract
from store_contract.ledger_contract import LedgerContract
from twite.gateway.ports.directory import Directory, SignInUpdate
from twite.gateway.ports.outbox import Move
from twite.gateway.ports.queries import Query, Selection
from twite.gateway.ports.state import StateRecord
from twite.gateway.ports.store import Store

LAWS = Path(store_contract.__file__).parent


def law_files() -> Iterator[Path]:
    """Yield the files of the store contract."""
    for law in LedgerContract.__mro__:
        if law.__module__.startswith(store_contract.__name__):
            yield LAWS / f"{law.__module__.rpartition('.')[2]}.py"
    yield LAWS / "actions.py"


def methods_of(port: type) -> set[str]:
    """Return the methods of a port and its base classes."""
    parts = [part for part in port.__mro__ if part not in {object, Protocol}]
    return {
        name
        for part in parts
        for name, value in vars(part).items()
        if callable(value) and not name.startswith("_")
    }


TREES = [ast.parse(path.read_text()) for path in sorted(set(law_files()))]
CALLED = {
    node.func.attr
    for tree in TREES
    for node in ast.walk(tree)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
}
NAMED = {node.id for tree in TREES for node in ast.walk(tree) if isinstance(node, ast.Name)}
MESSAGES = (
    *get_args(Selection),
    *Query.__subclasses__(),
    *get_args(Move),
    *get_args(StateRecord),
    *get_args(SignInUpdate),
)


@pytest.mark.parametrize("method", sorted(methods_of(Store) | methods_of(Directory)))
def test_every_method_of_a_port_has_a_contract_test(method):
    assert method in CALLED


@pytest.mark.parametrize("message", sorted(message.__name__ for message in MESSAGES))
def test_every_message_of_a_port_has_a_contract_test(message):
    assert message in NAMED
