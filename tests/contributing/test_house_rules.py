"""The rules of CONTRIBUTING.md that a machine can check: sizes, names and places.

`make lint` runs this file, so it must stay fast. The lists of exceptions may only shrink.
"""

import ast
import gc
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType

import pytest
from house import late_constants, unlike_names, words

from postgres_statements import generated
from twite.stores.postgres.statements import GENERATED

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "twite"
FILES = sorted((ROOT / "src").rglob("*.py"))
MAX_FILES = 25
MAX_LINES = 400
MAX_ARGUMENTS = 10
MAX_TEMPLATE_LINE = 160

# Constructors with more than MAX_ARGUMENTS arguments.
MANY_ARGUMENTS = frozenset(
    {
        "gateway/ingest/accept:Accept",
        "tags/clients/clients:Clients",
    }
)

# The packages that may use X's terms, and other modules that use them today.
SPEAKS_X = ("x/", "formats/x_api/", "gateway/ingest/", "gateway/delivery/", "gateway/x_account/")
SPEAKS_X += ("twite_emulator/",)
X_IMPORTERS = frozenset(
    {
        "cli/events",
        "config/server_tables",
        "console/pages/events",
        "diagnostics/access",
        "diagnostics/network",
        "tags/run/to_x",
        "http/application",
        "http/route_table",
        "http/routes/x_api",
        "senders/inquiries",
        "stores/sql/opt_outs",
    }
)

# Names that say nothing about their content; names like row, conversion, delivery or key do.
AVOIDED_NAMES = ("one",)
# Words of names that the glossary replaces.
GONE_WORDS = frozenset(
    {
        *("buried", "cure", "deed", "door", "fate", "lane", "lives", "overlap", "remarkable"),
        *("sighting", "strange", "told", "trouble", "twin", "unsure"),
    }
)
# Names and phrases that pages, messages and metrics do not contain any more.
GONE_TEXTS = (
    *("ledger_full", "vault_closed", "template_rests", "twite_troubles_total", "/v1/overlap"),
    *("twite_remarkable_amounts_total", "keep_lives", "twite dedup`", "in clear"),
)
# Methods and SQL that take a text apart.
PARSING = frozenset(
    {
        *("startswith", "endswith", "removeprefix", "removesuffix", "split", "rsplit"),
        *("partition", "rpartition", "find", "index", "count"),
    }
)
PARSING_SQL = re.compile(
    r"(?:substr|instr|starts_with|position)\([^)]*reason|reason\s+(?:NOT\s+)?(?:I?LIKE|GLOB|~)",
    re.IGNORECASE,
)
# Annotated names that share no word with their own-class type, such as `visit: PageRequest`.
MOST_UNLIKE_NAMES = 135


def place_of(path: Path) -> Path:
    """Return the path as the lists above write it: relative to the gateway's package."""
    return path.relative_to(SRC if path.is_relative_to(SRC) else SRC.parent)


@cache
def text_of(path: Path) -> str:
    return path.read_text("utf-8")


def compiled(path: Path) -> CodeType:
    return compile(text_of(path), str(path), "exec", dont_inherit=True)


@cache
def tree_of(path: Path) -> ast.Module:
    # Python 3.11 counts calls while it makes a tree, and also those that a collection of garbage
    # makes meanwhile: "AST constructor recursion depth mismatch" (CPython issue 106905).
    gc.disable()
    try:
        return ast.parse(text_of(path))
    finally:
        gc.enable()


def classes_of(path: Path) -> list[ast.ClassDef]:
    return [node for node in tree_of(path).body if isinstance(node, ast.ClassDef)]


def test_each_folder_has_at_most_25_files():
    files = (
        file for file in SRC.parent.rglob("*") if file.is_file() and "__pycache__" not in file.parts
    )
    counts = Counter(str(file.parent.relative_to(ROOT)) for file in files)

    assert {folder: count for folder, count in counts.items() if count > MAX_FILES} == {}


def test_modules_of_tests_have_unique_names():
    # Most test folders are not packages: of two modules with one name, pytest loads only one.
    names = Counter(
        file.name
        for file in (ROOT / "tests").rglob("*.py")
        if file.name != "conftest.py" and not (file.parent / "__init__.py").exists()
    )

    assert [name for name, count in names.items() if count > 1] == []


