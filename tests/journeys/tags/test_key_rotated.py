"""Rotate the secret key while sealed payloads wait for a tag."""

import json
import re
import sys

import pytest
from gateway_processes import ENVIRONMENT, command, wait_for
from test_tag_destination import EMAIL, bought, row_of, with_tag
from vendor import Vendor

import fork_server

pytestmark = pytest.mark.journey

FIRST, SECOND = "the-first-key-that-seals", "the-second-key-that-seals"
IN_THE_ENVIRONMENT = 'secret_key = "env:TWITE_SECRET_KEY"'
BOTH = f'{IN_THE_ENVIRONMENT}\nformer_secret_keys = ["env:TWITE_FORMER_SECRET_KEY"]'


class UnavailableVendor(Vendor):
    """A vendor that answers 503 until the test calls `open`."""

    def __init__(self) -> None:
        super().__init__(lambda _: 503)

    def open(self) -> None:
        self.behaviour = lambda _: 200
        self.came.clear()


def sealing(folder, x, vendor, key):
    """Return a gateway with sealed payloads for a tag."""
    gateway = with_tag(folder, x, vendor, persons='"sealed"')
    gateway.environment = dict(ENVIRONMENT)
    with_key(gateway, key)
    return gateway


def with_key(gateway, key):
    text = gateway.config.read_text()
    head, _, rest = text.partition("[server]\n")
    end = rest.index("listen")
    gateway.config.write_text(f"{head}[server]\n{key}\n{rest[end:]}")


def run(gateway, *args, **environment):
    """Run a command in its own environment."""
    return fork_server.run(
        [sys.executable, "-m", "twite", *args, "--config", str(gateway.config)],
        capture_output=True,
        text=True,
        env=gateway.environment | environment,
        check=False,
        timeout=120,
    )


def posted(gateway, vendor, *numbers):
    """Post conversions, and wait until the tag has failed once for each, so that all are queued."""
    for number in numbers:
        tried = vendor.count()
        assert gateway.post(bought(number))[0] == 202
        wait_for(lambda tried=tried: vendor.count() > tried)


def held_and_dead(gateway):
    row = row_of(gateway, "tag:crm")
    return row["held"], row["dead"]


def events_at_vendor(vendor):
    return {
        (hit["event"]["transaction_id"], hit["event"]["user_data"]["email_address"])
        for hit in vendor.came
    }


def key_problems(gateway):
    """Return the problems with keys that `twite check` finds."""
    found = json.loads(run(gateway, "check", "--json").stdout)["findings"]
    return [
        finding["found"]
        for finding in found
        if finding["topic"] == "key" and finding["status"] != "passed"
    ]


def test_payloads_queued_before_a_rotation_of_the_key_file_are_delivered(tmp_path, x_emulator):
    (tmp_path / "twite.secret").write_text(f"{FIRST}\n")
    (tmp_path / "twite.secret").chmod(0o600)
    with UnavailableVendor() as vendor:
        gateway = sealing(tmp_path, x_emulator.url, vendor, 'secret_key = "file:twite.secret"')
        with gateway:
            posted(gateway, vendor, 1)
            rotated = command(gateway, "rotate-key")
            posted(gateway, vendor, 2)
            again = command(gateway, "rotate-key")
            found = key_problems(gateway)
            gateway.stop()
        vendor.open()
        with gateway:
            gateway.drained()
            rest = held_and_dead(gateway)

    reported = (
        f"Wrote a new key to {tmp_path}/twite.secret: keep a copy of it, and delete the old key."
    )
    assert rotated.stdout == f"{reported}\nEncrypted with it: 1 tag event.\n"
    assert again.stdout == f"{reported}\nEncrypted with it: 2 tag events.\n"
    assert (rotated.returncode, again.returncode, found) == (0, 0, [])
    assert not (tmp_path / "twite.secret.former").exists()
    assert (rest, events_at_vendor(vendor)) == ((0, 0), {("order-1", EMAIL), ("order-2", EMAIL)})


def test_queued_payloads_are_sealed_with_the_new_key_without_a_gateway(tmp_path, x_emulator):
    (tmp_path / "twite.secret").write_text(f"{FIRST}\n")
    with UnavailableVendor() as vendor:
        gateway = sealing(tmp_path, x_emulator.url, vendor, 'secret_key = "file:twite.secret"')
        with gateway:
            posted(gateway, vendor, 1)
            gateway.stop()

        rotated = command(gateway, "rotate-key", "--json")

        vendor.open()
        with gateway:
            gateway.drained()
    assert json.loads(rotated.stdout) == {
        "secrets": 0,
        "conversions": 1,
        "file": f"{tmp_path}/twite.secret",
        "left": {"secrets": 0, "conversions": 0},
        "missing_keys": {},
    }
    assert events_at_vendor(vendor) == {("order-1", EMAIL)}


