"""Check the JavaScript of templates in a process of its own.

The process that listens never compiles a template, and never maps the engine's library. The other
process is isolated like an engine process (see `isolation`), and ends with the check.
"""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

import twite
from twite.tags.engines.boot import code_of, unusable
from twite.tags.template.refused import refused
from twite.tags.template.template import Template

_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from twite.tags.engines.process.code_check_child import main; main()"
)
_MOST_KNOWN: Final = 256
_CRASHED: Final = "the JavaScript engine cannot read this code: its process ended"


# What the process writes first, if the kernel filters its system calls.
FILTERS: Final = b"filters\n"


class CodeVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The first syntax error of some code: `line` counts from 1, or is 0 for usable code."""

    line: int = 0
    message: str = ""


class CodeCheck:
    """Checks the code of templates; use it in a `with` statement. The process starts on demand."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.communicate()

    def check(self, template: Template) -> None:
        """Raise TemplateUnusable for code that is refused, or is not JavaScript."""
        found = refused(template.code.text)
        if found is not None:
            raise unusable(template, found.line, found.message)
        code = code_of(template)
        verdict = _KNOWN.get(code)
        if verdict is None:
            verdict = self._asked(code)
            if len(_KNOWN) >= _MOST_KNOWN:
                _KNOWN.clear()
            _KNOWN[code] = verdict
        if verdict.line:
            raise unusable(template, verdict.line, verdict.message)

    def _asked(self, code: str) -> CodeVerdict:
        is_new = self._process is None
        process = self._process = self._process or _started()
        assert process.stdin is not None  # noqa: S101  # for the type checker
        assert process.stdout is not None  # noqa: S101  # as above
        try:
            if is_new:
                process.stdout.readline()  # whether it filters system calls
            process.stdin.write(msgspec.json.encode(code) + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            return msgspec.json.decode(answer, type=CodeVerdict)
        except (OSError, msgspec.DecodeError):
            self._process = None
            process.kill()
            process.communicate()
            return CodeVerdict(line=1, message=_CRASHED)


def filters_calls() -> bool:
    """Return whether the kernel filters the system calls of engine processes on this machine."""
    with _started() as process:
        assert process.stdout is not None  # noqa: S101  # for the type checker
        filters = process.stdout.readline() == FILTERS
        process.communicate()
    return filters


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  this interpreter
        [sys.executable, "-I", "-c", _PROGRAM, str(Path(twite.__file__).parents[1])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
    )


# Settings are loaded again after SIGHUP, usually with the same templates.
_KNOWN: Final[dict[str, CodeVerdict]] = {}
