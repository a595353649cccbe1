"""Mutation testing: change the code of critical modules, and check that their tests fail.

`make mutate` runs all modules, `make mutate ARGS=x/oauth1.py` one of them. Each mutant changes a
comparison, an operator, a number or a truth value in one function, forces a condition to be true or
false, drops a statement, or returns None. The tests are collected once. A first run notes which
tests reach which statement; each mutant then runs in a fork with the tests that reach its
statement, and stops at the first failure. Quick tests that have detected many mutants run first.
`mutants.toml` names the tests of each module (`only` selects some, like -k of pytest), and the
survivors that change nothing for a caller, each with a reason. A mutant counts as detected, too, if
it takes ten times the CPU time of its tests, or if one takes ten times its usual time and three
seconds: so does one that waits for ever. The run also fails if a listed survivor no longer
survives, or if `only` selects no test of a file.
"""

import ast
import gc
import json
import mmap
import os
import resource
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple, TypeAlias

import pytest

TESTS = Path(__file__).parent
SOURCES = TESTS.parent / "src/twite"
LEAST_KILLED = 95  # per cent
Cache = type(lru_cache(lambda: None))
REACHED: set[int] = set()  # the lines of statements that the running test has reached
MODULES = tomllib.loads((TESTS / "mutants.toml").read_text("utf-8"))
COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
Patch: TypeAlias = tuple[str, CodeType]  # a function's qualified name, and the code of its module
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult}
# A dropped assignment to a local variable would be an error almost everywhere.
DROPPED = (ast.Expr, ast.AugAssign, ast.Delete, ast.Raise, ast.Continue, ast.Break)


def forced(node: ast.AST) -> Iterator[tuple[ast.AST, str, object, str]]:
    """Yield the mutants of a node with a condition, a result or statements.

    Each consists of (what changes: the node or one of its statements, field of the node, its new
    value, name).
    """
    match node:
        case ast.If(test=test) | ast.IfExp(test=test):
            for value in (True, False):
                yield node, "test", ast.Constant(value), f"if {ast.unparse(test)} -> {value}"
        case ast.While(test=test) if not isinstance(test, ast.Constant):
            yield node, "test", ast.Constant(value=False), f"while {ast.unparse(test)} -> False"
        case ast.comprehension(ifs=[test]):
            yield node, "ifs", [], f"for … if {ast.unparse(test)} -> True"
        case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
            none = ast.IfExp(ast.Constant(True), ast.Constant(None), value)  # noqa: FBT003 - a node
            yield node, "value", none, f"return {ast.unparse(value)} -> None"
    for block, statements in blocks(node):
        for at, statement in enumerate(statements):
            if is_dropped(statement):
                # Not `pass`: without its only `super()`, code could not replace the function's.
                never = ast.If(ast.Constant(False), [statement], [])  # noqa: FBT003 - as above
                rest = [*statements[:at], never, *statements[at + 1 :]]
                yield statement, block, rest, f"{ast.unparse(statement)} -> pass"


def blocks(node: ast.AST) -> Iterator[tuple[str, list[ast.stmt]]]:
    for block in ("body", "orelse", "finalbody"):
        statements = getattr(node, block, None)
        if isinstance(statements, list):
            yield block, statements


def is_dropped(statement: ast.AST) -> bool:
    match statement:
        case ast.Expr(value=ast.Constant() | ast.Yield()):
            return False
        case ast.Assign(targets=[target]) | ast.AnnAssign(target=target, value=ast.expr()):
            return isinstance(target, ast.Attribute | ast.Subscript)
    return isinstance(statement, DROPPED)


def change(node: ast.AST) -> tuple[str, object] | None:  # noqa: PLR0911 - a table
    """Return the field of a node that a mutant changes, and its value; None if there is none."""
    match node:
        case ast.Compare(ops=[operator]):
            return "ops", [COMPARISONS[type(operator)]()]
        case ast.BoolOp():
            return "op", ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case ast.BinOp() if type(node.op) in OPERATORS:
            return "op", OPERATORS[type(node.op)]()
        case ast.UnaryOp(op=ast.Not()):
            return "operand", ast.UnaryOp(op=ast.Not(), operand=node.operand)
        case ast.IfExp():
            return "test", ast.UnaryOp(op=ast.Not(), operand=node.test)
        case ast.Constant(value=bool()):
            return "value", not node.value
        case ast.Constant(value=int()):
            return "value", node.value + 1
    return None