def test_key_in_the_environment_is_rotated_by_starting_with_old_and_new_key(tmp_path, x_emulator):
    with UnavailableVendor() as vendor:
        gateway = sealing(tmp_path, x_emulator.url, vendor, IN_THE_ENVIRONMENT)
        gateway.environment |= {"TWITE_SECRET_KEY": FIRST}
        with gateway:
            posted(gateway, vendor, 1)
            gateway.stop()
        with_key(gateway, BOTH)
        gateway.environment |= {"TWITE_SECRET_KEY": SECOND, "TWITE_FORMER_SECRET_KEY": FIRST}
        before = key_problems(gateway)
        with gateway:
            wait_for(lambda: "they no longer encrypt any data" in key_problems(gateway)[0])
            posted(gateway, vendor, 2)
            gateway.stop()
        with_key(gateway, IN_THE_ENVIRONMENT)
        vendor.open()
        with gateway:
            gateway.drained()
            rest = held_and_dead(gateway)

    assert before == ["still encrypted with a former key: 1 tag event"]
    assert (rest, events_at_vendor(vendor)) == ((0, 0), {("order-1", EMAIL), ("order-2", EMAIL)})


def test_rotation_is_incomplete_while_a_gateway_runs_with_the_old_key(tmp_path, x_emulator):
    new = {"TWITE_SECRET_KEY": SECOND, "TWITE_FORMER_SECRET_KEY": FIRST}
    with UnavailableVendor() as vendor:
        gateway = sealing(tmp_path, x_emulator.url, vendor, IN_THE_ENVIRONMENT)
        gateway.environment |= {"TWITE_SECRET_KEY": FIRST, "TWITE_FORMER_SECRET_KEY": FIRST}
        with gateway:
            posted(gateway, vendor, 1)
            with_key(gateway, BOTH)
            early = run(gateway, "rotate-key", **new)
            pid = gateway.process.pid
            gateway.stop()
        gateway.environment |= new
        late = run(gateway, "rotate-key")
        with_key(gateway, IN_THE_ENVIRONMENT)
        vendor.open()
        with gateway:
            gateway.drained()

    assert early.returncode == 1
    assert early.stderr == (
        "Still encrypted with a former key: 1 tag event. Keep that key configured, "
        f"restart the gateway (process {pid} is running with different keys), and run "
        "the command again.\n"
    )
    assert "You can remove server.former_secret_keys" not in early.stdout
    assert late.returncode == 0
    assert late.stdout == (
        "Encrypted with it: 1 tag event.\n"
        "You can remove server.former_secret_keys from the settings.\n"
    )
    assert events_at_vendor(vendor) == {("order-1", EMAIL)}


def test_old_key_file_is_kept_while_a_gateway_needs_it(tmp_path, x_emulator):
    """A gateway with the key in its environment continues with that key."""
    (tmp_path / "twite.secret").write_text(f"{FIRST}\n")
    former = tmp_path / "twite.secret.former"
    with UnavailableVendor() as vendor:
        gateway = sealing(tmp_path, x_emulator.url, vendor, 'secret_key = "file:twite.secret"')
        gateway.environment |= {"TWITE_SERVER__SECRET_KEY": FIRST}
        with gateway:
            posted(gateway, vendor, 1)
            del gateway.environment["TWITE_SERVER__SECRET_KEY"]
            early = run(gateway, "rotate-key")
            kept = former.read_text() if former.exists() else None
            gateway.stop()
        late = run(gateway, "rotate-key")
        vendor.open()
        with gateway:
            gateway.drained()

    assert (early.returncode, kept) == (1, f"{FIRST}\n")
    assert "Still encrypted with a former key: 1 tag event." in early.stderr
    assert (late.returncode, former.exists()) == (0, False)
    assert events_at_vendor(vendor) == {("order-1", EMAIL)}


def test_payload_with_a_missing_key_does_not_stop_the_rotation(tmp_path, x_emulator):
    (tmp_path / "twite.secret").write_text(f"{FIRST}\n")
    (tmp_path / "twite.secret").chmod(0o600)
    with UnavailableVendor() as vendor:
        gateway = sealing(tmp_path, x_emulator.url, vendor, 'secret_key = "file:twite.secret"')
        with gateway:
            posted(gateway, vendor, 1)
            gateway.stop()
        (tmp_path / "twite.secret").write_text(f"{SECOND}\n")

        found = key_problems(gateway)
        rotated = command(gateway, "rotate-key")

    found_key = r"encrypted with the key [0-9a-f]{8}, which is not configured: 1 tag event"
    reported_key = r"Encrypted with the key [0-9a-f]{8}, which is not configured: 1 tag event"
    assert (len(found), rotated.returncode) == (1, 0)
    assert re.fullmatch(found_key, found[0])
    assert re.match(reported_key, rotated.stderr)
