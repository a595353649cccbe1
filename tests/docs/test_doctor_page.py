"""The page on `twite check` explains every warning and failure."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "doctor.md"
DIAGNOSTICS = ROOT / "src" / "twite" / "diagnostics"
NOT_IN_ORDER = {"red", "amber", "light"}
# The alert's own page explains its meaning.
ELSEWHERE = {"alerts"}


def texts(node: ast.expr, tree: ast.Module) -> set[str]:
    """Return the possible texts of an argument: a constant, or the values assigned to its name."""
    if not isinstance(node, ast.Name):
        found = [node]
    else:
        found = [
            statement.value
            for statement in ast.walk(tree)
            if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None
            for target in (
                statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            )
            if isinstance(target, ast.Name) and target.id == node.id
        ]
    branches = [
        part
        for value in found
        for part in ([value.body, value.orelse] if isinstance(value, ast.IfExp) else [value])
    ]
    return {
        inner
        for part in branches
        for inner in (
            {part.value} if isinstance(part, ast.Constant) else texts_of_names(part, tree)
        )
    }


def texts_of_names(node: ast.expr, tree: ast.Module) -> set[str]:
    return texts(node, tree) if isinstance(node, ast.Name) else set()


def findings() -> Iterator[tuple[str, str]]:
    """Yield (topic, meaning) of each warning and failure."""
    for path in sorted(DIAGNOSTICS.glob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in NOT_IN_ORDER
            ):
                topic = node.args[0]
                assert isinstance(topic, ast.Constant), ast.dump(topic)
                meanings = texts(node.args[2], tree)
                assert meanings or topic.value in ELSEWHERE, f"{path.name}, line {node.lineno}"
                for meaning in meanings:
                    yield topic.value, meaning


def test_every_diagnostic_finding_is_documented():
    rows = re.findall(
        r"^\| ([\w ]+) \| (?:red|amber|amber or red) \| (.+?) \|", PAGE.read_text(), re.MULTILINE
    )

    assert set(rows) == set(findings())