def test_each_file_has_at_most_400_lines():
    long = {str(place_of(file)) for file in FILES if text_of(file).count("\n") > MAX_LINES}

    assert long == set()


def test_lines_of_templates_have_at_most_160_characters():
    long = [
        (str(place_of(file)), number)
        for file in sorted(SRC.rglob("templates/**/*.html"))
        for number, line in enumerate(text_of(file).splitlines(), start=1)
        if len(line) > MAX_TEMPLATE_LINE
    ]

    assert long == []


def test_each_test_file_has_at_most_400_lines():
    files = (ROOT / "tests").rglob("*.py")
    long = {str(file.relative_to(ROOT)) for file in files if text_of(file).count("\n") > MAX_LINES}

    assert not long


def test_connections_of_sqlite_are_closed():
    """`with` ends a transaction and closes nothing; Python 3.13 warns of it."""
    files = [*(ROOT / "tests").rglob("*.py"), *SRC.rglob("*.py")]
    left_open = [file.name for file in files if re.search(r"with sqlite3\.connect", text_of(file))]

    assert left_open == []


def test_no_string_stands_alone_as_a_statement():
    """Without parentheses or `+`, the second line of a message would not be part of it."""
    found = []
    for file in FILES:
        for node in ast.walk(tree_of(file)):
            for statement in getattr(node, "body", ()) if isinstance(node, ast.stmt) else ():
                is_docstring = statement is node.body[0] and isinstance(
                    node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
                )
                value = getattr(statement, "value", None)
                if isinstance(statement, ast.Expr) and not is_docstring:
                    is_text = isinstance(value, ast.JoinedStr) or (
                        isinstance(value, ast.Constant) and isinstance(value.value, str)
                    )
                    found += [f"{place_of(file)}:{statement.lineno}"] if is_text else []

    assert found == []


def test_public_class_names_are_unique():
    places = defaultdict(list)
    for file in FILES:
        for node in classes_of(file):
            if not node.name.startswith("_"):
                places[node.name].append(str(place_of(file)))

    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def constructor_arguments(node: ast.ClassDef) -> int:
    """Return the number of constructor arguments of a class, except msgspec structs."""
    for function in node.body:
        if isinstance(function, ast.FunctionDef) and function.name == "__init__":
            return len(function.args.args) - 1 + len(function.args.kwonlyargs)
    if "dataclass" not in "".join(map(ast.unparse, node.decorator_list)):
        return 0
    fields = [field for field in node.body if isinstance(field, ast.AnnAssign)]
    return sum("init=False" not in ast.unparse(field) for field in fields)


def test_each_constructor_takes_at_most_ten_arguments():
    many = {
        f"{place_of(file).with_suffix('')}:{node.name}"
        for file in FILES
        for node in classes_of(file)
        if constructor_arguments(node) > MAX_ARGUMENTS
    }

    assert many == MANY_ARGUMENTS


def test_masked_repr_contains_the_class_name():
    named = re.compile(r"""def __repr__\(self\) -> str:\s+return f?"(\w+)\(""")
    wrong = [
        f"{place_of(file)}: {found[1]} of {node.name}"
        for file in FILES
        if "def __repr__" in text_of(file)
        for node in classes_of(file)
        if (found := named.search(ast.get_source_segment(text_of(file), node) or ""))
        and found[1] != node.name
    ]

    assert wrong == []


def importers_of(package: str, *, outside: tuple[str, ...]) -> set[str]:
    pattern = re.compile(rf"^\s*(?:from|import) twite\.{package}\b", re.MULTILINE)
    places = {str(place_of(file).with_suffix("")): file for file in FILES}
    return {
        place
        for place, file in places.items()
        if not place.startswith(outside) and pattern.search(text_of(file))
    }


def test_only_the_factory_names_the_store_engines():
    assert importers_of(r"stores(?!\.factory\b)", outside=("stores/",)) == set()


def test_only_listed_packages_import_the_language_of_x():
    assert importers_of("x", outside=SPEAKS_X) == X_IMPORTERS


