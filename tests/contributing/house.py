"""`make house`: figures of the source code beside those of another commit.

    make house                    beside the last release
    make house ARGS=2c1522fd      beside this commit

Calls are Python calls in `src`, in all threads of a gateway; `count_calls.py` counts them.
"""

import argparse
import ast
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Templates, containers and preview sessions, and X's emulator, at their places of any commit.
TAGS = re.compile(r"src/twite/(tags|engines|gtm|gateway/(tags|preview))/")
EMULATOR = re.compile(r"src/(twite_emulator|twite/emulator)/")
KINDS = ("all", "code", "docstring", "comment", "blank")
LARGEST = 5
# A repetition has this many equal lines of code, or more.
REPEATED = 6
# What a stranger reads as the word.
ABBREVIATIONS = {"conn": "connection", "ctx": "context", "db": "database"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

Figures = dict[str, str]


def main() -> int:
    asked = argparse.ArgumentParser(
        prog="make house", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("commit", nargs="?", help="default: the last release, if there is one")
    asked.add_argument("--no-calls", action="store_true", help="count no calls")
    chosen = asked.parse_args()
    commit = chosen.commit or _last_release()
    sides = {}
    with tempfile.TemporaryDirectory(prefix="twite-house-") as folder:
        if commit:
            with tarfile.open(fileobj=io.BytesIO(_git("archive", commit, "src", "tests"))) as tree:
                tree.extractall(folder, filter="data")
            sides[commit] = Path(folder)
        sides["now"] = ROOT
        columns = {
            side: figures_of(tree) | ({} if chosen.no_calls else calls_of(tree))
            for side, tree in sides.items()
        }
    names = dict.fromkeys(name for figures in columns.values() for name in figures)
    width = max(map(len, names))
    print(" " * width, *(f"{side:>14}" for side in columns))
    for name in names:
        print(f"{name:<{width}}", *(f"{column.get(name, ''):>14}" for column in columns.values()))
    for side, tree in sides.items():
        print(f"\nlargest files, {side}:")
        for path, lines in largest(tree):
            print(f"  {lines:>6,}  {path}")
    return 0


def _last_release() -> str:
    return _git("tag", "--list", "v*", "--sort=-v:refname").decode().partition("\n")[0]


def _git(*arguments: str) -> bytes:
    git = shutil.which("git") or "git"
    return subprocess.run([git, *arguments], cwd=ROOT, capture_output=True, check=True).stdout


@cache
def python_files(tree: Path, folder: str) -> dict[str, str]:
    """Return the text of each file, by its path in the tree."""
    files = sorted((tree / folder).rglob("*.py"))
    return {str(file.relative_to(tree)): file.read_text("utf-8") for file in files}


def figures_of(tree: Path) -> Figures:
    files = python_files(tree, "src")
    trees = {path: ast.parse(text) for path, text in files.items()}
    core = [path for path in files if not (TAGS.match(path) or EMULATOR.match(path))]
    kinds = {path: kinds_of(text) for path, text in files.items()}
    unlike, annotated = unlike_names(trees.values())
    figures = {}
    for title, paths in (("src", list(files)), ("src without tags and emulator", core)):
        for kind in KINDS:
            figures[f"lines of {title}, {kind}"] = f"{sum(kinds[path][kind] for path in paths):,}"
    tests = python_files(tree, "tests")
    figures["lines of tests"] = f"{sum(text.count(chr(10)) for text in tests.values()):,}"
    figures["files of src"] = f"{len(files):,}"
    figures["files of src without tags and emulator"] = f"{len(core):,}"
    figures["files of tests"] = f"{len(tests):,}"
    classes = sum(isinstance(node, ast.ClassDef) for tree in trees.values() for node in tree.body)
    figures["classes"] = f"{classes:,}"
    figures["annotated names"] = f"{annotated:,}"
    figures["… that share no word with their type"] = f"{len(unlike):,}"
    late = sum(bool(late_constants(tree)) for tree in trees.values())
    figures["files with constants below definitions"] = f"{late:,}"
    figures[f"repeated lines ({REPEATED} or more in a row)"] = f"{repeated_lines(files.values()):,}"
    return figures


def kinds_of(text: str) -> Counter[str]:
    """Count lines by kind. A line with code and a comment is code."""
    lines = text.splitlines()
    kinds = ["blank" if not line.strip() else "code" for line in lines]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip():
            kinds[token.start[0] - 1] = "comment"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (*_DEFINITIONS, ast.Module)) and ast.get_docstring(node, clean=False):
            first = node.body[0]
            for number in range(first.lineno, (first.end_lineno or first.lineno) + 1):
                kinds[number - 1] = "docstring"
    return Counter(kinds) + Counter({"all": len(lines)})


def largest(tree: Path) -> list[tuple[str, int]]:
    lines = Counter({path: text.count("\n") for path, text in python_files(tree, "src").items()})
    return lines.most_common(LARGEST)


def words(name: str) -> set[str]:
    """Split a name at case and underscore, without the -s of plurals and abbreviations."""
    plain = (word.lower().rstrip("s") for word in _WORDS.findall(name))
    return {ABBREVIATIONS.get(word, word) for word in plain}


def unlike_names(trees: Iterable[ast.Module]) -> tuple[list[tuple[str, str]], int]:
    """Return names that share no word with their type, and the number of names that have a type.

    These are annotated parameters, variables and attributes whose annotation, without `| None`, is
    a class of the package.
    """
    trees = list(trees)
    classes = {
        node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    }
    pairs = [
        (name, type_name)
        for tree in trees
        for name, annotation in annotated_names(tree)
        if (type_name := class_name(annotation)) in classes
    ]
    return [(name, type_) for name, type_ in pairs if not words(name) & words(type_)], len(pairs)


def annotated_names(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation:
            yield node.arg, node.annotation
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.annotation
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute):
            yield node.target.attr, node.annotation


def class_name(annotation: ast.expr) -> str | None:
    """Return the class that an annotation names without `| None`; None for any other annotation."""
    match annotation:
        case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
            return class_name(left)
        case ast.Constant(value=str(text)):
            return class_name(ast.parse(text, mode="eval").body)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return None


def late_constants(tree: ast.Module) -> list[ast.Assign | ast.AnnAssign]:
    """Return the constants after the first definition of a module that need none of them."""
    defined: set[str] = set()
    late: list[ast.Assign | ast.AnnAssign] = []
    for node in tree.body:
        names = _assigned(node)
        if isinstance(node, _DEFINITIONS):
            defined.add(node.name)
        elif defined and isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            needed = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            if all(map(_CONSTANT.fullmatch, names)) and not needed & defined:
                late.append(node)
            else:
                defined |= names
    return late


def _assigned(node: ast.stmt) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
    names = (name for target in targets for name in ast.walk(target))
    return {name.id for name in names if isinstance(name, ast.Name)}


def repeated_lines(texts: Iterable[str]) -> int:
    """Count the lines of code in blocks of at least REPEATED lines that stand elsewhere, too."""
    places = defaultdict(list)
    for number, text in enumerate(texts):
        lines = list(_code_lines(text))
        for start in range(len(lines) - REPEATED + 1):
            places[tuple(lines[start : start + REPEATED])].append((number, start))
    again = {
        (number, start + offset)
        for found in places.values()
        for number, start in found[1:]
        for offset in range(REPEATED)
    }
    return len(again)


def _code_lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith(("#", "import ", "from ")):
            yield stripped


def calls_of(tree: Path, shops: int = 5) -> Figures:
    """Return calls and files for each way through a gateway of this tree."""
    ended = subprocess.run(
        [
            *(sys.executable, str(Path(__file__).with_name("count_calls.py"))),
            *(str(tree / "src"), "--shops", str(shops)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if ended.returncode:
        raise SystemExit(f"{tree}: the gateway whose calls are counted failed:\n{ended.stderr}")
    counts = json.loads(ended.stdout.splitlines()[-1])
    return {
        f"calls (files): {way}": f"{calls:,} ({files})" for way, (calls, files) in counts.items()
    }


if __name__ == "__main__":
    sys.exit(main())
