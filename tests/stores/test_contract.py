"""The store contract covers the ports: every method, query, move and kind of record."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, get_args

import pytest

import store_contract
from store_contract.ledger_contract import LedgerContract
from twite.gateway.ports.directory import Directory, SignInUpdate
from twite.gateway.ports.outbox import Move, Outbox
from twite.gateway.ports.privacy import Privacy
from twite.gateway.ports.queries import Queries, Query, Selection
from twite.gateway.ports.state import StateRecord, StateStore
from twite.gateway.ports.store import Intake, Store

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
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


@pytest.fixture(scope="module")
def nodes() -> list[ast.AST]:
    """The syntax trees of the files that contain the contract's tests."""
    trees = (ast.parse(path.read_text()) for path in set(law_files()))
    return [node for tree in trees for node in ast.walk(tree)]


MESSAGES = (
    *get_args(Selection),
    *Query.__subclasses__(),
    *get_args(Move),
    *get_args(StateRecord),
    *SignInUpdate.__subclasses__(),
)


def test_every_method_of_a_port_has_a_contract_test(nodes):
    functions = [node.func for node in nodes if isinstance(node, ast.Call)]
    called = {function.attr for function in functions if isinstance(function, ast.Attribute)}

    assert methods_of(Store) | methods_of(Directory) <= called


def test_every_message_of_a_port_has_a_contract_test(nodes):
    named = {node.id for node in nodes if isinstance(node, ast.Name)}

    assert {message.__name__ for message in MESSAGES} <= named


def test_contributing_lists_the_ports_and_their_methods():
    ports = (Intake, Outbox, Queries, StateStore, Directory, Privacy)
    table = CONTRIBUTING.read_text().partition("| store port | methods |")[2]
    rows = re.findall(r"^\| `(\w+)` \| (`.+`) \|$", table, re.MULTILINE)

    documented = {port: set(re.findall(r"\w+", methods)) for port, methods in rows}

    assert documented == {port.__name__: methods_of(port) for port in ports}
