"""The curl command that sends a conversion's entry again."""

import json
import shlex
import subprocess

import msgspec
import pytest

from builders import NOW, a_conversion
from twite.domain.delivery import State
from twite.domain.history import History
from twite.gateway.operations.reproduce import curl_of
from twite.gateway.ports.queries import ConversionOrigin
from twite.x.encode import conversion_body

URL = "https://t.shop.example"
ENTRY = {
    "event": "purchase",
    "conversion_id": "order-1",
    "value": "49.90",
    "email_sha256": "ab" * 32,
    "ip": "203.0.113.7",
    "description": "it's $HOME `date` \\ \u202e",
}


def origin(body, *, place=0, endpoint="native"):
    history = History(
        delivery=7,
        pixel="o8z6j",
        event="o8z6k",
        conversion_id="order-1",
        state=State.DELIVERED,
        source="shop",
        receipt="r1",
        received_at=NOW,
        deadline_at=NOW,
        sent=conversion_body(a_conversion()),
        attempts=(),
    )
    return ConversionOrigin(
        history=history, endpoint=endpoint, body=msgspec.json.encode(body), place=place
    )


def sent_by(command):
    """Return the arguments that a shell passes to curl."""
    script = f"curl() {{ printf '%s\\0' \"$@\"; }}; {command.text}"
    done = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, check=True, env={"TWITE_KEY": "k"}
    )
    return done.stdout.decode().split("\0")[:-1]


def test_command_sends_the_own_entry_without_persons_or_secrets():
    body = {"conversions": [{"event": "other", "email_sha256": "cd" * 32}, ENTRY]}

    command = curl_of(origin(body, place=1), url=URL)
    arguments = sent_by(command)

    assert arguments[:3] == ["-X", "POST", f"{URL}/v1/conversions"]
    assert "Authorization: Bearer k" in arguments
    kept = {name: ENTRY[name] for name in ("event", "conversion_id", "value", "description")}
    assert json.loads(arguments[-1]) == kept
    assert command.left_out == ("email_sha256", "ip")
    assert "\u202e" not in command.text
    assert "abab" not in command.text
    assert "Bearer $TWITE_KEY" in command.text


def test_command_of_an_entry_in_the_format_of_x_names_the_pixel():
    body = {"conversions": [{"event_id": "o8z6k", "conversion_id": "order-1", "value": "4.00"}]}

    arguments = sent_by(curl_of(origin(body, endpoint="x_api"), url=URL))

    assert arguments[2] == f"{URL}/12/measurement/conversions/o8z6j"
    assert "X-Pixel-Token: k" in arguments
    assert json.loads(arguments[-1]) == body


@pytest.mark.parametrize("body", [{"conversions": []}, [], {"hits": [{"event": "a"}]}])
def test_request_without_the_entry_gives_no_command(body):
    assert curl_of(origin(body, endpoint="ga4"), url=URL) is None


def test_address_is_quoted_for_the_shell():
    command = curl_of(origin(ENTRY), url="https://t.shop.example/'; rm -rf x; '")

    assert shlex.split(command.text)[3].startswith("https://t.shop.example/'; rm")
