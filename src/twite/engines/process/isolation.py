"""Isolation of an engine process: it gives up everything but one descriptor, memory and CPU.

The kernel calls go through ctypes: no library with a licence that Twite may use offers them.
"""

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import Final

_PDEATHSIG: Final = 1  # PR_SET_PDEATHSIG
_DUMPABLE: Final = 4  # PR_SET_DUMPABLE
_NO_NEW_PRIVS: Final = 38  # PR_SET_NO_NEW_PRIVS
_NOBODY: Final = 65_534
_LINE: Final = 0  # the descriptor that is left


def end_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends, where it can."""
    _prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def isolate(*, parent: int, memory: int) -> None:
    """Give up what the process does not need. `memory` is in bytes, beyond what it has now.

    All descriptors but 0 must be closed already.
    """
    os.setpgid(0, 0)
    end_with(parent)
    if os.geteuid() == 0:
        with suppress(OSError):
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        end_with(parent)  # a change of user clears it
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _LINE + 1)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_AS, _mapped() + memory)
    _prctl(_DUMPABLE, 0)
    _prctl(_NO_NEW_PRIVS, 1)


def _limit(kind: int, most: int) -> None:
    # Some systems know a limit and refuse to set it.
    with suppress(OSError, ValueError):
        resource.setrlimit(kind, (most, most))


def _mapped() -> int:
    """Return the bytes of address space of this process, as its parent read them."""
    return _MAPPED[0]


_MAPPED: Final = [1 << 30]


def read_mapped() -> None:
    """Read how much address space is in use; a process without descriptors cannot."""
    with suppress(OSError), open("/proc/self/statm", "rb") as file:  # noqa: PTH123
        _MAPPED[0] = int(file.read().split()[0]) * resource.getpagesize()


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _LIBC.prctl(option, value, 0, 0, 0)


_LIBC: Final = ctypes.CDLL(None)
