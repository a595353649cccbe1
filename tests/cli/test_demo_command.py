"""`twite demo` as a process: it exits by itself, or keeps running for the console."""

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode

import pytest
from command_stage import ENVIRONMENT

import fork_server

ROOT = Path(__file__).parents[2]
MOST_LINES = 26

pytestmark = pytest.mark.journey


@pytest.fixture
def demo(tmp_path):
    """Starts `twite demo`, in a process whose commands the fork server runs."""
    interpreter = tmp_path / "python"
    fork_server.write_command(interpreter, module="")

    def start(*arguments, **environment):
        return fork_server.Popen(
            [sys.executable, "-m", "twite", "demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ENVIRONMENT | {"PYTHONEXECUTABLE": str(interpreter)} | environment,
        )

    return start


def test_demo_ends_with_a_balance_of_0(demo):
    with demo() as process:
        out, _ = process.communicate(timeout=180)

    assert process.returncode == 0, out
    assert "balance is 0" in out
    assert "password" not in out
    assert len(out.splitlines()) <= MOST_LINES
    assert "make demo ARGS=--stay" in out.splitlines()[-1]


def test_demo_with_stay_prints_what_to_open_and_signs_in_by_a_link(demo):
    with demo("--stay") as process:
        try:
            reported = until("Ctrl-C", process.stdout)
            link = re.search(r"(http://127\.0\.0\.1:\d+)/console/link/\S+", reported)
            browser = Browser(link[1])
            browser.opens_link(link[0])
            stories = dict(re.findall(r"(http://\S+/console\S*) {2,}(\S.*)", reported))
            pages = {url.removeprefix(link[1]): browser.report(url) for url in stories}
            matching = browser.page(f"{link[1]}/console/match-keys")
            again = Browser(link[1]).status(link[0])
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)

    assert process.returncode == 0
    assert again == 403
    assert len(reported.splitlines()) <= MOST_LINES
    assert [line for line in shown(reported) if line not in documented()] == []
    assert set(documented()) == set(shown(reported))
    assert "held" in pages["/console"]
    assert "does not belong to provided account" in pages["/console/problems"]
    assert "At least one user identifier" in pages["/console/problems"]
    assert "identifier_missing" in pages["/console/problems?kind=rejected"]
    assert "page-4" in pages["/console/deduplication"]
    [resent] = [page for path, page in pages.items() if path.startswith("/console/conversions")]
    assert "ServerDisconnectedError" in resent
    assert shares_of(matching).get("email", 0) > 60, matching
    assert "email_placeholder" not in matching


def test_demo_with_verbose_prints_each_step_and_all_tables(demo):
    with demo("--verbose") as process:
        out, _ = process.communicate(timeout=180)

    assert process.returncode == 0, out
    for words in ("twite send orders.csv", "Conversions at X", "must be 0", "Orders with two ids"):
        assert words in out


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("Twite demo", signal.SIGTERM),
        ("twite send", signal.SIGHUP),
        ("The gateway sends", signal.SIGTERM),
        ("Ctrl-C", signal.SIGHUP),
    ],
)
def test_signal_ends_all_processes_of_the_demo_and_removes_its_files(
    demo, tmp_path, moment, number
):
    with demo("--stay", "--verbose", TMPDIR=str(tmp_path)) as process:
        until(moment, process.stdout)
        [config] = tmp_path.glob("twite-demo-*/twite.toml")
        addresses = re.findall(r"127\.0\.0\.1:(\d+)", config.read_text())
        for _ in range(2):
            process.send_signal(number)
        process.communicate(timeout=60)

    assert len(set(addresses)) == 3  # gateway, shop, X
    assert not [port for port in addresses if is_open(int(port))]
    assert not list(tmp_path.glob("twite-demo-*"))


def test_demo_stops_if_its_file_cannot_be_sent(demo, tmp_path):
    broken = tmp_path / "broken.csv"
    broken.write_text("number,price\n1,2\n")

    with demo("--orders", str(broken)) as process:
        out, _ = process.communicate(timeout=180)

    assert process.returncode == 1
    assert "the demo stopped, because twite send failed: " in out
    assert "Invalid value for --event: broken.csv has no event column." in out
    assert "received" not in out


@pytest.mark.skipif(sys.platform != "linux", reason="other systems signal a file that is too large")
def test_demo_stops_if_the_disk_is_full():
    # A size limit for the files of all its processes, without the fork server.
    process = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -f 1200 && exec "$0" -m twite demo', sys.executable],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
        timeout=180,
        check=False,
    )
    out = process.stdout

    assert process.returncode == 1
    assert "Error: the demo stopped, because " in out
    assert "the commit failed; the request was not stored" in out
    assert "received" not in out


def is_open(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def until(word, lines):
    reported = ""
    for line in lines:
        reported += line
        if word in line:
            return reported
    raise AssertionError(reported)


class Browser:
    """Keeps cookies, as a browser does."""

    def __init__(self, gateway):
        self._gateway = gateway
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.ProxyHandler({})
        )

    def page(self, url, form=None):
        body = None if form is None else urlencode(form).encode()
        request = urllib.request.Request(url, body, {"Origin": self._gateway})
        with self._opener.open(request, timeout=60) as answer:
            return answer.read().decode()

    def status(self, url):
        try:
            self.page(url)
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    def report(self, url):
        """Return a page that counts its report after the first request."""
        while "The report is being prepared" in (page := self.page(url)):
            time.sleep(0.1)
        return page

    def opens_link(self, url):
        token = re.search(r'name="form_token" value="(\w+)"', self.page(url))[1]
        self.page(url, {"form_token": token})


def shown(output):
    """Return the lines without what differs in each run."""
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", output)
    text = re.sub(r"/link/\S+", "/link/TOKEN", text)
    text = re.sub(r"id=\S+", "id=ORDER", text)
    text = re.sub(r"--config \S+", "--config FOLDER/twite.toml", text)
    text = re.sub(r"password \S+", "password PASSWORD", text)
    return [re.sub(r" {2,}", "  ", line) for line in text.splitlines() if line]


def documented():
    """Return the demo's output in the tutorial."""
    page = (ROOT / "docs/tutorial/first-conversion.md").read_text("utf-8")
    return shown(
        page.split("```console\n$ make demo ARGS=--stay")[1].split("\n", 1)[1].split("```")[0]
    )


def shares_of(page):
    """Return the percentage of purchases with a match key, by the key's name."""
    found = re.findall(r'aria-label="([\w ]+): ([\d.]+)\s%"', page)
    return {name: float(share) for name, share in reversed(found)}
