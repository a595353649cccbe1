"""Personal data for tags by default: sealed if there is a key, hashed otherwise."""

from pathlib import Path

import pytest
from gateway_processes import wait_for
from test_tag_destination import EMAIL, bought, with_tag
from vendor import Vendor

PHONE = "+442079460958"
KEY = 'secret_key = "a-key-that-seals-things"'

pytestmark = pytest.mark.journey


def with_key(gateway):
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace("[server]", f"[server]\n{KEY}", 1))
    return gateway


def disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("twite.db*"))


def test_queued_tag_event_is_sealed_with_the_secret_key(tmp_path, x_emulator):
    with Vendor() as vendor, with_key(with_tag(tmp_path, x_emulator.url, vendor)) as gateway:
        gateway.post(bought(phone=PHONE))
        gateway.drained()
        gateway.stop()

    user = vendor.came[0]["event"]["user_data"]
    assert (user["email_address"], user["phone_number"]) == (EMAIL, PHONE)
    assert EMAIL.encode() not in disk(tmp_path)
    assert PHONE.encode() not in disk(tmp_path)


def test_template_gets_no_phone_number_without_a_secret_key(tmp_path, x_emulator):
    with Vendor() as vendor, with_tag(tmp_path, x_emulator.url, vendor) as gateway:
        gateway.post(bought(phone=PHONE))
        gateway.drained()

    user = vendor.came[0]["event"]["user_data"]
    assert set(user) == {"email_address", "sha256_email_address"}


def test_tag_event_queued_hashed_stays_hashed_after_a_key_is_added(tmp_path, x_emulator):
    answers = [500]
    with Vendor(lambda _: answers[-1]) as vendor:
        gateway = with_tag(tmp_path, x_emulator.url, vendor)
        with gateway:
            gateway.post(bought(1))
            wait_for(lambda: vendor.count() > 0)
            gateway.stop()
        answers.append(200)
        vendor.came.clear()
        with with_key(gateway):
            gateway.post(bought(2))
            balance = gateway.drained()

    emails = {hit["event"]["event_id"]: hit["event"]["user_data"] for hit in vendor.came}
    assert balance["pending"] == 0
    assert len(emails["order-1"]["email_address"]) == 64
    assert emails["order-2"]["email_address"] == EMAIL
