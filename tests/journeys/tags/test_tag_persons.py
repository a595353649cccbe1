"""Personal data on the tag routes is neither stored nor sent to the vendor in plain text."""

import pytest
from gateway_processes import wait_for
from test_tag_destination import with_tag
from vendor import Vendor

NAME, DIGITS = "Zqannazq", "15550100199"
PATH = "/mp/collect?measurement_id=G-1&api_secret=journey-key-journey-key-journey"

pytestmark = pytest.mark.journey


def test_no_name_and_no_phone_number_is_stored_or_sent_in_plain_text(tmp_path, x_emulator):
    names = dict.fromkeys(("fn", "ln", "full_name", "customer_name", "name"), NAME)
    phones = dict.fromkeys(("tel", "mobile", "mobile_number", "contact_phone"), f"+{DIGITS}")
    params = {**names, **phones, "note": f"call +{DIGITS}", "items": [{"item_name": "Mug"}]}
    event = {"name": "purchase", "params": {"transaction_id": "order-1", **params}}
    odd = {"name": f"call +{DIGITS}", "params": {"currency": "EUR"}}

    with (
        Vendor(lambda _: 500) as vendor,
        with_tag(tmp_path, x_emulator.url, vendor, events="[]") as gateway,
    ):
        gateway.post({"client_id": "1.2", "events": [event, odd]}, PATH)
        wait_for(lambda: vendor.count() > 1)
        gateway.stop()
        log = gateway.log()

    kept = b"".join(path.read_bytes() for path in tmp_path.glob("twite.db*"))
    for person in (NAME, DIGITS):
        assert person.encode() not in kept
        assert person not in repr(vendor.came)
        assert person not in log
    assert "Mug" in repr(vendor.came)
