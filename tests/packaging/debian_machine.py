"""A Debian with a running systemd, in namespaces of this machine. Needs root."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

BOOT = Path(__file__).with_name("boot_debian.sh")
PACKAGES = "python3,ca-certificates,systemd,curl"
NAMESPACES = ("--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net")
NEEDED = ("mmdebstrap", "unshare", "nsenter", "ip")
SECONDS = 180


def is_possible() -> bool:
    return os.geteuid() == 0 and all(shutil.which(program) for program in NEEDED)


class DebianMachine:
    """`root` is the folder of a Debian; it is created if it does not exist."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __enter__(self) -> Self:
        if not self.root.exists():
            command = ["mmdebstrap", "--quiet", "--variant=apt", f"--include={PACKAGES}"]
            subprocess.run([*command, "trixie", str(self.root)], check=True)
        self._booted = subprocess.Popen(
            ["unshare", *NAMESPACES, "--fork", "--kill-child", "bash", str(BOOT), str(self.root)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + SECONDS
        while self.run("systemctl is-system-running", check=False) not in {"running", "degraded"}:
            assert self._booted.poll() is None, "the machine has ended"
            assert time.monotonic() < end, "the machine does not start"
            time.sleep(0.5)
        return self

    def __exit__(self, *error: object) -> None:
        self._booted.kill()
        self._booted.wait()

    def run(self, command: str, *, check: bool = True) -> str:
        """Run a command as root, and return its output."""
        process = self._booted.pid
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        if not children:
            return ""
        entered = ["nsenter", f"--target={children[0]}", *NAMESPACES, "--root", "--wd"]
        environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin", "LC_ALL=C.UTF-8"]
        found = subprocess.run(
            [*entered, *environment, "sh", "-c", command],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert not check or found.returncode == 0, (command, found.stdout, found.stderr)
        return found.stdout.strip()
