"""The emulator as its users meet it: a process of its own, and real sockets."""

import gzip
import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, IncompleteRead, RemoteDisconnected
from urllib.parse import urlsplit

import pytest
from oauthlib.oauth1 import Client
from x_requests import CONSUMER, PIXEL, PIXEL_TOKEN, TOKEN, a_conversion

from twite.testing.emulator import EmulatorError, running_emulator

PATH = f"/12/measurement/conversions/{PIXEL}"
BATCH = json.dumps({"conversions": [a_conversion()]}).encode()


def send(emulator, body=BATCH, *, method="POST", path=PATH, headers=None, timeout=10):
    """(status, headers, body) of one request on a connection of its own."""
    address = urlsplit(emulator.url)
    connection = HTTPConnection(address.hostname, address.port, timeout=timeout)
    try:
        sent = {"X-Pixel-Token": PIXEL_TOKEN} if headers is None else headers
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def counted(emulator, conversion_id="order-1"):
    pixels = emulator.counted()["pixels"]
    if PIXEL not in pixels:
        return 0
    return pixels[PIXEL]["events"]["o8z6k"]["ids"][conversion_id]["counted"]


def last(emulator):
    """The newest entry; waited for, as a request may still be on its way."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        entries = emulator.received(last=1, bodies=True)["entries"]
        if entries:
            return entries[0]
        time.sleep(0.01)
    raise AssertionError("nothing was received")


def test_a_conversion_goes_in_and_x_has_it_once(x_emulator):
    status, headers, body = send(x_emulator)

    told = json.loads(body)["data"]["conversions_processed"]
    assert (status, told, headers["x-current-api-version"]) == (200, 1, "12")
    assert counted(x_emulator) == 1


def test_a_signature_over_http_holds(x_emulator):
    client = Client(CONSUMER[0], CONSUMER[1], TOKEN[0], TOKEN[1])
    _, headers, _ = client.sign(x_emulator.url + PATH, "POST")

    status, _, _ = send(x_emulator, headers=headers)

    assert status == 200


def test_what_was_received_is_told_with_its_body(x_emulator):
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


def test_the_fixture_is_as_new(x_emulator):
    received = x_emulator.received()

    assert (received["requests"], received["entries"], x_emulator.counted()["pixels"]) == (
        0,
        [],
        {},
    )


def test_the_clock_passes_48_hours_at_once(x_emulator):
    x_emulator.switch(dedup_scope="all")

    send(x_emulator)
    send(x_emulator)
    before = counted(x_emulator)
    x_emulator.clock(48 * 3600 + 1)
    _, headers, _ = send(x_emulator)

    date = parsedate_to_datetime(headers["date"]).timestamp()
    assert (before, counted(x_emulator)) == (1, 2)
    assert date == pytest.approx(time.time() + 48 * 3600, abs=60)


def test_a_status_hits_the_next_requests_with_body_and_headers(x_emulator):
    x_emulator.fault("status", status=503, count=2, body="busy", headers={"retry-after": "7"})

    answers = [send(x_emulator) for _ in range(3)]

    assert [answer[0] for answer in answers] == [503, 503, 200]
    assert (answers[0][1]["retry-after"], answers[0][2]) == ("7", b"busy")
    assert counted(x_emulator) == 1


@pytest.mark.parametrize("status", [204, 301, 400, 401, 403, 404, 408, 413, 423, 500, 502, 599])
def test_any_status_can_be_had(x_emulator, status):
    x_emulator.fault("status", status=status)

    assert send(x_emulator)[0] == status


def test_a_rate_limit_tells_its_reset(x_emulator):
    x_emulator.fault("rate_limit", seconds=30)

    status, headers, _ = send(x_emulator)

    assert (status, headers["x-rate-limit-remaining"]) == (429, "0")
    assert int(headers["x-rate-limit-reset"]) == pytest.approx(time.time() + 30, abs=5)


def test_a_rate_limit_may_have_an_absurd_reset(x_emulator):
    x_emulator.fault("rate_limit", headers={"x-rate-limit-reset": "soon"})

    assert send(x_emulator)[1]["x-rate-limit-reset"] == "soon"


def test_a_page_of_html_comes_instead(x_emulator):
    x_emulator.fault("html", status=404)

    status, headers, body = send(x_emulator)

    assert (status, headers["content-type"][:9], body[:6]) == (404, "text/html", b"<html>")


def test_a_reset_comes_before_the_body_is_read(x_emulator):
    x_emulator.fault("reset")

    with pytest.raises(ConnectionResetError):
        send(x_emulator)

    entry = last(x_emulator)
    assert (entry["fault"], entry["judged"], entry["status"]) == ("reset", None, None)
    assert counted(x_emulator) == 0


@pytest.mark.parametrize(
    ("hard", "error"), [(False, RemoteDisconnected), (True, ConnectionResetError)]
)
def test_a_dropped_answer_was_counted(x_emulator, hard, error):
    x_emulator.fault("drop_answer", hard=hard)

    with pytest.raises(error):
        send(x_emulator)

    entry = last(x_emulator)
    assert (entry["judged"], entry["status"], counted(x_emulator)) == (200, None, 1)


def test_an_answer_is_cut_off_in_its_body(x_emulator):
    x_emulator.fault("cut_off", bytes=20)

    with pytest.raises(IncompleteRead) as caught:
        send(x_emulator)

    assert (len(caught.value.partial), counted(x_emulator)) == (20, 1)


def test_chunks_are_left_open(x_emulator):
    x_emulator.fault("open_chunks")

    with pytest.raises(IncompleteRead):
        send(x_emulator)

    assert counted(x_emulator) == 1


def test_half_of_the_json_is_a_complete_answer(x_emulator):
    x_emulator.fault("truncated_json")

    status, _, body = send(x_emulator)

    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert (status, counted(x_emulator)) == (200, 1)


def test_an_empty_answer_was_counted(x_emulator):
    x_emulator.fault("empty")

    status, _, body = send(x_emulator)

    assert (status, body, counted(x_emulator)) == (200, b"", 1)


@pytest.mark.parametrize("processed", [0, 7, "1"])
def test_a_wrong_number_is_told(x_emulator, processed):
    x_emulator.fault("wrong_processed", processed=processed)

    told = json.loads(send(x_emulator)[2])["data"]["conversions_processed"]

    assert (told, counted(x_emulator)) == (processed, 1)


def test_the_number_may_be_left_out(x_emulator):
    x_emulator.fault("wrong_processed")

    assert list(json.loads(send(x_emulator)[2])["data"]) == ["debug_id"]


def test_a_slow_answer_was_judged_at_once(x_emulator):
    x_emulator.fault("slow", seconds=30)

    with pytest.raises(TimeoutError):
        send(x_emulator, timeout=0.2)

    assert counted(x_emulator) == 1


def test_a_stalled_request_of_a_client_that_left_is_not_counted(x_emulator):
    x_emulator.fault("stall", seconds=30)

    with pytest.raises(TimeoutError):
        send(x_emulator, timeout=0.2)

    assert [counted(x_emulator), send(x_emulator)[0], counted(x_emulator)] == [0, 200, 1]


def test_a_body_trickles(x_emulator):
    x_emulator.fault("trickle", bytes=30, seconds=0.01)

    began = time.monotonic()
    status, _, body = send(x_emulator)

    assert time.monotonic() - began > 0.03
    assert (status, json.loads(body)["data"]["conversions_processed"]) == (200, 1)


def test_gzip_is_said_and_is_not(x_emulator):
    x_emulator.fault("gzip_lie")

    _, headers, body = send(x_emulator)

    assert (headers["content-encoding"], body[:1]) == ("gzip", b"{")


def test_a_gzip_bomb_unpacks_to_its_size(x_emulator):
    x_emulator.fault("gzip_bomb", bytes=1_000_000)

    body = send(x_emulator)[2]

    assert (len(body) < 10_000, len(gzip.decompress(body))) == (True, 1_000_000)


def test_a_body_is_as_huge_as_asked(x_emulator):
    x_emulator.fault("huge_body", bytes=1_000_000)

    assert len(send(x_emulator)[2]) == 1_000_000


def test_a_skewed_clock_shows_in_the_date_and_refuses_signatures(x_emulator):
    x_emulator.fault("clock_skew", seconds=-3600)
    client = Client(CONSUMER[0], CONSUMER[1], TOKEN[0], TOKEN[1])
    _, headers, _ = client.sign(x_emulator.url + PATH, "POST")

    status, answered, _ = send(x_emulator, headers=headers)

    date = parsedate_to_datetime(answered["date"]).timestamp()
    assert (status, date) == (401, pytest.approx(time.time() - 3600, abs=60))


@pytest.mark.parametrize("length", ["3", "5000"])
def test_a_wrong_content_length_is_sent_as_it_is(x_emulator, length):
    x_emulator.fault("status", status=200, body="abcdef", headers={"content-length": length})
    address = urlsplit(x_emulator.url)

    with socket.create_connection((address.hostname, address.port), timeout=5) as raw:
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"
        raw.sendall(head.encode() + b"{}")
        answer = b"".join(iter(lambda: raw.recv(65536), b""))

    assert (f"content-length: {length}".encode() in answer, answer[-6:]) == (True, b"abcdef")


def test_a_fault_can_be_on_any_route(x_emulator):
    x_emulator.fault("status", on="any", status=500)

    assert send(x_emulator, None, method="GET", path="/12/accounts")[0] == 500


def test_armed_faults_are_told_and_cleared(x_emulator):
    x_emulator.fault("status", count=5)
    send(x_emulator)

    armed = x_emulator.faults()["faults"]
    x_emulator.clear_faults()

    assert [(fault["fault"]["kind"], fault["hits"]) for fault in armed] == [("status", 1)]
    assert send(x_emulator)[0] == 200


def test_a_refused_control_request_says_why(x_emulator):
    with pytest.raises(EmulatorError, match="nearest is 'strict_time'"):
        x_emulator.switch(strict_tine=True)


def test_the_world_can_be_added_to(x_emulator):
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


def test_a_body_beyond_the_limit_is_refused_unread(x_emulator):
    address = urlsplit(x_emulator.url)

    with socket.create_connection((address.hostname, address.port), timeout=5) as raw:
        raw.sendall(f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n".encode())
        # The connection ends while the body is still on its way.
        with suppress(OSError):
            for _ in range(40):
                raw.sendall(bytes(1024 * 1024))

    entry = last(x_emulator)
    assert (entry["status"], entry["why"]) == (413, "the body is too large")


def test_a_client_that_leaves_in_its_body_is_noted_and_not_judged(x_emulator):
    address = urlsplit(x_emulator.url)

    with socket.create_connection((address.hostname, address.port), timeout=5) as raw:
        raw.sendall(f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{{".encode())

    entry = last(x_emulator)
    assert (entry["status"], entry["judged"], entry["conversions"]) == (None, None, None)


def test_many_requests_share_a_connection(x_emulator):
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


def test_bodies_beyond_the_bound_are_let_go_and_totals_stay_exact():
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


def test_without_checks_requests_are_counted_and_not_logged():
    with running_emulator("checks=off") as emulator:
        status, _, _ = send(emulator, headers={})

        received, counts = emulator.received(), emulator.counted()

    told = (received["requests"], received["conversions"], received["entries"])
    assert (status, told, counts["unchecked"]) == (200, (1, 1, []), 1)


def test_a_world_can_be_read_from_a_file(tmp_path):
    path = tmp_path / "world.json"
    path.write_text('{"pixels": [{"id": "o8z6j", "token": "other"}]}')

    with running_emulator(arguments=["--world", str(path)]) as emulator:
        status, _, _ = send(emulator, headers={"X-Pixel-Token": "other"})

    assert status == 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--switch", "strict_tine=on"], "nearest is 'strict_time'"),
        (["--listen", "8081"], "written HOST:PORT"),
        (["--world", "/nowhere/world.json"], "cannot be read"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_to_do(arguments, words):
    done = subprocess.run(
        [sys.executable, "-m", "twite.emulator", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert (done.returncode, words in done.stderr, "Traceback" in done.stderr) == (2, True, False)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_in_order(stop):
    command = [sys.executable, "-m", "twite.emulator", "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        ready = json.loads(process.stdout.readline())
        process.send_signal(stop)
        rest = process.communicate(timeout=20)

    assert (ready["pid"], process.returncode, rest) == (process.pid, 0, (b"", b""))


def test_without_authlib_one_sentence_says_what_to_install():
    code = (
        "import runpy, sys; sys.modules['authlib'] = None;"
        "runpy.run_module('twite.emulator', run_name='__main__')"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
    )

    assert done.returncode == 1
    assert done.stderr.endswith("-m pip install authlib`\n")
    assert "Traceback" not in done.stderr


def test_a_taken_address_exits_with_1(x_emulator_process):
    address = urlsplit(x_emulator_process.url).netloc
    with (
        pytest.raises(EmulatorError, match="cannot listen"),
        running_emulator(arguments=["--listen", address]),
    ):
        pass


def test_a_start_that_fails_is_told_by_the_fixture():
    with pytest.raises(EmulatorError, match="nearest is"), running_emulator("strict_tine=on"):
        pass
