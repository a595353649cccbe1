"""Diagnostics of engine processes: whether the kernel filters their system calls."""

from collections.abc import Iterator

from twite.config.settings import Settings
from twite.gateway.ports.findings import CheckFinding, passed, warning
from twite.tags.engines.process.code_check import filters_calls
from twite.tags.settings.tag_settings import TagSettings


def engines(settings: Settings) -> Iterator[CheckFinding]:
    """Check the isolation of templates, if there are any."""
    if not settings.feature(TagSettings).has_templates:
        return
    if filters_calls():
        yield passed("engines", "the kernel filters the system calls of engine processes")
    else:
        yield warning(
            "engines",
            "the kernel does not filter the system calls of engine processes on this system",
            "A template that took over its process through a fault of the JavaScript engine could "
            "use any system call, although it has no files, sockets or credentials.",
            "Run Twite on Linux (x86-64 or ARM64) with seccomp, without a sandbox that forbids it.",
        )
