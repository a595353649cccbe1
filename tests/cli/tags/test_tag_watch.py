"""`twite tag test --watch`: the tests run again after each change of the file."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_stage import ENVIRONMENT

HEAD = '___INFO___\n{"type": "TAG", "displayName": "A tag"}\n___SANDBOXED_JS_FOR_SERVER___\n'
TESTS = (
    "\n___TESTS___\nscenarios:\n- name: Is two\n  code: |-\n"
    "    assertThat(runCode({})).isEqualTo(2);\n"
)


@pytest.fixture
def watching(tmp_path):
    path, started = tmp_path / "a.tpl", []

    def watch(text=None):
        if text is not None:
            path.write_text(HEAD + text + TESTS)
        process = subprocess.Popen(
            [sys.executable, "-m", "twite", "tag", "test", str(path), "--watch"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ENVIRONMENT,
        )
        started.append(process)
        return path, process

    yield watch
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def until_run_ends(process) -> list[str]:
    """Return the lines of one run."""
    lines = []
    for line in process.stdout:
        if line.startswith("Waiting for a change"):
            return lines
        lines.append(line.strip())
    raise AssertionError(lines)


def until_run_ends_with(process, last: str) -> list[str]:
    """Return the lines of the next run whose last line is `last`.

    The watcher may see a half-written file.
    """
    while (lines := until_run_ends(process))[-1] != last:
        pass
    return lines


def replace(path: Path, text: str) -> None:
    """Replace the file, as many editors do."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_each_change_of_the_template_runs_its_tests(watching):
    path, process = watching("return 1;")

    first = until_run_ends(process)
    path.write_text(HEAD + "return 2;" + TESTS)
    second = until_run_ends_with(process, "A tag: 1 of 1 test passed.")
    replace(path, HEAD + "return ;;;(" + TESTS)
    third = until_run_ends(process)
    replace(path, HEAD + "return 3 - 1;" + TESTS)
    fourth = until_run_ends(process)
    process.send_signal(signal.SIGINT)

    assert first[-1] == "A tag: 0 of 1 test passed."
    assert second == fourth == ["✓ Is two", "A tag: 1 of 1 test passed."]
    assert "SyntaxError" in third[0]
    assert process.wait() == 130


def test_watch_continues_after_the_file_was_deleted(watching):
    path, process = watching("return 1;")

    until_run_ends(process)
    path.unlink()
    path.write_text(HEAD + "return 2;" + TESTS)

    assert until_run_ends_with(process, "A tag: 1 of 1 test passed.")


def test_watch_waits_for_a_missing_file(watching):
    path, process = watching()

    first = until_run_ends(process)
    path.write_text(HEAD + "return 2;" + TESTS)
    second = until_run_ends_with(process, "A tag: 1 of 1 test passed.")

    assert first == [f"Error: {path}: cannot be read (No such file or directory)"]
    assert second[-1] == "A tag: 1 of 1 test passed."
