"""Hostile template code, generated from a seed.

The rules are in hostile_grammar.txt: `@name` stands for a random alternative with that name. The
functions within reach of the sandbox are looked up at run time, so that those of the engine's next
version are called, too.
"""

import json
import re
from functools import cache
from pathlib import Path
from random import Random

import quickjs

from twite.tags.engines.quickjs.context import script

STATEMENTS = (4, 16)
DEEP = 6
MOST = 120  # choices a line
HERE = Path(__file__).resolve().parent
PRELUDE = (HERE / "hostile_prelude.js").read_text().strip()
SWEEP = (HERE / "hostile_sweep.js").read_text().strip()
SYMBOL = re.compile(r"@([a-z]+)")

# Values that code can reach without a global name.
ROOTS = (
    *("[]", "''", "(0)", "true", "({})", "(() => 0)", "/x/g", "(class { static a = 1; })"),
    *("(function* () { yield 1; })", "(function* () { yield 1; })()", "[].keys()"),
    *("''.matchAll(/x/g)", "(function () { return arguments; })(1, 2)", "thrown()", "require"),
)


@cache
def reachable() -> tuple[str, ...]:
    """Return every function that a template can reach, as code."""
    roots = ",".join(f"[{json.dumps(root)}, {root}]" for root in ROOTS)
    opened = script().replace("return enter;", "return [apis, require];")
    look = (HERE / "hostile_look.js").read_text().replace("SCRIPT", opened)
    return tuple(dict.fromkeys(json.loads(quickjs.Context().eval(look.replace("ROOTS", roots)))))


@cache
def rules() -> dict[str, tuple[str, ...]]:
    """Return the alternatives by name."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in (HERE / "hostile_grammar.txt").read_text().splitlines():
        if line.startswith("  |"):
            found[name] += line[3:].split()
        elif line.startswith("  "):
            found[name].append(line[2:])
        elif line and not line.startswith("#"):
            name = line
            found[name] = []
    return {name: tuple(lines) for name, lines in found.items()}


def program(seed: str) -> str:
    """Return a template's code with one statement per line, so that it can be reduced."""
    maker = _Maker(Random(seed))
    lines = [maker.line() for _ in range(maker.random.randint(*STATEMENTS))]
    return "\n".join((PRELUDE, *lines, "return a;"))


def sweep(number: int) -> str:
    """Return one of endlessly many programs in which memory runs out everywhere.

    Each program repeats one operation with a changing number of free blocks, so that every
    allocation fails at some point: see hostile_sweep.js. All functions are covered once there is a
    program for each receiver, then all rules.
    """
    maker = _Maker(Random(f"sweep:{number}"))
    acts = (*reachable(), *rules()["statement"], *rules()["value"])
    act = acts[number % len(acts)]
    receivers = rules()["receiver"]
    if number % len(acts) < len(reachable()):
        receiver = receivers[number // len(acts) % len(receivers)]
        act = f"a = ({act}).call({receiver}, @value, @value);"
    elif act in rules()["value"]:
        act = f"a = {act};"
    act = maker.expand(act, DEEP - 3)
    code = SWEEP.replace("SEED", str(number + 1)).replace("ACT", act)
    return f"{PRELUDE}\n{code}\nreturn a;"


class _Maker:
    def __init__(self, random: Random) -> None:
        self.random = random
        self._left = 0

    def line(self) -> str:
        self._left = MOST
        code = self._one("statement", DEEP)
        return code if self.random.random() < 0.1 else f"try {{ {code} }} catch (e) {{ d = e; }}"

    def _one(self, name: str, depth: int) -> str:
        if name == "native":
            return self.random.choice(reachable())
        self._left -= 1
        choices = rules()[name]
        if depth <= 0 or self._left <= 0:
            plain = (rule for rule in choices if "@" not in rule)
            choices = (*plain, *rules().get(f"{name} .", ()))
        return self._filled(self.random.choice(choices), depth)

    def expand(self, rule: str, depth: int) -> str:
        """Return a rule with each of its names replaced."""
        self._left = MOST
        return self._filled(rule, depth)

    def _filled(self, rule: str, depth: int) -> str:
        return SYMBOL.sub(lambda found: self._one(found[1], depth - 1), rule)
