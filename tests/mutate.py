"""Mutation testing: change the code of critical modules, and check that their tests fail.

`make mutate` runs all modules, `make mutate ARGS=x/oauth1.py` one of them. Each mutant changes a
comparison, an operator, a number or a truth value in one function. The tests are collected once;
each mutant runs in a fork, which stops at the first failure. `mutants.toml` names the tests of each
module (`only` selects some, like -k of pytest), and the survivors that change nothing for a caller,
each with a reason. A mutant that takes ten times the CPU time of the unchanged module, or never
ends, counts as detected. The run also fails if a listed survivor no longer survives, or if `only`
selects no test of a file.
"""

import ast
import gc
import os
import resource
import select
import signal
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType

import pytest

TESTS = Path(__file__).parent
SOURCES = TESTS.parent / "src/twite"
LEAST_KILLED = 95  # per cent
MODULES = tomllib.loads((TESTS / "mutants.toml").read_text("utf-8"))
COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult}


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


def mutants(file: Path) -> Iterator[tuple[str, str, CodeType]]:
    """Yield (name, function, code of the module) of each mutant."""
    tree = ast.parse(file.read_text("utf-8"))
    for function, body in functions(tree):
        for number, node in enumerate(n for line in body.body for n in ast.walk(line)):
            changed = change(node)
            if changed is None:
                continue
            before, kept = ast.unparse(node), getattr(node, changed[0])
            setattr(node, *changed)
            code = compile(ast.fix_missing_locations(tree), str(file), "exec", dont_inherit=True)
            name = f"{function} {number}: {before} -> {ast.unparse(node)}"
            setattr(node, changed[0], kept)
            yield " ".join(name.split()), function, code


def passes(pid: int, seconds: float) -> tuple[bool, float]:
    """Return whether a process exits with 0, and its CPU time in seconds.

    It is killed after `seconds`.
    """
    process = os.pidfd_open(pid)
    if not select.select([process], [], [], seconds)[0]:
        os.kill(pid, signal.SIGKILL)
    os.close(process)
    _, status, used = os.wait4(pid, 0)
    return status == 0, used.ru_utime + used.ru_stime


def apply(code: CodeType, name: str) -> None:
    """Replace the code of the function with this name by a mutant's."""
    made = [*code.co_consts]
    while made:
        found = made.pop()
        if not isinstance(found, CodeType):
            continue
        made += found.co_consts
        for held in gc.get_objects() if found.co_qualname == name else []:
            own = held.__code__ if isinstance(held, FunctionType) else None
            if own and (own.co_qualname, own.co_filename) == (name, code.co_filename):
                held.__code__ = found


class Mutator:
    """A pytest plugin that runs the collected tests once for each mutant."""

    def __init__(self, module: str, files: list[str]) -> None:
        self.module = module
        self.files = files
        self.survivors: list[str] = []
        self.many = 0
        self.is_fork = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        gc.unfreeze()
        unused = {*self.files} - {str(item.path) for item in session.items}
        if unused:
            raise pytest.UsageError(f"no test is selected of {', '.join(sorted(unused))}")
        waited, cpu = 300.0, 300
        for name, function, code in [("as it is", "", None), *mutants(SOURCES / self.module)]:
            began = time.monotonic()
            pid = os.fork()
            if pid == 0:
                self.is_fork = True
                resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
                session.config.pluginmanager.unregister(name="terminalreporter")
                if code is not None:
                    apply(code, function)
                return None  # pytest's own loop follows
            passed, used = passes(pid, waited)
            if code is None:
                if not passed:
                    raise pytest.UsageError(f"the tests of {self.module} fail as it is")
                cpu = 3 + int(10 * used)
                # Ends mutants that loop. The time is long, because other work may slow the machine
                # down.
                waited = 20 + 30 * (time.monotonic() - began)
            self.many += code is not None
            if code is not None and passed:
                self.survivors.append(name)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.is_fork:
            os._exit(bool(session.testsfailed))


def main(chosen: list[str]) -> int:
    """Run the chosen modules; return 1 if the survivors differ from the list, or are too many."""
    status = 0
    for module in chosen or MODULES:
        pid = os.fork()  # each starts without the modules of the others
        if pid == 0:
            files = [str(TESTS / file) for file in MODULES[module]["tests"]]
            mutator = Mutator(module, files)
            only = MODULES[module].get("only", "")
            pytest.main(["-x", "-k", only, *files], plugins=[mutator])
            killed = 100 * (mutator.many - len(mutator.survivors)) / max(mutator.many, 1)
            listed = MODULES[module].get("survivors", {})
            new = [name for name in mutator.survivors if name not in listed]
            stale = [f"no longer survives: {name}" for name in listed.keys() - mutator.survivors]
            spent = resource.getrusage(resource.RUSAGE_CHILDREN)
            print(
                f"{module}: {mutator.many} mutants, {killed:.0f} % killed, "
                f"{spent.ru_utime + spent.ru_stime:.0f} s of CPU",
                *new,
                *stale,
                sep="\n  ",
            )
            sys.stdout.flush()
            os._exit(bool(new or stale) or not mutator.many or killed < LEAST_KILLED)
        status |= os.waitpid(pid, 0)[1]
    return int(status != 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
