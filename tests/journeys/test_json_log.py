"""`log.format = "json"`: everything that a gateway prints is one JSON object per line."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from gateway_processes import ENVIRONMENT, Gateway, PostgresGateway, wait_for

import fork_server

pytestmark = pytest.mark.journey

CONVERSION = {
    "event": "purchase",
    "conversion_id": "order-1",
    "twclid": "a",
    "email": "a@b.example",
}
# Nothing listens there.
NO_X = "http://127.0.0.1:1"


def as_json(gateway):
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace('level = "warning"', 'level = "info"\nformat = "json"'))
    return gateway


def lines_of(text):
    """Return the lines of a log; each must be a JSON object."""
    lines = [json.loads(line) for line in text.splitlines()]
    assert all(set(line) >= {"event", "level", "timestamp"} for line in lines)
    return lines


def events_of(gateway):
    return [line["event"] for line in lines_of(gateway.log())]


def send_garbage(url):
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port)) as client:
        client.sendall(b"GARBAGE\r\n\r\n")
        client.recv(1_024)


def refused(folder, settings, **environment):
    path = folder / "twite.toml"
    path.write_text(settings)
    done = fork_server.run(
        [sys.executable, "-m", "twite", "serve", "--config", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT | environment,
        timeout=60,
        check=False,
    )
    return done.returncode, lines_of(done.stdout)


def test_start_failed_delivery_failed_reload_and_stop_are_logged_as_json(tmp_path):
    with as_json(Gateway(tmp_path, NO_X)) as gateway:
        assert gateway.post(CONVERSION)[0] == 202
        send_garbage(gateway.url)
        wait_for(lambda: "not delivered" in events_of(gateway), gateway.ended)
        gateway.config.write_text(gateway.config.read_text() + "\n[[[broken\n")
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "settings not reloaded" in events_of(gateway), gateway.ended)
        code = gateway.stop()
        lines = lines_of(gateway.log())

    events = [line["event"] for line in lines]
    started = lines[events.index("gateway started")]
    assert code == 0
    assert events[0] == "settings warning"  # a secret in plain text
    assert (started["url"], started["pixels"]) == (gateway.url, ["o8z6j"])
    assert events[-1] == "gateway stopped"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ('[log]\nformat = "json"\n[server]\nlissten = "127.0.0.1:0"\n', "lissten"),
        ('[log]\nlevel = "info"\nformat = "json"\n[[[broken\n', "not TOML"),
        ('log.format = "json"\n[server]\nlisten = "192.0.2.1:80"\n', "192.0.2.1"),
    ],
)
def test_refused_settings_are_logged_as_one_json_line(tmp_path, settings, reason):
    code, lines = refused(tmp_path, settings)

    assert (code, len(lines)) == (1, 1)
    assert (lines[0]["event"], lines[0]["level"]) == ("gateway failed", "error")
    assert reason in lines[0]["reason"]


def test_all_wrong_settings_are_one_json_line_if_the_environment_sets_the_format(tmp_path):
    settings = '[server]\nlissten = "127.0.0.1:0"\n[store]\nurll = "x"\n'

    code, lines = refused(tmp_path, settings, TWITE_LOG__FORMAT="json")

    assert (code, len(lines)) == (1, 1)
    assert "lissten" in lines[0]["reason"]
    assert "urll" in lines[0]["reason"]


def test_internal_error_is_logged_as_json_without_the_text_of_the_exception(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "from twite.stores.sqlite import SQLiteStore\n"
        "def fail(*_, **__):\n"
        "    raise ValueError('test@example.com')\n"
        "SQLiteStore.open = fail\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])

    code, lines = refused(
        tmp_path,
        '[log]\nformat = "json"\n[server]\nlisten = "127.0.0.1:0"\n',
        PYTHONPATH=path,
    )

    assert code == 1
    assert (lines[-1]["event"], lines[-1]["error"]) == ("internal error", "ValueError")
    assert "sitecustomize.py:3 fail" in lines[-1]["where"]
    assert "test@example.com" not in json.dumps(lines)


def test_lines_of_workers_and_their_parent_are_json(tmp_path, x_emulator, postgres_url):
    gateway = as_json(PostgresGateway(tmp_path, x_emulator.url, postgres_url, extra="workers = 2"))
    with gateway:
        assert gateway.post(CONVERSION)[0] == 202
        pid = gateway.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        wait_for(lambda: "worker replaced" in events_of(gateway), gateway.ended)
        gateway.config.write_text(gateway.config.read_text() + "\n[[[broken\n")
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "settings not reloaded" in events_of(gateway), gateway.ended)
        code = gateway.stop()

    events = events_of(gateway)
    assert code == 0
    assert events.count("gateway started") == 1
    assert events[-1] == "gateway stopped"