def test_each_format_has_a_read_py():
    formats = [path.parent for path in (SRC / "formats").glob("*/__init__.py")]
    # Files are read row by row; `event_data` is what the tag formats share.
    other = {"files": "rows.py", "event_data": "conversions.py"}

    missing = [
        folder.name
        for folder in formats
        if not (folder / other.get(folder.name, "read.py")).exists()
    ]

    assert missing == []


def test_each_store_has_a_store_py():
    shared = {"sql"}
    folders = {path.parent for path in (SRC / "stores").glob("*/__init__.py")}

    assert {
        folder.name for folder in folders if not (folder / "store.py").exists()
    } - shared == set()


def names_in(code: CodeType) -> Iterator[str]:
    """Yield the names in compiled code, which is faster than parsing a syntax tree."""
    yield from (*code.co_names, *code.co_varnames, *code.co_cellvars, code.co_name)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


@pytest.mark.parametrize("name", AVOIDED_NAMES)
def test_names_contain_no_banned_words(name):
    files = [*FILES, *(ROOT / "tests").rglob("*.py")]

    # Most files need no parsing.
    suspects = [file for file in files if re.search(rf"\b{name}\b", text_of(file))]
    found = [str(file.relative_to(ROOT)) for file in suspects if name in names_in(compiled(file))]

    assert found == []


def identifiers_of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        for field in ("id", "arg", "attr", "name"):
            if isinstance(name := getattr(node, field, None), str):
                yield name


def test_names_contain_no_word_that_the_glossary_replaces():
    plain = re.compile(rf"(?<![a-z])(?:{'|'.join(GONE_WORDS)})s?(?![a-z])", re.IGNORECASE)
    gone = {word.rstrip("s") for word in GONE_WORDS}
    # Most files need no parsing.
    suspects = [file for file in FILES if plain.search(text_of(file))]
    found = {
        f"{place_of(file)}: {name}"
        for file in suspects
        for name in identifiers_of(tree_of(file))
        if words(name) & gone
    }

    assert found == set()


def test_names_of_tests_contain_no_word_that_the_glossary_replaces():
    found = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"\bdef (test_\w+)", text_of(file))
        if not {*name.split("_")}.isdisjoint(GONE_WORDS)
    }

    assert found == set()


def test_texts_contain_no_name_that_the_glossary_replaces():
    suffixes = {".py", ".md", ".json", ".yaml", ".yml", ".html", ".sql", ".toml"}
    found = {
        f"{file.relative_to(ROOT)}: {text}"
        for folder in ("src", "docs", "deploy", "examples")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in suffixes
        for text in GONE_TEXTS
        if text in text_of(file)
    }

    assert found == set()


def is_reason(node: ast.AST) -> bool:
    """Return whether an expression is a reason, also as in `(row.reason or "")`."""
    if isinstance(node, ast.BoolOp):
        return any(map(is_reason, node.values))
    return getattr(node, "attr", getattr(node, "id", "")).endswith("reason")


def parses_a_reason(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in PARSING and is_reason(node.func.value)
    if not isinstance(node, ast.Compare):
        return False
    sides = [node.left, *node.comparators]
    return any(map(is_reason, sides)) and any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and side.value)
        for side in sides
    )


def test_no_code_reads_the_text_of_a_reason():
    """A cause, a status or a code is compared instead: sentences are only shown."""
    found = [
        f"{place_of(file)}:{node.lineno}"
        for file in FILES
        if "reason" in text_of(file)
        for node in ast.walk(tree_of(file))
        if parses_a_reason(node)
    ]
    found += [
        f"{place_of(file)}: {match[0]}"
        for file in SRC.rglob("*.sql")
        for match in PARSING_SQL.finditer(text_of(file))
    ]

    assert found == []


def test_names_share_a_word_with_their_type():
    unlike, _ = unlike_names(tree_of(file) for file in FILES)

    assert len(unlike) <= MOST_UNLIKE_NAMES, Counter(unlike).most_common(20)


def test_constants_are_defined_at_the_top_of_their_file():
    late = [str(file.relative_to(ROOT)) for file in FILES if late_constants(tree_of(file))]

    assert late == []


def test_generated_postgresql_statements_are_current():
    """`make lint` checks this, because shared statements are committed with their translation."""
    assert GENERATED.read_text("utf-8") == generated(), "run make generate"
