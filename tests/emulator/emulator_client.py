"""Requests to an emulator in its own process, and its counts."""

import json
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

from x_requests import PIXEL, PIXEL_TOKEN, a_conversion

PATH = f"/12/measurement/conversions/{PIXEL}"
BATCH = json.dumps({"conversions": [a_conversion()]}).encode()


def send(emulator, body=BATCH, *, method="POST", path=PATH, headers=None, timeout=10):
    """(status, headers, body) of one request on a new connection."""
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
    """The newest entry; waits for it, because a request may still be on its way."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        entries = emulator.received(last=1, bodies=True)["entries"]
        if entries:
            return entries[0]
        time.sleep(0.01)
    raise AssertionError("nothing was received")
