"""Faults that the emulator injects into its responses, on real sockets."""

import gzip
import json
import socket
import time
from email.utils import parsedate_to_datetime
from http.client import IncompleteRead, RemoteDisconnected
from urllib.parse import urlsplit

import pytest
from emulator_client import PATH, counted, last, send
from oauthlib.oauth1 import Client
from x_requests import CONSUMER, TOKEN


def test_status_fault_sets_the_status_of_the_next_responses(x_emulator):
    x_emulator.fault("status", status=503, count=2, body="busy", headers={"retry-after": "7"})

    answers = [send(x_emulator) for _ in range(3)]

    assert [answer[0] for answer in answers] == [503, 503, 200]
    assert (answers[0][1]["retry-after"], answers[0][2]) == ("7", b"busy")
    assert counted(x_emulator) == 1


@pytest.mark.parametrize("status", [204, 301, 400, 401, 403, 404, 408, 413, 423, 500, 502, 599])
def test_status_fault_can_set_any_status(x_emulator, status):
    x_emulator.fault("status", status=status)

    assert send(x_emulator)[0] == status


def test_rate_limit_fault_sends_a_reset_time(x_emulator):
    x_emulator.fault("rate_limit", seconds=30)

    status, headers, _ = send(x_emulator)

    assert (status, headers["x-rate-limit-remaining"]) == (429, "0")
    assert int(headers["x-rate-limit-reset"]) == pytest.approx(time.time() + 30, abs=5)


def test_rate_limit_fault_can_send_an_invalid_reset_time(x_emulator):
    x_emulator.fault("rate_limit", headers={"x-rate-limit-reset": "soon"})

    assert send(x_emulator)[1]["x-rate-limit-reset"] == "soon"


def test_html_fault_sends_an_html_page(x_emulator):
    x_emulator.fault("html", status=404)

    status, headers, body = send(x_emulator)

    assert (status, headers["content-type"][:9], body[:6]) == (404, "text/html", b"<html>")


def test_reset_fault_closes_the_connection_before_the_body_is_read(x_emulator):
    x_emulator.fault("reset")

    with pytest.raises(ConnectionResetError):
        send(x_emulator)

    entry = last(x_emulator)
    assert (entry["fault"], entry["judged"], entry["status"]) == ("reset", None, None)
    assert counted(x_emulator) == 0


@pytest.mark.parametrize(
    ("hard", "error"), [(False, RemoteDisconnected), (True, ConnectionResetError)]
)
def test_conversion_with_a_dropped_response_is_counted(x_emulator, hard, error):
    x_emulator.fault("drop_answer", hard=hard)

    with pytest.raises(error):
        send(x_emulator)

    entry = last(x_emulator)
    assert (entry["judged"], entry["status"], counted(x_emulator)) == (200, None, 1)


def test_cut_off_fault_closes_the_connection_in_the_response(x_emulator):
    x_emulator.fault("cut_off", bytes=20)

    with pytest.raises(IncompleteRead) as caught:
        send(x_emulator)

    assert (len(caught.value.partial), counted(x_emulator)) == (20, 1)


def test_unfinished_chunks_fault_leaves_the_response_open(x_emulator):
    x_emulator.fault("open_chunks")

    with pytest.raises(IncompleteRead):
        send(x_emulator)

    assert counted(x_emulator) == 1


def test_truncated_json_fault_sends_a_complete_response_with_invalid_json(x_emulator):
    x_emulator.fault("truncated_json")

    status, _, body = send(x_emulator)

    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert (status, counted(x_emulator)) == (200, 1)


def test_conversion_with_an_empty_response_is_counted(x_emulator):
    x_emulator.fault("empty")

    status, _, body = send(x_emulator)

    assert (status, body, counted(x_emulator)) == (200, b"", 1)


