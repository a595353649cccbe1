"""The emulator as users run it: in its own process, on real sockets."""

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from emulator_client import BATCH, PATH, counted, last, send
from oauthlib.oauth1 import Client
from x_requests import CONSUMER, PIXEL, PIXEL_TOKEN, TOKEN, a_conversion

import fork_server
from twite_emulator.process import EmulatorError, running_emulator


def test_conversion_sent_to_the_process_is_counted_once(x_emulator):
    status, headers, body = send(x_emulator)

    reported = json.loads(body)["data"]["conversions_processed"]
    assert (status, reported, headers["x-current-api-version"]) == (200, 1, "12")
    assert counted(x_emulator) == 1


def test_signature_over_a_real_socket_is_valid(x_emulator):
    client = Client(CONSUMER[0], CONSUMER[1], TOKEN[0], TOKEN[1])
    _, headers, _ = client.sign(x_emulator.url + PATH, "POST")

    status, _, _ = send(x_emulator, headers=headers)

    assert status == 200


def test_received_request_is_listed_with_its_body(x_emulator):
    send(x_emulator)

    entry = last(x_emulator)

    assert entry.pop("at") == pytest.approx(time.time(), abs=60)
    assert entry == {
        "method": "POST",
        "path": PATH,
        "pixel": PIXEL,
        "auth": "pixel_token",
        "judged": 200,
        "status": 200,
        "fault": None,
        "conversions": 1,
        "why": None,
        "body": BATCH.decode(),
    }


def test_pytest_fixture_resets_the_emulator(x_emulator):
    received = x_emulator.received()

    assert (received["requests"], received["entries"], x_emulator.counted()["pixels"]) == (
        0,
        [],
        {},
    )


def test_clock_of_the_process_can_skip_48_hours(x_emulator):
    x_emulator.switch(dedup_scope="all")

    send(x_emulator)
    send(x_emulator)
    before = counted(x_emulator)
    x_emulator.clock(48 * 3600 + 1)
    _, headers, _ = send(x_emulator)

    date = parsedate_to_datetime(headers["date"]).timestamp()
    assert (before, counted(x_emulator)) == (1, 2)
    assert date == pytest.approx(time.time() + 48 * 3600, abs=60)


def test_refused_control_request_states_its_reason(x_emulator):
    with pytest.raises(EmulatorError, match="did you mean 'strict_time'"):
        x_emulator.switch(strict_tine=True)


def test_accounts_pixels_and_events_can_be_added(x_emulator):
    x_emulator.add(
        accounts=[{"id": "abc"}],
        pixels=[{"id": "p1", "account": "abc", "token": "t1"}],
        events=[{"id": "e1", "pixel": "p1"}],
    )
    body = json.dumps({"conversions": [a_conversion(event_id="e1")]})

    answer = send(
        x_emulator, body, path="/12/measurement/conversions/p1", headers={"X-Pixel-Token": "t1"}
    )

    assert json.loads(answer[2])["request"] == {"params": {"account_id": "abc"}}


def test_body_over_the_limit_is_refused_before_it_is_read(x_emulator):
    address = urlsplit(x_emulator.url)

    with socket.create_connection((address.hostname, address.port), timeout=5) as raw:
        raw.sendall(f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n".encode())
        # The connection ends while the body is still on its way.
        with suppress(OSError):
            for _ in range(40):
                raw.sendall(bytes(1024 * 1024))

    entry = last(x_emulator)
    assert (entry["status"], entry["why"]) == (413, "the body is too large")


def test_conversion_whose_body_is_cut_off_is_logged_and_not_checked(x_emulator):
    address = urlsplit(x_emulator.url)

    with socket.create_connection((address.hostname, address.port), timeout=5) as raw:
        raw.sendall(f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{{".encode())

    entry = last(x_emulator)
    assert (entry["status"], entry["judged"], entry["conversions"]) == (None, None, None)


def test_one_connection_serves_many_requests(x_emulator):
    address = urlsplit(x_emulator.url)
    connection = HTTPConnection(address.hostname, address.port, timeout=10)

    statuses = []
    for _ in range(20):
        connection.request("POST", PATH, BATCH, {"X-Pixel-Token": PIXEL_TOKEN})
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()

    assert statuses == [200] * 20


def test_logged_bodies_are_limited_and_totals_are_exact():
    with running_emulator("log_requests=3", "log_bodies=1") as emulator:
        for _ in range(5):
            send(emulator)

        received = emulator.received(bodies=True)

    kept = [entry["body"] is not None for entry in received["entries"]]
    assert (received["requests"], received["answers"], kept) == (
        5,
        {"200": 5},
        [False, False, True],
    )


def test_unchecked_requests_are_counted_and_not_logged():
    with running_emulator("checks=off") as emulator:
        status, _, _ = send(emulator, headers={})

        received, counts = emulator.received(), emulator.counted()

    reported = (received["requests"], received["conversions"], received["entries"])
    assert (status, reported, counts["unchecked"]) == (200, (1, 1, []), 1)


def test_accounts_pixels_and_events_are_read_from_a_file(tmp_path):
    path = tmp_path / "world.json"
    path.write_text('{"pixels": [{"id": "o8z6j", "token": "other"}]}')

    with running_emulator(arguments=["--world", str(path)]) as emulator:
        status, _, _ = send(emulator, headers={"X-Pixel-Token": "other"})

    assert status == 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--switch", "strict_tine=on"], "did you mean"),
        (["--listen", "8081"], "no valid port"),
        (["--world", "/nowhere/world.json"], "cannot be used"),
    ],
)
def test_invalid_options_of_the_emulator_exit_2(arguments, words):
    done = fork_server.run(
        [sys.executable, "-m", "twite", "emulate", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert (done.returncode, words in done.stderr, "Traceback" in done.stderr) == (2, True, False)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_emulator_stops_with_exit_code_0(stop):
    command = [sys.executable, "-m", "twite", "emulate", "--listen", "127.0.0.1:0", "--json"]
    with fork_server.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        ready = json.loads(process.stdout.readline())
        process.send_signal(stop)
        rest = process.communicate(timeout=20)

    assert (ready["pid"], process.returncode, rest) == (process.pid, 0, (b"", b""))


def test_address_in_use_exits_1(x_emulator_process):
    address = urlsplit(x_emulator_process.url).netloc
    with (
        pytest.raises(EmulatorError, match="cannot listen"),
        running_emulator(arguments=["--listen", address]),
    ):
        pass


def test_pytest_fixture_reports_a_failed_start():
    with pytest.raises(EmulatorError, match="did you mean"), running_emulator("strict_tine=on"):
        pass
