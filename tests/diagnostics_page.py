"""Write the findings of `twite check` into docs/reference/doctor.md: `make generate`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/reference/doctor.md"
FOLDERS = (ROOT / "src/twite/diagnostics", ROOT / "src/twite/tags/checks")
FILES = sorted(
    (file for folder in FOLDERS for file in folder.glob("*.py")), key=lambda file: file.name
)
MARKS = ("<!-- from the code: make generate -->\n", "<!-- end -->\n")
ALERTS = "alerts"
KINDS = {"failed": "Failed", "warning": "Warning", "status": "Warning or failed"}


class Row(NamedTuple):
    topic: str
    kind: str
    finding: str
    meaning: str
    fix: str


def templates(node: ast.expr, scopes: list[ast.AST]) -> list[str]:
    """Return the possible texts of an expression, with names of values in capitals."""
    match node:
        case ast.Constant(value=str() as text):
            return [text]
        case ast.JoinedStr(values=parts):
            text = ""
            for part in parts:
                following = templates(part, scopes)[0]
                # A value that is empty or ends in a blank, such as "event e of ".
                glued = text[-1:].isupper() and following[:1].islower()
                text += " " * glued + following
            return [text]
        case (
            ast.IfExp(body=body, orelse=other)
            | ast.FormattedValue(value=ast.IfExp(body=body, orelse=other))
        ):
            return [*templates(body, scopes), *templates(other, scopes)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            ends = templates(right, scopes)
            return [start + end for start in templates(left, scopes) for end in ends]
        case ast.Name(id=name):
            for scope in scopes:
                found = [
                    text for value in assigned(name, scope) for text in templates(value, scopes)
                ]
                if found:
                    return found
    return [placeholder(node)]


def placeholder(node: ast.AST) -> str:
    """Return the name of a value in capitals; of a call, that of its argument or object."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.strip("_").upper()
        case ast.Call(args=[first, *_]):
            return placeholder(first)
        case ast.Call(func=ast.Attribute(value=value)):
            return placeholder(value)
    named = (inner for inner in ast.iter_child_nodes(node) if isinstance(inner, ast.expr))
    return next((placeholder(inner) for inner in named), "…")


def assigned(name: str, scope: ast.AST) -> Iterator[ast.expr]:
    for statement in ast.walk(scope):
        match statement:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                yield value
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if (
                target == name
            ):
                yield value


def rows() -> list[Row]:
    """Return each warning and failure that the code can report, by topic."""
    found = []
    for path in FILES:
        tree = ast.parse(path.read_text("utf-8"))
        constants = ast.Module(body=[node for node in tree.body if assigns(node)], type_ignores=[])
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                match node:
                    case ast.Call(
                        func=ast.Name(id=kind), args=[ast.Constant(value=topic), *texts]
                    ) if kind in KINDS:
                        parts = [shown(text, [function, constants]) for text in texts]
                        found.append(Row(topic, kind, *parts))
    # The meaning of an open alert is on the alert's page.
    kept = [row for row in dict.fromkeys(found) if row.topic != ALERTS or row.kind != "status"]
    return sorted(kept, key=lambda row: row.topic.lower())


def assigns(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign | ast.AnnAssign)


def shown(node: ast.expr, scopes: list[ast.AST]) -> str:
    """Return the alternatives of a text; it is empty if the text comes from elsewhere."""
    texts = dict.fromkeys(templates(node, scopes))
    return " / ".join(text for text in texts if re.search("[a-z]", text))


def section() -> str:
    """Return the findings as Markdown, between the marks."""
    lines = []
    topic = ""
    for row in rows():
        if row.topic != topic:
            topic = row.topic
            lines += ["", f"### {topic}", ""]
        finding = (
            f"`{row.finding.replace(' / ', '`, or `')}`" if row.finding else "It names the cause"
        )
        fix = row.fix or "It names the fix."
        lines.append(f"- **{KINDS[row.kind]}:** {finding}. {row.meaning} *Fix:* {fix}")
    return "\n".join([MARKS[0].rstrip(), *lines, "", MARKS[1]])


def page() -> str:
    """Return the page with the findings of the code."""
    text = PAGE.read_text("utf-8")
    start, end = text.index(MARKS[0]), text.index(MARKS[1]) + len(MARKS[1])
    return text[:start] + section() + text[end:]


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