@pytest.mark.parametrize("processed", [0, 7, "1"])
def test_processed_fault_sends_a_wrong_number(x_emulator, processed):
    x_emulator.fault("wrong_processed", processed=processed)

    reported = json.loads(send(x_emulator)[2])["data"]["conversions_processed"]

    assert (reported, counted(x_emulator)) == (processed, 1)


def test_processed_fault_can_omit_the_number(x_emulator):
    x_emulator.fault("wrong_processed")

    assert list(json.loads(send(x_emulator)[2])["data"]) == ["debug_id"]


def test_conversion_with_a_slow_response_is_counted_at_once(x_emulator):
    x_emulator.fault("slow", seconds=30)

    with pytest.raises(TimeoutError):
        send(x_emulator, timeout=0.2)

    assert counted(x_emulator) == 1


def test_conversion_of_a_client_that_disconnects_from_a_stalled_request_is_not_counted(x_emulator):
    x_emulator.fault("stall", seconds=30)

    with pytest.raises(TimeoutError):
        send(x_emulator, timeout=0.2)

    assert [counted(x_emulator), send(x_emulator)[0], counted(x_emulator)] == [0, 200, 1]


def test_trickle_fault_sends_the_body_in_small_pieces(x_emulator):
    x_emulator.fault("trickle", bytes=30, seconds=0.01)

    began = time.monotonic()
    status, _, body = send(x_emulator)

    assert time.monotonic() - began > 0.03
    assert (status, json.loads(body)["data"]["conversions_processed"]) == (200, 1)


def test_gzip_lie_fault_declares_gzip_without_compressing(x_emulator):
    x_emulator.fault("gzip_lie")

    _, headers, body = send(x_emulator)

    assert (headers["content-encoding"], body[:1]) == ("gzip", b"{")


def test_gzip_bomb_fault_inflates_to_the_requested_size(x_emulator):
    x_emulator.fault("gzip_bomb", bytes=1_000_000)

    body = send(x_emulator)[2]

    assert (len(body) < 10_000, len(gzip.decompress(body))) == (True, 1_000_000)


def test_huge_body_fault_sends_the_requested_size(x_emulator):
    x_emulator.fault("huge_body", bytes=1_000_000)

    assert len(send(x_emulator)[2]) == 1_000_000


def test_clock_fault_changes_the_date_header_and_refuses_signatures(x_emulator):
    x_emulator.fault("clock_skew", seconds=-3600)
    client = Client(CONSUMER[0], CONSUMER[1], TOKEN[0], TOKEN[1])
    _, headers, _ = client.sign(x_emulator.url + PATH, "POST")

    status, answered, _ = send(x_emulator, headers=headers)

    date = parsedate_to_datetime(answered["date"]).timestamp()
    assert (status, date) == (401, pytest.approx(time.time() - 3600, abs=60))


@pytest.mark.parametrize("length", ["3", "5000"])
def test_content_length_fault_sends_a_wrong_length(x_emulator, length):
    x_emulator.fault("status", status=200, body="abcdef", headers={"content-length": length})
    address = urlsplit(x_emulator.url)

    with socket.create_connection((address.hostname, address.port), timeout=5) as raw:
        head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"
        raw.sendall(head.encode() + b"{}")
        answer = b"".join(iter(lambda: raw.recv(65536), b""))

    assert (f"content-length: {length}".encode() in answer, answer[-6:]) == (True, b"abcdef")


def test_fault_can_apply_to_any_route(x_emulator):
    x_emulator.fault("status", on="any", status=500)

    assert send(x_emulator, None, method="GET", path="/12/accounts")[0] == 500


def test_added_faults_can_be_listed_and_cleared(x_emulator):
    x_emulator.fault("status", count=5)
    send(x_emulator)

    armed = x_emulator.faults()["faults"]
    x_emulator.clear_faults()

    assert [(fault["fault"]["kind"], fault["hits"]) for fault in armed] == [("status", 1)]
    assert send(x_emulator)[0] == 200