def functions(tree: ast.AST, path: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Yield the functions of a module and of its classes, with their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from functions(node, f"{path}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path}{node.name}", node


def compiled(tree: ast.AST, file: Path) -> CodeType:
    return compile(ast.fix_missing_locations(tree), str(file), "exec", dont_inherit=True)


def mutants(file: Path) -> Iterator[tuple[str, int, Patch]]:
    """Yield (name, line of the changed statement, patch) of each mutant."""
    tree = ast.parse(file.read_text("utf-8"))
    for function, body in functions(tree):
        nodes = [node for line in body.body for node in ast.walk(line)]
        lines = {}
        for statement in nodes:  # the inner ones after the outer ones
            if isinstance(statement, ast.stmt):
                lines |= dict.fromkeys(ast.walk(statement), statement.lineno)
        for number, node in enumerate(nodes):
            changed = change(node)
            if changed is None:
                continue
            before, kept = ast.unparse(node), getattr(node, changed[0])
            setattr(node, *changed)
            code, name = compiled(tree, file), f"{before} -> {ast.unparse(node)}"
            setattr(node, changed[0], kept)
            yield " ".join(f"{function} {number}: {name}".split()), lines[node], (function, code)
        for number, node in enumerate([body, *nodes], -1):
            for at, field, value, name in forced(node):
                kept = getattr(node, field)
                setattr(node, field, value)
                code = compiled(tree, file)
                setattr(node, field, kept)
                yield " ".join(f"{function} {number}: {name}".split()), lines[at], (function, code)


def probes(file: Path) -> list[Patch]:
    """Return patches of all functions, so that each statement notes that it was reached."""
    tree = ast.parse(file.read_text("utf-8"))
    names = []
    for function, body in functions(tree):
        names.append(function)
        for node in ast.walk(body):
            for _, statements in blocks(node):
                for at, statement in reversed([*enumerate(statements)]):
                    note = f"__import__('sys').modules['mutate'].REACHED.add({statement.lineno})"
                    statements[at:at] = ast.parse(note).body
    code = compiled(tree, file)
    return [(name, code) for name in names]


def apply(patch: Patch, held: list[FunctionType]) -> None:
    """Replace the code of a function, which is among those held, by the patch's."""
    name, module = patch
    made = [*module.co_consts]
    while made:
        code = made.pop()
        if isinstance(code, CodeType):
            made += code.co_consts
            for function in held if code.co_qualname == name else ():
                own = function.__code__
                # A property and its setter have the same name.
                if (own.co_qualname, own.co_firstlineno) == (name, code.co_firstlineno):
                    function.__code__ = code


class Timed(NamedTuple):
    """A test in the first run: its time, its CPU time in seconds, and its position."""

    seconds: float
    cpu: float
    at: int


class Mutator:
    """A pytest plugin that runs the collected tests once for each mutant."""

    def __init__(self, module: str, files: list[str], notes: Path) -> None:
        """The first run writes its tests to `notes`."""
        self.notes = notes
        self.listed = MODULES[module].get("survivors", {})
        self.module = module
        self.files = files
        self.survivors: list[str] = []
        self.many = 0
        self.is_fork = False
        # Of the first run: line of a statement → the tests that reach it.
        self.tests: dict[str, list[Timed]] = {}
        self.is_first = False
        self.chosen: dict[str, Timed] = {}  # in a fork
        self.running = mmap.mmap(-1, 4)  # the position of the test that runs in the fork
        self.detected: Counter[int] = Counter()  # position of a test → mutants
        self.held: list[FunctionType] = []  # the functions of the module
        self.caches: list[Cache] = []  # of all modules: tests must not find what others cached

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        # Only now, because pytest rewrites its assertions.
        import postgres_server  # noqa: PLC0415

        gc.unfreeze()
        unused = {*self.files} - {str(item.path) for item in session.items}
        if unused:
            raise pytest.UsageError(f"no test is selected of {', '.join(sorted(unused))}")
        if not any("postgres_url" in getattr(item, "fixturenames", ()) for item in session.items):
            return self._run_all(session)
        # All forks use one server: it would take most of the time to start it for each.
        server = postgres_server.SHARED = postgres_server.PostgresServer(postgres_server.programs())
        try:
            return self._run_all(session)
        finally:
            if not self.is_fork:
                server.remove()

    def _run_all(self, session: pytest.Session) -> bool | None:
        file = SOURCES / self.module
        objects = gc.get_objects()
        made = [each for each in objects if isinstance(each, FunctionType)]
        self.held = [each for each in made if each.__code__.co_filename == str(file)]
        caches = [each for each in objects if isinstance(each, Cache)]
        self.caches = [each for each in caches if each.__module__.startswith("twite")]
        self._clear_caches()
        gc.freeze()  # otherwise, each fork copies the memory of what it does not use
        first = self._fork(session, probes(file), None)
        if not first:
            return None
        if first == "passed":
            read = json.loads(self.notes.read_text("utf-8"))
            self.tests = {at: [Timed(*test) for test in tests] for at, tests in read.items()}
            # Without a change, the tests must also pass in the order of the mutants.
            first = self._fork(session, [], sorted(set(chain(*self.tests.values()))))
        if not first:
            return None
        if first == "failed":
            raise pytest.UsageError(f"the tests of {self.module} fail as it is")
        for name, line, patch in mutants(file):
            tests = sorted(self.tests.get(str(line), ()), key=self._cost)
            passed = not tests
            if tests:
                forked = self._fork(session, [patch], tests)
                if not forked:
                    return None  # pytest's own loop follows
                passed = forked == "passed"
            self.many += 1
            if not passed:
                self.detected[int.from_bytes(self.running[:], sys.byteorder)] += 1
                continue
            self.survivors.append(name)
            if name not in self.listed:
                print(f"{self.module} survives: {name}", file=sys.__stdout__, flush=True)
        return True

    def _clear_caches(self) -> None:
        for cache in self.caches:
            cache.cache_clear()

    def _cost(self, test: Timed) -> float:
        return test.seconds / (1 + self.detected[test.at])

    def _fork(
        self, session: pytest.Session, patches: list[Patch], tests: list[Timed] | None
    ) -> str:
        """Run tests in a fork; return "passed" or "failed", and "" in the fork.

        Without `tests`, run all of them, and note which statements they reach.
        """
        pid = os.fork()
        if pid:
            return "failed" if os.waitpid(pid, 0)[1] else "passed"
        self.is_fork = True
        session.config.pluginmanager.unregister(name="terminalreporter")
        if tests is None:
            self.is_first = True
        else:
            cpu = 3 + int(10 * sum(test.cpu for test in tests))
            resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
            self.chosen = {session.items[test.at].nodeid: test for test in tests}
            session.items[:] = [session.items[test.at] for test in tests]
        for patch in patches:
            apply(patch, self.held)
        return ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        if not self.is_first:
            test = self.chosen[item.nodeid]
            self.running[:] = test.at.to_bytes(4, sys.byteorder)
            # The signal ends the fork.
            signal.setitimer(signal.ITIMER_REAL, 3 + 10 * test.seconds)
            return (yield)
        self._clear_caches()
        REACHED.clear()
        began, cpu = time.monotonic(), time.process_time()
        result = yield
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        test = Timed(seconds, cpu, item.session.items.index(item))
        for line in REACHED:
            self.tests.setdefault(str(line), []).append(test)
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if self.is_fork:
            if self.is_first:
                self.notes.write_text(json.dumps(self.tests), "utf-8")
            os._exit(bool(exitstatus))


def main(chosen: list[str]) -> int:
    """Run the chosen modules; return 1 if the survivors differ from the list, or are too many."""
    status = 0
    for module in chosen or MODULES:
        pid = os.fork()  # each starts without the modules of the others
        if pid == 0:
            files = [str(TESTS / file) for file in MODULES[module]["tests"]]
            only = MODULES[module].get("only", "")
            with tempfile.TemporaryDirectory() as folder:
                mutator = Mutator(module, files, Path(folder) / "tests.json")
                pytest.main(["-x", "-o", "timeout=0", "-k", only, *files], plugins=[mutator])
            killed = 100 * (mutator.many - len(mutator.survivors)) / max(mutator.many, 1)
            new = set(mutator.survivors) - mutator.listed.keys()
            stale = [
                f"no longer survives: {name}" for name in mutator.listed.keys() - mutator.survivors
            ]
            spent = resource.getrusage(resource.RUSAGE_CHILDREN)
            print(
                f"{module}: {mutator.many} mutants, {killed:.0f} % killed, "
                f"{spent.ru_utime + spent.ru_stime:.0f} s of CPU",
                *stale,
                sep="\n  ",
            )
            # Not os._exit: the process must remove its temporary files.
            return int(bool(new or stale) or not mutator.many or killed < LEAST_KILLED)
        status |= os.waitpid(pid, 0)[1]
    return int(status != 0)


if __name__ == "__main__":
    sys.modules["mutate"] = sys.modules["__main__"]
    sys.exit(main(sys.argv[1:]))
