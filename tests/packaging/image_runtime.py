"""Build the image with buildah, and run programs in it with bubblewrap, as a container would.

Debian's packages buildah, mmdebstrap and bubblewrap are needed, and root.
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy/docker/Dockerfile"
TOOLS = ("buildah", "mmdebstrap", "bwrap", "setpriv")
BASE = "localhost/twite-test-base"
NAME = "localhost/twite-test"
USER = 10001
PACKAGES = "python3,python3-venv,ca-certificates,libstdc++6"
# `--isolation chroot` raises limits unless they are named, and may not raise them everywhere.
BUILD = ("--isolation", "chroot", "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096")


def missing():
    """Return what this machine lacks to build and run an image; empty if nothing."""
    tools = [tool for tool in TOOLS if shutil.which(tool) is None]
    return [*tools, *([] if os.geteuid() == 0 else ["root"])]


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr[-2_000:]}")
    return done.stdout.strip()


def _buildah(*words):
    return _run("buildah", "--storage-driver", "vfs", *words)


def _settings_of_pip():
    """Return the options that mount this machine's settings of pip in the build."""
    files = [Path("/etc/pip.conf"), *map(Path, filter(None, [os.environ.get("PIP_CERT")]))]
    files += [Path(text) for text in os.environ.get("PIP_FIND_LINKS", "").split()]
    return [f"--volume={file}:{file}:ro" for file in files if file.exists()]


class BuiltImage:
    """The image on a minimal Debian, mounted at `root` until `remove`."""

    def __init__(self):
        # A folder that the user of the image may enter.
        self.folder = Path(tempfile.mkdtemp(prefix="twite-image-"))
        self.folder.chmod(0o755)
        archive = self.folder / "base.tar"
        _run("mmdebstrap", "--variant=essential", f"--include={PACKAGES}", "trixie", str(archive))
        base = _buildah("from", "scratch")
        _buildah("add", base, str(archive), "/")
        _buildah("commit", "--rm", base, BASE)
        archive.unlink()
        named = ("-f", str(DOCKERFILE), "--build-arg", f"BASE={BASE}", "-t", NAME)
        _buildah("bud", "--format", "docker", *BUILD, *_settings_of_pip(), *named, str(ROOT))
        inspected = json.loads(_buildah("inspect", "--type", "image", NAME))
        self.settings = inspected["Docker"]["config"]
        self._container = _buildah("from", NAME)
        self.root = self.folder / "root"
        self.root.mkdir()
        _run("mount", "--bind", _buildah("mount", self._container), str(self.root))

    def volume(self, name):
        """Return a new empty folder that belongs to the user of the image."""
        folder = self.folder / name
        folder.mkdir()
        os.chown(folder, USER, USER)
        return folder

    def start(self, *command, data, environment=(), mounts=()):
        """Start a command without rights, with a read-only root and the volume `data`."""
        user = ("--reuid", str(USER), "--regid", str(USER), "--clear-groups")
        rights = ("--inh-caps=-all", "--bounding-set=-all")
        binds = [word for source, to in mounts for word in ("--ro-bind", str(source), to)]
        return subprocess.Popen(
            [
                *("setpriv", *user, *rights, "env", "-i"),
                *self.settings["Env"],
                *(f"{name}={text}" for name, text in dict(environment).items()),
                *("bwrap", "--unshare-pid", "--unshare-ipc", "--die-with-parent"),
                *("--ro-bind", str(self.root), "/", "--proc", "/proc", "--dev", "/dev"),
                *("--tmpfs", "/tmp", "--bind", str(data), "/data", *binds),  # noqa: S108
                *("--chdir", self.settings["WorkingDir"], *command),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command, data):
        """Run a command as `start` does; return its exit code."""
        process = self.start(*command, data=data)
        process.communicate(timeout=60)
        return process.returncode

    def remove(self):
        _run("umount", str(self.root))
        _buildah("rm", self._container)
        _buildah("rmi", NAME, BASE)
        shutil.rmtree(self.folder)
