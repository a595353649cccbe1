"""A process of the tests' fork server starts like one of the interpreter."""

import os
import sys

import fork_server

CUSTOM = "import time\ntime.time_ns = lambda: {now}\n"
MODULE = "import time\nprint(time.time_ns())\n"


def test_forked_process_runs_the_sitecustomize_of_its_python_path(tmp_path):
    for now in (1, 2):
        folder = tmp_path / str(now)
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(CUSTOM.format(now=now))
        (folder / "tell_the_time.py").write_text(MODULE)

        ran = fork_server.run(
            [sys.executable, "-m", "tell_the_time"],
            env=os.environ | {"PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
        )

        assert (ran.stdout, ran.stderr) == (f"{now}\n", "")


def test_forked_process_starts_with_the_python_path_of_the_tests():
    ran = fork_server.run(
        [sys.executable, "-m", "twite", "--version"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
