"""Commands whose output is no longer read, as real processes."""

import fcntl
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from command_stage import ENVIRONMENT, settings_in, store_in
from test_processes import post

CONVERSION = {"event": "purchase", "conversion_id": "order-1", "twclid": "abc"}


@contextmanager
def serving(folder, *, out, err):
    """Run a gateway; yield it with its URL once it listens."""
    path = settings_in(folder)
    path.write_text(path.read_text() + '[log]\nlevel = "debug"\n')
    note = folder / "twite.db.gateway"
    with subprocess.Popen(
        [sys.executable, "-m", "twite", "serve", "--config", str(path)],
        stdout=out,
        stderr=err,
        env=ENVIRONMENT,
    ) as process:
        try:
            within = time.monotonic() + 30
            while not note.exists() and process.poll() is None and time.monotonic() < within:
                time.sleep(0.02)
            yield process, note.read_text().split('"url":"')[1].split('"')[0]
        finally:
            if process.poll() is None:
                process.kill()


def number_of_lost_lines(url):
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as page:
        text = page.read().decode()
    return float(text.split("\ntwite_lost_log_lines_total ")[1].split("\n")[0])


def pipe_without_reader():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def full_pipe():
    """Return a pipe that nobody reads and that is full."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4_096)
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4_096)
    os.set_blocking(writer, True)
    return reader, writer


def wait_for_a_lost_line(url):
    """Wait until the failed delivery has been logged."""
    within = time.monotonic() + 30
    while not (lost := number_of_lost_lines(url)) and time.monotonic() < within:
        time.sleep(0.05)
    return lost > 0


def test_gateway_continues_when_the_readers_of_its_output_have_exited(tmp_path):
    output = pipe_without_reader()

    with serving(tmp_path, out=output, err=output) as (process, url):
        receipt = post(url, CONVERSION)
        is_counted = wait_for_a_lost_line(url)
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)

    os.close(output)
    assert (receipt["accepted"], is_counted, code) == (1, True, 0)


def test_gateway_continues_when_the_readers_of_its_output_stop_reading(tmp_path):
    reader, output = full_pipe()

    with serving(tmp_path, out=output, err=output) as (process, url):
        receipt = post(url, CONVERSION)
        is_counted = wait_for_a_lost_line(url)
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)

    os.close(reader)
    os.close(output)
    assert (receipt["accepted"], is_counted, code) == (1, True, 0)


def test_gateway_runs_without_standard_input_and_output(tmp_path):
    path = settings_in(tmp_path)
    command = f'exec "{sys.executable}" -m twite serve --config "{path}" <&- >&- 2>&-'
    note = tmp_path / "twite.db.gateway"
    with subprocess.Popen(["/bin/sh", "-c", command], env=ENVIRONMENT) as process:
        within = time.monotonic() + 30
        while not note.exists() and process.poll() is None and time.monotonic() < within:
            time.sleep(0.02)
        files = Path(f"/proc/{process.pid}/fd")
        standard = {str((files / number).readlink()) for number in "012"}
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)

    assert (standard, code) == ({"/dev/null"}, 0)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["show", "--help"],
        ["show", "order-1"],
        ["dead", "list"],
        ["accounting", "--json"],
        ["events", "--help"],
    ],
)
def test_command_exits_quietly_when_the_reader_of_its_output_has_exited(tmp_path, words):
    store_in(tmp_path)
    config = settings_in(tmp_path)
    output = pipe_without_reader()

    done = subprocess.run(
        [sys.executable, "-m", "twite", *words],
        stdout=output,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT | {"TWITE_CONFIG": str(config)},
        timeout=60,
        check=False,
    )

    os.close(output)
    assert (done.returncode, done.stderr) == (141, b"")


def test_command_exits_quietly_when_the_reader_of_its_errors_has_exited(tmp_path):
    output = pipe_without_reader()

    done = subprocess.run(
        [sys.executable, "-m", "twite", "show", "order-1", "--config", str(tmp_path / "none.toml")],
        stdout=output,
        stderr=output,
        env=ENVIRONMENT,
        timeout=60,
        check=False,
    )

    os.close(output)
    assert done.returncode == 141
