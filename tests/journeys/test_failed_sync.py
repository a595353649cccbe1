"""A failed sync: the gateway stops with a message, and the next start continues.

A small library, compiled here, replaces fdatasync and fsync in the process: they fail while a file
exists.
"""

import shutil
import subprocess

import pytest
from gateway_processes import Gateway, wait_for

from twite_emulator.process import running_emulator

FAILING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int fails(void) {
  const char *file = getenv("SYNC_FAILS_WHILE");
  return file && access(file, F_OK) == 0;
}

#define FAILING(name)                                   \
  int name(int fd) {                                    \
    static int (*real)(int);                            \
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, #name); \
    if (fails()) { errno = EIO; return -1; }            \
    return real(fd);                                    \
  }

FAILING(fsync)
FAILING(fdatasync)
"""


@pytest.fixture
def failing(tmp_path):
    """Return the file that makes each sync of a gateway fail, and the environment for it."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("takes a C compiler")
    source, library = tmp_path / "failing.c", tmp_path / "failing.so"
    source.write_text(FAILING)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    file = tmp_path / "now"
    # LD_PRELOAD names the library without its folder, because a blank would end the path.
    environment = {"LD_PRELOAD": library.name, "LD_LIBRARY_PATH": str(tmp_path)}
    return file, environment | {"SYNC_FAILS_WHILE": str(file)}


def post(gateway, name):
    conversions = [
        {"event": "purchase", "conversion_id": f"{name}-{number}", "email": "a@example.com"}
        for number in range(20)
    ]
    return gateway.post({"conversions": conversions})[0]


@pytest.mark.journey
@pytest.mark.timeout(120)
def test_failed_sync_ends_the_process_and_the_next_start_continues(tmp_path, failing, figure):
    failing, environment = failing
    with running_emulator("rate_limit=1000000000", "dedup_scope=all") as x:
        gateway = Gateway(tmp_path, x.url)
        gateway.environment |= environment
        with gateway:
            first, refused, again, code, balance = fail_and_start_again(gateway, failing)
            ids = x.counted()["pixels"]["o8z6j"]["events"]["o8z6k"]["ids"]

    assert (first, refused, again, code) == (202, 503, 202, 1)
    assert "the disk did not confirm a write" in gateway.log()
    assert {many["counted"] for many in ids.values()} == {1}
    assert len(ids) == 40
    assert (balance["balance"], balance["dead"], balance["held"]) == (0, 0, 0)
    figure(
        "a failed sync is not guessed about",
        "all syncs fail under a running process: 503, exit code 1, nothing of it sent; the next "
        "process sends all of it once",
    )


def fail_and_start_again(gateway, failing):
    """Return three responses, the exit code of the first process, and the last balance."""
    first = post(gateway, "first")
    gateway.drained()
    failing.touch()
    refused = post(gateway, "refused")
    wait_for(lambda: gateway.process.poll() is not None, seconds=30)
    code = gateway.process.returncode
    failing.unlink()
    gateway.start()
    again = post(gateway, "refused")
    return first, refused, again, code, gateway.drained()
