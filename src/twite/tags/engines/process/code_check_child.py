"""The process that compiles the code of templates: see `code_check`."""

import os
import sys
from typing import Final

import msgspec

from twite.tags.engines.context_limits import ContextLimits
from twite.tags.engines.process.child import warm_up
from twite.tags.engines.process.code_check import FILTERS
from twite.tags.engines.process.fork_server import works_with_filter
from twite.tags.engines.process.isolation import INPUT, OUTPUT, isolate, read_mapped
from twite.tags.engines.quickjs.context import BOOT_TIME, CodeUnusable, TemplateContext

_BOOT: Final = '{"policy":{},"kind":"TAG","limits":{"effects":1,"output":1000},"keys":{}}'
_LIMITS: Final = ContextLimits(
    time=BOOT_TIME, memory=64 * 1024 * 1024, stack=256 * 1024, recycle_after=1
)
_MEMORY: Final = 512 * 1024 * 1024
_MOST_OPEN: Final = 1024


def main() -> None:
    """Answer each line of code, a JSON text, with a CodeVerdict as JSON."""
    warm_up()
    read_mapped()
    filters = works_with_filter()
    context = TemplateContext("", boot=_BOOT, limits=_LIMITS)
    verdict_of(context, "return 1;")
    os.closerange(max(INPUT, OUTPUT) + 1, _MOST_OPEN)
    isolate(parent=os.getppid(), memory=_MEMORY, filters=filters)
    sys.stdout.buffer.write(FILTERS if filters else b"none\n")
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        verdict = verdict_of(context, msgspec.json.decode(line, type=str))
        sys.stdout.buffer.write(msgspec.json.encode(verdict) + b"\n")
        sys.stdout.buffer.flush()


def verdict_of(context: TemplateContext, code: str) -> dict[str, int | str]:
    """Compile code in a context that usable code of other templates shares."""
    if context.loads(code):
        return {}
    try:
        TemplateContext(code, boot=_BOOT, limits=_LIMITS)
    except CodeUnusable as unusable:
        return {"line": unusable.line, "message": unusable.message}
    return {}
