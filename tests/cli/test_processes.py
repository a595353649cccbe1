"""Commands that run until they are stopped, as real processes."""

import json
import re
import signal
import socket
import stat
import subprocess
import sys
import urllib.request

import pytest
from command_stage import ENVIRONMENT, KEY, running, settings_in, store_in, twite

import fork_server


def post(url: str, document: object) -> dict[str, object]:
    request = urllib.request.Request(
        f"{url}/v1/conversions",
        data=json.dumps(document).encode(),
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_prints_its_url_and_exits_0_when_stopped(tmp_path, number):
    path = settings_in(tmp_path)

    with running("serve", "--config", str(path)) as (process, ready):
        receipt = post(
            ready["url"],
            {"event": "purchase", "conversion_id": "order-1", "twclid": "abc", "value": "1.00",
             "currency": "EUR"},
        )  # fmt: skip
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)

    assert (ready["pid"], ready["public_url"]) == (process.pid, None)
    assert receipt["accepted"] == 1
    assert (process.returncode, out) == (0, "")
    assert twite("show", "order-1", "--config", str(path))[0] == 0


def test_serve_reports_its_state_to_the_service_manager(tmp_path):
    path = settings_in(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        given = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}

        with running("serve", "--config", str(path), **given) as (process, _):
            said = {manager.recv(64) for _ in range(4)}
            process.send_signal(signal.SIGTERM)
            while (last := manager.recv(64)) == b"WATCHDOG=1":
                pass
            process.communicate(timeout=20)

    assert said == {b"READY=1", b"WATCHDOG=1"}
    assert last == b"STOPPING=1"


def test_reload_is_reported_to_the_service_manager(tmp_path):
    path = settings_in(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)

        given = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with running("serve", "--config", str(path), **given) as (process, _):
            said = [manager.recv(64)]
            process.send_signal(signal.SIGHUP)
            said += [manager.recv(64), manager.recv(64)]
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)

    assert (said[0], said[2]) == (b"READY=1", b"READY=1")
    assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=[0-9]+", said[1])
    assert process.returncode == 0


def test_gateway_under_nohup_keeps_running_when_its_terminal_closes(tmp_path):
    path = settings_in(tmp_path)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with running("serve", "--config", str(path), popen=subprocess.Popen) as (process, ready):
            process.send_signal(signal.SIGHUP)
            receipt = post(
                ready["url"], {"event": "purchase", "conversion_id": "order-1", "twclid": "a"}
            )
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
    finally:
        signal.signal(signal.SIGHUP, before)

    assert (receipt["accepted"], process.returncode) == (1, 0)


def test_gateway_file_is_readable_only_by_its_user_and_removed_at_the_end(tmp_path):
    path = settings_in(tmp_path)
    note = tmp_path / "twite.db.gateway"

    with running("serve", "--config", str(path)) as (process, ready):
        mode, word = stat.S_IMODE(note.stat().st_mode), json.loads(note.read_text())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)

    assert (mode, word["pid"], word["url"]) == (0o600, process.pid, ready["url"])
    assert not note.exists()


def test_second_gateway_on_the_same_store_exits_1(tmp_path):
    path = settings_in(tmp_path)

    with running("serve", "--config", str(path)) as (process, _):
        second = twite("serve", "--config", str(path))

    code, said, complaint = second
    assert (code, said) == (1, "")
    assert complaint.startswith(f"Error: {tmp_path}/twite.db is in use by process {process.pid}. ")
    assert complaint.endswith("set another store.url\n")


def test_deliveries_are_replayed_and_discarded_through_the_running_gateway(tmp_path):
    store_in(tmp_path)
    path = settings_in(tmp_path)
    config = ("--config", str(path))

    with running("serve", *config):
        replayed = twite("dead", "replay", "order-2", *config)
        discarded = twite("dead", "discard", "order-3", "--note", "seen at X", *config)
        balance = json.loads(twite("accounting", "--json", *config)[1])

    assert (replayed[0], replayed[2]) == (0, "")
    assert replayed[1].startswith("Replay of 1 delivery started (0 held).\n")
    assert discarded == (0, "1 delivery discarded (1 held).\n", "")
    assert {name: count for name, count in balance.items() if type(count) is int and count} == {
        "received": 5,
        "delivered": 1,
        "duplicate": 1,
        "suppressed": 1,
        "pending": 2,
    }


def test_gateway_that_refuses_control_requests_is_reported(tmp_path):
    store_in(tmp_path)
    path = settings_in(tmp_path)
    note = tmp_path / "twite.db.gateway"

    with running("serve", "--config", str(path)) as (_, ready):
        note.write_text(json.dumps(json.loads(note.read_text()) | {"token": "not-this-one"}))
        code, out, err = twite("dead", "replay", "order-2", "--config", str(path))

    assert (code, out) == (1, "")
    assert err == (
        f"Error: the gateway at {ready['url']} owns the store and answered 404. "
        "Check the gateway's log, or stop the gateway and try again\n"
    )


def test_serve_on_an_address_in_use_is_an_error(tmp_path):
    path = settings_in(tmp_path)
    path.write_text(path.read_text().replace("127.0.0.1:0", "192.0.2.1:80"))

    code, out, err = twite("serve", "--config", str(path))

    assert (code, out) == (1, "")
    # Alerts of this machine, such as a nearly full disk, may come before it.
    *_, last = err.splitlines()
    assert last.startswith("Error: server.listen: cannot listen on 192.0.2.1:80")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_emulate_prints_its_url_applies_its_options_and_stops(number):
    with running("emulate", "--listen", "127.0.0.1:0", "--switch", "strict_time=on") as started:
        process, ready = started
        with urllib.request.urlopen(f"{ready['url']}/_emulator/switches", timeout=10) as answer:
            switches = json.loads(answer.read())
        process.send_signal(number)
        out, err = process.communicate(timeout=20)

    assert ready["pid"] == process.pid
    assert switches["switches"]["strict_time"] is True
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--switch", "strict_tim=on"], "did you mean 'strict_time'?"),
        (["--switch", "strict_time"], "has no '='"),
        (["--listen", "8081"], "has no valid port"),
        (["--world", "not-there.json"], "cannot be used"),
    ],
)
def test_invalid_options_of_emulate_exit_2(words, complaint):
    code, out, err = twite("emulate", *words, environ={"COLUMNS": "200"})

    assert (code, out) == (2, "")
    assert complaint in err


def test_serve_prints_the_console_url_and_the_command_for_its_first_user(tmp_path):
    path = settings_in(tmp_path)

    def started():
        with fork_server.Popen(
            [sys.executable, "-m", "twite", "serve", "--config", str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        ) as process:
            lines = [process.stdout.readline()]
            while not lines[-1].startswith("  stops"):
                lines.append(process.stdout.readline())
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        return lines[0].split()[-1], [line.strip() for line in lines]

    first, without_user = started()
    added = fork_server.run(
        [sys.executable, "-m", "twite", "user", "add", "ada", "--role", "admin",
         "--password-stdin", "--config", str(path)],
        input="correct horse battery staple\n",
        text=True,
        capture_output=True,
        env=ENVIRONMENT,
    )  # fmt: skip
    second, with_user = started()

    hint = f"needs a first user: twite user add NAME --role admin --config {path}"
    assert f"console   {first}/console" in without_user
    assert without_user[without_user.index(f"console   {first}/console") + 1] == hint
    assert added.returncode == 0
    assert f"console   {second}/console" in with_user
    assert hint not in with_user
