"""Isolation of an engine process: it gives up everything except two pipes, memory and CPU.

The kernel calls use ctypes, because no library with a compatible licence offers them. On Linux, a
filter (seccomp) refuses every system call that a turn does not need: a compromised process cannot
open files or sockets, or signal, trace or start other processes.
"""

import ctypes
import errno
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import Final

_PDEATHSIG: Final = 1  # PR_SET_PDEATHSIG
_DUMPABLE: Final = 4  # PR_SET_DUMPABLE
_NO_NEW_PRIVS: Final = 38  # PR_SET_NO_NEW_PRIVS
_SECCOMP: Final = 22  # PR_SET_SECCOMP
_FILTER: Final = 2  # SECCOMP_MODE_FILTER
_NOBODY: Final = 65_534
INPUT: Final = 0  # the only descriptors left open, both pipes
OUTPUT: Final = 1
_MAPPED: Final = [1 << 30]  # bytes of address space, as read by the parent process
# For each machine: its number (AUDIT_ARCH_…), and its numbers for read write close poll (or ppoll)
# mmap munmap mremap mprotect madvise brk futex sched_yield clock_gettime gettimeofday getrusage
# getrandom getpid rt_sigaction rt_sigprocmask rt_sigreturn restart_syscall exit exit_group
# setitimer.
_CALLS: Final = {
    "x86_64": (
        0xC000003E,
        "0 1 3 7 9 11 25 10 28 12 202 24 228 96 98 318 39 13 14 15 219 60 231 38",
    ),
    "aarch64": (
        0xC00000B7,
        "63 64 57 73 222 215 216 226 233 214 98 124 113 169 165 278 172 134 135 139 128 93 94 103",
    ),
}
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUALS: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EPERM
_END: Final = 0x80000000  # the whole process
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def end_with(parent: int) -> None:
    """Make the kernel end this process when its parent ends, if the system supports it."""
    _prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def isolate(*, parent: int, memory: int, filters: bool = True) -> None:
    """Give up everything that the process does not need.

    `memory` is in bytes, in addition to the current size. All descriptors except `INPUT` and
    `OUTPUT` must already be closed. `filters` says whether to filter system calls. Raises OSError
    if the kernel refuses the filter.
    """
    os.setpgid(0, 0)
    end_with(parent)
    if os.geteuid() == 0:
        with suppress(OSError):
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        end_with(parent)  # changing the user clears this setting
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, OUTPUT + 1)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_AS, _MAPPED[0] + memory)
    _prctl(_DUMPABLE, 0)
    _prctl(_NO_NEW_PRIVS, 1)
    if filters:
        filter_calls()


def _limit(kind: int, most: int) -> None:
    # Some systems have a limit but refuse to set it.
    with suppress(OSError, ValueError):
        resource.setrlimit(kind, (most, most))


def read_mapped() -> None:
    """Read the size of the address space, while the process can still open files."""
    with suppress(OSError), open("/proc/self/statm", "rb") as file:  # noqa: PTH123
        _MAPPED[0] = int(file.read().split()[0]) * resource.getpagesize()


class _Step(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("if_so", ctypes.c_ubyte),
        ("if_not", ctypes.c_ubyte),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.POINTER(_Step)))


def filter_calls() -> None:
    """Refuse all system calls that a turn does not need. Raises OSError if that is impossible."""
    known = _CALLS.get(os.uname().machine)
    if sys.platform != "linux" or known is None:
        raise OSError(errno.ENOSYS, "there is no filter of system calls for this system")
    machine, calls = known
    allowed = [int(call) for call in calls.split()]
    steps = [
        (_LOAD, 0, 0, 4),  # the machine
        (_EQUALS, 1, 0, machine),
        (_RETURN, 0, 0, _END),
        (_LOAD, 0, 0, 0),  # the number of the call
        *((_EQUALS, len(allowed) - at, 0, number) for at, number in enumerate(allowed)),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    program = _Program(len(steps), (_Step * len(steps))(*(_Step(*step) for step in steps)))
    if _LIBC.prctl(_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        _LIBC.prctl(option, value, 0, 0, 0)
