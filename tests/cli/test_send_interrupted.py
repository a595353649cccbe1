"""Ctrl-C in the middle of a file, in a separate process."""

import csv
import signal
import subprocess
import sys
import threading

from send_gateway_double import KEY, double

import fork_server

# Seconds after which a wait fails; each normally ends earlier.
LONGEST = 120


def test_interrupted_send_reports_where_it_stopped_and_continues_later(tmp_path):
    orders = tmp_path / "orders.jsonl"
    orders.write_text(
        "".join(f'{{"event":"purchase","conversion_id":"o-{n}"}}\n' for n in range(1, 1201))
    )
    (tmp_path / "key").write_text(KEY)
    second, release = threading.Event(), threading.Event()
    with double() as gateway:

        def slow(conversions):
            if len(gateway.requests) == 2:
                second.set()
                release.wait(LONGEST)
            return gateway.usual(conversions)

        gateway.judge = slow
        command = [
            *(sys.executable, "-m", "twite", "send", str(orders)),
            *("--to", gateway.url, "--key-from", f"file:{tmp_path / 'key'}"),
        ]
        with fork_server.Popen(
            command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        ) as process:  # fmt: skip
            try:
                assert second.wait(LONGEST)
                process.send_signal(signal.SIGINT)
                said = process.communicate(timeout=LONGEST)[1]
            finally:
                release.set()
        again = fork_server.run(command, cwd=tmp_path, capture_output=True, check=False)

    assert process.returncode == 130
    assert "stopped after 500 rows" in said
    assert "Traceback" not in said
    assert again.returncode == 0
    assert [len(request) for request in gateway.requests] == [500, 500, 500, 200]
    with (tmp_path / "orders.jsonl.report.csv").open(encoding="utf-8-sig") as file:
        verdicts = [(line["row"], line["verdict"], line["code"]) for line in csv.DictReader(file)]
    assert [row for row, _, _ in verdicts] == [str(n) for n in range(1, 1201)]
    assert verdicts[600] == ("601", "duplicate", "answer_lost")
    assert verdicts[1100] == ("1101", "accepted", "")
