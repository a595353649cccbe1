"""What `twite serve` reports besides its log: the start, the end, and warnings.

A gateway must not end because nobody reads its output, so everything is written by LineOutput.
"""

import sys

from twite.cli.printing import safe
from twite.observers.line_output import LineOutput


class ServeNotices:
    """Writes lines for people: to standard output, and warnings to standard error."""

    def __init__(self) -> None:
        self._output = LineOutput(sys.stdout)
        self._errors = LineOutput(sys.stderr)

    def say(self, line: str) -> None:
        self._output.write(safe(line))

    def warn(self, sentence: str) -> None:
        self._errors.write(safe(sentence))
