"""An email and a phone number arrive on every route, and appear nowhere afterwards."""

import json

import pytest
from gateway_processes import Gateway, command

from canaries import EMAIL, SPELLINGS, found_in

PHONE = SPELLINGS["phone, blanks"]

pytestmark = pytest.mark.journey


def test_no_file_or_output_contains_a_plain_email_or_phone_number(tmp_path, x_emulator):
    canary = {
        "event": "purchase",
        "email": EMAIL,
        "phone": PHONE,
        "twclid": "23opevjt88psuo13lu8d020qkn",
        "url": f"https://user:{EMAIL}@shop.example/thanks?mail={EMAIL}&utm_source=x#{EMAIL}",
    }
    x_emulator.fault("status", status=400, after=1)
    with Gateway(tmp_path, x_emulator.url) as gateway:
        said = [
            gateway.post(canary | {"conversion_id": "good"}),
            gateway.post(canary | {"conversion_id": "dead"}),
            gateway.post(canary | {"conversion_id": "bad", "value": "x", "currency": "EUR"}),
            gateway.post(canary | {"event": "nothing"}),
            gateway.post(canary | {"emial": EMAIL}),
            gateway.post(canary | {"email": [EMAIL]}),
            gateway.post({"conversions": [canary | {"phone": f"{PHONE} or {EMAIL}"}]}),
            gateway.post(canary | {"consent": {"ad_storage": "denied"}, "conversion_id": "no"}),
            gateway.get("/v1/conversions/o8z6j/good"),
        ]
        gateway.drained()
        outputs = [
            command(gateway, "show", "good"),
            command(gateway, "show", "good", "--json"),
            command(gateway, "dead", "list", "--json"),
            command(gateway, "accounting"),
        ]
        gateway.kill()
        log = gateway.log()

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    everything = {path.name: path.read_bytes() for path in files}
    everything["answers"] = json.dumps(said).encode()
    everything["outputs"] = "".join(output.stdout + output.stderr for output in outputs).encode()
    everything["log"] = log.encode()
    everything["what X got"] = json.dumps(x_emulator.received(bodies=True)).encode()
    assert len(files) >= 3
    assert {name: found for name, held in everything.items() if (found := found_in(held))} == {}


def test_no_credential_is_printed(tmp_path, x_emulator):
    with Gateway(tmp_path, x_emulator.url) as gateway:
        gateway.post({"event": "purchase", "twclid": "23opevjt88psuo13lu8d020qkn"})
        gateway.drained()
        outputs = [
            command(gateway, "check"),
            command(gateway, "check", "--json"),
            command(gateway, "accounting"),
        ]
        log = gateway.log()
        metrics = json.dumps(gateway.get("/metrics"))

    printed = log + metrics + "".join(output.stdout + output.stderr for output in outputs)
    assert "emulator-pixel-token" not in printed
    assert "journey-key" not in printed


def test_email_in_the_wrong_field_is_refused_or_masked(tmp_path, x_emulator):
    good = {"event": "purchase", "twclid": "23opevjt88psuo13lu8d020qkn"}
    with Gateway(tmp_path, x_emulator.url) as gateway:
        status, answer = gateway.post(good | {"conversion_id": EMAIL})
        of_link, _ = gateway.post(good | {"conversion_id": SPELLINGS["phone, chat parameter"]})
        gateway.post(good | {"conversion_id": "1", "user_agent": f"robot ({EMAIL})"})
        gateway.post(good | {"conversion_id": "2", "description": f"call {PHONE} or {EMAIL}"})
        gateway.post(good | {"conversion_id": "3", "value": PHONE, "currency": "EUR"})
        gateway.post(good | {"conversion_id": "4", "contents": [{"name": f"gift for {EMAIL}"}]})
        gateway.drained()
        gateway.kill()

    assert (status, of_link) == (422, 422)
    assert answer["rejected"][0]["errors"][0]["code"] == "id_is_a_person"
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    files.append(json.dumps(x_emulator.received(bodies=True)).encode())
    assert [found for held in files if (found := found_in(held))] == []
