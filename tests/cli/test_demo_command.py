"""`twite demo` as a process: it exits by itself, or keeps running for the console."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from http.cookiejar import CookieJar
from itertools import islice
from pathlib import Path
from urllib.parse import urlencode

import pytest
from command_stage import ENVIRONMENT

import fork_server

ORDERS = Path(__file__).parents[2] / "examples/orders.csv"

pytestmark = pytest.mark.journey


@pytest.fixture
def orders(tmp_path):
    """The first rows of the example file, enough for all steps of the demo."""
    with ORDERS.open(encoding="utf-8-sig") as whole:
        path = tmp_path / "orders.csv"
        path.write_text("".join(islice(whole, 320)), encoding="utf-8")
    return path


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


def test_demo_ends_with_a_balance_of_0(demo, orders):
    with demo("--orders", str(orders)) as process:
        out, _ = process.communicate(timeout=180)

    assert process.returncode == 0, out
    assert "balance is 0" in out
    assert "password" not in out


def test_demo_with_stay_prints_the_link_and_password_of_the_console(demo):
    with demo("--stay") as process:
        try:
            reported = until("Ctrl-C", process.stdout)
            link = re.search(r"(http://127\.0\.0\.1:\d+)/console", reported)[0]
            user = re.search(r"user +(\S+), password +(\S+)", reported).groups()
            pages = signed_in(link, *user)
            matching = pages(f"{link}/match-keys")
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)

    assert process.returncode == 0
    assert shares_of(matching).get("email", 0) > 60, matching
    assert "email_placeholder" not in matching


def test_sigterm_ends_all_processes_of_the_demo_and_removes_its_files(demo, tmp_path):
    with demo("--stay", TMPDIR=str(tmp_path)) as process:
        reported = until("Ctrl-C", process.stdout)
        addresses = re.findall(r"127\.0\.0\.1:(\d+)", reported)
        process.terminate()
        process.communicate(timeout=30)

    assert len(set(addresses)) == 3  # gateway, shop, X
    assert not [port for port in addresses if is_open(int(port))]
    assert not list(tmp_path.glob("twite-demo-*"))


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


def signed_in(link, name, password):
    """Sign in as a browser does; return a function that gets a page."""
    browser = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.ProxyHandler({})
    )

    def page(url, form=None):
        body = None if form is None else urlencode(form).encode()
        origin = {"Origin": link.removesuffix("/console")}
        with browser.open(urllib.request.Request(url, body, origin), timeout=30) as answer:
            return answer.read().decode()

    token = re.search(r'name="form_token" value="(\w+)"', page(f"{link}/sign-in"))[1]
    page(f"{link}/sign-in", {"form_token": token, "name": name, "password": password, "code": ""})
    return page


def shares_of(page):
    """Return the percentage of purchases with a match key, by the key's name."""
    found = re.findall(r'aria-label="([\w ]+): ([\d.]+)\s%"', page)
    return {name: float(share) for name, share in reversed(found)}
